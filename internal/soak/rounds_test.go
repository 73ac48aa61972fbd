package soak

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"upsedge/internal/wire"
)

// round does one to three things at random instants.
func (w *world) round() {
	kinds, sum := slices.Concat(everywhere, w.ground.kinds), 0
	for _, k := range kinds {
		sum += k.often
	}
	for range 1 + w.rng.IntN(3) {
		n := w.rng.IntN(sum)
		for _, k := range kinds {
			if n -= k.often; n < 0 {
				w.counts[k.name]++
				k.do(w)
				break
			}
		}
	}
	w.mend()
	w.pause(400)
}

// TestRounds makes a few rounds on two of the grounds.
func TestRounds(t *testing.T) {
	rng, sum := seeded(t), new(total)
	for _, g := range grounds[:2] {
		t.Run(g.name, func(t *testing.T) { newWorld(t, rng, g.ground, newTally()).rounds(8, sum) })
	}
	t.Log(sum)
}

// TestSoakRounds makes a thousand rounds, or as many as UPSEDGE_SOAK_ROUNDS says, on all grounds.
func TestSoakRounds(t *testing.T) {
	needSoak(t)
	left := 1000
	if text := os.Getenv("UPSEDGE_SOAK_ROUNDS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatalf("UPSEDGE_SOAK_ROUNDS: %v", err)
		}
		left = n
	}
	const series = 25 // rounds until everything is compared
	rng, count, sum := seeded(t), newTally(), new(total)
	for n, failed := 0, 0; left > 0 && failed < 3; n++ {
		g := pick(rng)
		rounds := min(left, series)
		left -= rounds
		if !t.Run(fmt.Sprintf("%d %s", n, g.name), func(t *testing.T) { newWorld(t, rng, g, count).rounds(rounds, sum) }) {
			failed++
		}
	}
	t.Logf("%v\n%v", sum, count)
	if sum.rounds >= 800 && os.Getenv("UPSEDGE_SOAK_GROUND") == "" {
		count.check(t)
	}
}

func needSoak(t *testing.T) {
	t.Helper()
	if os.Getenv("UPSEDGE_SOAK") == "" {
		t.Skip("a soak test: make soak runs it")
	}
}

func seeded(t *testing.T) *rand.Rand {
	seed := rand.Uint64()
	if text := os.Getenv("UPSEDGE_SOAK_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("UPSEDGE_SOAK_SEED: %v", err)
		}
	}
	t.Logf("UPSEDGE_SOAK_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// A total is what many worlds came to.
type total struct {
	rounds, accepted, held, gone, crashes, late int
	took                                        time.Duration
	done                                        map[string]int
}

func (s *total) String() string {
	text := fmt.Sprintf("%d rounds in %v: %d numbers accepted, %d records held, %d numbers covered by gaps, %d gaps of crashes, %d records behind later ones",
		s.rounds, s.took.Round(time.Second), s.accepted, s.held, s.gone, s.crashes, s.late)
	for _, k := range slices.Sorted(maps.Keys(s.done)) {
		text += fmt.Sprintf("\n%6d %s", s.done[k], k)
	}
	return text
}

// rounds makes n rounds, compares, and adds up.
func (w *world) rounds(n int, sum *total) {
	w.t.Helper()
	w.mend()
	began := time.Now()
	for range n {
		w.round()
	}
	for _, p := range w.reckon() {
		w.t.Error(p)
	}
	gone, samples := 0, 0
	for id := range w.book.told {
		if id.lane == wire.Samples {
			samples++
		}
		if _, held := w.held.records[id]; !held {
			gone++
		}
	}
	if samples < n { // two a round where the machine has nothing else to do
		w.t.Errorf("%d blocks of samples in %d rounds: they tried nothing", samples, n)
	}
	sum.rounds, sum.took = sum.rounds+n, sum.took+time.Since(began)
	sum.accepted, sum.held, sum.gone, sum.crashes = sum.accepted+len(w.book.told), sum.held+len(w.held.records), sum.gone+gone, sum.crashes+len(w.held.gaps)
	sum.late += w.held.late
	if sum.done == nil {
		sum.done = map[string]int{}
	}
	for k, n := range w.counts {
		sum.done[k] += n
	}
	w.t.Logf("%d rounds in %v: %d accepted, %d held, %d gaps of crashes; %v", n, time.Since(began).Round(time.Millisecond), len(w.book.told), len(w.held.records), len(w.held.gaps), w.counts)
}
