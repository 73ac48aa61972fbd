package sampler

import (
	"time"

	"upsedge/internal/ups"
)

// A task is one block of one unit's plan, or the attempt to connect to a unit.
type task struct {
	unit   *unit
	block  ups.Block
	period time.Duration
	due    time.Time
	pass   time.Duration // turns taken so far, each counted as one period; see next
	before bool          // a watch that has gone before the block that is due to go
	asked  time.Time     // when it went last
	kept   int           // turns since one was lent to a burst
}

// done sets when the task, which went at start, is due again, not before now. The cadence is kept, but what was missed is not made
// up for: a line that was held up would otherwise be late for ever.
func (t *task) done(start, now time.Time) {
	t.asked = start
	if t.due.After(start) { // in a burst, before its time
		t.due = start
	}
	t.due = t.due.Add(t.period)
	if t.due.Before(now) {
		t.due = now
	}
}

// A schedule holds the tasks of a line.
type schedule struct {
	tasks    []*task
	turn     time.Duration // pass of the task that went last
	stretch  float64       // by how much the periods are stretched, 1 where they fit the line
	bursting bool          // some unit is
	fastest  time.Duration // between two reads of a block in a burst
}

// set takes tasks over.
func (s *schedule) set(tasks []*task) {
	load := 0.0
	for _, t := range tasks {
		load += t.block.Cost.Seconds() * perSecond(t.unit.Rates, t.block.Tier)
	}
	s.tasks, s.stretch = tasks, max(load, 1)
}

// next chooses what to read at now: the task, or how long to wait until one is due (at most an hour).
//
// Of the tasks that are due the one with the smallest pass goes, and its pass grows by its period (stride scheduling): where
// the rates do not fit the line, every tier gets its share and all are stretched by the same factor.
//
// Reads cannot be interrupted, so it looks ahead (design, section 4): before a block during which the status word of a unit
// would grow older than its watch period, stretched as all are, the watch goes first, but each watch only once before a block: on a
// line of several units, where some word is always old, the blocks would never have their turn. That puts a watch directly before
// each long block and between a status block and a live block, whose word is old by the time its bytes are in.
func (s *schedule) next(now time.Time) (*task, time.Duration) {
	best, wait := s.first(now)
	extra, pause := s.extra(now)
	if best == nil && extra == nil {
		s.afresh() // the line rests: what went last has not just gone any more
		return nil, min(wait, pause)
	}
	block := best
	lent := best != nil && s.lends(best, extra, now)
	if best == nil || lent {
		block = extra
	}
	if block.block.Tier != ups.TierWatch {
		if w := s.mostUrgentWatch(now, block); w != nil {
			w.before = true
			if best != nil {
				w.pass = max(w.pass, s.turn) + w.period // out of turn, and so without taking the others' turns forward
			}
			return w, 0
		}
		s.afresh()
	}
	if best != nil { // what goes when the line would rest costs no turn
		s.turn = max(best.pass, s.turn) // who was idle does not save up turns
		best.pass = s.turn + best.period
		best.before = best.block.Tier == ups.TierWatch
		if best.kept++; lent {
			best.kept = 0
		}
	}
	return block, 0
}

func (s *schedule) afresh() {
	for _, t := range s.tasks {
		t.before = false
	}
}

func (s *schedule) first(now time.Time) (best *task, wait time.Duration) {
	wait = time.Hour
	for _, t := range s.tasks {
		if d := t.due.Sub(now); d > s.early(t) {
			wait = min(wait, d)
			continue
		}
		if best == nil || t.pass < best.pass {
			best = t
		}
	}
	return best, wait
}

// early returns how long before it is due a task may go. Where the rates do not fit, a watch that is nearly due when an exchange ends would
// lose its turn to a block each time, and get less than its share.
func (s *schedule) early(t *task) time.Duration {
	if s.stretch > 1 && t.block.Tier == ups.TierWatch && t.unit.pause == 0 {
		return t.period / 2
	}
	return 0
}

// mostUrgentWatch returns the watch that must go before t, nil if none must.
func (s *schedule) mostUrgentWatch(now time.Time, t *task) *task {
	var found *task
	var most time.Duration
	for _, w := range s.tasks {
		if w.block.Tier != ups.TierWatch || w.before || s.stretch > 1 && w.pass > s.turn+w.period {
			continue
		}
		if w.unit.pause > 0 { // suspect: it has one request, for what is due
			continue
		}
		age := now.Sub(w.unit.wordSeen) + t.block.Cost
		if over := age - time.Duration(s.stretch*float64(w.period)); over > most {
			found, most = w, over
		}
	}
	return found
}
