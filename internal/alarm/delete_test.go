package alarm

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"upsedge/internal/ups"
)

// A mutant is the rules of the catalogue with one thing taken away or weakened.
type mutant struct {
	what string
	id   ups.AlarmID // whose stories have to notice
	set  *ruleSet
}

// TestTheStoriesNoticeEveryRule takes away every row, every test of a row and every confirmation of a test in turn, and plays
// the stories in which the row's alarm occurs: one of them has to go another way.
func TestTheStoriesNoticeEveryRule(t *testing.T) {
	told := map[ups.AlarmID][]story{}
	for _, s := range allStories() {
		for _, r := range ups.Alarms {
			if strings.Contains(s.text, fmt.Sprint(" ", r.ID)) || strings.Contains(s.name, fmt.Sprint(r.ID)) {
				told[r.ID] = append(told[r.ID], s)
			}
		}
	}
	n := 0
	for _, m := range mutants() {
		n++
		if !slices.ContainsFunc(told[m.id], func(s story) bool { return !holds(m.set, s.text) }) {
			t.Errorf("no story notices: %s", m.what)
		}
	}
	t.Logf("%d mutants of %d rules", n, len(theRules.rules))
}

// holds plays a story by other rules and reports whether it goes as it says.
func holds(set *ruleSet, text string) (ok bool) {
	defer func() {
		if r := recover(); r != nil {
			if _, failed := r.(failure); !failed {
				panic(r)
			}
			ok = false
		}
	}()
	playBy(silentTester{}, set, Limits{}, text)
	return true
}

type failure struct{}

// A silentTester ends the story that fails, and nothing else.
type silentTester struct{}

func (silentTester) Fatal(...any)          { panic(failure{}) }
func (silentTester) Fatalf(string, ...any) { panic(failure{}) }

func mutants() (out []mutant) {
	for i := range theRules.rules {
		out = append(out, ruleMutants(i)...)
	}
	for i, w := range theRules.words {
		for j, r := range w.results {
			words := slices.Clone(theRules.words)
			words[i].results = slices.Delete(slices.Clone(w.results), j, j+1)
			out = append(out, mutant{fmt.Sprintf("without result %d", r.id), r.id, newRuleSet(theRules.rules, words, theRules.edges, theRules.links)})
		}
	}
	for i, g := range theRules.edges {
		for _, b := range append(slices.Clone(g.set), g.unset...) {
			out = append(out, edgeMutant(i, b.id))
		}
	}
	for i, l := range theRules.links {
		links := slices.Delete(slices.Clone(theRules.links), i, i+1)
		out = append(out, mutant{fmt.Sprintf("without link rule %d", l.id), l.id, newRuleSet(theRules.rules, theRules.words, theRules.edges, links)})
	}
	return out
}

func edgeMutant(i int, id ups.AlarmID) mutant {
	edges := slices.Clone(theRules.edges)
	without := func(bs []edgeBit) []edgeBit {
		return slices.DeleteFunc(slices.Clone(bs), func(b edgeBit) bool { return b.id == id })
	}
	edges[i].set, edges[i].unset = without(edges[i].set), without(edges[i].unset)
	return mutant{
		fmt.Sprintf("without edge %d of %s", id, edges[i].point), id, newRuleSet(theRules.rules, theRules.words, edges, theRules.links),
	}
}

// ruleMutants are those of one row.
func ruleMutants(i int) (out []mutant) {
	was := theRules.rules[i]
	add := func(what string, change func(*rule)) {
		rules := slices.Clone(theRules.rules)
		r := &rules[i]
		r.raise, r.clear = slices.Clone(r.raise), slices.Clone(r.clear)
		change(r)
		r.on = pointSet{}
		out = append(out, mutant{
			fmt.Sprintf("rule %d %s: %s", was.id, was.group, what), was.id,
			newRuleSet(rules, theRules.words, theRules.edges, theRules.links),
		})
	}
	add("without it", func(r *rule) { r.raise, r.clear, r.while = nil, nil, 0 })
	for _, half := range []struct {
		name string
		of   func(*rule) *[]test
	}{{"raise", func(r *rule) *[]test { return &r.raise }}, {"clear", func(r *rule) *[]test { return &r.clear }}} {
		for j, x := range *half.of(&was) {
			name := fmt.Sprintf("%s %d", half.name, j)
			add("without "+name, func(r *rule) { h := half.of(r); *h = slices.Delete(*h, j, j+1) })
			if x.polls > 1 {
				if x.hold == nil { // one poll lasts no time
					add(name+" by one poll", func(r *rule) { (*half.of(r))[j].polls = 1 })
				}
				add(name+" by three polls", func(r *rule) { (*half.of(r))[j].polls = 3 })
			}
			if x.hold != nil {
				add(name+" without its time", func(r *rule) { (*half.of(r))[j].hold = nil })
				add(name+" a second later", func(r *rule) {
					(*half.of(r))[j].hold = func(l *Limits) time.Duration { return x.hold(l) + time.Second }
				})
			}
			if x.when != nil {
				add(name+" at any time", func(r *rule) { (*half.of(r))[j].when = nil })
			}
			if x.only != 0 {
				add(name+" in any family", func(r *rule) { (*half.of(r))[j].only = 0 })
			}
		}
	}
	for what, change := range map[string]func(*rule){
		"while": func(r *rule) { r.while = 0 }, "yieldTo": func(r *rule) { r.yieldTo = 0 },
		"then": func(r *rule) { r.then = 0 }, "thenIf": func(r *rule) { r.thenIf = nil },
	} {
		changed := was
		if change(&changed); changed.while != was.while || changed.yieldTo != was.yieldTo || changed.then != was.then || (changed.thenIf == nil) != (was.thenIf == nil) {
			add("without "+what, change)
		}
	}
	return out
}
