package alarm

import (
	"math"
	"time"

	"upsedge/internal/ups"
)

// A rule is one alarm that comes from values, of one outlet group where it is about groups; or a moment: then nothing clears
// it, and it comes each time one of its tests has held.
type rule struct {
	id    ups.AlarmID
	group ups.Group
	raise []test // any of them raises it
	clear []test // all of them together clear it

	while   ups.AlarmID // can be active only while this one is, and ends with it; 0: any time
	yieldTo ups.AlarmID // ends at once when this one is raised; 0: to none

	then   ups.AlarmID      // the moment that follows its end; 0: none
	thenIf func(*look) bool // only if; nil: always

	raw    []ups.Point        // the registers that decide it
	detail func(*look) string // of the raise; nil: none
	ended  func(*look) string // of the clear and of what follows it; nil: none

	// sees are points that its conditions look at beside raw and those that make the polls of its tests. A change of any of all
	// these is what the rule is judged anew for.
	sees pointSet
	// byTime: its conditions look at more than values and active alarms; it is judged at every poll.
	byTime bool
	// elapses: it comes by time alone, also without polls: while communication is lost it is told as unconfirmed.
	elapses bool

	slot int      // index of its first streak
	on   pointSet // a read that contains one of these is a poll of one of its tests
}

func (r *rule) key() key { return key{r.id, r.group} }

// A test is a condition and how long it has to hold.
type test struct {
	on    pointSet // a read that contains one of these points is a poll of this test
	is    func(*look) bool
	when  func(*look) bool            // a read is a poll of it only if; nil: always
	polls int                         // in a row, at least 1
	hold  func(*Limits) time.Duration // from the first of them to the last; nil: no time asked
	only  ups.Family                  // in units of other families it is counted and raises nothing (READ-10); 0: all
}

// A streak counts the polls in a row in which a test was true.
type streak struct {
	since time.Duration // when the first was, on the engine's time line
	n     int32
	slot  int32 // of the test
}

// streaks are those that have begun. Of some two hundred tests hardly one has, and a thousand engines keep them.
type streaks []streak

// of returns the streak of a slot, which begins with 0.
func (all streaks) of(slot int) streak {
	for _, s := range all {
		if s.slot == int32(slot) {
			return s
		}
	}
	return streak{}
}

// count adds a poll to the streak of a slot and returns it.
func (all *streaks) count(slot int, now time.Duration) streak {
	for i := range *all {
		if s := &(*all)[i]; s.slot == int32(slot) {
			if s.n < math.MaxInt32 {
				s.n++
			}
			return *s
		}
	}
	s := streak{now, 1, int32(slot)}
	*all = append(*all, s)
	return s
}

// end ends the streak of a slot, if it has begun.
func (all *streaks) end(slot int) {
	for i, s := range *all {
		if s.slot == int32(slot) {
			last := len(*all) - 1
			(*all)[i], *all = (*all)[last], (*all)[:last]
			return
		}
	}
}

func (s *streak) enough(t *test, x *look) bool {
	return int(s.n) >= t.polls && (t.hold == nil || x.now-s.since >= t.hold(x.limits))
}

// bit returns the condition that any bit of mask is set in p, and noBit its opposite.
func bit(p ups.Point, mask uint32) func(*look) bool {
	return func(x *look) bool { return x.bits(p, mask) }
}

func noBit(p ups.Point, mask uint32) func(*look) bool {
	return func(x *look) bool { return !x.bits(p, mask) }
}

func not(is func(*look) bool) func(*look) bool {
	return func(x *look) bool { return !is(x) }
}

// bitRule is the common row: a bit that is set in two polls in a row and cleared in two (TIMING-1, TIMING-2).
func bitRule(id ups.AlarmID, p ups.Point, mask uint32) rule {
	return rule{
		id:    id,
		raise: []test{{on: points(p), is: bit(p, mask), polls: 2}},
		clear: []test{{on: points(p), is: noBit(p, mask), polls: 2}},
		raw:   []ups.Point{p},
	}
}

// of returns the rule for units of these families only (READ-10).
func (r rule) of(f ups.Family) rule {
	for i := range r.raise {
		r.raise[i].only = f
	}
	return r
}
