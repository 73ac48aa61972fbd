package alarm

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"upsedge/internal/ups"
)

// words are what a unit may say in a random story; among them what is no state at all.
var words = map[string][]string{
	"U": {"2", "2002", "2022", "244", "4", "84", "c4", "2202", "110", "150", "408", "200002", "0", "ffffffff", "20000"},
	"C": {"0", "3", "8", "9", "12", "31"}, "S": {"0", "1", "2", "3"}, "P": {"0", "1"}, "O": {"1", "2", "4001"},
	"T": {"0", "1", "42", "44", "48", "310", "104"}, "R": {"0", "42", "44", "2020"},
	"runtime": {"0", "100", "150", "200", "3600", "absent"}, "load": {"30", "101", "absent"}, "apparent": {"50", "130"},
	"turnoff": {"absent", "0", "60"}, "serial": {"AS1234567890", "BS1"}, "sku": {"", "SMT1500RM2UC", "SRT1000XLA"},
	"G": {"0", "80", "fff"}, "B": {"0", "4", "80", "3ff"}, "L": {"1", "2", "4", "7f"}, "K": {"0", "7"}, "I": {"1", "ffe"}, "BI": {"0", "1", "2"},
	"O0": {"0", "1", "2", "4f9d"}, "groups": {"1", "3"}, "charge": {"100", "99", "95", "50", "absent"}, "temperature": {"25", "38", "50"},
	"voltage": {"27", "20", "absent"}, "replace": {"9500", "9600", "9700", "12000", "absent"}, "installed": {"9000", "9100"},
	"interval": {"1", "10"},
}

var (
	wordKeys = []string{
		"U", "C", "S", "P", "O", "T", "R", "runtime", "load", "apparent", "turnoff", "serial",
		"sku", "G", "B", "L", "K", "I", "BI", "O0", "groups", "charge", "temperature", "voltage", "replace", "installed", "interval",
	}
	blockKeys = []string{"watch", "status", "live", "identity", "settings", "calibration"}
)

// TestRaiseAndClearAlternate: whatever a unit says and however it fails, also over restarts. world.check looks at each event.
func TestRaiseAndClearAlternate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		at := start
		for range rapid.IntRange(1, 150).Draw(t, "steps") {
			at = at.Add(anyPause(t))
			anyStep(t)(w, at)
			if w.e.Is(101) && w.e.Is(103) || w.e.Is(801) && w.e.Is(802) || w.e.Is(201) && !w.e.Is(101) {
				t.Fatalf("%v are active together", w.e.Active())
			}
		}
	})
}

func anyPause(t *rapid.T) time.Duration {
	return time.Duration(rapid.SampledFrom([]int{0, 100, 200, 500, 3000, 15000, 120000, 90000000}).Draw(t, "ms")) * time.Millisecond
}

// anyStep returns something that can happen.
func anyStep(t *rapid.T) func(*world, time.Time) []ups.Event {
	switch rapid.IntRange(0, 11).Draw(t, "kind") {
	case 0, 1:
		f := rapid.SampledFrom(ups.Failures()).Draw(t, "failure")
		return func(w *world, at time.Time) []ups.Event { return w.miss(f, at) }
	case 2:
		return func(w *world, at time.Time) []ups.Event { w.restart(); return nil }
	case 3:
		return func(w *world, at time.Time) []ups.Event { return w.check(w.e.Elapsed(at)) }
	case 4:
		dated := rapid.Bool().Draw(t, "dated")
		return func(w *world, at time.Time) []ups.Event { w.dated = dated; return nil }
	case 5, 6, 7:
		k := rapid.SampledFrom(wordKeys).Draw(t, "word")
		v := rapid.SampledFrom(words[k]).Draw(t, "value")
		return func(w *world, at time.Time) []ups.Event { w.set(k + "=" + v); return nil }
	}
	block := rapid.SampledFrom(blockKeys).Draw(t, "block")
	return func(w *world, at time.Time) []ups.Event { return w.read(block, at) }
}

