package agent

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/config"
	"upsedge/internal/sampler"
	"upsedge/internal/ups"
	"upsedge/internal/ups/modbus"
	"upsedge/internal/ups/upssim"
)

// tally counts the readings of each unit and tier; as watch every one that holds the status word.
type tally struct {
	t     *testing.T
	units map[string]*[ups.TierCount]float64
}

func (c tally) Put(r *ups.Reading) {
	counts := c.units[r.Unit]
	if counts[r.Tier]++; r.Tier == ups.TierStatus {
		counts[ups.TierWatch]++
	}
}

func (c tally) Missed(unit string, tier ups.Tier, _ time.Time, err error) {
	c.t.Errorf("%s, %v: %v", unit, tier, err)
}
func (c tally) Unconnected(unit string, _ time.Time, err error) { c.t.Errorf("%s: %v", unit, err) }

// polledAt reads the units on a simulated serial line for d and returns how often everything was read in a second, and the budget of
// that line as it is measured then.
func polledAt(t *testing.T, units []config.Unit, turnaround, d time.Duration) (map[string]*[ups.TierCount]float64, Budget) {
	t.Helper()
	var running sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	sims, counts := map[uint8]*upssim.Unit{}, tally{t, map[string]*[ups.TierCount]float64{}}
	o := upssim.SerialOptions{Turnaround: turnaround, SleepUntil: func(_ context.Context, u time.Time) error {
		time.Sleep(time.Until(u))
		return nil
	}}
	wire := modbus.New(modbus.Config{Name: units[0].Name, Open: func(context.Context) (modbus.Link, error) {
		ours, theirs := net.Pipe()
		running.Go(func() { _ = upssim.ServeSerial(ctx, theirs, o, sims) })
		return ours, nil
	}})
	l, cfg := &line{assumed: Budgets(units)[0]}, sampler.Config{Sink: counts}
	for _, u := range units {
		sims[u.UnitID], counts.units[u.Name] = upssim.New(upssim.Options{}), new([ups.TierCount]float64)
		p := &planned{Driver: NewDriver(u, wire, nil), timing: func() modbus.Timing { return wire.Timing(u.UnitID) }}
		l.drivers = append(l.drivers, p)
		cfg.Units = append(cfg.Units, sampler.Unit{Name: u.Name, Source: p, Rates: u.Poll})
	}
	running.Go(func() { _ = wire.Run(ctx) })
	over, end := context.WithTimeout(ctx, d)
	defer end()
	if err := sampler.New(cfg).Run(over); err != nil {
		t.Error(err)
	}
	cancel()
	running.Wait()
	for _, c := range counts.units {
		for tier := range c {
			c[tier] /= d.Seconds()
		}
	}
	return counts.units, l.budget()
}

// What a line is said to carry is what a simulated one carries: within 3 % and two reads in two minutes, whether the rates fit or not.
func TestExpectedRatesAreThoseOfTheLine(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		rates      [ups.TierCount]time.Duration
		units      int
		turnaround time.Duration
	}{
		{config.DefaultRates(true, false), 1, 10 * ms},
		{config.DefaultRates(true, false), 2, 10 * ms},
		{config.DefaultRates(true, false), 1, 120 * ms},
		{config.DefaultRates(true, false), 3, 60 * ms},
		{[ups.TierCount]time.Duration{200 * ms, 500 * ms, 300 * ms, 10 * time.Second}, 1, 10 * ms},
		{[ups.TierCount]time.Duration{0, 100 * ms, 500 * ms, 0, 20 * time.Second}, 1, 10 * ms},
		{[ups.TierCount]time.Duration{100 * ms, 0, 100 * ms}, 2, 5 * ms},
		{[ups.TierCount]time.Duration{time.Second, 100 * ms, 100 * ms}, 2, 30 * ms},
		{[ups.TierCount]time.Duration{50 * ms, 500 * ms, 500 * ms}, 1, 10 * ms},
	} {
		name := fmt.Sprintf("%d units at %v, turnaround %v", c.units, c.rates[:3], c.turnaround)
		synctest.Test(t, func(t *testing.T) {
			var units []config.Unit
			for i := range c.units {
				u := serialUnit(string(rune('a'+i)), "/dev/ttyUSB0", uint8(i+1))
				u.Poll = c.rates
				units = append(units, u)
			}
			const d = 2 * time.Minute
			got, b := polledAt(t, units, c.turnaround, d)
			t.Logf("%s: load %.2f, %s", name, b.Load, b.rates())
			for i, want := range b.Expected() {
				for tier, rate := range got[units[i].Name] {
					if c.rates[tier] == 0 || c.rates[tier] > d/20 {
						continue // what was read while connecting counts for too much
					}
					if ups.Tier(tier) == ups.TierIdentity {
						rate /= 4 // blocks
					}
					if off := rate - want[tier]; max(off, -off) > 0.03*want[tier]+2/d.Seconds() {
						t.Errorf("%s: %s, %v is read %.3f times a second, expected %.3f", name, units[i].Name, ups.Tier(tier), rate, want[tier])
					}
				}
			}
		})
	}
}

