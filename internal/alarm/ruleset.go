package alarm

import (
	"math/bits"
	"slices"
	"sync"

	"upsedge/internal/ups"
)

// A ruleSet is all the rules there are, ready to be judged.
type ruleSet struct {
	rules  []rule
	words  []resultWord
	edges  []edge
	links  []linkRule
	slots  int               // for streaks, of all rules
	sees   [pointRoom]rowSet // by point: the rules that look at it
	causes rowSet            // the rules that look at transitions and their causes
	all    rowSet
	own    bool // of the agent itself: no rules, and only alarms of its own

	mu    sync.Mutex
	plans map[*ups.Layout]*plan // shared by engines
}

// theRules are those of the event catalogue.
var theRules = newRuleSet(slices.Concat(inputRules, batteryRules, outputRules, hardwareRules, testRules, outletRules), resultWords, edges, linkRules)

// newRuleSet gives every rule slots for its streaks: a rule is either waiting to be raised or to be cleared, so both use
// the same ones.
func newRuleSet(rules []rule, words []resultWord, edges []edge, links []linkRule) *ruleSet {
	s := &ruleSet{rules: slices.Clone(rules), words: words, edges: edges, links: links}
	for i := range s.rules {
		r := &s.rules[i]
		r.slot = s.slots
		s.slots += max(len(r.raise), len(r.clear))
		sees := r.sees
		for _, t := range slices.Concat(r.raise, r.clear) {
			r.on.join(&t.on)
		}
		sees.join(&r.on)
		for _, p := range r.raw {
			sees.add(p)
		}
		for p := range ups.Point(pointRoom) {
			if sees.has(p) {
				s.sees[p].add(i)
			}
		}
		if r.on.has(ups.StatusCause) {
			s.causes.add(i)
		}
		s.all.add(i)
	}
	return s
}

// A rowSet is a set of indexes of rules. It has room for 256.
type rowSet [4]uint64

func (s *rowSet) add(i int)    { s[i/64] |= 1 << (i % 64) }
func (s *rowSet) remove(i int) { s[i/64] &^= 1 << (i % 64) }

func (s *rowSet) join(o *rowSet) {
	for i := range s {
		s[i] |= o[i]
	}
}

// next returns the first index from i on that is in both s and o, -1 if there is none.
func (s *rowSet) next(o *rowSet, i int) int {
	for w := i / 64; w < len(s); w++ {
		both := s[w] & o[w]
		if w == i/64 {
			both &= ^uint64(0) << (i % 64)
		}
		if both != 0 {
			return w*64 + bits.TrailingZeros64(both)
		}
	}
	return -1
}

// A plan is what a read of one layout can be a poll of.
type plan struct {
	layout *ups.Layout
	read   pointSet
	rules  rowSet
	words  []int // indexes in ruleSet.words
	edges  []int // indexes in ruleSet.edges
}

// mostPlans bounds the plans an engine keeps: a unit has about ten layouts, and new ones with each connection.
const mostPlans = 32

// mostSharedPlans bounds those that engines share.
const mostSharedPlans = 256

// planOf returns the plan for reads of a layout.
func (e *Engine) planOf(l *ups.Layout) *plan {
	for i := range e.plans {
		if e.plans[i].layout == l {
			return e.plans[i]
		}
	}
	if len(e.plans) == mostPlans {
		e.plans = e.plans[:0]
	}
	p := e.set.planOf(l)
	e.plans = append(e.plans, p)
	return p
}

// planOf returns the plan for reads of a layout, which drivers of like units share.
func (s *ruleSet) planOf(l *ups.Layout) *plan {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.plans[l]; p != nil {
		return p
	}
	if s.plans == nil || len(s.plans) == mostSharedPlans {
		s.plans = map[*ups.Layout]*plan{} // engines keep those they use
	}
	p := s.newPlan(l)
	s.plans[l] = p
	return p
}

func (s *ruleSet) newPlan(l *ups.Layout) *plan {
	p := &plan{layout: l}
	for _, c := range l.Columns {
		p.read.add(c.Point)
	}
	for i := range s.rules {
		if s.rules[i].on.meets(&p.read) {
			p.rules.add(i)
		}
	}
	for i := range s.words {
		if p.read.has(s.words[i].point) {
			p.words = append(p.words, i)
		}
	}
	for i := range s.edges {
		if p.read.has(s.edges[i].point) {
			p.edges = append(p.edges, i)
		}
	}
	return p
}
