package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// An eventTime is how long a mains failure takes from the register to /metrics.
type eventTime struct {
	Trials   int     `json:"trials"`
	Lines    int     `json:"lines"`
	Mean     float64 `json:"mean_ms"`
	P50      float64 `json:"p50_ms"`
	P99      float64 `json:"p99_ms"`
	Max      float64 `json:"max_ms"`
	LeastP99 float64 `json:"p99_least_ms"`  // had each been seen right after the last scrape without it
	Scrape   float64 `json:"scrape_ms_p50"` // how long one scrape takes
	Busy     float64 `json:"line_busy"`     // line time of the answered reads, per time; 1 = full
	Early    uint64  `json:"early"`
	Slowest  []trial `json:"slowest"`

	Wire50 float64    `json:"to_reply_p50_ms"` // until the end of the first reply to a request made after the failure
	Wire99 float64    `json:"to_reply_p99_ms"`
	Late   []lateness `json:"lateness"`
}

// A trial is one mains failure, with what passed on its line meanwhile.
type trial struct {
	Took  float64  `json:"ms"`
	Reply float64  `json:"ms_to_reply"`
	Least float64  `json:"ms_least"`
	Line  []string `json:"line"` // block and ms from the failure to the request and to the end of the reply
	took  time.Duration
	least time.Duration
}

const (
	eventLines  = 4
	scrapePause = 2 * time.Millisecond // between two scrapes while something is awaited; a scrape costs the agent some ms itself
)

