package smartups

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"upsedge/internal/ups"
	"upsedge/internal/ups/modbus"
)

// maxRead is the longest read that is proven on real units; the protocol would allow 125 (protocol reference, section 3.2).
const maxRead = 120

// widestShare is the part of a tier's time, one in so many, that may be given for lengths that differ.
const widestShare = 50

// A span is one read: count registers from addr.
type span struct{ addr, count uint16 }

func (s span) String() string { return fmt.Sprintf("%d/%d", s.addr, s.count) }

// A planner groups items into reads.
type planner struct {
	timing  modbus.Timing
	p       profile         // tells which items are defined
	holes   bool            // reads may cover undefined registers
	refused map[uint16]bool // by address: items the unit refuses
	alone   map[uint16]bool // by address: items to read one by one
	used    map[uint16]bool // lengths of the reads made so far
}

// optional are the items, by address, that units of the map's families may not know: the undocumented product id, and the
// wide voltage setting of newer firmware (protocol reference, section 5.3). They are read by themselves, so that a refusal is
// about them.
var optional = map[uint16]bool{512: true, 644: true}

// newPlanner returns a planner for a unit of which nothing bad is known. The lengths of the reads that resynchronise a line and of
// the longer watch are kept for them.
func newPlanner(t modbus.Timing, p profile) *planner {
	return &planner{
		timing: t, p: p, holes: true, refused: map[uint16]bool{}, alone: maps.Clone(optional),
		used: map[uint16]bool{verifyCount: true, serialRead.count: true, longWatch.count: true},
	}
}

// watch and longWatch are two ways to read the status word and the cause. The longer one ends with the next item, the state of
// the main outlet group, which every edition of the map has; it costs 4 ms more at 9600 baud.
var watch, longWatch = span{0, 3}, span{0, 5}

// another returns a second way to make a read, the empty span if there is none.
func (pl *planner) another(s span) span {
	if s == watch && !pl.refused[3] && pl.legal(longWatch) {
		return longWatch
	}
	return span{}
}

func (pl *planner) cost(s span) time.Duration { return pl.timing.Read(int(s.count)) }

// spans returns the reads that bring every wanted item at the least cost. wanted is in ascending order. A read begins and
// ends with a wanted item: another end would only make it longer.
func (pl *planner) spans(wanted []*register) []span {
	// best[i] is the least cost of wanted[:i], from[i] the first item of its last read.
	best, from := make([]time.Duration, len(wanted)+1), make([]int, len(wanted)+1)
	for end := 1; end <= len(wanted); end++ {
		best[end] = -1
		for start := end - 1; start >= 0; start-- {
			s, ok := pl.join(wanted[start], wanted[end-1])
			if !ok {
				break // and with it every longer one
			}
			if c := best[start] + pl.cost(s); best[end] < 0 || c <= best[end] { // equal: the longer read, so the fewer
				best[end], from[end] = c, start
			}
		}
	}
	var out []span
	for end := len(wanted); end > 0; end = from[end] {
		s, _ := pl.join(wanted[from[end]], wanted[end-1])
		out = append(out, s)
	}
	slices.Reverse(out)
	return out
}

// join returns the read from the start of first to the end of last, and whether it may be made.
func (pl *planner) join(first, last *register) (span, bool) {
	s := span{first.addr, last.end() - first.addr}
	if first == last {
		return s, true
	}
	return s, s.count <= maxRead && pl.legal(s)
}

// legal tells whether s covers no command, no item that is to be read by itself, and no undefined register where those are
// not allowed.
func (pl *planner) legal(s span) bool {
	for r := range inside(s) {
		if r.access == writeOnly || pl.alone[r.addr] {
			return false
		}
	}
	return pl.holes || pl.certain(s)
}

// certain tells whether the unit is certain to know every register of s.
func (pl *planner) certain(s span) bool {
	next := s.addr
	for r := range inside(s) {
		if pl.defined(r) && r.addr == next {
			next = r.end()
		}
	}
	return next == s.addr+s.count
}

// inside yields the items that lie wholly in s, in ascending order.
func inside(s span) iter.Seq[*register] {
	return func(yield func(*register) bool) {
		first, _ := slices.BinarySearchFunc(registers, s.addr, func(r register, addr uint16) int { return cmp.Compare(r.addr, addr) })
		for i := first; i < len(registers) && registers[i].end() <= s.addr+s.count; i++ {
			if !yield(&registers[i]) {
				return
			}
		}
	}
}

// defined tells whether the unit is certain to know the item's registers. A known item that does not apply to the model
// answers with a mark; a register that no edition of the map of this unit lists may be refused.
func (pl *planner) defined(r *register) bool {
	if pl.refused[r.addr] {
		return false
	}
	return r.fam != unlisted || r.point.Info().Group != ups.NoGroup && pl.p.has(r.point.Info().Group)
}

