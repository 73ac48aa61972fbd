package alarm

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"

	"upsedge/internal/ups"
)

// TestDamagedStateIsAnErrorAndAFreshEngine: each of these could never have been written by State.
func TestDamagedStateIsAnErrorAndAFreshEngine(t *testing.T) {
	for _, c := range []struct{ blob, why string }{
		{``, "unexpected end"},
		{`null`, "version 0"},
		{`{"v":3}`, "version 3"},
		{`{"v":1`, "unexpected end"},
		{`{"v":1}x`, "invalid character"},
		{`{"v":1,"active":[{"id":999,"severity":"warning"}]}`, "999 is no alarm"},
		{`{"v":1,"active":[{"id":102,"severity":"informational"}]}`, "102 is no alarm"},
		{`{"v":1,"active":[{"id":101}]}`, "no severity"},
		{`{"v":1,"active":[{"id":101,"severity":"bad"}]}`, "severity"},
		{`{"v":1,"active":[{"id":101,"severity":"warning"},{"id":101,"severity":"warning"}]}`, "twice"},
		{`{"v":1,"active":[{"id":101,"severity":"warning"},{"id":103,"severity":"informational"}]}`, "cannot be"},
		{`{"v":1,"active":[{"id":201,"severity":"critical"}]}`, "cannot be"},
		{`{"v":1,"active":[{"id":801,"severity":"warning"},{"id":802,"severity":"critical"}]}`, "both"},
		{`{"v":1,"active":[{"id":801,"severity":"warning","since":"9999-12-31T23:59:59-23:00"}]}`, "year"},
		{`{"v":1,"results":[{"point":1,"word":68}]}`, "no test"},
		{`{"v":2,"active":[{"id":603,"severity":"informational"}]}`, "of group 0"},
		{`{"v":2,"active":[{"id":101,"group":1,"severity":"warning"}]}`, "of group 1"},
		{`{"v":2,"active":[{"id":603,"group":9,"severity":"informational"}]}`, "of group 9"},
		{`{"v":2,"active":[{"id":834,"severity":"warning"}]}`, "834"},
		{`{"v":2,"active":[{"id":513,"severity":"informational","held":true}]}`, "held"},
		{`{"v":2,"floods":[{"id":402,"ago":1}]}`, "flood"},
		{`{"v":2,"memory":{"ago":{"passed":-1}}}`, "passed"},
		{`{"v":2,"memory":{"runtime":-1}}`, "reference"},
		{`{"v":2,"at":"9999-12-31T23:59:59-23:00"}`, "year"},
	} {
		e, err := New("rack-a", Limits{}, []byte(c.blob))
		if err == nil || !strings.Contains(err.Error(), c.why) || !strings.Contains(err.Error(), "rack-a") {
			t.Errorf("New(%s) = %v, want an error about %q", c.blob, err, c.why)
		}
		if blob, changed := e.State(); !changed || len(e.Active()) != 0 || string(blob) != `{"v":2}` {
			t.Errorf("New(%s): state %s, changed %v, want a fresh one that replaces the damaged", c.blob, blob, changed)
		}
		w := newWorld(t)
		w.e = e
		w.set("U=244")
		if got := w.read("watch", second(0)); len(got) != 1 || got[0].ID != 101 {
			t.Errorf("New(%s): the engine makes %v of an outage", c.blob, got)
		}
	}
}

func TestStateChangesOnlyWithWhatItKeeps(t *testing.T) {
	w := newWorld(t)
	changed := func(want bool, when string) {
		t.Helper()
		before := w.e.blob
		blob, got := w.e.State()
		if got != want || got != !bytes.Equal(before, blob) && before != nil {
			t.Errorf("%s: changed %v, want %v; %s, before %s", when, got, want, blob, before)
		}
	}
	changed(false, "at first")
	w.read("status", second(0))
	changed(false, "after one read")
	w.read("status", second(1))
	changed(true, "after the first word of the test register")
	w.set("load=120")
	w.read("live", second(2))
	w.read("status", second(3))
	w.miss(ups.FailureNoAnswer, second(4))
	changed(false, "while something is on its way")
	w.set("U=244")
	w.read("watch", second(5))
	changed(true, "after a raise")
	changed(false, "at the second call")
	w.restart()
	changed(false, "after a restart")
	w.set("R=42")
	w.read("status", second(5.5))
	changed(true, "after a calibration began")
	w.set("T=42")
	w.read("status", second(6))
	changed(true, "after a test was seen running")
}

func TestStateHoldsNoSerialNumber(t *testing.T) {
	w := newWorld(t)
	w.set("serial=AS1234567890")
	w.read("identity", second(0))
	w.set("U=244")
	w.read("status", second(1))
	if blob, _ := w.e.State(); bytes.Contains(blob, []byte("AS1234567890")) {
		t.Errorf("State() = %s", blob)
	}
}

