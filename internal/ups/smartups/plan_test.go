package smartups

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/ups"
	"upsedge/internal/ups/modbus"
	"upsedge/internal/ups/upssim"
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

// TestPlansOfUnitsHaveNothingInCommonThatChanges: lines connect at the same time, and reads are shared by all of them.
func TestPlansOfUnitsHaveNothingInCommonThatChanges(t *testing.T) {
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 50 {
				DefaultPlan(nineSix, false)
			}
		})
	}
	all.Wait()
	synctest.Test(t, refuseTheOtherSpan)
}

func refuseTheOtherSpan(t *testing.T) {
	b, d := newBench(t, upssim.Options{}, Config{})
	plan, err := d.Connect(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	watch, before := d.reads[0], DefaultPlan(nineSix, false)[0].Again
	other := d.others[watch]
	b.refusal = func(addr, count uint16) byte {
		if addr == other.addr && count == other.count {
			return illegalAddress
		}
		return 0
	}
	for range 3 {
		if err := d.Read(t.Context(), plan[0], &ups.Reading{}); err != nil {
			t.Fatal(err)
		}
	}
	if other.count == 0 || d.others[watch].count != 0 {
		t.Errorf("the watch has the other span %v, and after the unit refused it %v", other, d.others[watch])
	}
	if after := DefaultPlan(nineSix, false)[0].Again; after != before {
		t.Errorf("a read that one unit refuses costs %v more for all, %v before", after, before)
	}
}
