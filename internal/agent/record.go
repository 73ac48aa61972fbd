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
	store   puts
	clock   *clock.Clock
	flusher *flusher // of the samples that led to an event
	log     *slog.Logger
	room    sampler.Room

	writing sync.Mutex // held while the first of the queue is written: it is not changed then

	mu       sync.Mutex
	queue    []entry
	pictures int  // in queue
	events   int  // in queue
	held     bool // the store refuses
	wake     chan struct{}
	again    chan struct{} // the store may take something again: do not wait any longer
}

// mostPictures is how many pictures wait at most while the store refuses: one of each unit of a large site, at 10 refreshes a second
// 60 KB each. Events beyond that wait without.
const mostPictures = 1000

// mostEvents is how many events wait at most: 10 MiB. Of more, which no site brings forth in the time in which somebody mends a
// disk, the oldest go, and a gap record counts them.
const mostEvents = 20_000

type entry struct {
	unit    string
	events  []store.Event
	saved   []byte
	picture *sampler.Picture // nil: none, or it is encoded
	encoded *store.Samples   // the picture as it is stored: it is encoded once
	of      int              // index of the event it belongs to
	flush   bool             // samples that wait are to be put, too
	lost    uint64           // instead of all that: events that were given up here
}

// pictured reports whether there is a picture.
func (e *entry) pictured() bool { return e.picture != nil || e.encoded != nil }

func newRecorder(f *flusher, log *slog.Logger) *recorder {
	return &recorder{store: f.store, clock: f.clock, flusher: f, log: log, wake: make(chan struct{}, 1), again: make(chan struct{}, 1)}
}

// add queues what a reading led to. It never waits.
func (r *recorder) add(unit string, out outcome) {
	if len(out.parting) == 0 && len(out.events) == 0 && out.saved == nil {
		if out.flush {
			r.flusher.soon(unit)
		}
		return
	}
	e := entry{unit: unit, saved: out.saved, flush: out.flush}
	for _, ev := range out.parting {
		r.tell(ev)
		e.events = append(e.events, store.Event{Event: ev, Epoch: out.was.Epoch, Stamp: r.clock.Stamp(ev.At)})
	}
	for i, ev := range out.events {
		r.tell(ev)
		if out.local(ev) {
			continue
		}
		if _, err := wire.EncodeEvent(ev); err != nil { // it never could be stored, and would hold up what comes after it
			r.log.Error("an event cannot be written down", "unit", unit, "alarm", int(ev.ID), "err", err)
			continue
		}
		if out.picture != nil && i == out.of && out.picture.Owner == out.owner {
			e.picture, e.of = out.picture, len(e.events)
		}
		e.events = append(e.events, store.Event{Event: ev, Epoch: out.owner.Epoch, Stamp: r.clock.Stamp(ev.At)})
	}
	if len(e.events) == 0 && e.saved == nil {
		if e.flush {
			r.flusher.soon(unit)
		}
		return
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
	if len(e.events) == 0 && r.held && r.join(e) {
		return
	}
	r.events += len(e.events)
	r.queue = append(r.queue, e)
	for r.events > mostEvents && r.giveUp() {
	}
}

// join lets a state without an event stand for the one that waits of its unit. The caller holds mu.
func (r *recorder) join(e entry) bool {
	for i := len(r.queue) - 1; i > 0; i-- { // the first may be on its way
		if q := &r.queue[i]; q.unit == e.unit && q.saved != nil {
			q.saved, q.flush = e.saved, q.flush || e.flush
			return true
		}
	}
	return false
}

// giveUp makes a count of the oldest events that wait. The state they led to is kept if no newer one of the unit waits. The caller
// holds mu.
func (r *recorder) giveUp() bool {
	lost := -1                          // what was given up before
	for i := 1; i < len(r.queue); i++ { // the first may be on its way
		e := &r.queue[i]
		if e.lost > 0 {
			lost = i
		}
		if len(e.events) == 0 {
			continue
		}
		n := uint64(len(e.events))
		if e.pictured() {
			n++ // it would have had a number
			r.pictures--
		}
		r.events -= len(e.events)
		rest := entry{unit: e.unit, saved: e.saved, flush: e.flush}
		newer := slices.ContainsFunc(r.queue[i+1:], func(q entry) bool { return q.unit == rest.unit && q.saved != nil })
		switch {
		case lost >= 0 && newer:
			r.queue = slices.Delete(r.queue, i, i+1)
		case lost >= 0 || newer:
			r.queue[i] = rest
		default:
			r.queue[i] = rest
			r.queue = slices.Insert(r.queue, i, entry{})
		}
		if lost < 0 {
			lost = i
			if newer {
				r.queue[i] = entry{}
			}
		}
		r.queue[lost].lost += n
		return true
	}
	return false
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
				r.store.Expect(n) // the next start says so, where the disk works then
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
		// Once begun a write is finished: whether a half-cancelled commit happened nobody could tell.
		more, err := r.write(context.WithoutCancel(ctx))
		if !more {
			return
		}
		if err == nil {
			pause = leastPause
			continue
		}
		r.hold()
		r.store.Expect(r.left())
		select {
		case <-ctx.Done():
			return
		case <-r.again:
			pause = leastPause
		case <-time.After(pause):
			pause = min(2*pause, mostPause)
		}
	}
}

