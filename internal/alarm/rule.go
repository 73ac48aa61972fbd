package alarm

import (
	"time"

	"upsedge/internal/ups"
)

// A rule is one alarm that comes from values.
type rule struct {
	id    ups.AlarmID
	raise []test // any of them raises it
	clear []test // all of them together clear it

	while   ups.AlarmID // can be active only while this one is, and ends with it; 0: any time
	yieldTo ups.AlarmID // ends at once when this one is raised; 0: to none

	then   ups.AlarmID      // the moment that follows its end; 0: none
	thenIf func(*look) bool // only if; nil: always

	raw    []ups.Point        // the registers that decide it
	detail func(*look) string // of the raise
	ended  func(*look) string // of the clear and of what follows it; nil: none

	slot int // index of its first streak; see numbered
}

// A test is a condition and how long it has to hold.
type test struct {
	on    pointSet // a read that contains one of these points is a poll of this test
	is    func(*look) bool
	polls int                         // in a row, at least 1
	hold  func(*Limits) time.Duration // from the first of them to the last; nil: no time asked
}

// A streak counts the polls in a row in which a test was true.
type streak struct {
	since time.Duration // when the first was, on the engine's time line
	n     int
}

func (s *streak) count(now time.Duration) {
	if s.n == 0 {
		s.since = now
	}
	s.n++
}

func (s *streak) enough(t *test, x *look) bool {
	return s.n >= t.polls && (t.hold == nil || x.now-s.since >= t.hold(x.limits))
}

// numbered gives every rule its streaks in one slice: a rule is either waiting to be raised or to be cleared, so both use
// the same ones. It returns how many streaks an engine needs.
func numbered(rs []rule) ([]rule, int) {
	n := 0
	for i := range rs {
		rs[i].slot = n
		n += max(len(rs[i].raise), len(rs[i].clear))
	}
	return rs, n
}

// bit returns the condition that any bit of mask is set in p, and noBit its opposite.
func bit(p ups.Point, mask uint32) func(*look) bool {
	return func(x *look) bool { return x.bits(p, mask) }
}

func noBit(p ups.Point, mask uint32) func(*look) bool {
	return func(x *look) bool { return !x.bits(p, mask) }
}

// bitRule is the common row: a bit that is set in two polls in a row and cleared in two (TIMING-1, TIMING-2).
func bitRule(id ups.AlarmID, p ups.Point, mask uint32, detail func(*look) string) rule {
	return rule{
		id:     id,
		raise:  []test{{on: points(p), is: bit(p, mask), polls: 2}},
		clear:  []test{{on: points(p), is: noBit(p, mask), polls: 2}},
		raw:    []ups.Point{p},
		detail: detail,
	}
}
