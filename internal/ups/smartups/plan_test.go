package smartups

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"upsedge/internal/ups"
	"upsedge/internal/ups/modbus"
)

// nineSix is a 9600 baud line, 8N1, with a turnaround of 10 ms.
var nineSix = modbus.Timing{ByteTime: 10 * time.Second / 9600, Gap: 35 * time.Millisecond, Turnaround: 10 * time.Millisecond}

func names(plan []ups.Block) (out []string) {
	for _, b := range plan {
		out = append(out, b.Tier.String()+" "+b.Name)
	}
	return out
}

// describe renders a plan: a line per read with its tier and its cost on the line, and the sum of each tier.
func describe(plan []ups.Block) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-9s %-9s %9s\n", "tier", "read", "ms")
	var sums [ups.TierCount]time.Duration
	for _, bl := range plan {
		fmt.Fprintf(&b, "%-9s %-9s %9s\n", bl.Tier, bl.Name, millis(bl.Cost))
		sums[bl.Tier] += bl.Cost
	}
	for t, sum := range sums {
		fmt.Fprintf(&b, "all of %-12s %9s\n", ups.Tier(t), millis(sum))
	}
	return b.String()
}

func millis(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d)/float64(time.Millisecond)) }

func TestDefaultPlanGolden(t *testing.T) {
	var b strings.Builder
	for _, c := range []struct {
		name string
		t    modbus.Timing
		card bool
	}{
		{"serial 9600, turnaround 10 ms", nineSix, false},
		{"TCP, 20 ms", modbus.Timing{Turnaround: 20 * time.Millisecond}, false},
		{"card, 450 ms", modbus.Timing{Turnaround: 450 * time.Millisecond}, true},
	} {
		b.WriteString(c.name + "\n" + describe(DefaultPlan(c.t, c.card)) + "\n")
	}
	golden(t, "testdata/plan.golden", b.String())
}

// exhaustive returns the least cost over every way to cut wanted into reads.
func exhaustive(pl *planner, wanted []*register) time.Duration {
	best := time.Duration(-1)
	for cuts := range 1 << (len(wanted) - 1) {
		sum, first, ok := time.Duration(0), 0, true
		for i := range wanted {
			if i < len(wanted)-1 && cuts&(1<<i) == 0 {
				continue // not the last of its read
			}
			s := span{wanted[first].addr, wanted[i].end() - wanted[first].addr}
			if first != i && (s.count > maxRead || !allowed(pl, s)) {
				ok = false
				break
			}
			sum, first = sum+pl.timing.Read(int(s.count)), i+1
		}
		if ok && (best < 0 || sum < best) {
			best = sum
		}
	}
	return best
}

// allowed says register by register whether s may be read.
func allowed(pl *planner, s span) bool {
	for a := s.addr; a < s.addr+s.count; a++ {
		at := slices.IndexFunc(registers, func(r register) bool { return a >= r.addr && a < r.end() })
		known := at >= 0 && registers[at].fam != unlisted
		if !known && !pl.holes || at >= 0 && registers[at].access == writeOnly {
			return false
		}
	}
	return true
}

func TestPlanIsAsGoodAsTheBestOfAll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pl := newPlanner(modbus.Timing{
			ByteTime:   time.Duration(rapid.IntRange(0, 2000).Draw(t, "byte")) * time.Microsecond,
			Gap:        time.Duration(rapid.IntRange(0, 45).Draw(t, "gap")) * time.Millisecond,
			Turnaround: time.Duration(rapid.IntRange(0, 60).Draw(t, "turnaround")) * time.Millisecond,
		}, profile{})
		pl.holes, pl.alone = rapid.Bool().Draw(t, "holes"), nil
		var all []int // items near each other, or they would never share a read
		from := rapid.IntRange(0, len(registers)-1).Draw(t, "from")
		for i := from; i < min(from+40, len(registers)); i++ {
			if registers[i].access != writeOnly {
				all = append(all, i)
			}
		}
		if len(all) == 0 {
			return
		}
		chosen := rapid.SliceOfNDistinct(rapid.SampledFrom(all), 1, min(11, len(all)), rapid.ID[int]).Draw(t, "items")
		slices.Sort(chosen)
		var items []*register
		for _, i := range chosen {
			items = append(items, &registers[i])
		}
		var sum time.Duration
		spans := pl.spans(items)
		for _, s := range spans {
			sum += pl.timing.Read(int(s.count))
			if s.count > maxRead {
				t.Fatalf("%s is longer than %d", s, maxRead)
			}
		}
		for _, r := range items {
			if !slices.ContainsFunc(spans, func(s span) bool { return r.addr >= s.addr && r.end() <= s.addr+s.count }) {
				t.Fatalf("no read of %v brings register %d", spans, r.addr)
			}
		}
		if best := exhaustive(pl, items); sum != best {
			t.Fatalf("%v costs %s and the best %s", spans, sum, best)
		}
	})
}

func TestReadsBeginAndEndWithItems(t *testing.T) {
	starts, ends := map[uint16]bool{}, map[uint16]bool{}
	for i := range registers {
		starts[registers[i].addr], ends[registers[i].end()] = true, true
	}
	for groups := range uint16(32) {
		for _, holes := range []bool{true, false} {
			pl := newPlanner(nineSix, profile{groups: groups})
			pl.holes = holes
			for tier := range ups.TierCount {
				for _, rd := range pl.tier(tier) {
					if !starts[rd.addr] || !ends[rd.addr+rd.count] || !holes && len(rd.fields) > 1 && !pl.certain(rd.span) {
						t.Errorf("groups %05b, holes %v: %s cuts an item or covers undefined registers", groups, holes, rd.name)
					}
				}
			}
		}
	}
}

// The length of the verification block is its own, and so is every other where that can be.
func TestLengthsDiffer(t *testing.T) {
	for groups := range uint16(16) {
		pl := newPlanner(nineSix, profile{groups: groups})
		seen := map[uint16]string{verifyCount: "the verification block", serialRead.count: "the serial number"}
		for _, tier := range []ups.Tier{ups.TierIdentity, ups.TierWatch, ups.TierStatus, ups.TierLive, ups.TierSettings} {
			reads := pl.tier(tier)
			pl.take(reads)
			for _, rd := range reads {
				if seen[rd.count] != "" {
					t.Errorf("groups %04b: %s is as long as %s", groups, rd.name, seen[rd.count])
				}
				seen[rd.count] = rd.name
			}
		}
	}
}

func TestWidensAReadWhoseLengthIsTaken(t *testing.T) {
	pl := newPlanner(nineSix, profile{groups: 1})
	pl.take([]*read{{span: span{count: 31}}}) // 128 to 158, the main group's countdowns included
	reads := pl.tier(ups.TierLive)
	if len(reads) != 1 || reads[0].name != "128/32" {
		t.Fatalf("live is read with %v although 31 is taken, want 128/32", reads[0].name)
	}
	if last := reads[0].fields[len(reads[0].fields)-1]; last.point != ups.MainStayOff {
		t.Errorf("the wider read brings %s, which nobody wanted", last.point)
	}
}
