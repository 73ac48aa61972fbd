package agent

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"upsedge/internal/clock"
	"upsedge/internal/metrics"
	"upsedge/internal/store"
	"upsedge/internal/wire"
)

// A flusher encodes what the units' batches hold and puts it into the store, in one commit per interval.
type flusher struct {
	store   *store.Store
	clock   *clock.Clock
	encoder *wire.Encoder
	broken  func() // the database is beyond use
	series  *metrics.Agent
	log     *slog.Logger

	mu      sync.Mutex      // the loop flushes all units, the end of a line its own
	pending []store.Samples // encoded, not yet put: the store refused
	samples int             // in pending
	failing bool
}

// maxPending bounds what is kept in memory while the store refuses: half an hour of one unit at the default interval, of
// sixteen units five minutes at the least.
const maxPending = 480

func newFlusher(s *store.Store, c *clock.Clock, series *metrics.Agent, broken func(), log *slog.Logger) *flusher {
	return &flusher{store: s, clock: c, encoder: wire.NewEncoder(), broken: broken, series: series, log: log}
}

// run flushes every interval until ctx ends. The last flush belongs to whoever stops the lines.
func (f *flusher) run(ctx context.Context, every time.Duration, units func() []*unit) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			f.flush(ctx, units())
		case <-ctx.Done():
			return nil
		}
	}
}

// flush takes the batches and puts them. When the store refuses, the blocks stay encoded and are put with the next ones.
func (f *flusher) flush(ctx context.Context, units []*unit) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, u := range units {
		f.take(u)
	}
	if len(f.pending) == 0 {
		return
	}
	if err := f.store.PutSamples(context.WithoutCancel(ctx), f.pending); err != nil {
		f.refused(ctx, err)
		return
	}
	if f.failing {
		f.log.Info("samples are stored again")
	}
	size := 0
	for _, s := range f.pending {
		size += len(s.Payload)
	}
	f.series.Samples.Add(float64(f.samples))
	f.series.EncodedBytes.Add(float64(size))
	f.pending, f.samples, f.failing = nil, 0, false
}

func (f *flusher) take(u *unit) {
	u.mu.Lock()
	device := u.state.Identity().Serial
	u.mu.Unlock()
	err := u.batch.Take(func(first, last time.Time, rows []wire.Rows) error {
		block := wire.Block{Unit: u.cfg.Name, Device: device, Sections: rows}
		body, err := f.encoder.Encode(nil, &block)
		if err != nil {
			return err
		}
		f.pending = append(f.pending, store.Samples{
			Unit: u.cfg.Name, First: f.clock.Stamp(first), Last: f.clock.Stamp(last), Payload: body,
		})
		f.samples += block.Samples()
		return nil
	})
	if err != nil {
		f.log.Error("samples of one interval could not be encoded and are lost", "unit", u.cfg.Name, "err", err)
	}
}

// refused keeps what could not be put, up to a bound; beyond it the oldest go, each leaving a gap record when the store works
// again.
func (f *flusher) refused(ctx context.Context, err error) {
	if !f.failing {
		f.log.Error("samples cannot be stored; they are kept in memory and tried again", "err", err)
	}
	f.failing = true
	if errors.Is(err, store.ErrBroken) {
		f.broken()
		return
	}
	for len(f.pending) > maxPending {
		s := f.pending[0]
		gap := wire.Gap{Unit: s.Unit, From: s.First, To: s.Last, Reason: wire.GapCrash}
		if f.store.PutGap(context.WithoutCancel(ctx), gap, s.Last) != nil {
			return // not even that: keep it, the next interval tries again
		}
		f.pending = f.pending[1:]
		f.encoder.Forget() // the block that is gone may have carried a schema
	}
}
