package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"text/tabwriter"
	"time"
)

// A frontCost is what it costs to take messages of agents: front, ingest and SQLite as a process, agents as another one, over TLS
// with certificates of both sides.
type frontCost struct {
	Runs  []frontRun `json:"runs"`
	Flood []frontRun `json:"beside_a_flood"` // the same agents alone, and while another one floods
	Idle  idleAgents `json:"idle"`
}

// A frontRun is one server with so many agents.
type frontRun struct {
	Server   string     `json:"server"`
	Agents   int        `json:"agents"`
	Window   int        `json:"window"`
	Messages int        `json:"messages"`
	Rate     float64    `json:"messages_per_second"`
	CPU      float64    `json:"cpu_ms_per_message"` // of the server
	MaxRSS   int64      `json:"most_resident_bytes"`
	Batch    float64    `json:"messages_per_commit,omitempty"`
	Flood    int        `json:"flood_in_flight,omitempty"` // of one more agent
	Clients  clientsSay `json:"clients"`

	flood int // messages of it
}

// idleAgents is what connected agents take that do nothing.
type idleAgents struct {
	Agents     int     `json:"agents"`
	RSS        int64   `json:"resident_bytes_per_agent"`
	Heap       int64   `json:"heap_bytes_per_agent"`
	Stacks     int64   `json:"stack_bytes_per_agent"`
	Goroutines float64 `json:"goroutines_per_agent"`
}

const (
	ours      = "upscloud"
	mosquitto = "mosquitto"
)

// frontCost measures ours and mosquitto one after the other, with the same agents.
func (b *bench) frontCost(ctx context.Context) (*frontCost, error) {
	runs := []struct{ agents, window, messages int }{{1, 1, 500}, {1, 64, 20_000}, {50, 64, 3000}}
	idle := 1000
	if b.quick {
		runs, idle = []struct{ agents, window, messages int }{{1, 1, 5}, {1, 64, 100}, {50, 64, 10}}, 20
	}
	out := &frontCost{}
	for _, server := range []string{ours, mosquitto} {
		for _, r := range runs {
			one, err := b.frontRun(ctx, frontRun{Server: server, Agents: r.agents, Window: r.window, Messages: r.agents * (r.messages + 2)}, r.messages)
			if errors.Is(err, errMissing) {
				return out, err
			}
			if err != nil {
				return nil, fmt.Errorf("%s with %d agents: %w", server, r.agents, err)
			}
			out.Runs = append(out.Runs, one)
		}
		if server == ours {
			var err error
			if out.Flood, err = b.flood(ctx); err != nil {
				return nil, fmt.Errorf("beside a flood: %w", err)
			}
			if out.Idle, err = b.idleAgents(ctx, idle); err != nil {
				return nil, fmt.Errorf("%d idle agents: %w", idle, err)
			}
		}
	}
	return out, nil
}

