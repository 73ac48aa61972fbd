package agent

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"upsedge/internal/alarm"
	"upsedge/internal/clock"
	"upsedge/internal/config"
	"upsedge/internal/metrics"
	"upsedge/internal/sampler"
	"upsedge/internal/store"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// A world is what the parts of an agent work with: a real store and the machine's clock.
type world struct {
	t     *testing.T
	dir   string
	store *store.Store
	clock *clock.Clock
	log   *slog.Logger
}

func newWorld(t *testing.T) *world {
	t.Helper()
	c, err := clock.New()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, dir: t.TempDir(), clock: c, log: slog.New(slog.DiscardHandler)}
	w.store = w.open(w.dir)
	return w
}

func (w *world) open(dir string) *store.Store {
	w.t.Helper()
	s, err := store.Open(context.Background(), dir, store.Options{BootID: w.clock.Boot()})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = s.Close() }) // closed before in some tests
	return s
}

// refusing is a store that takes nothing.
func (w *world) refusing() *store.Store {
	w.t.Helper()
	s := w.open(w.t.TempDir())
	if err := s.Close(); err != nil {
		w.t.Fatal(err)
	}
	return s
}

func (w *world) series() *metrics.Agent {
	_, series := metrics.New(metrics.Sources{}, nil)
	return series
}

func (w *world) unit(cfg config.Unit) *unit {
	w.t.Helper()
	engine, err := alarm.New(cfg.Name, alarm.Limits{}, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return newUnit(cfg, cfg.Name, sampler.NewBatch(w.clock.Mono), engine, w.log)
}

func (w *world) flusher() *flusher {
	return newFlusher(w.store, w.clock, w.series(), w.log)
}

// site is a site without lines whose recorder does not run.
func (w *world) site() *site {
	series := w.series()
	f := newFlusher(w.store, w.clock, series, w.log)
	return &site{
		store: w.store, clock: w.clock, series: series, log: w.log, changed: make(chan struct{}, 1),
		recorder: newRecorder(f, w.log), flusher: f,
	}
}

// records returns what a lane holds.
func (w *world) records(l wire.Lane) []wire.Record {
	w.t.Helper()
	var out []wire.Record
	for after := uint64(0); ; after = out[len(out)-1].Seq {
		next, err := w.store.Next(context.Background(), l, after, 1000, 1<<20)
		if err != nil {
			w.t.Fatal(err)
		}
		if len(next) == 0 {
			return out
		}
		out = append(out, next...)
	}
}

// events decodes the alarms and moments that are stored.
func (w *world) events() []ups.Event {
	w.t.Helper()
	var out []ups.Event
	for _, r := range w.records(wire.Events) {
		if r.Class != wire.ClassAlarm {
			continue
		}
		e, err := wire.DecodeEvent(r.Payload)
		if err != nil {
			w.t.Fatal(err)
		}
		out = append(out, e)
	}
	return out
}

var statusLayout = &ups.Layout{Columns: []ups.Column{{Point: ups.StatusFlags, Divisor: 1}, {Point: ups.StatusCause, Divisor: 1}}}

// word is a read of the status word.
func word(unit string, at time.Time, flags int64) *ups.Reading {
	return &ups.Reading{Unit: unit, Tier: ups.TierWatch, At: at, Layout: statusLayout, Raw: []int64{flags, 1}}
}

var liveLayout = &ups.Layout{Columns: []ups.Column{{Point: ups.OutputVoltage, Divisor: 64}, {Point: ups.OutputEnergy, Divisor: 1}}}

// measured is a read of the live tier.
func measured(unit string, at time.Time, volts, energy int64) *ups.Reading {
	return &ups.Reading{Unit: unit, Tier: ups.TierLive, At: at, Layout: liveLayout, Raw: []int64{volts * 64, energy}}
}

func rates(watch, status, live time.Duration) (r [ups.TierCount]time.Duration) {
	r[ups.TierWatch], r[ups.TierStatus], r[ups.TierLive] = watch, status, live
	return r
}

func tcpUnit(name, address string, id uint8) config.Unit {
	return config.Unit{Name: name, TCP: &config.TCP{Address: address}, UnitID: id, Poll: config.DefaultRates(false, false)}
}

func serialUnit(name, device string, id uint8) config.Unit {
	return config.Unit{
		Name: name, Serial: &config.Serial{Device: device, Baud: 9600, Parity: "none"}, UnitID: id, Poll: config.DefaultRates(true, false),
	}
}
