package uplink

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"upsedge/internal/wire"
)

const (
	// ackEvery spaces the calls of Spool.Ack: each may cost a commit on flash, and a record delivered but not yet deleted
	// does no harm.
	ackEvery = time.Second
	// lastAck is how long the last call may take at the end.
	lastAck = 500 * time.Millisecond
)

// An acker tells the spool what was delivered, on a goroutine of its own, so that a slow disk delays no alarm.
type acker struct {
	spool Spool
	log   *slog.Logger
	every time.Duration
	wake  chan struct{}

	mu      sync.Mutex
	through [len(wire.Lanes)]uint64 // delivered, by index in wire.Lanes
	told    [len(wire.Lanes)]uint64 // the spool knows; run's own
	failing bool                    // run's own
}

func newAcker(spool Spool, log *slog.Logger) *acker {
	return &acker{spool: spool, log: log, every: ackEvery, wake: make(chan struct{}, 1)}
}

// delivered notes that the lane at index i is delivered up to and including seq.
func (a *acker) delivered(i int, seq uint64) {
	a.mu.Lock()
	a.through[i] = max(a.through[i], seq)
	a.mu.Unlock()
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// deliveredThrough returns the highest number delivered of the lane at index i, 0 if none was in this run.
func (a *acker) deliveredThrough(i int) uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.through[i]
}

// run works until ctx ends, and then tells the rest.
func (a *acker) run(ctx context.Context) {
	for {
		select {
		case <-a.wake:
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastAck)
			defer cancel()
			a.tell(last)
			return
		}
		if !a.tell(ctx) {
			a.again()
		}
		sleep(ctx, a.every)
	}
}

// again makes run try once more.
func (a *acker) again() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// tell brings the spool up to date and reports whether it could.
func (a *acker) tell(ctx context.Context) bool {
	ok := true
	for i, lane := range wire.Lanes {
		through := a.deliveredThrough(i)
		if through <= a.told[i] {
			continue
		}
		err := a.spool.Ack(ctx, lane, through)
		if err == nil {
			a.told[i] = through
			continue
		}
		ok = false
		if !a.failing && ctx.Err() == nil {
			a.log.Warn("delivered records stay in the spool", "lane", lane, "through", through, "err", err)
		}
	}
	a.failing = !ok
	return ok
}