// flood has ten agents send one message after the other, alone and while another agent sends as fast as it is let (T-15).
func (b *bench) flood(ctx context.Context) (out []frontRun, err error) {
	each, flood := 300, 200_000
	if b.quick {
		each, flood = 5, 200
	}
	for _, window := range []int{0, 4096} {
		r := frontRun{Server: ours, Agents: 10, Window: 1, Messages: 10 * (each + 2), Flood: window}
		if window > 0 {
			r.flood = flood
		}
		if r, err = b.frontRun(ctx, r, each); err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

func (b *bench) frontRun(ctx context.Context, r frontRun, each int) (frontRun, error) {
	dir, err := os.MkdirTemp(b.dir, fmt.Sprintf("front-%d-%d-", r.Agents, r.Window))
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(dir)
	if err := newIssuer(dir); err != nil {
		return r, err
	}
	s, err := b.serverOf(ctx, r.Server, dir)
	if err != nil {
		return r, err
	}
	defer s.stop()
	before, err := s.usage()
	if err != nil {
		return r, err
	}
	if r.flood > 0 {
		f, err := startClients(ctx, clientsOrder{Address: s.address, Dir: dir, Name: "flood", Agents: 1, Messages: r.flood, Window: r.Flood})
		if err != nil {
			return r, err
		}
		defer f.stop()
		if err := await(ctx, 30*time.Second, func() bool { says, err := s.ask(); return err != nil || says.Messages > uint64(r.flood)/100 }); err != nil {
			return r, errors.Join(f.alive(), err)
		}
	}
	o := clientsOrder{Address: s.address, Dir: dir, Name: "agent", Agents: r.Agents, Messages: each, Window: r.Window}
	c, err := startClients(ctx, o)
	if err != nil {
		return r, err
	}
	defer c.stop()
	if err := c.say.Decode(&r.Clients); err != nil {
		return r, errors.Join(c.ended(), s.alive(), err)
	}
	after, err := s.usage()
	if err != nil {
		return r, err
	}
	r.Rate = float64(r.Messages) / r.Clients.Seconds
	r.CPU = (after.cpu - before.cpu).Seconds() * 1000 / float64(r.Messages)
	r.MaxRSS = after.rss
	if r.Server == ours {
		says, err := s.ask()
		if err != nil {
			return r, err
		}
		r.Batch = float64(says.Messages) / float64(says.Commits)
	}
	return r, nil
}

// idleAgents compares memory before agents come with memory when all are there, have sent a few messages and do nothing.
func (b *bench) idleAgents(ctx context.Context, n int) (out idleAgents, err error) {
	dir, err := os.MkdirTemp(b.dir, "idle-")
	if err != nil {
		return out, err
	}
	defer os.RemoveAll(dir)
	if err := newIssuer(dir); err != nil {
		return out, err
	}
	s, err := b.serverOf(ctx, ours, dir)
	if err != nil {
		return out, err
	}
	defer s.stop()
	// One agent first, so that what is made once is there.
	few, err := startClients(ctx, clientsOrder{Address: s.address, Dir: dir, Name: "first", Agents: 1, Messages: 100, Window: 64})
	if err != nil {
		return out, err
	}
	defer few.stop()
	var said clientsSay
	if err := few.say.Decode(&said); err != nil {
		return out, errors.Join(few.ended(), err)
	}
	empty, used, err := s.weigh()
	if err != nil {
		return out, err
	}
	c, err := startClients(ctx, clientsOrder{Address: s.address, Dir: dir, Name: "idle", Agents: n, Messages: 4, Window: 64, Stay: true})
	if err != nil {
		return out, err
	}
	defer c.stop()
	if err := c.say.Decode(&said); err != nil {
		return out, errors.Join(c.ended(), err)
	}
	if err := pause(ctx, time.Second); err != nil {
		return out, err
	}
	full, all, err := s.weigh()
	if err != nil {
		return out, err
	}
	return idleAgents{
		Agents: n, RSS: (all.now - used.now) / int64(n), Heap: (full.Heap - empty.Heap) / int64(n),
		Stacks: (full.Stacks - empty.Stacks) / int64(n), Goroutines: float64(full.Goroutines-empty.Goroutines) / float64(n),
	}, nil
}

// A served is a server under test.
type served struct {
	*process
	address string
	in      io.WriteCloser
	say     *json.Decoder
}

// weigh asks for the heap, which collects, and then the kernel.
func (s *served) weigh() (cloudSays, usage, error) {
	says, err := s.ask()
	if err != nil {
		return says, usage{}, err
	}
	u, err := s.usage()
	return says, u, err
}

func (s *served) ask() (says cloudSays, err error) {
	if _, err := fmt.Fprintln(s.in, "?"); err != nil {
		return says, err
	}
	return says, s.say.Decode(&says)
}

func (b *bench) serverOf(ctx context.Context, server, dir string) (*served, error) {
	if server == mosquitto {
		return b.mosquitto(ctx, dir)
	}
	profile := ""
	if b.profile != "" {
		profile = filepath.Join(b.profile, filepath.Base(dir))
		if err := os.MkdirAll(profile, 0o755); err != nil {
			return nil, err
		}
	}
	s, err := startSelf(ctx, cloudArgument, dir, profile)
	if err != nil {
		return nil, err
	}
	var says cloudSays
	if err := s.say.Decode(&says); err != nil {
		err = errors.Join(s.ended(), err)
		s.stop()
		return nil, err
	}
	s.address = says.Address
	return s, nil
}

// mosquitto keeps what is published in memory, for a session that is away, and writes it to disk every half hour and at its end:
// PUBACK of it says that the message is in its memory.
func (b *bench) mosquitto(ctx context.Context, dir string) (*served, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	conf := fmt.Sprintf("listener %s 127.0.0.1\nallow_anonymous true\ncafile %s/ca.pem\ncertfile %[2]s/server.pem\nkeyfile %[2]s/server.key\n"+
		"require_certificate true\nuser root\npersistence true\npersistence_location %[2]s/\nmax_inflight_messages 0\nmax_queued_messages 0\nset_tcp_nodelay true\n", port, dir)
	file := filepath.Join(dir, "mosquitto.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		return nil, err
	}
	cmd, err := program(context.WithoutCancel(ctx), b.packages, "mosquitto", "-c", file)
	if err != nil {
		return nil, err
	}
	p, err := start(cmd)
	if err != nil {
		return nil, err
	}
	s := &served{process: p, address: address}
	err = await(ctx, 10*time.Second, func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			err = conn.Close()
		}
		return err == nil || p.alive() != nil
	})
	if err = errors.Join(err, p.alive()); err == nil {
		err = keeper(dir, address)
	}
	if err != nil {
		p.stop()
		return nil, err
	}
	return s, nil
}

