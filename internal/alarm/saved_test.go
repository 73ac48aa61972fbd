package alarm

import (
	"bytes"
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

func FuzzSavedState(f *testing.F) {
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
		for _, a := range again.Active() {
			w.active[key{a.ID, a.Group}] = a.Severity
		}
		for s := range 100 {
			w.read([]string{"status", "live", "watch"}[s%3], second(float64(s)))
		}
		for _, a := range again.Active() {
			if a.ID != 504 {
				t.Fatalf("%+v is still active after 100 s on line; saved %s", a, blob)
			}
		}
	})
}
