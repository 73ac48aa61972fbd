package soak

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
)

// A tally counts what proxies did, over many worlds.
type tally struct {
	mu     sync.Mutex
	done   map[string]map[string]int // cuts that fell, by proxy and step
	passed map[string]int            // packets
}

func newTally() *tally { return &tally{done: map[string]map[string]int{}, passed: map[string]int{}} }

// fell counts a cut.
func (y *tally) fell(proxy string, c cut) {
	y.mu.Lock()
	defer y.mu.Unlock()
	key := proxy + " " + c.at.String()
	if y.done[key] == nil {
		y.done[key] = map[string]int{}
	}
	y.done[key][placeNames[c.place]]++
	y.done[key][mannerNames[c.how]]++
}

func (y *tally) pass(proxy string, s step) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.passed[proxy+" "+s.String()]++
}

// count returns how many cuts fell in a place of a step.
func (y *tally) count(proxy string, s step, p place) int {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.done[proxy+" "+s.String()][placeNames[p]]
}

// String is a table of the cuts by step, with the packets.
func (y *tally) String() string {
	y.mu.Lock()
	defer y.mu.Unlock()
	var b strings.Builder
	words := slices.Concat(placeNames[:], mannerNames[:])
	fmt.Fprintf(&b, "%-34s %8s", "cuts by step", "packets")
	for _, w := range words {
		fmt.Fprintf(&b, " %9s", w)
	}
	b.WriteByte('\n')
	for _, s := range slices.Sorted(maps.Keys(y.passed)) {
		fmt.Fprintf(&b, "%-34s %8d", s, y.passed[s])
		for _, w := range words {
			fmt.Fprintf(&b, " %9d", y.done[s][w])
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// check fails the test where no cut fell in a place of a step that there was. Pings have a test of their own, since the rounds are
// never quiet for long enough, and in an encrypted stream there are no steps.
func (y *tally) check(t *testing.T) {
	y.mu.Lock()
	defer y.mu.Unlock()
	for s := range y.passed {
		if strings.Contains(s, "PING") || strings.HasSuffix(s, " bytes") {
			continue
		}
		for _, p := range placeNames {
			if y.done[s][p] == 0 {
				t.Errorf("no cut fell %s %s", p, s)
			}
		}
	}
}