// events lets the mains of eventLines units fail again and again, at random moments. The units are polled by one agent with the
// rates it has by default.
func (b *bench) events(ctx context.Context) (out eventTime, err error) {
	dir, err := os.MkdirTemp(b.dir, "events-")
	if err != nil {
		return out, err
	}
	var lines []*line
	defer func() {
		for _, l := range lines {
			l.port.Close()
		}
	}()
	var units strings.Builder
	for i := range eventLines {
		l, err := newLine(filepath.Join(dir, fmt.Sprintf("tty%d", i)), uint64(100+i), allGroups)
		if err != nil {
			return out, err
		}
		lines = append(lines, l)
		fmt.Fprintf(&units, "  - name: rack-%d\n    serial: {device: %s}\n", i, l.path())
	}
	address, err := freeAddress()
	if err != nil {
		return out, err
	}
	cmd, err := b.agentOn(context.WithoutCancel(ctx), dir, address, units.String())
	if err != nil {
		return out, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g, ctx := errgroup.WithContext(ctx)
	for _, l := range lines {
		g.Go(func() error { return l.serve(ctx) })
	}
	g.Go(func() error {
		defer cancel()
		proc, err := start(cmd)
		if err != nil {
			return err
		}
		defer proc.stop()
		out, err = b.fail(ctx, lines, "http://"+address+"/metrics")
		if err != nil {
			return fmt.Errorf("%w; the agent said: %s", err, tail(proc.log.String()))
		}
		return nil
	})
	return out, g.Wait()
}

// fail makes the trials.
func (b *bench) fail(ctx context.Context, lines []*line, url string) (eventTime, error) {
	s := &scraper{url: url, wake: make(chan struct{}, 1)}
	scraping, cancel := context.WithCancel(ctx)
	g := new(errgroup.Group)
	g.Go(func() error { return s.run(scraping) })
	trials, trying := errgroup.WithContext(ctx)
	var mu sync.Mutex
	var done []trial
	var busy float64
	for i, l := range lines {
		trials.Go(func() error {
			ctx := trying
			online := fmt.Sprintf(`ups_status{state="on_battery",ups="rack-%d"} 0`, i)
			lost := online[:len(online)-1] + "1"
			// Connecting takes a second, during which the unit is read but nothing of it shown.
			if _, _, err := s.await(ctx, fmt.Sprintf(`ups_up{ups="rack-%d"} 1`, i), false); err != nil {
				return fmt.Errorf("rack-%d is never connected: %w", i, err)
			}
			from := time.Now()
			for range b.trials {
				// Long enough to be back at the default rates, and at no particular phase of any tier.
				if err := pause(ctx, b.rest+rand.N(time.Second)); err != nil {
					return err
				}
				begin := time.Now()
				l.unit.SetMains(false)
				without, seen, err := s.await(ctx, lost, true)
				if err != nil {
					return fmt.Errorf("rack-%d is never seen on battery: %w", i, err)
				}
				mu.Lock()
				done = append(done, newTrial(begin, without, seen, l.port.between(begin.Add(-200*time.Millisecond), seen)))
				mu.Unlock()
				l.unit.SetMains(true)
				l.skip.Add(int64(4 * time.Second)) // the unit believes in good mains after 3 s
				if _, _, err := s.await(ctx, online, false); err != nil {
					return fmt.Errorf("rack-%d is never seen on line again: %w", i, err)
				}
			}
			to := time.Now()
			var used time.Duration
			for _, e := range l.port.between(from, to) {
				used += e.ideal()
			}
			mu.Lock()
			defer mu.Unlock()
			busy += used.Seconds() / to.Sub(from).Seconds() / float64(len(lines))
			return nil
		})
	}
	err := trials.Wait()
	cancel()
	if stopped := g.Wait(); err == nil {
		err = stopped
	}
	var late []lateness
	if text, scraping := scrape(ctx, http.DefaultClient, url); scraping == nil {
		late = latenesses(text)
	}
	out := eventTime{Late: late, Trials: len(done), Lines: len(lines), Scrape: millis(quantile(s.took, 0.5)), Busy: busy}
	out.sum(done)
	for _, l := range lines {
		out.Early += l.stats.Counts().Early
	}
	return out, err
}

func newTrial(begin, without, seen time.Time, passed []exchange) trial {
	t := trial{took: seen.Sub(begin), least: max(0, without.Sub(begin))}
	t.Took, t.Least = millis(t.took), millis(t.least)
	for _, e := range passed {
		if e.addr == 0 && e.asked.After(begin) && t.Reply == 0 {
			t.Reply = millis(e.ended.Sub(begin))
		}
		t.Line = append(t.Line, fmt.Sprintf("%v %.0f to %.0f", e.span, millis(e.asked.Sub(begin)), millis(e.ended.Sub(begin))))
	}
	return t
}

func (o *eventTime) sum(done []trial) {
	var most, least []time.Duration
	var replies []float64
	for _, t := range done {
		// What is shown came with this reply or, if the failure fell between a request and its reply, with the one before.
		replies = append(replies, min(t.Took, max(t.Reply, 0)))
		most, least = append(most, t.took), append(least, t.least)
	}
	o.Mean, o.P50, o.P99 = millis(mean(most)), millis(quantile(most, 0.5)), millis(quantile(most, 0.99))
	o.Wire50, o.Wire99 = quantile(replies, 0.5), quantile(replies, 0.99)
	o.Max, o.LeastP99 = millis(quantile(most, 1)), millis(quantile(least, 0.99))
	slices.SortFunc(done, func(a, b trial) int { return cmp.Compare(b.took, a.took) })
	o.Slowest = done[:min(len(done), 10)]
}

// A scraper reads /metrics while somebody waits for something in it.
type scraper struct {
	url  string
	wake chan struct{}
	took []time.Duration

	mu      sync.Mutex
	waiting []*waiter
}

type waiter struct {
	text    []byte
	urgent  bool
	without time.Time // when the last scrape that had not shown it was asked for
	seen    chan time.Time
}

// await returns when text was seen at the beginning of a line, and when it was last not.
func (s *scraper) await(ctx context.Context, text string, urgent bool) (without, seen time.Time, err error) {
	w := &waiter{text: []byte("\n" + text + "\n"), urgent: urgent, seen: make(chan time.Time, 1)}
	s.mu.Lock()
	s.waiting = append(s.waiting, w)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
	select {
	case seen = <-w.seen:
		return w.without, seen, nil
	case <-ctx.Done():
		return without, seen, ctx.Err()
	case <-time.After(30 * time.Second):
		return without, seen, fmt.Errorf("not within 30 s: %s", text)
	}
}

func (s *scraper) run(ctx context.Context) error {
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableCompression: true}}
	defer client.CloseIdleConnections()
	for {
		s.mu.Lock()
		idle, urgent := len(s.waiting) == 0, false
		for _, w := range s.waiting {
			urgent = urgent || w.urgent
		}
		s.mu.Unlock()
		if idle {
			select {
			case <-ctx.Done():
				return nil
			case <-s.wake:
			}
			continue
		}
		asked := time.Now()
		if text, err := scrape(ctx, client, s.url); err == nil { // the agent may not listen yet; await gives up in time
			s.show(asked, text)
		}
		rest := 25 * scrapePause
		if urgent {
			rest = scrapePause
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
		case <-time.After(rest):
		}
	}
}

// show tells those who wait for something in text, and notes for the others that it was not there.
func (s *scraper) show(asked time.Time, text []byte) {
	now := time.Now()
	s.took = append(s.took, now.Sub(asked))
	s.mu.Lock()
	defer s.mu.Unlock()
	var still []*waiter
	for _, w := range s.waiting {
		if bytes.Contains(text, w.text) {
			w.seen <- now
			continue
		}
		w.without = asked
		still = append(still, w)
	}
	s.waiting = still
}

func scrape(ctx context.Context, client *http.Client, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(resp.Body)
}
