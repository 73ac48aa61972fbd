package agent

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"upsedge/internal/clock"
	"upsedge/internal/sampler"
	"upsedge/internal/store"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// A recorder writes events to the store, in the order in which they came and together with the alarm state they led to. Lines
// hand over and go on: a commit on flash takes longer than the gap between two requests.
type recorder struct {
	store   *store.Store
	clock   *clock.Clock
	flusher *flusher    // of the samples that led to an event
	broken  func(error) // the database is beyond use
	log     *slog.Logger
	room    sampler.Room

	mu       sync.Mutex
	queue    []entry
	pictures int  // in queue
	held     bool // the store refuses
	wake     chan struct{}
}

// mostPictures is how many pictures wait at most while the store refuses: one of each unit of a large site, at 10 refreshes a second
// 60 KB each. Events beyond that wait without.
const mostPictures = 1000

type entry struct {
	unit    string
	events  []store.Event
	saved   []byte
	picture *sampler.Picture // nil: none
	of      int              // index of the event it belongs to
	flush   bool             // samples that wait are to be put, too
}

func newRecorder(f *flusher, broken func(error), log *slog.Logger) *recorder {
	return &recorder{store: f.store, clock: f.clock, flusher: f, broken: broken, log: log, wake: make(chan struct{}, 1)}
}

// add queues what a reading led to. It never waits.
func (r *recorder) add(unit string, out outcome) {
	if len(out.events) == 0 && out.saved == nil {
		if out.flush {
			r.flusher.soon(unit)
		}
		return
	}
	e := entry{unit: unit, saved: out.saved, flush: out.flush}
	for i, ev := range out.events {
		r.tell(ev)
		if _, err := wire.EncodeEvent(ev); err != nil { // it never could be stored, and would hold up what comes after it
			r.log.Error("an event cannot be written down", "unit", unit, "alarm", int(ev.ID), "err", err)
			continue
		}
		if out.picture != nil && i == out.of {
			e.picture, e.of = out.picture, len(e.events)
		}
		e.events = append(e.events, store.Event{Event: ev, Stamp: r.clock.Stamp(ev.At)})
	}
	r.enqueue(e)
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *recorder) enqueue(e entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case e.picture == nil:
	case r.pictures == mostPictures:
		e.picture = nil
	default:
		r.pictures++
	}
	r.queue = append(r.queue, e)
}

// tell logs an event. A log line names the unit as the configuration does, and no value.
func (r *recorder) tell(e ups.Event) {
	level := slog.LevelInfo
	if e.Severity > ups.Informational && e.Kind != ups.Clear {
		level = slog.LevelWarn
	}
	message := map[ups.EventKind]string{ups.Raise: "alarm raised", ups.Clear: "alarm cleared", ups.Moment: "event"}[e.Kind]
	said := []any{"alarm", int(e.ID), "severity", e.Severity.String(), "text", e.Text}
	if e.Unit != "" {
		said = slices.Insert(said, 0, any("unit"), any(e.Unit))
	} else if e.Detail != "" { // the agent's own names nothing that does not belong in a log
		said = append(said, "detail", e.Detail)
	}
	if e.Group != ups.NoGroup {
		said = append(said, "group", e.Group.String())
	}
	r.log.Log(context.Background(), level, message, said...)
}

// run writes until ctx ends, then what is left. A store that refuses is asked again for as long as give.
func (r *recorder) run(ctx context.Context, give time.Duration) error {
	last := context.WithoutCancel(ctx)
	for {
		select {
		case <-r.wake:
			r.drain(ctx)
		case <-ctx.Done():
			end, cancel := context.WithTimeout(last, give)
			defer cancel()
			r.drain(end)
			if n := r.left(); n > 0 {
				r.log.Error("events could not be stored and are lost", "events", n)
			}
			return nil
		}
	}
}

// Between two attempts to write to a store that refuses.
const (
	leastPause = 250 * time.Millisecond
	mostPause  = 10 * time.Second
)

// drain writes everything queued. What cannot be written is kept and tried again: an alarm is never dropped for a disk that is
// full now.
func (r *recorder) drain(ctx context.Context) {
	pause := leastPause
	for {
		e, ok := r.first()
		if !ok {
			return
		}
		// Once begun a write is finished: whether a half-cancelled commit happened nobody could tell.
		err := r.put(context.WithoutCancel(ctx), e)
		r.flusher.tried(err)
		if err == nil {
			if r.pop() {
				r.log.Info("events are stored again")
			}
			if e.flush { // behind the event, which is to be known first
				r.flusher.soon(e.unit)
			}
			pause = leastPause
			continue
		}
		first := r.hold()
		if errors.Is(err, store.ErrBroken) {
			r.broken(err)
			return
		}
		if first {
			r.log.Error("events cannot be stored; they are kept in memory and tried again", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
			pause = min(2*pause, mostPause)
		}
	}
}

// put writes an entry. A picture never costs its event: what cannot be kept with it is kept without.
func (r *recorder) put(ctx context.Context, e entry) error {
	if e.picture == nil {
		return r.store.PutEvents(ctx, e.unit, e.saved, e.events)
	}
	picture, err := r.flusher.develop(e.unit, e.picture, &r.room)
	if err != nil {
		r.log.Error("what led to an event could not be encoded", "unit", e.unit, "err", err)
	}
	e.events[e.of].Picture = picture
	err = r.store.PutEvents(ctx, e.unit, e.saved, e.events)
	if err != nil && picture != nil && !errors.Is(err, store.ErrBroken) {
		e.events[e.of].Picture = nil
		err = r.store.PutEvents(ctx, e.unit, e.saved, e.events)
	}
	return err
}

func (r *recorder) first() (entry, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.queue) == 0 {
		return entry{}, false
	}
	return r.queue[0], true
}

// pop lets go of the entry that was written and reports whether the store had refused it before.
func (r *recorder) pop() (was bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.queue[0].picture != nil {
		r.pictures--
	}
	r.queue[0] = entry{} // what is behind the front of a slice is kept with it
	was, r.queue, r.held = r.held, r.queue[1:], false
	return was
}

// hold notes that the store refuses and reports whether that is new.
func (r *recorder) hold() (isNew bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	isNew, r.held = !r.held, true
	return isNew
}

// stuck reports whether events wait because the store refuses them.
func (r *recorder) stuck() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.held
}

// left counts the events that wait.
func (r *recorder) left() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.queue {
		n += len(e.events)
	}
	return n
}
