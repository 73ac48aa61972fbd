package agent

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"upsedge/internal/sampler"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

func raised(unit string, id ups.AlarmID, kind ups.EventKind, state string) outcome {
	return outcome{
		events: []ups.Event{{ID: id, Kind: kind, Severity: ups.Warning, Unit: unit, Text: "a test", At: time.Now()}},
		saved:  []byte(state),
	}
}

// TestEventsWaitForTheStoreInTheirOrder: what is refused is kept and written before anything that came later, with the state
// that belongs to it.
func TestEventsWaitForTheStoreInTheirOrder(t *testing.T) {
	w := newWorld(t)
	r := newRecorder(w.flusher(), w.log)
	r.store = w.refusing()
	r.add("rack-a", raised("rack-a", 101, ups.Raise, "a1"))
	r.add("rack-b", raised("rack-b", 101, ups.Raise, "b1"))
	r.add("rack-b", outcome{}) // nothing happened
	over, end := context.WithCancel(t.Context())
	end()
	r.drain(over) // one attempt, then no time is left
	if n := len(r.queue); n != 2 {
		t.Fatalf("%d entries wait, want 2", n)
	}
	r.add("rack-a", raised("rack-a", 101, ups.Clear, "a2"))
	r.store = w.store
	r.drain(over)
	if n := len(r.queue); n != 0 {
		t.Errorf("%d entries still wait", n)
	}
	var got []string
	for _, e := range w.events() {
		got = append(got, e.Unit+" "+e.Kind.String())
	}
	if want := []string{"rack-a raise", "rack-b raise", "rack-a clear"}; !slices.Equal(got, want) {
		t.Errorf("stored %v, want %v", got, want)
	}
	for unit, want := range map[string]string{"rack-a": "a2", "rack-b": "b1"} {
		if state, err := w.store.AlarmState(t.Context(), unit); err != nil || !bytes.Equal(state, []byte(want)) {
			t.Errorf("alarm state of %s: %q, %v, want %q", unit, state, err, want)
		}
	}
}

// TestRecorderWritesWhatIsLeftWhenItEnds: an event that came with the end of its line is stored.
func TestRecorderWritesWhatIsLeftWhenItEnds(t *testing.T) {
	w := newWorld(t)
	r := newRecorder(w.flusher(), w.log)
	over, end := context.WithCancel(t.Context())
	end()
	r.add("rack-a", raised("rack-a", 101, ups.Raise, "a1"))
	if err := r.run(over, time.Minute); err != nil {
		t.Fatal(err)
	}
	if n := len(w.records(wire.Events)); n != 1 {
		t.Errorf("%d events stored, want 1", n)
	}
}

// TestPicturesThatWaitAreBounded: a store that refuses for long costs memory for events, not for all that led to them, and what was
// written is let go.
func TestPicturesThatWaitAreBounded(t *testing.T) {
	w := newWorld(t)
	r := newRecorder(w.flusher(), w.log)
	for range mostPictures + 10 {
		out := raised("rack-a", 101, ups.Raise, "a1")
		out.picture = &sampler.Picture{}
		r.add("rack-a", out)
	}
	with := func() (n int) {
		for _, e := range r.queue {
			if e.picture != nil {
				n++
			}
		}
		return n
	}
	if n := with(); n != mostPictures || len(r.queue) != mostPictures+10 {
		t.Errorf("%d entries wait with %d pictures, want all entries with %d", len(r.queue), n, mostPictures)
	}
	first := &r.queue[0]
	for range 20 {
		r.pop()
	}
	if first.picture != nil || first.events != nil {
		t.Error("what was written is still held")
	}
	out := raised("rack-a", 101, ups.Raise, "a1")
	out.picture = &sampler.Picture{}
	r.add("rack-a", out)
	if n := with(); n != mostPictures-19 || r.pictures != n {
		t.Errorf("%d pictures wait and %d are counted, want %d", n, r.pictures, mostPictures-19)
	}
}

// TestWhatWaitsIsBounded: while the store refuses states without an event take the place of the one before, and of too many events
// the oldest go, with a gap in their place and the state that they led to.
func TestWhatWaitsIsBounded(t *testing.T) {
	w := newWorld(t)
	r := newRecorder(w.flusher(), w.log)
	r.store = w.refusing()
	over, end := context.WithCancel(t.Context())
	end()
	r.add("rack-b", raised("rack-b", 101, ups.Raise, "b0"))
	r.drain(over) // refused
	for i := range 1000 {
		r.add("rack-a", outcome{saved: fmt.Append(nil, "a", i)})
	}
	if n := len(r.queue); n != 2 {
		t.Fatalf("%d entries wait, want 2", n)
	}
	const more = 7
	for i := range mostEvents + more - 1 {
		r.add("rack-a", raised("rack-a", 101, ups.Raise, fmt.Sprint("b", i)))
	}
	if n := r.events; n != mostEvents {
		t.Fatalf("%d events wait, want %d", n, mostEvents)
	}
	if n := r.left(); n != mostEvents+more {
		t.Errorf("%d are counted, want %d", n, mostEvents+more)
	}
	r.mu.Lock()
	r.queue = r.queue[:20] // of the rest nothing new is to be seen
	r.mu.Unlock()
	r.store = w.store
	r.drain(t.Context())
	var lost uint64
	for _, rec := range w.records(wire.Events) {
		if rec.Class != wire.ClassGap {
			continue
		}
		g, err := wire.DecodeGap(rec.Payload)
		if err != nil || g.Lane != wire.Events || g.Reason != wire.GapStorage || g.First != 2 {
			t.Errorf("gap %+v, %v", g, err)
		}
		lost += g.Last - g.First + 1
	}
	if lost != more {
		t.Errorf("%d events are told as lost, want %d", lost, more)
	}
}
