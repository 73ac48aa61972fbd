package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"upsedge/internal/ups/upssim"
)

// A polled is how one poller did on a line of its own.
type polled struct {
	Name         string         `json:"name"`
	Note         string         `json:"note"`
	Failed       string         `json:"not_measured,omitempty"` // why there are no numbers
	Reads        map[string]int `json:"reads"`                  // answered, by block
	Refreshes    float64        `json:"refreshes_per_second"`
	Exchanges    float64        `json:"exchanges_per_second"`
	Share        float64        `json:"share_of_ideal"` // line time its answered reads need at least, per time
	Requests     uint64         `json:"requests"`
	Early        uint64         `json:"early"`
	Overlapping  uint64         `json:"overlapping"`
	Unanswered   uint64         `json:"unanswered"`
	CPU          float64        `json:"cpu_ms_per_refresh"`
	CPUExchange  float64        `json:"cpu_ms_per_exchange"`
	Wakeups      float64        `json:"wakeups_per_exchange"`
	RSS          int64          `json:"max_rss_bytes"`
	Late         float64        `json:"poller_late_ms_mean"` // silence kept beyond 35 ms, per exchange
	LateP99      float64        `json:"poller_late_ms_p99"`
	Slow         float64        `json:"simulation_slow_ms_mean"` // what the simulated line itself added, per exchange
	IdealRefresh float64        `json:"ideal_refreshes_per_second"`
	Projected    float64        `json:"refreshes_per_second_if_128_44"` // the same overhead per exchange, 0/27 and 128/44
}

// refreshes measures every poller on a line of its own, all at the same time.
func (b *bench) refreshes(ctx context.Context) ([]polled, error) {
	pollers := b.pollers()
	out := make([]polled, len(pollers))
	g, ctx := errgroup.WithContext(ctx)
	for i, p := range pollers {
		g.Go(func() (err error) {
			out[i], err = b.poll(ctx, p, uint64(i+1))
			if err != nil && ctx.Err() == nil {
				out[i].Failed = err.Error()
				if !errors.Is(err, errMissing) && !errors.Is(err, errUnbuilt) {
					return fmt.Errorf("%s: %w", p.name, err)
				}
			}
			return ctx.Err()
		})
	}
	return out, g.Wait()
}

// poll runs p on a line and measures it.
func (b *bench) poll(ctx context.Context, p poller, seed uint64) (polled, error) {
	out := polled{Name: p.name, Note: p.note, Reads: map[string]int{}}
	dir, err := os.MkdirTemp(b.dir, "poller-")
	if err != nil {
		return out, err
	}
	l, err := newLine(filepath.Join(dir, "tty"), seed, allGroups)
	if err != nil {
		return out, err
	}
	defer l.port.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return l.serve(ctx) })
	g.Go(func() error {
		defer cancel()
		return b.watch(ctx, p, dir, l, &out)
	})
	return out, g.Wait()
}

func (b *bench) watch(ctx context.Context, p poller, dir string, l *line, out *polled) error {
	cmd, err := p.command(context.WithoutCancel(ctx), dir, l.path())
	if err != nil {
		return err
	}
	proc, err := start(cmd)
	if err != nil {
		return err
	}
	defer proc.stop()
	if err := pause(ctx, b.warmUp); err != nil {
		return err
	}
	before, err := proc.usage()
	from, counted := time.Now(), l.stats.Counts()
	if err != nil {
		return err
	}
	if err := pause(ctx, b.window); err != nil {
		return err
	}
	after, err := proc.usage()
	to := time.Now()
	if err := errors.Join(err, proc.alive()); err != nil {
		return err
	}
	out.count(counted, l.stats.Counts())
	out.measure(l.port.between(from, to), p.refresh)
	out.use(before, after, to.Sub(from))
	return nil
}

func (o *polled) count(before, after upssim.Counts) {
	o.Requests = after.Requests - before.Requests
	o.Early, o.Overlapping = after.Early-before.Early, after.Overlapping-before.Overlapping
	o.Unanswered = o.Early + o.Overlapping + after.Silent - before.Silent + after.Foreign - before.Foreign
}

// measure computes rates from the exchanges of the window. Each rate is taken from the first to the last end of the exchanges
// it counts, so that the edges of the window cut nothing off.
func (o *polled) measure(exchanges []exchange, refresh []span) {
	var needed, slow time.Duration
	var late []time.Duration
	for i, e := range exchanges {
		o.Reads[e.String()]++
		if i > 0 {
			needed += e.ideal()
		}
		slow += e.slow()
		if e.pause > 0 {
			late = append(late, e.pause-gap)
		}
	}
	n := len(exchanges)
	if n < 2 {
		return
	}
	took := exchanges[n-1].ended.Sub(exchanges[0].ended)
	o.Exchanges, o.Share = float64(n-1)/took.Seconds(), needed.Seconds()/took.Seconds()
	o.Slow = millis(slow) / float64(n)
	o.Late, o.LateP99 = millis(mean(late)), millis(quantile(late, 0.99))
	o.refresh(exchanges, refresh)
}

// refresh sets the rate of full refreshes: that of the rarest of the reads a refresh consists of.
func (o *polled) refresh(exchanges []exchange, reads []span) {
	var ideal time.Duration
	for i, r := range reads {
		var ends []time.Time
		var longest span
		for _, e := range exchanges {
			if e.addr == r.addr && (r.count == 0 || r.count == e.count) {
				ends = append(ends, e.ended)
				longest = e.span
			}
		}
		rate := 0.0
		if n := len(ends); n > 1 {
			rate = float64(n-1) / ends[n-1].Sub(ends[0]).Seconds()
		}
		if i == 0 || rate < o.Refreshes {
			o.Refreshes = rate
		}
		ideal += longest.ideal()
	}
	o.IdealRefresh = 1 / ideal.Seconds()
	if o.Refreshes > 0 {
		asIf := span{0, 27}.ideal() + span{128, 44}.ideal()
		o.Projected = 1 / (1/o.Refreshes + (asIf - ideal).Seconds())
	}
}

func (o *polled) use(before, after usage, window time.Duration) {
	cpu := millis(after.cpu - before.cpu)
	if o.Refreshes > 0 {
		o.CPU = cpu / (o.Refreshes * window.Seconds())
	}
	if o.Exchanges > 0 {
		o.CPUExchange = cpu / (o.Exchanges * window.Seconds())
		o.Wakeups = float64(after.wakeups-before.wakeups) / (o.Exchanges * window.Seconds())
	}
	o.RSS = after.rss
}

func mean(d []time.Duration) time.Duration {
	var sum time.Duration
	for _, v := range d {
		sum += v
	}
	return sum / time.Duration(max(1, len(d)))
}

func millis(d time.Duration) float64 { return d.Seconds() * 1000 }
