package sampler

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/ups"
)

// between counts the reads of a tier that began in a span.
func (f *fakeSource) between(t ups.Tier, from, to time.Time) (n int) {
	for _, e := range f.reads {
		if e.tier == t && !e.start.Before(from) && e.start.Before(to) {
			n++
		}
	}
	return n
}

// A scene is what happens on a line: a minute of peace, a burst of some units, and a minute behind it.
type scene struct {
	rig
	begins, ends, over time.Time
	calm               []time.Duration // after begins
}

func play(t *testing.T, units int, rates [ups.TierCount]time.Duration, bursting ...string) *scene {
	t.Helper()
	s := &scene{}
	r := newRig(units, Config{Calm: func(string) { s.calm = append(s.calm, time.Since(s.begins)) }})
	for _, u := range r.sampler.units {
		u.Rates = rates
	}
	s.rig = *r
	s.begins = time.Now().Add(time.Minute)
	s.ends = s.begins.Add(BurstFor)
	s.over = s.ends.Add(time.Minute)
	ctx, cancel := context.WithDeadline(t.Context(), s.over)
	defer cancel()
	go func() {
		time.Sleep(time.Until(s.begins))
		for _, u := range bursting {
			s.sampler.Burst(u, BurstFor/2)
			s.sampler.Burst(u, BurstFor)
			s.sampler.Burst(u, time.Second) // a shorter one ends none
		}
	}()
	if err := s.sampler.Run(ctx); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestABurstReadsAsFastAsTheLineAllows: alone on a serial line, with a watch where one is needed, and then as before.
func TestABurstReadsAsFastAsTheLineAllows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, 1, defaultRates, "a")
		a := s.sources[0]
		// Watch, status, watch, live: 395 ms for a refresh, against a second.
		for _, tier := range []ups.Tier{ups.TierStatus, ups.TierLive} {
			before, in, after := a.between(tier, s.begins.Add(-BurstFor), s.begins), a.between(tier, s.begins, s.ends), a.between(tier, s.ends.Add(time.Second), s.ends.Add(time.Second+BurstFor))
			t.Logf("%v: %d reads in 30 s before, %d in the burst, %d after", tier, before, in, after)
			if in < 72 || after < before-2 || after > before+2 {
				t.Errorf("%v: %d reads in 30 s before, %d in the burst, %d after", tier, before, in, after)
			}
		}
		var busy time.Duration
		for _, e := range a.reads {
			if e.start.After(s.begins) && e.end.Before(s.ends) {
				busy += e.end.Sub(e.start)
			}
		}
		if busy < BurstFor-time.Second {
			t.Errorf("the line was busy for %v of %v", busy, BurstFor)
		}
		if len(s.calm) != 1 || s.calm[0] < BurstFor || s.calm[0] > BurstFor+time.Second {
			t.Errorf("calm after %v, want once after %v", s.calm, BurstFor)
		}

		rnd := rand.New(rand.NewPCG(1, 2))
		var delays []time.Duration
		for range 5000 {
			event := s.begins.Add(time.Duration(rnd.Int64N(int64(BurstFor - time.Second))))
			for _, e := range a.reads {
				if e.tier <= ups.TierStatus && e.start.Add(latch).After(event) {
					delays = append(delays, e.end.Sub(event))
					break
				}
			}
		}
		slices.Sort(delays)
		if p99 := delays[len(delays)*99/100]; p99 > 240*time.Millisecond {
			t.Errorf("in a burst 99 of 100 events are seen within %v, want 240ms as ever", p99)
		}
	})
}

