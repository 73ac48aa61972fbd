package modbus

import (
	"math/bits"
	"time"
)

const (
	// settled is how many replies a unit must have given before its time-out is lowered, and for how many a late one holds it up.
	settled = 8
	// wary is for how many replies after a miss the line waits twice as long: a reply that always comes late would never be seen,
	// and so never be waited for. A unit that answers one request in a hundred late is known after a few of those.
	wary = 16
	// gone is the number of misses in a row after which a unit counts as lost: every attempt then costs one time-out. One in
	// longLook waits as long as there is, for a unit that came back slower than it was.
	gone     = 3
	longLook = 16
)

// A pace is what one unit's replies have shown of its speed.
type pace struct {
	early   time.Duration // the line sleeps until a reply with this turnaround has ended
	mean    time.Duration
	spread  time.Duration // mean deviation from mean
	timeout time.Duration // of a unit that answers; wait says how long to wait now
	replies int
	seen    histogram
	late    time.Duration // longest of the last replies
	hold    int           // for how many replies late still counts
	misses  int           // in a row
	wary    int           // for how many replies the last miss still counts
}

const (
	// A reply that has not ended when the line wakes up costs a wait, one that ended long ago costs line time. After a wait
	// the line sleeps a little longer, otherwise a little shorter, so that about one reply in ten is waited for.
	longer  = 300 * time.Microsecond
	shorter = 30 * time.Microsecond
)

// reply takes the turnaround of a reply into account. seen tells that the end of the reply was waited for; otherwise
// it had already come when it was read, and took is only an upper bound.
//
// The time-out becomes what 999 replies of 1000 took, a quarter more and 125 ms, but not less than least. A single late reply moves
// it at once, and only for the next few.
func (p *pace) reply(took time.Duration, seen bool, least time.Duration) {
	took = max(took, 0)
	switch {
	case !seen:
		p.early = max(0, min(p.early, took)-shorter-p.spread/4)
	case p.replies == 0:
		p.early = took + longer
	default:
		p.early += max(0, took-p.early)/2 + longer
	}
	if p.replies == 0 {
		p.mean, p.spread = took, took/2
	} else {
		off := took - p.mean
		p.mean += off / 8
		p.spread += (off.Abs() - p.spread) / 4
	}
	p.replies = min(p.replies+1, settled)
	p.seen.add(took)
	if p.hold--; took >= p.late || p.hold <= 0 {
		p.late, p.hold = took, settled
	}
	slowest := max(p.late, p.seen.slowest())
	wanted := min(max(slowest+slowest/4+leastTimeout/2, least), mostTimeout)
	if p.replies >= settled || wanted > p.timeout {
		p.timeout = wanted
	}
}

// answer ends a row of misses: anything valid came from the unit.
func (p *pace) answer() {
	p.misses, p.wary = 0, max(p.wary-1, 0)
}

func (p *pace) miss() { p.misses, p.wary = p.misses+1, wary }

// wait returns how long the next reply may take to begin.
func (p *pace) wait() time.Duration {
	double := 0
	switch {
	case p.misses == 0 && p.wary > 0:
		double = 1
	case p.misses < gone:
		double = p.misses
	case p.misses%longLook == 0:
		return max(p.timeout, mostTimeout)
	}
	return max(p.timeout, min(p.timeout<<double, mostTimeout))
}

// A histogram counts durations to an eighth of their size, from 1 ms up to mostTimeout and beyond, and forgets the older ones.
type histogram struct {
	counts [80]uint16
	total  int
}

// remembered is how many durations count: from here on all counts are halved.
const remembered = 2000

func (h *histogram) add(d time.Duration) {
	h.counts[slot(d)]++
	if h.total++; h.total < remembered {
		return
	}
	h.total = 0
	for i, n := range h.counts {
		h.counts[i] = n / 2
		h.total += int(n / 2)
	}
}

// slowest returns what 999 of 1000 durations are below. A single one, or the slowest of fewer, is not counted.
func (h *histogram) slowest() time.Duration {
	above := 0
	for i := len(h.counts) - 1; i >= 0; i-- {
		above += int(h.counts[i])
		if above > 1 && above*1000 > h.total {
			return edge(i)
		}
	}
	return 0
}

// slot returns where d is counted: every millisecond below 8, then eight slots for each doubling.
func slot(d time.Duration) int {
	ms := uint(max(d, 0) / time.Millisecond)
	shift := max(bits.Len(ms)-4, 0)
	return min(shift*8+int(ms>>shift), len(histogram{}.counts)-1)
}

// edge returns the end of a slot.
func edge(slot int) time.Duration {
	shift := max(slot/8-1, 0)
	return time.Duration((slot-shift*8+1)<<shift) * time.Millisecond
}
