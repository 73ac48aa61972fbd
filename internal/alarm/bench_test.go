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

// BenchmarkObserve is one read of a unit: with nothing changed, and with every measurement another one.
func BenchmarkObserve(b *testing.B) {
	for _, name := range []string{"watch", "status", "live"} {
		b.Run(name, func(b *testing.B) { observe(b, name, 0) })
	}
	b.Run("live, all changed", func(b *testing.B) { observe(b, "live", 1) })
}

func observe(b *testing.B, block string, step int64) {
	w := newWorld(b)
	for s := range 60 {
		for name := range blocks {
			w.read(name, second(float64(s)))
		}
	}
	r := &ups.Reading{Unit: "rack-a", Tier: blocks[block].tier}
	r.Reset(blocks[block].layout, false)
	measured, words := make([]bool, len(r.Raw)), make([]int64, len(r.Raw))
	for i, c := range r.Layout.Columns {
		measured[i], words[i] = c.Point.Info().Kind == ups.Measure, w.raw[c.Point]
	}
	at := second(60)
	b.ReportAllocs()
	for b.Loop() {
		step = -step
		for i := range r.Raw {
			if r.Raw[i] = words[i]; measured[i] {
				r.Raw[i] += step
			}
		}
		at = at.Add(1e8)
		r.At = at
		w.st.Apply(r)
		w.e.Observe(w.st, r)
		if _, changed := w.e.State(); changed {
			w.e.State()
		}
	}
}
