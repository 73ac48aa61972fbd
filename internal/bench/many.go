package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A manyUnits is how one agent did with many units on TCP, each asked for ten refreshes a second.
type manyUnits struct {
	Units      int     `json:"units"`
	Refreshes  float64 `json:"refreshes_per_second"` // of all units together; the rarer of the two blocks counts
	Wanted     float64 `json:"refreshes_per_second_wanted"`
	Kept       float64 `json:"share_of_wanted"`
	Slowest    float64 `json:"share_of_wanted_slowest_unit"`
	OnTime     float64 `json:"share_on_time"` // refreshes that came at most a period and a half after the one before
	Widest     float64 `json:"longest_between_refreshes_ms"`
	CPU        float64 `json:"cpu_ms_per_refresh"` // of the agent, in user and kernel mode
	User       float64 `json:"cpu_ms_per_refresh_user"`
	FarmCPU    float64 `json:"simulation_cpu_ms_per_refresh"`
	RSS        int64   `json:"rss_bytes"` // at the end
	MaxRSS     int64   `json:"max_rss_bytes"`
	Heap       float64 `json:"heap_bytes"`
	Goroutines float64 `json:"goroutines"`
	Allocs     float64 `json:"allocations_per_poll"` // one poll is one request; everything the process allocates
	AllocBytes float64 `json:"allocated_bytes_per_poll"`
	Collected  float64 `json:"garbage_collections"`
	Scrape     float64 `json:"scrape_ms"` // how long one scrape takes
	ScrapeCPU  float64 `json:"scrape_cpu_ms"`
	ScrapeHeap float64 `json:"scrape_allocated_bytes"`
	Scraped    int     `json:"scrape_bytes"`

	Late       []lateness `json:"lateness"` // since the start
	Connecting float64    `json:"seconds_to_connect_all"`
	Window     float64    `json:"window_seconds"`
}

// manyRefreshes is how often a second each unit is asked for its two blocks.
const manyRefreshes = int(time.Second / farmPeriod)

// many polls b.units units with one agent: the real binary, real sockets, decoding, alarms, metrics, batches and the store.
func (b *bench) many(ctx context.Context) (out manyUnits, err error) {
	out.Units, out.Wanted, out.Window = b.units, float64(b.units*manyRefreshes), b.manyWindow.Seconds()
	dir, err := os.MkdirTemp(b.dir, "many-")
	if err != nil {
		return out, err
	}
	f, err := startFarm(context.WithoutCancel(ctx), b.units)
	if err != nil {
		return out, err
	}
	defer f.stop()
	address, err := freeAddress()
	if err != nil {
		return out, err
	}
	var units strings.Builder
	for i := range b.units {
		fmt.Fprintf(&units, "  - {name: unit-%d, tcp: {address: \"%v\", via: unit}, poll: {watch: 0, status: %v, live: %[3]v}}\n",
			i, farmAddress(i, f.port), farmPeriod)
	}
	cmd, err := b.agentOn(context.WithoutCancel(ctx), dir, address, units.String())
	if err != nil {
		return out, err
	}
	if b.profile != "" {
		if cmd, err = profiled(context.WithoutCancel(ctx), cmd, b.profile); err != nil {
			return out, err
		}
	}
	begin := time.Now()
	proc, err := start(cmd)
	if err != nil {
		return out, err
	}
	err = out.watch(ctx, b, proc, f, "http://"+address+"/metrics", begin)
	proc.stop()
	if err != nil {
		return out, fmt.Errorf("%w; the agent said: %s", err, tail(proc.log.String()))
	}
	return out, nil
}

func (o *manyUnits) watch(ctx context.Context, b *bench, proc *process, f *farmProcess, url string, begin time.Time) error {
	err := await(ctx, time.Minute, func() bool {
		c, err := f.count()
		return err != nil || proc.alive() != nil || c.Seen == b.units
	})
	if err := errors.Join(err, proc.alive()); err != nil {
		return fmt.Errorf("connect %d units: %w", b.units, err)
	}
	o.Connecting = time.Since(begin).Seconds()
	if err := pause(ctx, b.manyWarmUp); err != nil {
		return err
	}
	first, err := scraped(ctx, url) // before the window: it costs the agent something, too
	if err != nil {
		return err
	}
	before, err := look(proc, f)
	if err != nil {
		return err
	}
	b.mark(proc, syscall.SIGUSR1)
	if err := pause(ctx, b.manyWindow); err != nil {
		return err
	}
	after, err := look(proc, f)
	b.mark(proc, syscall.SIGUSR2)
	if err := errors.Join(err, proc.alive()); err != nil {
		return err
	}
	o.sum(before, after)
	return o.memory(ctx, url, first, proc)
}

// mark tells an agent that is profiled where to begin and to end.
func (b *bench) mark(p *process, s os.Signal) {
	if b.profile != "" {
		_ = p.cmd.Process.Signal(s) // it may have ended; who waits for it says so
	}
}

