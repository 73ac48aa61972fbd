package sampler

import (
	"math"
	"sync/atomic"
	"time"

	"upsedge/internal/ups"
)

// A burst reads a unit to which something happens as fast as the line allows (event catalogue, TIMING-5; design, section 4): its
// status and live blocks, in turn, whenever the line would rest. What the others are due, and every watch, goes first as always,
// so that on a line with room a burst costs the others one block more to wait for, as on a full line. A full line has no rest:
// there each status and live block of units that have no burst lends every third of its turns to those that have, until they are
// read twice a second. Several bursts take turns.
const (
	// BurstFor is how long a burst goes on after what set it off.
	BurstFor = 30 * time.Second
	// FastestRead is between two reads of a block in a burst, at least, however fast the line is: of a thousand units on TCP all
	// may be on battery at once, and ten refreshes a second of each are what the box is made for (design, section 11).
	FastestRead = 100 * time.Millisecond
	// lendAfter is how long a block of a bursting unit waits on a full line before it borrows a turn.
	lendAfter = 500 * time.Millisecond
	// lendEach is which turn of a block is lent.
	lendEach = 3
)

type burst struct {
	end      atomic.Int64  // ns since the sampler began
	again    atomic.Uint32 // tiers to be read before their time, a bit each
	bursting bool
}

// Burst has a unit read as fast as the line allows for d from now on, or for longer where that was asked before. It may be called
// from any goroutine. A unit that is not connected, or of another line, is not changed by it.
func (s *Sampler) Burst(name string, d time.Duration) {
	u := s.byName[name]
	if u == nil {
		return
	}
	end := int64(time.Since(s.began) + d)
	for was := u.end.Load(); was < end && !u.end.CompareAndSwap(was, end); was = u.end.Load() {
	}
	s.rouse()
}

// Again has the blocks of one tier of a unit read before their time, once: something in it changed. It may be called from any goroutine. A
// tier that is off, and a unit that is not connected or of another line, are not read for it.
func (s *Sampler) Again(name string, t ups.Tier) {
	if u := s.byName[name]; u != nil {
		u.again.Or(1 << t)
		s.rouse()
	}
}

func (s *Sampler) rouse() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// hurry makes the blocks due that are to be read before their time.
func (u *unit) hurry(now time.Time) {
	if u.again.Load() == 0 || !u.connected {
		return
	}
	tiers := u.again.Swap(0)
	for _, t := range u.tasks {
		if tiers&(1<<t.block.Tier) != 0 && t.due.After(now) {
			t.due = now
		}
	}
}

// bursts begins and ends the bursts of the units and returns when the next one ends, from now, or never.
func (s *Sampler) bursts(now time.Time) (next time.Duration) {
	next = math.MaxInt64
	passed := now.Sub(s.began)
	s.schedule.bursting = false
	for _, u := range s.units {
		u.hurry(now)
		left := time.Duration(u.end.Load()) - passed
		if left > 0 {
			next = min(next, left)
			u.bursting = true
			s.schedule.bursting = true
		} else if u.bursting {
			u.bursting = false
			if s.cfg.Calm != nil {
				s.cfg.Calm(u.Name)
			}
		}
	}
	return next
}

// extra chooses the block of a bursting unit that was not read for longest, or how long to wait until one may be.
func (s *schedule) extra(now time.Time) (best *task, wait time.Duration) {
	wait = math.MaxInt64
	if !s.bursting {
		return nil, wait
	}
	for _, t := range s.tasks {
		if !t.inBurst() || t.unit.until.After(now) {
			continue
		}
		if d := t.asked.Add(s.fastest).Sub(now); d > 0 {
			wait = min(wait, d)
		} else if best == nil || t.asked.Before(best.asked) {
			best = t
		}
	}
	return best, wait
}

// inBurst reports whether t is read in a burst of its unit that goes on.
func (t *task) inBurst() bool { return t.unit.bursting && t.unit.connected && t.refresh() }

// refresh reports whether t is one of the blocks that bursts are about.
func (t *task) refresh() bool { return t.block.Tier == ups.TierStatus || t.block.Tier == ups.TierLive }

// lends reports whether t, which is due, gives its turn to extra.
func (s *schedule) lends(t, extra *task, now time.Time) bool {
	return extra != nil && !t.unit.bursting && t.refresh() && t.kept >= lendEach-1 && now.Sub(extra.asked) >= lendAfter
}
