package smartups

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"upsedge/internal/testenv"
	"upsedge/internal/ups"
	"upsedge/internal/ups/modbus"
)

// A search finds the least time in which a line brings wanted, with nothing of the planner's but its inputs: every read that begins
// and ends on the edge of some item of the map is tried, wanted or not, and each is judged register by register.
type search struct {
	pl     *planner
	wanted []*register
	least  []time.Duration // by index of the first item that is still to be had; negative: not known yet

	forbidden, unknown [1 << 12]int // how many registers before this address may not be read, may not be known
}

func leastOf(pl *planner, wanted []*register) time.Duration {
	s := &search{pl: pl, wanted: wanted, least: make([]time.Duration, len(wanted)+1)}
	for i := range wanted {
		s.least[i] = -1
	}
	for a := range uint16(registers[len(registers)-1].end()) {
		forbidden, known := say(pl, a)
		s.forbidden[a+1], s.unknown[a+1] = s.forbidden[a], s.unknown[a]
		if forbidden {
			s.forbidden[a+1]++
		}
		if !known {
			s.unknown[a+1]++
		}
	}
	return s.from(0)
}

// at is the item that every register belongs to, nil for an undefined one.
var at = func() (at [1 << 12]*register) {
	for i, r := range registers {
		for a := r.addr; a < r.end(); a++ {
			at[a] = &registers[i]
		}
	}
	return at
}()

// say tells of one register whether a read of several items must not cover it, and whether the unit knows it for certain.
func say(pl *planner, addr uint16) (forbidden, known bool) {
	r := at[addr]
	if r == nil {
		return false, false
	}
	group := r.point.Info().Group
	listed := r.fam != unlisted || group != ups.NoGroup && pl.p.groups>>(group-ups.MainGroup)&1 == 1
	return r.access == writeOnly || pl.alone[r.addr], listed && !pl.refused[r.addr]
}

func (s *search) allowed(begin, end uint16) bool {
	return s.forbidden[begin] == s.forbidden[end] && (s.pl.holes || s.unknown[begin] == s.unknown[end])
}

func (s *search) from(i int) time.Duration {
	if s.least[i] >= 0 {
		return s.least[i]
	}
	best := time.Duration(1<<63 - 1)
	for first := range registers {
		begin := registers[first].addr
		if begin > s.wanted[i].addr {
			break
		}
		for last := first; last < len(registers) && registers[last].end()-begin <= 120; last++ {
			end := registers[last].end()
			if end < s.wanted[i].end() || first != last && !s.allowed(begin, end) {
				continue
			}
			next := i
			for next < len(s.wanted) && s.wanted[next].end() <= end {
				next++
			}
			bytes := 8 + 5 + 2*time.Duration(end-begin) // request and reply of a read
			best = min(best, bytes*s.pl.timing.ByteTime+s.pl.timing.Turnaround+s.pl.timing.Gap+s.from(next))
		}
	}
	s.least[i] = best
	return best
}

// randomPlanner returns a planner for some unit on some line.
func randomPlanner(r *rand.Rand) *planner {
	bits := []int{10, 11}[r.IntN(2)]
	t := modbus.Timing{
		Gap:        []time.Duration{35, 45}[r.IntN(2)] * time.Millisecond,
		Turnaround: time.Duration(1+r.IntN(700)) * time.Millisecond,
	}
	if baud := []int{0, 1200, 2400, 9600, 9600, 19200, 38400, 115200}[r.IntN(8)]; baud != 0 {
		t.ByteTime = time.Duration(bits) * time.Second / time.Duration(baud)
	} else {
		t.Gap = 0
	}
	pl := newPlanner(t, profile{card: r.IntN(3) == 0, groups: uint16(r.IntN(32))})
	pl.holes = r.IntN(2) == 0
	for range r.IntN(4) { // what Connect may have learned
		pl.alone[registers[r.IntN(len(registers))].addr] = true
		pl.refused[registers[r.IntN(len(registers))].addr] = true
	}
	return pl
}

// randomItems returns some items of the map that may be read.
func randomItems(r *rand.Rand, pl *planner) (out []*register) {
	share := r.IntN(100)
	for i := range registers {
		if item := &registers[i]; item.access != writeOnly && item.addr < verifyAddr && !pl.refused[item.addr] && r.IntN(100) < share {
			out = append(out, item)
		}
	}
	return out
}

// randomWish returns a planner and items for it, never none.
func randomWish(rnd *rand.Rand) (*planner, []*register) {
	for {
		pl := randomPlanner(rnd)
		if items := randomItems(rnd, pl); len(items) > 0 {
			return pl, items
		}
	}
}

// A plan is not near the optimum, it is the optimum, of any part of the map, for any unit and line. Lengths that differ cost at most
// 2 % of it.
func TestNoPlanIsBetter(t *testing.T) {
	rnd := rand.New(rand.NewPCG(9600, 35))
	var worst, all float64
	plans := 1000
	if testenv.Race { // which has nothing to find in one goroutine, and takes ten seconds for all
		plans = 150
	}
	for range plans {
		pl, items := randomWish(rnd)
		best, spans := leastOf(pl, items), pl.spans(items)
		var bare, whole time.Duration
		for _, s := range spans {
			bare += pl.timing.Read(int(s.count))
		}
		if bare != best {
			t.Fatalf("%+v, holes %v: %v takes %s and the best plan %s", pl.timing, pl.holes, spans, bare, best)
		}
		reads := pl.reads(ups.TierLive, items)
		for _, rd := range reads {
			whole += pl.timing.Read(int(rd.count))
		}
		checkReads(t, pl, reads, items)
		more := float64(whole-best) / float64(best)
		worst, all = max(worst, more), all+more
	}
	t.Logf("%d plans: as cheap as the best; with lengths that differ %.2f %% more at most, %.3f %% on average", plans, 100*worst, 100*all/float64(plans))
	if worst > 0.02 {
		t.Errorf("lengths that differ cost %.2f %%, want at most 2", 100*worst)
	}
}

// checkReads makes sure that every item is brought once and every read is one that may be made.
func checkReads(t *testing.T, pl *planner, reads []*read, items []*register) {
	t.Helper()
	brought := 0
	for _, rd := range reads {
		brought += len(rd.fields)
		first := slices.IndexFunc(registers, func(r register) bool { return r.addr == rd.addr })
		last := slices.IndexFunc(registers, func(r register) bool { return r.end() == rd.addr+rd.count })
		if first < 0 || last < 0 || rd.count > 120 {
			t.Fatalf("%s cuts an item or is too long", rd.name)
		}
		for a := rd.addr; a < rd.addr+rd.count && first != last; a++ {
			if forbidden, known := say(pl, a); forbidden || !known && !pl.holes {
				t.Fatalf("%s covers register %d, forbidden %v, known %v", rd.name, a, forbidden, known)
			}
		}
	}
	if brought != len(items) {
		t.Fatalf("%d items brought by %d reads, want %d", brought, len(reads), len(items))
	}
}

func BenchmarkPlan(b *testing.B) {
	rnd := rand.New(rand.NewPCG(9600, 35))
	pl, items := randomWish(rnd)
	for len(items) < 100 {
		pl, items = randomWish(rnd)
	}
	for b.Loop() {
		pl.reads(ups.TierLive, items)
	}
}

func BenchmarkDefaultPlan(b *testing.B) {
	for b.Loop() {
		DefaultPlan(nineSix, false)
	}
}
