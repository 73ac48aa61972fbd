package agent

import (
	"context"
	"database/sql"
	"net"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"upsedge/internal/config"
	"upsedge/internal/ups"
	"upsedge/internal/ups/upssim"
)

// serve answers as a unit on a TCP port until the test ends.
func serve(t *testing.T, u *upssim.Unit) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- upssim.ServeTCP(ctx, l, map[uint8]*upssim.Unit{1: u}, upssim.TCPOptions{}) }()
	t.Cleanup(func() { stop(); <-done })
	return l.Addr().String()
}

func active(s *site, unit string) []ups.AlarmID {
	for _, u := range s.all() {
		if u.cfg.Name == unit {
			u.mu.Lock()
			defer u.mu.Unlock()
			var ids []ups.AlarmID
			for _, a := range u.alarms.Active() {
				ids = append(ids, a.ID)
			}
			return ids
		}
	}
	return nil
}

// TestReloadTakesAlarmsOverThatAreNotStoredYet: the recorder stands still, so that the raise is in no store when the unit's line
// is replaced. The new one must know it, or it would raise the alarm once more.
func TestReloadTakesAlarmsOverThatAreNotStoredYet(t *testing.T) {
	w := newWorld(t)
	s := w.site()
	sim := upssim.New(upssim.Options{Seed: 1})
	sim.SetMains(false)
	cfg := tcpUnit("rack-a", serve(t, sim), 1)
	if err := s.apply(t.Context(), []config.Unit{cfg}); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); !slices.Contains(active(s, "rack-a"), 101); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("no 101 within a minute")
		}
	}
	cfg.Poll[ups.TierLive] = time.Hour
	before := s.all()[0]
	if err := s.apply(t.Context(), []config.Unit{cfg}); err != nil {
		t.Fatal(err)
	}
	if s.all()[0] == before {
		t.Fatal("the unit was not replaced")
	}
	if got := active(s, "rack-a"); !slices.Contains(got, 101) {
		t.Errorf("alarms of the new unit: %v, want 101 among them", got)
	}
	if err := s.endAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.recorder.drain(t.Context())
	raises := 0
	for _, e := range w.events() {
		if e.ID == 101 && e.Kind == ups.Raise {
			raises++
		}
	}
	if raises != 1 {
		t.Errorf("101 was raised %d times", raises)
	}
}

// TestApplyReplacesOnlyWhatChanged: lines whose units are the same go on as they are.
func TestApplyReplacesOnlyWhatChanged(t *testing.T) {
	w := newWorld(t)
	s := w.site()
	a, b := tcpUnit("rack-a", serve(t, upssim.New(upssim.Options{Seed: 1})), 1), tcpUnit("rack-b", serve(t, upssim.New(upssim.Options{Seed: 2})), 1)
	apply := func(cfg ...config.Unit) []*unit {
		t.Helper()
		if err := s.apply(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
		return s.all()
	}
	first := apply(a, b)
	changed := b
	changed.Poll[ups.TierLive] = time.Second
	second := apply(changed, a) // in another order, too
	if second[1] != first[0] {
		t.Error("rack-a was replaced")
	}
	if second[0] == first[1] || second[0].cfg.Poll[ups.TierLive] != time.Second {
		t.Error("rack-b was not replaced")
	}
	if third := apply(a); len(third) != 1 || third[0] != first[0] {
		t.Errorf("%d units, want rack-a as it was", len(third))
	}
	if none := apply(); len(none) != 0 {
		t.Errorf("%d units, want none", len(none))
	}
	if err := s.endAll(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestAReloadPollsOnWithoutTheStore: a full disk is a state. The units are polled and shown all the same, and it can be ended.
func TestAReloadPollsOnWithoutTheStore(t *testing.T) {
	w := newWorld(t)
	s := w.site()
	a := tcpUnit("rack-a", serve(t, upssim.New(upssim.Options{Seed: 1})), 1)
	b := tcpUnit("rack-b", serve(t, upssim.New(upssim.Options{Seed: 2})), 1)
	if err := s.apply(t.Context(), []config.Unit{a}); err != nil {
		t.Fatal(err)
	}
	s.store = w.refusing()
	a.Poll[ups.TierLive] = time.Second
	if err := s.apply(t.Context(), []config.Unit{a, b}); err != nil || len(s.all()) != 2 {
		t.Errorf("apply = %v with %d units, want both polled", err, len(s.all()))
	}
	ended := make(chan error, 1)
	go func() { ended <- s.endAll(t.Context()) }()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("the end waits for a line that has ended")
	}
}

// TestDamagedAlarmStateBeginsAnew: one bad sector must not keep the agent from starting.
func TestDamagedAlarmStateBeginsAnew(t *testing.T) {
	w := newWorld(t)
	if err := w.store.PutEvents(t.Context(), "rack-a", []byte(`{"v":1}`), nil); err != nil {
		t.Fatal(err)
	}
	if err := w.store.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", filepath.Join(w.dir, "store.db"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(`UPDATE units SET state = '{"v":2}'`); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	w.store = w.open(w.dir)
	if _, err := w.store.AlarmState(t.Context(), "rack-a"); err == nil {
		t.Fatal("the state is not damaged")
	}
	s := w.site()
	if err := s.apply(t.Context(), []config.Unit{tcpUnit("rack-a", "127.0.0.1:1", 1)}); err != nil {
		t.Errorf("apply: %v", err)
	}
	if err := s.endAll(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestAUnitTakenOutAndAddedAgainIsRegisteredAnew: another unit under the same name is 714, until the name was out of the
// configuration for once.
func TestAUnitTakenOutAndAddedAgainIsRegisteredAnew(t *testing.T) {
	w := newWorld(t)
	s := w.site()
	apply := func(cfg ...config.Unit) {
		t.Helper()
		if err := s.apply(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
	}
	until := func(what string, is func(*unit) bool) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
			u := s.all()[0]
			u.mu.Lock()
			ok := u.state.Text(ups.Serial) != "" && is(u)
			u.mu.Unlock()
			if ok {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: not within a minute", what)
			}
		}
	}
	first, other := upssim.New(upssim.Options{Serial: "AS0000000001"}), upssim.New(upssim.Options{Serial: "AS0000000002"})
	apply(tcpUnit("rack-a", serve(t, first), 1))
	until("the first one read", func(*unit) bool { return true })
	apply(tcpUnit("rack-a", serve(t, other), 1))
	until("another one", func(u *unit) bool { return u.alarms.Is(714) })
	apply()
	apply(tcpUnit("rack-a", serve(t, other), 1))
	until("registered anew", func(u *unit) bool { return !u.alarms.Is(714) })
	apply(tcpUnit("rack-a", serve(t, first), 1))
	until("the first one is another one now", func(u *unit) bool { return u.alarms.Is(714) })
	if err := s.endAll(t.Context()); err != nil {
		t.Fatal(err)
	}
}
