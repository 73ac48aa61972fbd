package agent

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"upsedge/internal/config"
	"upsedge/internal/sampler"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// flushing is a flusher with one unit, and how often it said that the database is broken.
type flushing struct {
	*world
	f *flusher
	u *unit
}

func newFlushing(t *testing.T) *flushing {
	w := newWorld(t)
	w.t.Helper()
	return &flushing{w, newFlusher(w.store, w.clock, w.series(), w.log), w.unit(config.Unit{Name: "rack-a"})}
}

// interval is one reading and one flush.
func (w *flushing) interval(volts int64) {
	w.u.put(measured("rack-a", time.Now(), volts, volts))
	w.f.flush(w.t.Context(), []*unit{w.u})
}

// volts decodes what the store holds, in its order.
func (w *flushing) volts() (out []int64) {
	w.t.Helper()
	var schemas wire.Schemas
	for _, r := range w.records(wire.Samples) {
		b, err := schemas.DecodeBody(r.Payload)
		if err != nil {
			w.t.Fatalf("block %d: %v", r.Seq, err)
		}
		for _, s := range b.Sections {
			for i := range s.At {
				out = append(out, s.Raw[i*len(s.Layout.Columns)]/64)
			}
		}
	}
	return out
}

func TestSamplesThatAreRefusedAreStoredLaterInTheirOrder(t *testing.T) {
	w := newFlushing(t)
	w.interval(1)
	w.f.store = w.refusing()
	for v := range int64(5) {
		w.interval(2 + v)
	}
	if got := w.volts(); len(got) != 1 {
		t.Fatalf("stored %v while the store refuses", got)
	}
	w.f.store = w.store
	w.f.flush(t.Context(), nil) // another unit's line ends: what is pending goes with it
	w.interval(7)
	got := w.volts()
	if len(got) != 7 {
		t.Fatalf("stored %v, want 1 to 7", got)
	}
	for i, v := range got {
		if v != int64(i+1) {
			t.Errorf("stored %v, want 1 to 7 in order", got)
			break
		}
	}
	if n := len(w.records(wire.Events)); n > 0 {
		t.Errorf("%d events, nothing was lost", n)
	}
}

// TestMemoryIsBoundedWhileTheStoreRefuses: beyond the bound the oldest go, whatever else fails, and one gap record says which.
func TestMemoryIsBoundedWhileTheStoreRefuses(t *testing.T) {
	w := newFlushing(t)
	w.f.store = w.refusing()
	const over, kept = 20, 100
	var first, last wire.Stamp
	for v := range int64(kept + over) {
		if v == kept { // what there is so far, and room for half a block
			for _, s := range w.f.pending {
				w.f.most += len(s.Payload) + besides
			}
			w.f.most += besides/2 - mostPending
		}
		w.u.put(measured("rack-a", time.Now(), 1000+v, 1000+v))
		w.f.flush(t.Context(), []*unit{w.u})
		switch v {
		case 0:
			first = w.f.pending[0].First
		case over - 1:
			last = w.f.pending[over-1].Last
		}
	}
	if n := len(w.f.pending); n != kept || len(w.f.samples) != n {
		t.Errorf("%d blocks and %d counts in memory, want %d", n, len(w.f.samples), kept)
	}
	w.f.store = w.store
	w.f.flush(t.Context(), nil)
	if n := len(w.records(wire.Samples)); n != kept {
		t.Errorf("%d blocks stored, want %d", n, kept)
	}
	events := w.records(wire.Events)
	if len(events) != 1 {
		t.Fatalf("%d events, want one gap", len(events))
	}
	gap, err := wire.DecodeGap(events[0].Payload)
	if err != nil {
		t.Fatal(err)
	}
	near := func(a, b wire.Stamp) bool { return (a.Mono - b.Mono).Abs() < time.Millisecond }
	if gap.Unit != "rack-a" || !near(gap.From, first) || !near(gap.To, last) {
		t.Errorf("gap %+v, want rack-a from %v to %v", gap, first.Mono, last.Mono)
	}
	w.interval(9999)
	if n := len(w.records(wire.Events)); n != 1 {
		t.Errorf("%d gaps, it was told already", n)
	}
}

// A thousand units make a thousand blocks in one flush, which a disk that is full for a moment must not cost.
func TestTheFirstFlushOfManyUnitsIsKept(t *testing.T) {
	w := newFlushing(t)
	w.f.store = w.refusing()
	var units []*unit
	for i := range 1000 {
		u := w.unit(config.Unit{Name: fmt.Sprintf("rack-%d", i)})
		u.put(measured(u.cfg.Name, time.Now(), 230, 230))
		units = append(units, u)
	}
	w.f.flush(t.Context(), units)
	w.f.store = w.store
	w.f.flush(t.Context(), nil)
	if n, gaps := len(w.records(wire.Samples)), len(w.records(wire.Events)); n != len(units) || gaps != 0 {
		t.Errorf("%d blocks of %d units stored, %d gaps", n, len(units), gaps)
	}
}

func TestWhatIsTooMuchForOneBlockBecomesSeveral(t *testing.T) {
	l := &ups.Layout{Columns: []ups.Column{{Point: ups.StatusFlags, Divisor: 1}, {Point: ups.StatusCause, Divisor: 1}}}
	rows := wire.Rows{Layout: l}
	for i := range 100_000 { // more than a block may have
		rows.At = append(rows.At, int64(1000+i*10))
		rows.Raw = append(rows.Raw, int64(i%7), int64(i%3))
	}
	w := newWorld(t)
	f := w.site().flusher
	if err := f.encode("rack-a", sampler.Owner{Device: "A"}, []wire.Rows{rows}); err != nil {
		t.Fatal(err)
	}
	var schemas wire.Schemas
	var at, raw []int64
	for i, s := range f.pending {
		b, err := schemas.DecodeBody(s.Payload)
		if err != nil {
			t.Fatal(err)
		}
		r := b.Sections[0]
		if first := time.Duration(r.At[0]) * time.Millisecond; s.First.Mono != first {
			t.Errorf("block %d begins at %v, its record says %v", i, first, s.First.Mono)
		}
		at, raw = append(at, r.At...), append(raw, r.Raw...)
	}
	if len(f.pending) < 2 || !slices.Equal(at, rows.At) || !slices.Equal(raw, rows.Raw) {
		t.Errorf("%d blocks with %d rows, want several with all %d", len(f.pending), len(at), len(rows.At))
	}
}