// TestARuleThatIsPassedOverWouldHaveSaidNothing: an engine that judges every rule at every poll says the same.
func TestARuleThatIsPassedOverWouldHaveSaidNothing(t *testing.T) {
	thorough := newRuleSet(theRules.rules, theRules.words, theRules.edges, theRules.links)
	for i := range thorough.rules {
		thorough.rules[i].byTime = true
	}
	rapid.Check(t, func(t *rapid.T) {
		w, all := newWorld(t), newWorldOf(t, thorough, Limits{})
		at := start
		for range rapid.IntRange(1, 150).Draw(t, "steps") {
			at = at.Add(anyPause(t))
			step := anyStep(t)
			got, want := step(w, at), step(all, at)
			if d := cmp.Diff(want, got); d != "" {
				t.Fatalf("-all +passed over:\n%s", d)
			}
		}
	})
}

// phases are what a unit goes through. Each lasts long enough that every confirmation can begin anew in its middle: what is
// half confirmed is not kept over a restart. The words of a phase stay until another sets them.
var phases = []struct {
	name  string
	words []string
	fails ups.Failure // instead of reads; 0: none
}{
	{name: "on line", words: []string{"U=2", "S=0", "P=0", "R=0", "runtime=3600", "load=30"}},
	{name: "outage", words: []string{"U=244", "C=8"}},
	{name: "battery low", words: []string{"U=244", "runtime=60"}},
	{name: "group low", words: []string{"O=4001"}},
	{name: "group recovered", words: []string{"O=1"}},
	{name: "self-test", words: []string{"U=84", "T=42"}},
	{name: "passed", words: []string{"U=2", "T=44"}},
	{name: "failed", words: []string{"U=2", "T=48"}},
	{name: "calibration", words: []string{"U=4", "R=42"}},
	{name: "calibrated", words: []string{"U=2", "R=44"}},
	{name: "fault on battery", words: []string{"U=4", "R=0", "C=15"}},
	{name: "overload", words: []string{"load=120"}},
	{name: "overload by bit", words: []string{"P=1"}},
	{name: "commanded off", words: []string{"U=2202", "S=2"}},
	{name: "off", words: []string{"U=110", "S=0"}},
	{name: "no answer", fails: ups.FailureNoAnswer},
	{name: "refused", fails: ups.FailureRefused},
	{name: "implausible", fails: ups.FailureImplausible},
	{name: "exceptions", fails: ups.FailureException},
}

const (
	phaseOfReads  = 150 * time.Second // confirmations of up to a minute
	phaseOfMisses = 5 * time.Minute   // and of up to 2 min
)

// tell plays phases and returns what each alarm went through. The restart, if restartAt is not negative, is before that poll.
func tell(w *world, story []int, restartAt int) map[ups.AlarmID][]string {
	told := map[ups.AlarmID][]string{}
	poll, at := 0, start
	w.dated = true // or the time in which it does not run is not counted
	take := func(events []ups.Event) {
		for _, v := range events {
			told[v.ID] = append(told[v.ID], fmt.Sprintf("%s %s", v.Kind, v.Severity))
		}
		poll++
	}
	for _, p := range story {
		for _, f := range phases[p].words {
			w.set(f)
		}
		every, span := 500*time.Millisecond, phaseOfReads
		if phases[p].fails != 0 {
			every, span = 5*time.Second, phaseOfMisses
		}
		for end := at.Add(span); at.Before(end); at = at.Add(every) {
			if poll == restartAt {
				w.restart()
			}
			switch n := poll % 10; {
			case phases[p].fails != 0:
				take(w.miss(phases[p].fails, at))
			case n == 0:
				take(w.read("status", at))
			case n%5 == 3:
				take(w.read("live", at))
			default:
				take(w.read("watch", at))
			}
		}
	}
	return told
}

// TestARestartChangesNothing: wherever the agent ends and starts again, every alarm goes through the same.
func TestARestartChangesNothing(t *testing.T) {
	short := Limits{Settled: time.Minute} // what takes longer than a phase begins anew
	rapid.Check(t, func(t *rapid.T) {
		story := rapid.SliceOfN(rapid.IntRange(0, len(phases)-1), 1, 6).Draw(t, "story")
		restartAt := rapid.IntRange(0, len(story)*300).Draw(t, "restart")
		want := tell(newWorldOf(t, theRules, short), story, -1)
		got := tell(newWorldOf(t, theRules, short), story, restartAt)
		if fmt.Sprint(got) != fmt.Sprint(want) {
			for _, p := range story {
				t.Log(phases[p].name)
			}
			t.Fatalf("with a restart before poll %d:\n got %v\nwant %v", restartAt, got, want)
		}
	})
}