// A line that turns out slower than assumed is logged when its rates stop fitting and when they fit again, and not in between.
func TestALineThatGetsSlowerIsLoggedOnce(t *testing.T) {
	units := []config.Unit{serialUnit("a", "/dev/ttyUSB0", 1)}
	timing := modbus.Timing{ByteTime: 10 * time.Second / 9600, Gap: 35 * time.Millisecond, Turnaround: 10 * time.Millisecond}
	p := &planned{timing: func() modbus.Timing { return timing }, plan: Budgets(units)[0].Plan, then: timing}
	l := &line{assumed: Budgets(units)[0], drivers: []*planned{p}}
	l.told = l.assumed.Load
	l.judged = l.told
	u := &unit{mu: new(sync.Mutex), cfg: units[0]}
	var log bytes.Buffer
	for _, step := range []struct {
		turnaround time.Duration
		says       string
	}{
		{10, ""},
		{12, ""},
		{90, "the rates do not fit the line"},
		{95, ""},
		{85, ""},
		{300, "the rates do not fit the line"},
		{40, "the rates fit the line"},
		{10, ""},
	} {
		was := timing.Turnaround
		timing.Turnaround = 500 * time.Millisecond
		for range 2 { // a moment of a busy box: 20 s
			reconsider([]*running{{units: []*unit{u}, line: l}}, slog.New(slog.NewTextHandler(&log, nil)))
		}
		timing.Turnaround = was
		reconsider([]*running{{units: []*unit{u}, line: l}}, slog.New(slog.NewTextHandler(&log, nil)))
		timing.Turnaround = step.turnaround * time.Millisecond
		for range 5 {
			reconsider([]*running{{units: []*unit{u}, line: l}}, slog.New(slog.NewTextHandler(&log, nil)))
		}
		if n := strings.Count(log.String(), "\n"); step.says == "" && n != 0 || step.says != "" && (n != 1 || !strings.Contains(log.String(), step.says)) {
			t.Errorf("turnaround %d ms, load %.2f, logged:\n%s", step.turnaround, u.stretch, log.String())
		}
		if step.turnaround == 300 && (!strings.Contains(log.String(), "turnaround=300ms") || !strings.Contains(log.String(), "status 0.3") || u.stretch < 2.5) {
			t.Errorf("load %.2f, logged:\n%s", u.stretch, log.String())
		}
		log.Reset()
	}
}

// A site of a thousand units whose rates do not fit is not a thousand lines in the log.
func TestManyLinesThatDoNotFitAreOneLineInTheLog(t *testing.T) {
	for _, c := range []struct{ lines, says int }{{1, 1}, {few, few}, {few + 1, 1}, {50, 1}} {
		var units []config.Unit
		var lines []*running
		timing := modbus.Timing{ByteTime: 10 * time.Second / 9600, Gap: 35 * time.Millisecond, Turnaround: 900 * time.Millisecond}
		for i := range c.lines {
			u := serialUnit(fmt.Sprintf("u%d", i), fmt.Sprintf("/dev/ttyUSB%d", i), 1)
			u.Poll[ups.TierLive] = 10 * time.Millisecond
			units = append(units, u)
			b := Budgets([]config.Unit{u})[0]
			p := &planned{timing: func() modbus.Timing { return timing }, plan: b.Plan, then: timing}
			lines = append(lines, &running{units: []*unit{{mu: new(sync.Mutex), cfg: u}}, line: &line{assumed: b, drivers: []*planned{p}}})
		}
		var log bytes.Buffer
		logger := slog.New(slog.NewTextHandler(&log, nil))
		said := func(what, words string) {
			t.Helper()
			if n := strings.Count(log.String(), "\n"); n != c.says || strings.Count(log.String(), words) != n {
				t.Errorf("%d lines, %s: logged\n%s", c.lines, what, log.String())
			}
			if c.says < c.lines && !strings.Contains(log.String(), fmt.Sprintf("lines=%d", c.lines)) {
				t.Errorf("%d lines, %s: no number in\n%s", c.lines, what, log.String())
			}
			log.Reset()
		}
		(&agent{Options: Options{Log: logger}}).warnOfRates(units)
		said("at the start", "the rates do not fit")
		look := func() {
			for range steadily {
				reconsider(lines, logger)
			}
		}
		look()
		said("measured", "the rates do not fit")
		reconsider(lines, logger)
		if log.Len() > 0 {
			t.Errorf("%d lines: said again:\n%s", c.lines, log.String())
		}
		for _, r := range lines {
			r.line.assumed.wishes[0].Rates[ups.TierLive] = time.Hour
			r.line.assumed.wishes[0].Rates[ups.TierStatus] = time.Hour
			r.line.assumed.wishes[0].Rates[ups.TierWatch] = 0
		}
		look()
		said("slower", "the rates fit")
	}
}
