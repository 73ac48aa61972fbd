package alarm

import (
	"testing"

	"upsedge/internal/ups"
)

// steady returns a function that makes the reads of one round: a unit in an outage, nothing changing.
func steady(tb testing.TB) func() {
	w := newWorld(tb)
	w.set("U=244")
	for s := range 700 { // until 119 has come, too
		w.read("status", second(float64(s)))
		w.read("live", second(float64(s)))
	}
	var rounds []*ups.Reading
	for _, b := range []string{"watch", "status", "live"} {
		r := &ups.Reading{Unit: "rack-a", Tier: blocks[b].tier}
		r.Reset(blocks[b].layout, false)
		for i, c := range r.Layout.Columns {
			r.Raw[i] = w.raw[c.Point]
		}
		rounds = append(rounds, r)
	}
	at := second(700)
	return func() {
		for _, r := range rounds {
			at = at.Add(1e8)
			r.At = at
			if len(w.e.Observe(w.st, r)) > 0 {
				tb.Fatal("something happened")
			}
			if _, changed := w.e.State(); changed {
				w.e.State()
			}
		}
	}
}

func TestObserveDoesNotAllocateWhileNothingHappens(t *testing.T) {
	if n := testing.AllocsPerRun(100, steady(t)); n != 0 {
		t.Errorf("%v allocations per round, want 0", n)
	}
}

// BenchmarkObserve is three reads of a unit: watch, status, live.
func BenchmarkObserve(b *testing.B) {
	round := steady(b)
	b.ReportAllocs()
	for b.Loop() {
		round()
	}
}
