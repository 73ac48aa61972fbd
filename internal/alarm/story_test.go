package alarm

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"upsedge/internal/ups"
)

// A story is a text: one line for each thing that happens, and behind "->" what has to come of it; nothing, if it says nothing.
//
//	0     status                     at 0 s the status block was read
//	0.2   watch U=244 C=3            the unit went to battery and the watch block was read
//	1     miss no-answer             a read failed
//	2..9  live load=120 /0.5         every half second from 2 to 9 s; what comes is given with the time of its event, @12
//	9     restart                    the agent ended and started
//	9     unconfirmed | confirmed    whether anything active is in doubt
//	9     trusted | untrusted        the clock from now on
//	9     release                    the unit was taken out of the configuration and added again
//	9     elapsed                    time passed
//
// An expected event is "raise 101" or "clear 101", "event 102" with, if they are not the usual ones, "as warning" for the
// severity, the group, "@1.5" for its own time, inferred, unconfirmed, and the detail in quotation marks. Words of the unit keep their value until set again.
func play(t *testing.T, l Limits, text string) *world {
	t.Helper()
	return playBy(t, theRules, l, text)
}

// playBy plays a story by other rules than those of the catalogue.
func playBy(t tester, set *ruleSet, l Limits, text string) *world {
	w := newWorldOf(t, set, l)
	for n, ln := range strings.Split(text, "\n") {
		ln, _, _ = strings.Cut(ln, "#")
		what, want, _ := strings.Cut(ln, "->")
		if fields := strings.Fields(what); len(fields) > 0 {
			got := strings.Join(w.step(fields, strings.Contains(want, `"`)), "; ")
			if want = strings.TrimSpace(want); got != want {
				t.Fatalf("line %d: %s\n got %s\nwant %s", n, strings.TrimSpace(what), got, want)
			}
		}
	}
	return w
}

// step plays one line and returns the events as text.
func (w *world) step(fields []string, details bool) (out []string) {
	span, verb, args := fields[0], fields[1], fields[2:]
	from, to, isSpan := strings.Cut(span, "..")
	every := 1.0
	if !isSpan {
		to = from
	}
	if n := len(args); n > 0 && args[n-1][0] == '/' {
		every, args = number(w.t, args[n-1][1:]), args[:n-1]
	}
	for s := number(w.t, from); s <= number(w.t, to)+1e-9; s += every {
		at := second(s)
		base := at
		if isSpan {
			base = time.Time{} // always say when
		}
		for _, v := range w.do(verb, args, at) {
			out = append(out, line(v, base, details))
		}
	}
	return out
}

func (w *world) do(verb string, args []string, at time.Time) []ups.Event {
	switch verb {
	case "restart":
		w.restart()
		return nil
	case "confirmed", "unconfirmed":
		if got := unconfirmed(w.e); got != (verb == "unconfirmed") {
			w.t.Fatalf("at %s: unconfirmed is %v, want it %s", at.Sub(start), got, verb)
		}
		return nil
	case "trusted", "untrusted":
		w.dated = verb == "trusted"
		return nil
	case "release":
		w.e.Release()
		w.restart()
		return nil
	case "elapsed":
		return w.check(w.e.Elapsed(at))
	case "miss":
		return w.miss(failureNamed(w.t, args[0]), at)
	}
	for _, a := range args {
		w.set(a)
	}
	return w.read(verb, at)
}

func failureNamed(t tester, name string) ups.Failure {
	for _, f := range ups.Failures() {
		if f.String() == name {
			return f
		}
	}
	t.Fatalf("no failure is called %q", name)
	return 0
}

func number(t tester, s string) float64 {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