// startSelf starts this program as something else, and speaks with it.
func startSelf(ctx context.Context, args ...string) (*served, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), self, args...)
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdout = writer
	p, err := start(cmd)
	if err = errors.Join(err, writer.Close()); err != nil {
		return nil, err
	}
	return &served{process: p, in: in, say: json.NewDecoder(bufio.NewReader(reader))}, nil
}

func startClients(ctx context.Context, o clientsOrder) (*served, error) {
	text, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	return startSelf(ctx, clientsArgument, string(text))
}

// ended waits for a process that has said its last word, and returns its error.
func (s *served) ended() error {
	_ = await(context.Background(), 5*time.Second, func() bool { return s.alive() != nil })
	return s.alive()
}

func (c *frontCost) print(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "\nMessages of agents over TLS, events and sample blocks in turns (%.0f bytes each with their topic), until PUBACK. Ours says that the message is "+
		"committed\nand synced (SQLite), mosquitto's (persistence on, the messages queued for a session that is away) that it is in memory:\n", c.bytes())
	fmt.Fprintf(t, "server\tagents\tin flight each\tmessages\tper second\tp50\tp99\tmax\tCPU/message\tmessages/commit\tmax RSS\t\n")
	for _, r := range c.Runs {
		batch := "-"
		if r.Batch > 0 {
			batch = fmt.Sprintf("%.0f", r.Batch)
		}
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%.0f\t%.1f ms\t%.1f ms\t%.1f ms\t%.3f ms\t%s\t%.0f MiB\t\n", r.Server, r.Agents, r.Window, r.Messages, r.Rate,
			r.Clients.P50, r.Clients.P99, r.Clients.Max, r.CPU, batch, float64(r.MaxRSS)/(1<<20))
	}
	t.Flush()
	for _, r := range c.Flood {
		beside := "alone"
		if r.Flood > 0 {
			beside = fmt.Sprintf("while another one keeps %d in flight", r.Flood)
		}
		fmt.Fprintf(w, "%d agents, each one message after the other, %s: PUBACK after %.1f ms (p50), %.1f (p99), %.1f at most; %.0f MiB resident at most.\n",
			r.Agents, beside, r.Clients.P50, r.Clients.P99, r.Clients.Max, float64(r.MaxRSS)/(1<<20))
	}
	if i := c.Idle; i.Agents > 0 {
		fmt.Fprintf(w, "%d idle agents, connected and known: %.1f KiB resident each: %.1f KiB of heap, %.1f of stacks of %.1f goroutines.\n",
			i.Agents, float64(i.RSS)/1024, float64(i.Heap)/1024, float64(i.Stacks)/1024, i.Goroutines)
	}
}

func (c *frontCost) bytes() float64 {
	for _, r := range c.Runs {
		return float64(r.Clients.Bytes) / float64(r.Messages)
	}
	return 0
}

func (c *frontCost) judge(least func(what, format string, target, value float64)) {
	for _, r := range c.Runs {
		if r.Server == ours && r.Agents == 50 {
			least("messages of 50 agents a second, acknowledged behind their commit", "%.0f", 15_000, r.Rate)
		}
	}
}
