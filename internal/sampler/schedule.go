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
	pass   time.Duration // turns taken so far, each counted as one period; see pick
}

// done sets when the task is due again. The cadence is kept, but what was missed is not made up for: a line that was held up
// would otherwise be late for ever.
func (t *task) done(now time.Time) {
	t.due = t.due.Add(t.period)
	if t.due.Before(now) {
		t.due = now
	}
}

// A schedule holds the tasks of a line.
type schedule struct {
	tasks []*task
	turn  time.Duration // pass of the task that went last
	last  *task         // that went directly before, nil after a rest
}

// next chooses what to read at now: the task, or how long to wait until one is due (at most an hour).
//
// Of the tasks that are due the one with the smallest pass goes, and its pass grows by its period (stride scheduling): where
// the rates do not fit the line, every tier gets its share and all are stretched by the same factor.
//
// Reads cannot be interrupted, so it looks ahead (design, section 4): before a block during which the status word of a unit
// would grow older than its watch period, the watch goes first, unless it has just gone. That puts a watch directly before
// each long block and between a status block and a live block, whose word is old by the time its bytes are in.
func (s *schedule) next(now time.Time) (*task, time.Duration) {
	best, wait := s.first(now)
	if best == nil {
		s.last = nil // the line rests: what went last has not just gone any more
		return nil, wait
	}
	if best.block.Tier != ups.TierWatch {
		if w := mostUrgentWatch(now, s.tasks, best, s.last); w != nil {
			best = w
		}
	}
	best.pass = max(best.pass, s.turn) + best.period // who was idle does not save up turns
	s.turn = best.pass - best.period
	s.last = best
	return best, 0
}

func (s *schedule) first(now time.Time) (best *task, wait time.Duration) {
	wait = time.Hour
	for _, t := range s.tasks {
		if d := t.due.Sub(now); d > 0 {
			wait = min(wait, d)
			continue
		}
		if best == nil || t.pass < best.pass {
			best = t
		}
	}
	return best, wait
}

// mostUrgentWatch returns the watch that must go before t, nil if none must.
func mostUrgentWatch(now time.Time, tasks []*task, t, last *task) *task {
	var found *task
	var most time.Duration
	for _, w := range tasks {
		if w.block.Tier != ups.TierWatch || w == last {
			continue
		}
		age := now.Sub(w.unit.wordSeen) + t.block.Cost
		if over := age - w.period; over > most {
			found, most = w, over
		}
	}
	return found
}