// TestStateOfTheVersionBeforeIsTakenOver: without groups, memory or anything else that is new.
func TestStateOfTheVersionBeforeIsTakenOver(t *testing.T) {
	e, err := New("rack-a", Limits{}, []byte(`{"v":1,"active":[{"id":101,"severity":"warning"},{"id":504,"severity":"critical"},`+
		`{"id":802,"severity":"critical","since":"2026-03-01T11:00:00Z"}],"results":[{"point":12,"known":true,"word":72}]}`))
	if err != nil || !e.Is(101) || !e.Is(504) || !e.Is(802) {
		t.Fatalf("New = %v, active %v", err, e.Active())
	}
	w := newWorld(t)
	w.e = e
	for _, a := range e.Active() {
		w.active[key{id: a.ID}] = a.Severity
	}
	w.set("T=48")
	var got []string
	for s := range 4 {
		for _, v := range w.read("status", second(float64(s))) {
			got = append(got, line(v, start, false))
		}
	}
	if want := "clear 802; event 803; clear 101 inferred; event 102 inferred"; strings.Join(got, "; ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

// TestStateIsBounded: with every alarm of every group active and everything remembered.
func TestStateIsBounded(t *testing.T) {
	w := newWorld(t)
	for i := range theRules.rules {
		r := &theRules.rules[i]
		if row := ups.AlarmByID(r.id); !row.Moment {
			w.e.active.add(activeAlarm{ID: r.id, Group: r.group, Severity: row.Severity, Since: start, Held: true})
		}
	}
	for i := range w.e.words {
		w.e.words[i] = wordState{known: true, word: ^uint32(0), ran: true}
	}
	for i := range w.e.edges {
		w.e.edges[i] = edgeState{known: true, word: ^uint32(0)}
	}
	for i := range w.e.mem.marks {
		w.e.mem.marks[i] = mark{at: -longest, set: true}
	}
	for _, a := range ups.Alarms {
		w.e.floods = append(w.e.floods, flood{id: a.ID, count: math.MaxInt32, last: -longest})
	}
	w.e.dirty = true
	if blob, _ := w.e.State(); len(blob) > 24<<10 {
		t.Errorf("state of %d bytes", len(blob))
	} else {
		t.Logf("%d bytes at most, and %d of a unit at rest", len(blob), len(restState(t)))
	}
}

func restState(t *testing.T) []byte {
	w := newWorld(t)
	for s := range 3 {
		for name := range blocks {
			w.read(name, second(float64(s)))
		}
	}
	blob, _ := w.e.State()
	return blob
}

func FuzzSavedState(f *testing.F) {
	f.Add([]byte(`{"v":2,"active":[{"id":118,"severity":"warning"},{"id":222,"severity":"warning"},{"id":318,"severity":"warning"},{"id":513,"severity":"informational","held":true},{"id":603,"group":1,"severity":"informational"},{"id":603,"group":2,"severity":"informational"},{"id":834,"severity":"warning"}],"edges":[{"point":1,"mask":8192,"word":8192}],"registered":"0011223344556677","answering":"0011223344556677","memory":{"ago":{"outage_1":1000,"passed":99999999,"stalled":5},"installed":9000,"worn":12000,"stalled":50,"load":40,"runtime":2000},"floods":[{"id":513,"count":3,"ago":1000}],"at":"2026-03-01T12:00:00Z"}`))
	f.Add([]byte(`{"v":1}`))
	f.Add([]byte(`{"v":1,"active":[{"id":101,"severity":"warning"},{"id":201,"severity":"critical"}],"results":[{"point":12,"known":true,"word":68}]}`))
	f.Add([]byte(`{"v":1,"active":[{"id":103,"severity":"informational"},{"id":802,"severity":"warning","since":"2026-03-01T12:00:00Z"}],"results":[{"point":12,"known":true,"word":66,"ran":true}],"calibrating":true}`))
	f.Add([]byte(`{"v":1,"active":[{"id":801,"severity":"warning","since":"9999-12-31T23:59:59-23:00"}]}`))
	f.Fuzz(func(t *testing.T, blob []byte) {
		e, err := New("rack-a", Limits{}, blob)
		if err != nil && len(e.Active()) != 0 {
			t.Fatalf("New(%s) = %v with %v active", blob, err, e.Active())
		}
		once, _ := e.State()
		again, err := New("rack-a", Limits{}, once)
		if err != nil {
			t.Fatalf("New of its own state %s: %v", once, err)
		}
		if twice, changed := again.State(); changed || !bytes.Equal(once, twice) {
			t.Fatalf("state %s became %s, changed %v", once, twice, changed)
		}
		// Whatever was saved, the engine lives on and what is gone is cleared.
		w := newWorld(t)
		w.e = again
		for _, a := range again.active {
			if !a.Held {
				w.active[a.key()] = a.Severity
			}
		}
		for s := range 100 {
			w.read([]string{"status", "live", "watch"}[s%3], second(float64(60*s)))
		}
		for _, a := range again.Active() {
			if !slices.Contains([]ups.AlarmID{504, 714, 223, 225, 118, 507}, a.ID) { // these end with a test, another unit, or later
				t.Fatalf("%+v is still active after 100 min on line; saved %s", a, blob)
			}
		}
	})
}
