package api

import (
	"math"
	"os"
	"slices"
	"testing"
	"time"

	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
)

// Timings of each kind, and how far their ranks may lie from each other. Of two answers of the same kind the one takes longer than the other as
// often as not; tells is by how much that may be off. With 1000 of each, chance puts it within 0.0129 in two of three comparisons (the square root
// of 2001 divided by 12 million); 0.06 is 4.6 times that, which chance reaches once in 300,000 comparisons. Who guesses right with less than 56
// of 100 on this machine, without a network between, has to ask some 1100 times for one id to be sure of it by one in a million, and is by then
// limited and logged.
const (
	timings = 1000
	tells   = 0.06
)

// TestSoakPERM9TimeTellsStrangersNothing times what a stranger is answered about something of somebody and about what does not exist, in turn
// and in an order that changes, for every route that names something and for each id in a query or a body.
func TestSoakPERM9TimeTellsStrangersNothing(t *testing.T) {
	if os.Getenv("UPSEDGE_SOAK") == "" {
		t.Skip("takes minutes and a machine that does nothing else: make soak")
	}
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := newStreet(t, db)
		t.Logf("%-75s %9s %9s %7s", "route", "of hers", "of nobody", "off by")
		for _, ask := range s.questions() {
			if path, _ := ask.ask(s.none); len(path) > 0 && s.strange(ask, s.none).status == 200 {
				continue // a list of one's own, in which the id is a filter: TestT80AndPERM9…
			}
			hers, none := s.time(ask)
			off := longer(hers, none) - 0.5
			t.Logf("%-75s %6.0f µs %6.0f µs %+.3f", ask.method+" "+ask.what, middle(hers), middle(none), off)
			if math.Abs(off) <= tells {
				continue
			}
			hers, none = s.time(ask) // whatever else the machine did is not there again
			if again := longer(hers, none) - 0.5; math.Abs(again) > tells && again*off > 0 {
				t.Errorf("%s %s: the time tells, %+.3f and once more %+.3f", ask.method, ask.what, off, again)
			}
		}
	})
}

// time asks for both, in microseconds each.
func (s *street) time(ask question) (hers, none []float64) {
	s.t.Helper()
	once := func(has map[string]string) float64 {
		begun := time.Now()
		s.strange(ask, has)
		return float64(time.Since(begun).Microseconds())
	}
	for i := range timings {
		if i&1 == i>>1&1 { // hers first, none first, none first, hers first …
			hers = append(hers, once(s.hers))
			none = append(none, once(s.none))
		} else {
			none = append(none, once(s.none))
			hers = append(hers, once(s.hers))
		}
	}
	return hers, none
}

// longer is how often one of a is greater than one of b, ties by half (Mann and Whitney's U, divided by its greatest value).
func longer(a, b []float64) float64 {
	sorted := slices.Sorted(slices.Values(b))
	var u float64
	for _, v := range a {
		below, _ := slices.BinarySearch(sorted, v)
		above, _ := slices.BinarySearch(sorted, math.Nextafter(v, math.Inf(1)))
		u += float64(below) + float64(above-below)/2
	}
	return u / float64(len(a)*len(b))
}

func middle(v []float64) float64 { return slices.Sorted(slices.Values(v))[len(v)/2] }

func TestLongerFindsWhatIsLonger(t *testing.T) {
	for _, c := range []struct {
		a, b []float64
		want float64
	}{{[]float64{3, 4}, []float64{1, 2}, 1}, {[]float64{1, 2}, []float64{3, 4}, 0}, {[]float64{1, 2}, []float64{1, 2}, 0.5}, {[]float64{2, 5}, []float64{1, 2, 3}, 0.75}} {
		if got := longer(c.a, c.b); got != c.want {
			t.Errorf("%v beside %v: %v, want %v", c.a, c.b, got, c.want)
		}
	}
}