// tier returns the reads of a tier.
func (pl *planner) tier(t ups.Tier) []*read {
	var items []*register
	for _, r := range wanted(t, pl.p) {
		if !pl.refused[r.addr] {
			items = append(items, r)
		}
	}
	return pl.reads(t, items)
}

// reads returns the reads that bring the items.
//
// Their lengths are made different, from each other and from those taken before, where a few more registers can do that: an
// answer to another read of the same length is the one thing that the framing of a serial line cannot tell. All of them together
// may cost widestShare of what the cheapest reads cost, and where that is too little some lengths stay the same: the verification
// block still has to come in after every failure before anything is believed.
func (pl *planner) reads(t ups.Tier, items []*register) []*read {
	spans := pl.spans(items)
	left, own, used := time.Duration(0), map[uint16]bool{}, maps.Clone(pl.used)
	for _, s := range spans {
		left += pl.cost(s) / widestShare
		own[s.count] = true
	}
	var out []*read
	from := uint16(0)
	for i, s := range spans {
		if used[s.count] {
			to := uint16(verifyAddr)
			if i+1 < len(spans) {
				to = spans[i+1].addr
			}
			w := pl.widen(s, from, to, left, func(count uint16) bool { return used[count] || own[count] })
			left -= pl.cost(w) - pl.cost(s)
			s = w
		}
		from = s.addr + s.count
		used[s.count] = true
		out = append(out, newRead(t, s, items))
	}
	return out
}

// take notes the lengths of reads that are part of the plan now.
func (pl *planner) take(reads []*read) {
	for _, rd := range reads {
		pl.used[rd.count] = true
	}
}

// widen returns the shortest read that holds s, lies in from to to, begins and ends with an item that the unit knows, has a length
// that is not taken and costs at most spare more than s; s if there is none.
func (pl *planner) widen(s span, from, to uint16, spare time.Duration, taken func(count uint16) bool) span {
	best, end := s, s.addr+s.count
	begins, ends := []uint16{s.addr}, []uint16{end}
	for i := range registers {
		switch r := &registers[i]; {
		case !pl.defined(r):
		case r.addr >= from && r.addr < s.addr:
			begins = append(begins, r.addr)
		case r.addr >= end && r.end() <= to:
			ends = append(ends, r.end())
		}
	}
	for _, begin := range begins {
		for _, end := range ends {
			w := span{begin, end - begin}
			if best != s && w.count >= best.count || w.count > maxRead || taken(w.count) {
				continue
			}
			if pl.cost(w) <= pl.cost(s)+spare && pl.legal(w) {
				best = w
			}
		}
	}
	return best
}

// others are the spans of reads for when one follows itself: each begins as the read does and is longer. Reads are shared by all
// drivers; which of them a unit refuses is its own affair.
type others map[*read]span

// blocks returns what the reads look like from outside, with their cost on this line.
func blocks(reads []*read, o others, t modbus.Timing) []ups.Block {
	out := make([]ups.Block, len(reads))
	for i, rd := range reads {
		out[i] = ups.Block{Tier: rd.tier, Index: i, Name: rd.name, Cost: t.Read(int(rd.count)), Again: again(rd, o[rd], t)}
	}
	return out
}

// again returns what a read costs more where it follows itself: the registers of its other span, or a short read; see apart.
func again(rd *read, other span, t modbus.Timing) time.Duration {
	switch {
	case other.count != 0:
		return t.Read(int(other.count)) - t.Read(int(rd.count))
	case t.ByteTime == 0:
		return 0
	case rd.count == 1:
		return t.Read(2)
	}
	return t.Read(1)
}

// everyGroup are the outlet groups that part 990-9840B knows: main, SOG 0 to 2.
const everyGroup = 0b1111

// DefaultPlan returns the plan of a unit that has not been connected to, every outlet group taken as present: what `check`
// can say without touching a unit.
func DefaultPlan(t modbus.Timing, card bool) []ups.Block {
	pl := newPlanner(t, profile{card: card, groups: everyGroup})
	identity := pl.tier(ups.TierIdentity)
	pl.take(identity)
	var reads []*read
	o := others{}
	for _, tier := range []ups.Tier{ups.TierWatch, ups.TierStatus, ups.TierLive, ups.TierSettings} {
		more := pl.tier(tier)
		for _, rd := range more {
			o[rd] = pl.another(rd.span)
		}
		pl.take(more)
		reads = append(reads, more...)
	}
	return blocks(append(append(reads, verifyRead()), identity...), o, t)
}
