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
	Connecting float64 `json:"seconds_to_connect_all"`
	Window     float64 `json:"window_seconds"`
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
	before, err := o.look(ctx, proc, f, url)
	if err != nil {
		return err
	}
	b.mark(proc, syscall.SIGUSR1)
	if err := pause(ctx, b.manyWindow); err != nil {
		return err
	}
	after, err := o.look(ctx, proc, f, url)
	b.mark(proc, syscall.SIGUSR2)
	if err := errors.Join(err, proc.alive()); err != nil {
		return err
	}
	o.sum(before, after)
	return nil
}

// mark tells an agent that is profiled where to begin and to end.
func (b *bench) mark(p *process, s os.Signal) {
	if b.profile != "" {
		_ = p.cmd.Process.Signal(s) // it may have ended; who waits for it says so
	}
}

// A glance is everything that is known at one moment.
type glance struct {
	agent, farm usage
	count       farmCount // since the glance before
	series      map[string]float64
}

func (o *manyUnits) look(ctx context.Context, proc *process, f *farmProcess, url string) (g glance, err error) {
	text, err := scrape(ctx, http.DefaultClient, url) // first: it costs the agent something, too
	if err != nil {
		return g, err
	}
	g.series = series(text)
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
	refreshes := float64(min(c.Lives, c.Status))
	o.Refreshes = refreshes / c.Seconds
	o.Kept, o.Slowest = o.Refreshes/o.Wanted, float64(c.Least)/c.Seconds/float64(manyRefreshes)
	o.OnTime, o.Widest = 1-float64(c.Late)/max(1, float64(c.Lives)), 1000*c.Widest
	o.CPU, o.User = millis(after.agent.cpu-before.agent.cpu)/refreshes, millis(after.agent.user-before.agent.user)/refreshes
	o.FarmCPU = millis(after.farm.cpu-before.farm.cpu) / refreshes
	o.RSS, o.MaxRSS = int64(after.series["process_resident_memory_bytes"]), after.agent.rss
	o.Heap, o.Goroutines = after.series["go_memstats_heap_alloc_bytes"], after.series["go_goroutines"]
	gone := func(name string) float64 { return after.series[name] - before.series[name] }
	o.Allocs, o.AllocBytes = gone("go_memstats_mallocs_total")/float64(c.Reads), gone("go_memstats_alloc_bytes_total")/float64(c.Reads)
	o.Collected = gone("go_gc_duration_seconds_count")
}

// series returns the series without labels.
func series(text []byte) map[string]float64 {
	out := map[string]float64{}
	for l := range strings.Lines(string(text)) {
		name, value, ok := strings.Cut(strings.TrimSpace(l), " ")
		if v, err := strconv.ParseFloat(value, 64); ok && err == nil {
			out[name] = v
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
