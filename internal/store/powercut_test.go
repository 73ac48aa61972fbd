package store

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"upsedge/internal/testenv"
)

// What was accepted is there after a power cut at any instant (T-20): the file system is shut down without another write and
// recovers as after a real cut, on ext4 and on XFS.
func TestAPowerCutLosesNothingThatWasAccepted(t *testing.T) {
	for _, fs := range testenv.Filesystems {
		t.Run(fs, func(t *testing.T) {
			g := newRig(t, fs, "", 1)
			for cuts := 0; cuts < 15; {
				cuts += g.oneLife(5)
			}
			g.report()
			if g.faults() > 0 {
				t.Error("a promise was broken")
			}
		})
	}
}

// The long form: UPSEDGE_STORE_CUTS of them on each file system, 600 by default.
func TestSoakPowerCuts(t *testing.T) {
	if !soak {
		t.Skip("long: runs under make soak")
	}
	want := 600
	if n, err := strconv.Atoi(os.Getenv("UPSEDGE_STORE_CUTS")); err == nil {
		want = n
	}
	for _, fs := range testenv.Filesystems {
		t.Run(fs, func(t *testing.T) {
			t.Parallel()
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			g := newRig(t, fs, "", seed)
			for cuts := 0; cuts < want; {
				cuts += g.oneLife(1 + g.r.IntN(15))
			}
			g.report()
			if g.faults() > 0 {
				t.Error("a promise was broken")
			}
		})
	}
}

// oneLife cuts through the phases of one directory and returns how often.
func (g *rig) oneLife(cuts int) (n int) {
	l := g.newLife()
	defer l.end()
	name := []string{"first start", "migration"}[g.r.IntN(2)]
	for ok := true; ok && n < cuts; n++ {
		ok = g.cut(l, name)
		name = []string{"work", "work", "long work", "close", "start", "erase", "erase", "set aside"}[g.r.IntN(8)]
	}
	return n
}

func (g *rig) faults() (n int) {
	for _, row := range g.tally {
		for _, k := range row.faults {
			n += k
		}
	}
	return n
}

// report prints the table.
func (g *rig) report() {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%-12s %6s %9s %6s %8s %6s %5s %8s\n", "phase", "cuts", "accepted", "lost", "altered", "twice", "open", "per cut")
	for _, name := range slices.Sorted(maps.Keys(g.tally)) {
		r := g.tally[name]
		fmt.Fprintf(&b, "%-12s %6d %9d %6d %8d %6d %5d %8v\n", name, r.cuts, r.accepted,
			r.faults[faultLost], r.faults[faultAltered], r.faults[faultTwice], r.faults[faultOpen], (r.took / time.Duration(r.cuts)).Round(time.Millisecond))
		for _, f := range r.first {
			fmt.Fprintf(&b, "    %s: %s\n", f.kind, f.what)
		}
	}
	g.t.Log(b.String())
}