// A glance is what the kernel and the simulated units know at one moment.
type glance struct {
	agent, farm usage
	count       farmCount // since the glance before
}

func look(proc *process, f *farmProcess) (g glance, err error) {
	if g.agent, err = proc.usage(); err != nil {
		return g, err
	}
	if g.farm, err = f.usage(); err != nil {
		return g, err
	}
	g.count, err = f.count()
	return g, err
}

func (o *manyUnits) sum(before, after glance) {
	c := after.count
	refreshes := float64(max(1, min(c.Lives, c.Status)))
	o.Refreshes = refreshes / c.Seconds
	o.Kept, o.Slowest = o.Refreshes/o.Wanted, float64(c.Least)/c.Seconds/float64(manyRefreshes)
	o.OnTime, o.Widest = 1-float64(c.Late)/max(1, float64(c.Lives)), 1000*c.Widest
	o.CPU, o.User = millis(after.agent.cpu-before.agent.cpu)/refreshes, millis(after.agent.user-before.agent.user)/refreshes
	o.FarmCPU = millis(after.farm.cpu-before.farm.cpu) / refreshes
	o.RSS = after.agent.now
}

// memory asks the agent itself for what only it knows, which costs more than some seconds of polling: three scrapes in all. What
// one of them allocates is the difference of the last two.
func (o *manyUnits) memory(ctx context.Context, url string, first map[string]float64, proc *process) error {
	text, err := scrape(ctx, http.DefaultClient, url)
	if err != nil {
		return err
	}
	second := series(text)
	o.Late = latenesses(text)
	begin, before, err := time.Now(), usage{}, error(nil)
	if before, err = proc.usage(); err != nil {
		return err
	}
	third, err := scraped(ctx, url)
	if err != nil {
		return err
	}
	took := time.Since(begin)
	after, err := proc.usage()
	if err != nil {
		return err
	}
	o.MaxRSS, o.Heap, o.Goroutines = after.rss, second["go_memstats_heap_alloc_bytes"], second["go_goroutines"]
	o.Scrape, o.Scraped = millis(took), int(third[""])
	o.ScrapeCPU = max(0, millis(after.cpu-before.cpu)-o.CPU*o.Refreshes*took.Seconds())
	polls := second[asked] - first[asked]
	per := func(name string) float64 {
		scrape := third[name] - second[name] // and the few polls meanwhile
		return max(0, second[name]-first[name]-scrape) / max(1, polls-(third[asked]-second[asked]))
	}
	o.Allocs, o.AllocBytes = per("go_memstats_mallocs_total"), per("go_memstats_alloc_bytes_total")
	o.ScrapeHeap = third["go_memstats_alloc_bytes_total"] - second["go_memstats_alloc_bytes_total"] - o.AllocBytes*(third[asked]-second[asked])
	o.Collected = second["go_gc_duration_seconds_count"] - first["go_gc_duration_seconds_count"]
	return nil
}

// asked is the sum over all lines of what the agent has asked.
const asked = "upsagent_modbus_requests_total"

// scraped returns the series, summed over their labels, and the size of it all as "".
func scraped(ctx context.Context, url string) (map[string]float64, error) {
	text, err := scrape(ctx, http.DefaultClient, url)
	if err != nil {
		return nil, err
	}
	out := series(text)
	out[""] = float64(len(text))
	return out, nil
}

// series returns the values by name, summed over the labels.
func series(text []byte) map[string]float64 {
	out := map[string]float64{}
	for l := range strings.Lines(string(text)) {
		name, value, ok := strings.Cut(strings.TrimSpace(l), " ")
		name, _, _ = strings.Cut(name, "{")
		if v, err := strconv.ParseFloat(value, 64); ok && err == nil && name != "#" {
			out[name] += v
		}
	}
	return out
}

// A farmProcess is a farm that runs beside us.
type farmProcess struct {
	*process
	port uint16
	ask  io.Writer
	said *bufio.Scanner
}

func startFarm(ctx context.Context, units int) (*farmProcess, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, farmArgument, strconv.Itoa(units))
	ask, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	said, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	f := &farmProcess{ask: ask, said: bufio.NewScanner(said)}
	if f.process, err = start(cmd); err != nil {
		return nil, err
	}
	if f.said.Scan() {
		port, err := strconv.ParseUint(f.said.Text(), 10, 16)
		f.port = uint16(port)
		if err == nil {
			return f, nil
		}
	}
	f.stop()
	return nil, fmt.Errorf("simulated units do not start: %s", tail(f.log.String()))
}

// count returns what the farm has seen since it was last asked.
func (f *farmProcess) count() (c farmCount, err error) {
	if _, err = fmt.Fprintln(f.ask); err != nil {
		return c, err
	}
	if !f.said.Scan() {
		return c, fmt.Errorf("simulated units ended: %w", f.said.Err())
	}
	return c, json.Unmarshal(f.said.Bytes(), &c)
}
