package soak

import (
	"fmt"
	"testing"
	"time"
)

// TestSoakQuietLinks cuts links that carry nothing but pings, which come after 20 s: the rounds are never quiet for so long.
func TestSoakQuietLinks(t *testing.T) {
	needSoak(t)
	count := newTally()
	t.Run("at", func(t *testing.T) {
		for _, s := range []step{{up, "PINGREQ"}, {down, "PINGRESP"}} {
			for p := range placeNames {
				for _, how := range []manner{hangUp, swallow} {
					c := cut{at: s, place: place(p), how: how, n: 1, long: time.Second}
					t.Run(fmt.Sprint(c), func(t *testing.T) {
						t.Parallel()
						cutQuiet(t, c, count)
					})
				}
			}
		}
	})
	t.Log(count)
}

func cutQuiet(t *testing.T, c cut, count *tally) {
	w := newWorld(t, seeded(t), ground{name: "quiet"}, count)
	w.startAgent("drain.yaml")
	w.settle()
	w.up.arm(c)
	w.down.arm(c)
	w.until("both cuts", func() bool { return !w.up.isArmed() && !w.down.isArmed() })
	w.stopAgent()
	w.mend() // units again
	w.pause(500)
	for _, p := range w.reckon() {
		t.Error(p)
	}
}
