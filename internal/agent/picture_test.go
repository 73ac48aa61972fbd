package agent

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"upsedge/internal/config"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

const onBattery = ups.UOnBattery | ups.UInputBad

// pictures decodes the pictures that are stored, by the number of their event.
func (w *world) pictures() map[uint64]*wire.Block {
	w.t.Helper()
	out := map[uint64]*wire.Block{}
	for _, r := range w.records(wire.Events) {
		if r.Class != wire.ClassPicture {
			continue
		}
		event, b, err := new(wire.Schemas).DecodePicture(r.Payload)
		if err != nil || event != r.Seq-1 {
			w.t.Fatalf("picture %d, of event %d: %v", r.Seq, event, err)
		}
		out[event] = b
	}
	return out
}

// polled puts a watch and a live reading of the unit every half second for as long as span and returns the end.
func polled(s *site, u *unit, from time.Time, span time.Duration, flags int64) time.Time {
	to := &sink{units: map[string]*unit{u.cfg.Name: u}, recorder: s.recorder, changed: s.notify}
	for end := from.Add(span); from.Before(end); from = from.Add(500 * time.Millisecond) {
		to.Put(word(u.cfg.Name, from, flags))
		to.Put(measured(u.cfg.Name, from.Add(100*time.Millisecond), 230, 1))
	}
	return from
}

// TestAnEventIsKeptWithWhatLedToIt: the last 30 s directly behind the raise, once for a storm, and the samples themselves at once.
func TestAnEventIsKeptWithWhatLedToIt(t *testing.T) {
	w := newWorld(t)
	s, u := w.site(), w.unit(config.Unit{Name: "rack-a"})
	over, end := context.WithCancel(t.Context())
	defer end()
	done := make(chan error)
	go func() { done <- s.flusher.run(over, time.Hour, func() []*unit { return []*unit{u} }) }()

	begun := time.Now()
	now := polled(s, u, begun, 90*time.Second, ups.UOnline)
	if n := len(w.records(wire.Samples)); n != 0 {
		t.Fatalf("%d blocks stored before the event, the interval is an hour", n)
	}
	fails := now
	now = polled(s, u, now, 2*time.Second, onBattery)
	s.recorder.drain(t.Context())
	await(t, func() bool { return len(w.records(wire.Samples)) > 0 })

	pictures := w.pictures()
	if len(pictures) != 1 || pictures[1] == nil {
		t.Fatalf("pictures %v, want one of event 1", pictures)
	}
	b := pictures[1]
	if b.Unit != "rack-a" || len(b.Sections) != 2 {
		t.Fatalf("picture of %q with %d sections", b.Unit, len(b.Sections))
	}
	ms := func(at time.Time) int64 { return w.clock.Mono(at).Milliseconds() }
	for _, r := range b.Sections {
		first, last := r.At[0], r.At[len(r.At)-1]
		if first > ms(fails)-29_900 || first < ms(fails)-30_001 || last > ms(fails)+1 || len(r.At) < 60 {
			t.Errorf("%v: %d rows from %d to %d, want the 30 s to %d", r.Tier, len(r.At), first, last, ms(fails))
		}
		if r.Tier == ups.TierWatch && r.Raw[(len(r.At)-1)*2] != onBattery {
			t.Errorf("the last word is %#x, want the one that raised it", r.Raw[(len(r.At)-1)*2])
		}
	}

	// What follows within 30 s refers to the same picture; after that there is a new one.
	now = polled(s, u, now, 10*time.Second, ups.UOnline)
	now = polled(s, u, now, 10*time.Second, onBattery)
	s.recorder.drain(t.Context())
	if n, events := len(w.pictures()), len(w.events()); n != 1 || events < 3 {
		t.Errorf("%d pictures of %d events within half a minute, want one", n, events)
	}
	now = polled(s, u, now, 10*time.Second, ups.UOnline)
	polled(s, u, now, time.Second, onBattery)
	s.recorder.drain(t.Context())
	if n := len(w.pictures()); n != 2 {
		t.Errorf("%d pictures after another half minute, want two", n)
	}
	end()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestAPictureThatIsTooBigShowsLess: of a unit that is read as fast as may be, the last seconds.
func TestAPictureThatIsTooBigShowsLess(t *testing.T) {
	w := newWorld(t)
	s, u := w.site(), w.unit(config.Unit{Name: "rack-a"})
	rnd, begun := rand.New(rand.NewPCG(1, 1)), time.Now()
	for i := range 3000 {
		u.put(measured("rack-a", begun.Add(time.Duration(i)*10*time.Millisecond), rnd.Int64N(1<<30), rnd.Int64N(1<<30)))
	}
	p, err := s.flusher.develop("rack-a", u.batch.Picture(0), &s.recorder.room)
	if err != nil {
		t.Fatal(err)
	}
	b, err := new(wire.Schemas).DecodeBody(p.Payload)
	if err != nil || len(p.Payload) > mostPicture || len(p.Payload) < mostPicture/4 {
		t.Fatalf("picture of %d bytes, %v", len(p.Payload), err)
	}
	if at, newest := b.Sections[0].At, w.clock.Mono(begun.Add(29_990*time.Millisecond)).Milliseconds(); at[len(at)-1] != newest {
		t.Errorf("the newest row is of %d, want %d", at[len(at)-1], newest)
	}
}

// TestASilentUnitsPictureIsOfTheTimeBefore: what the unit said last, and not once more when the next alarm says the same.
func TestASilentUnitsPictureIsOfTheTimeBefore(t *testing.T) {
	w := newWorld(t)
	s, u := w.site(), w.unit(config.Unit{Name: "rack-a"})
	now := polled(s, u, time.Now(), 40*time.Second, ups.UOnline)
	last := now
	for range 50 {
		now = now.Add(time.Second)
		s.recorder.add("rack-a", u.miss(ups.TierWatch, now, context.DeadlineExceeded))
	}
	s.recorder.drain(t.Context())
	events := w.events()
	if len(events) == 0 || events[0].ID != 801 {
		t.Fatalf("events %v, want 801", events)
	}
	b := w.pictures()[1]
	if b == nil {
		t.Fatal("no picture of 801")
	}
	if at := b.Sections[0].At; len(at) < 58 || at[len(at)-1] > w.clock.Mono(last).Milliseconds() {
		t.Errorf("%d rows, want those of the 30 s before the silence", len(at))
	}
	if p := u.album.take(u.batch, now.Add(time.Hour)); p != nil {
		t.Error("a second picture of the same rows")
	}
}

func TestOnlyWhatMattersHasAPicture(t *testing.T) {
	e := func(id ups.AlarmID, k ups.EventKind, s ups.Severity) ups.Event {
		return ups.Event{ID: id, Kind: k, Severity: s}
	}
	for _, row := range []struct {
		events []ups.Event
		want   int
	}{
		{nil, -1},
		{[]ups.Event{e(502, ups.Raise, ups.Informational), e(101, ups.Clear, ups.Warning), e(102, ups.Moment, ups.Informational)}, -1},
		{[]ups.Event{e(502, ups.Raise, ups.Informational), e(103, ups.Raise, ups.Informational)}, 1},
		{[]ups.Event{e(504, ups.Raise, ups.Critical), e(101, ups.Raise, ups.Warning)}, 0},
	} {
		if got := pictured(row.events); got != row.want {
			t.Errorf("%v: %d, want %d", row.events, got, row.want)
		}
	}
}

func await(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not within 20 s")
		}
	}
}