// TestABurstMakesNoOtherWatchLate: on a line with room and on a full one the words of the others get no older than one block more
// than they do without a burst, and their blocks keep two turns of three.
func TestABurstMakesNoOtherWatchLate(t *testing.T) {
	slow := [ups.TierCount]time.Duration{500 * time.Millisecond, 4 * time.Second, 2 * time.Second}
	for _, c := range []struct {
		name  string
		units int
		rates [ups.TierCount]time.Duration
		least float64 // how many times as often the blocks of the bursting unit are read
	}{{"room", 3, slow, 3}, {"full", 4, defaultRates, 1.5}, {"overfull", 8, defaultRates, 2}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := play(t, c.units, c.rates, "a")
				from, to := s.begins, s.ends
				calmFrom, calmTo := s.begins.Add(-BurstFor), s.begins
				var usual time.Duration
				for _, src := range s.sources[1:] {
					usual = max(usual, src.oldest(calmFrom, calmTo))
				}
				for i, src := range s.sources {
					was := src.between(ups.TierLive, calmFrom, calmTo) + src.between(ups.TierStatus, calmFrom, calmTo)
					is := src.between(ups.TierLive, from, to) + src.between(ups.TierStatus, from, to)
					age := src.oldest(from, to)
					t.Logf("unit %d: %d blocks in 30 s, %d in the burst of unit 0; its word gets %v old, without a burst one gets %v", i, was, is, age, usual)
					switch {
					case i == 0 && float64(is) < c.least*float64(was):
						t.Errorf("the bursting unit was read %d times, %d without", is, was)
					case i > 0 && float64(is) < 0.6*float64(was):
						t.Errorf("unit %d was read %d times, %d without a burst", i, is, was)
					case i > 0 && age > usual+liveCost:
						t.Errorf("the word of unit %d got %v old, without a burst one gets %v", i, age, usual)
					}
				}
			})
		})
	}
}

// TestSeveralBurstsTakeTurns: when the mains fail for all.
func TestSeveralBurstsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := [ups.TierCount]time.Duration{time.Second, 10 * time.Second, 10 * time.Second}
		s := play(t, 3, slow, "a", "b", "c")
		var most, least int
		for i, src := range s.sources {
			n := src.between(ups.TierLive, s.begins, s.ends)
			if most = max(most, n); i == 0 || n < least {
				least = n
			}
		}
		if least < 20 || most > least+2 {
			t.Errorf("%d to %d live reads of three bursting units in 30 s", least, most)
		}
		if len(s.calm) != 3 {
			t.Errorf("calm %d times, want of each", len(s.calm))
		}
	})
}

// TestABurstBeginsAtOnceAndKnowsBounds: whoever asks, while the line rests; no tier that is off, and not faster than ten a second
// where a line has no limits of its own.
func TestABurstBeginsAtOnceAndKnowsBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &fakeSource{}
		for _, b := range plan9600() {
			b.Cost = time.Millisecond
			src.plan = append(src.plan, b)
		}
		sink := &memSink{}
		s := New(Config{Units: []Unit{{"a", src, [ups.TierCount]time.Duration{ups.TierWatch: time.Hour, ups.TierStatus: time.Hour}}}, Sink: sink})
		asked := time.Now().Add(20 * time.Minute)
		go func() {
			time.Sleep(time.Until(asked))
			s.Burst("nobody", time.Hour)
			s.Burst("a", 10*time.Second)
		}()
		ctx, cancel := context.WithDeadline(t.Context(), asked.Add(time.Minute))
		defer cancel()
		if err := s.Run(ctx); err != nil {
			t.Fatal(err)
		}
		n := src.between(ups.TierStatus, asked, asked.Add(time.Minute))
		if n < 99 || n > 101 {
			t.Errorf("%d status reads in a burst of 10 s, want one per %v", n, FastestRead)
		}
		if first := src.between(ups.TierStatus, asked, asked.Add(10*time.Millisecond)); first != 1 {
			t.Errorf("%d reads right after the burst was asked for", first)
		}
		if n := src.between(ups.TierLive, time.Time{}, asked.Add(time.Minute)); n != 0 {
			t.Errorf("%d live reads, that tier is off", n)
		}
	})
}

func TestChoosingWhatIsNextDoesNotAllocate(t *testing.T) {
	r := newRig(4, Config{})
	now := time.Now()
	for _, u := range r.sampler.units {
		u.connect(now, plan9600(), &[ups.TierCount]bool{})
	}
	r.sampler.gather()
	r.sampler.Burst("a", time.Hour)
	if n := testing.AllocsPerRun(1000, func() {
		r.sampler.bursts(now)
		next, wait := r.sampler.schedule.next(now)
		if next == nil {
			now = now.Add(wait)
			return
		}
		next.unit.read(next, now)
		now = now.Add(next.block.Cost)
	}); n != 0 {
		t.Errorf("%v allocations per read", n)
	}
}