// write writes the first entry of the queue, and reports whether there was one.
func (r *recorder) write(ctx context.Context) (more bool, err error) {
	r.writing.Lock()
	defer r.writing.Unlock()
	e, ok := r.first()
	if !ok {
		return false, nil
	}
	if e.lost > 0 {
		err = r.store.PutLost(ctx, e.lost, r.clock.Stamp(time.Now()))
	} else {
		err = r.put(ctx, e)
	}
	if err != nil {
		return true, err
	}
	r.pop()
	if e.flush { // behind the event, which is to be known first
		r.flusher.soon(e.unit)
	}
	return true, nil
}

// put writes an entry. A picture never costs its event: what cannot be kept with it is kept without.
func (r *recorder) put(ctx context.Context, e entry) error {
	if e.picture != nil {
		encoded, err := r.flusher.develop(e.unit, e.picture, &r.room)
		if err != nil {
			r.log.Error("what led to an event could not be encoded", "unit", e.unit, "err", err)
		}
		e.encoded = encoded
		r.developed(encoded)
	}
	if e.encoded == nil {
		return r.store.PutEvents(ctx, e.unit, e.saved, e.events)
	}
	e.events[e.of].Picture = e.encoded
	err := r.store.PutEvents(ctx, e.unit, e.saved, e.events)
	if err != nil && !errors.Is(err, store.ErrBroken) && !errors.Is(err, errNoStore) {
		e.events[e.of].Picture = nil
		err = r.store.PutEvents(ctx, e.unit, e.saved, e.events)
	}
	return err
}

// developed keeps the picture of the first entry as it is stored, nil for none.
func (r *recorder) developed(p *store.Samples) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.queue[0].picture, r.queue[0].encoded = nil, p
	if p == nil {
		r.pictures--
	}
}

// retry ends the wait for the next attempt.
func (r *recorder) retry() {
	select {
	case r.again <- struct{}{}:
	default:
	}
}

func (r *recorder) first() (entry, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.queue) == 0 {
		return entry{}, false
	}
	return r.queue[0], true
}

// pop lets go of the entry that was written.
func (r *recorder) pop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.queue[0].pictured() {
		r.pictures--
	}
	r.events -= len(r.queue[0].events)
	r.queue[0] = entry{} // what is behind the front of a slice is kept with it
	r.queue, r.held = r.queue[1:], false
}

// hold notes that the store refuses.
func (r *recorder) hold() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held = true
}

// left counts the events that wait, and the pictures that would have a number of their own.
func (r *recorder) left() (n uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.leftNow()
}

func (r *recorder) leftNow() (n uint64) {
	for i := range r.queue {
		n += uint64(len(r.queue[i].events)) + r.queue[i].lost
	}
	return n
}
