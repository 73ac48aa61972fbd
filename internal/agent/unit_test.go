package agent

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"upsedge/internal/config"
	"upsedge/internal/sampler"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

const (
	mains   = ups.UOnline
	battery = ups.UOnBattery
)

var errSilent = errors.New("nothing came back")

// TestStaleAfterTwoMissedLiveReads walks a unit through what makes it stale and fresh again.
func TestStaleAfterTwoMissedLiveReads(t *testing.T) {
	w := newWorld(t)
	u := w.unit(config.Unit{Name: "rack-a", Poll: rates(200*time.Millisecond, time.Second, 500*time.Millisecond)})
	now := time.Now()
	step := func(d time.Duration) time.Time { now = now.Add(d); return now }
	expect := func(what string, stale bool) {
		t.Helper()
		if got := u.status(now)&ups.Stale != 0; got != stale {
			t.Errorf("%s: stale is %v", what, got)
		}
	}
	expect("never read", true)
	u.put(word("rack-a", step(time.Second), mains))
	expect("the word alone, no measurement yet", true)
	u.put(measured("rack-a", step(time.Second), 230, 1))
	expect("read", false)
	u.miss(ups.TierLive, step(500*time.Millisecond), errSilent)
	expect("one missed live read", false)
	u.miss(ups.TierWatch, now, errSilent)
	u.miss(ups.TierWatch, now, errSilent)
	u.miss(ups.TierIdentity, now, errSilent)
	expect("and missed reads of other tiers", false)
	u.miss(ups.TierLive, step(500*time.Millisecond), errSilent)
	expect("two missed live reads", true)
	u.put(word("rack-a", step(time.Second), mains))
	expect("the word again, the measurements are still old", true)
	u.put(measured("rack-a", now, 230, 2))
	expect("read again", false)
	u.unconnected(step(time.Second), errSilent)
	expect("lost: it has to be connected to", true)
	u.put(measured("rack-a", step(time.Second), 230, 3))
	expect("connected and read", false)
	u.put(word("rack-a", now, mains))
	step(2 * time.Second)
	expect("silent for two live periods and a second", false)
	step(time.Millisecond)
	expect("and a little longer", true)
	u.put(measured("rack-a", now, 230, 4))
	expect("the measurements are new, the word is old", true)
	u.put(word("rack-a", now, mains))
	expect("both are new", false)
	u.stretch = 3
	step(4 * time.Second)
	expect("silent for two live periods of a line three times too slow, and a second", false)
}

// One read is missed now and then on every line, and nobody is told to look for a cable that is off: not by status, the page, setup and doctor.
func TestAReadThatIsMissedIsNoFailure(t *testing.T) {
	u := newWorld(t).unit(config.Unit{Name: "rack-a", Poll: rates(200*time.Millisecond, time.Second, 500*time.Millisecond)})
	now := time.Now()
	told := func(what string, want bool) {
		t.Helper()
		if got := u.local(now, false); (got.Failure != "") != want {
			t.Errorf("%s: told %q", what, got.Failure)
		}
	}
	u.miss(ups.TierWatch, now, errSilent)
	told("never read", true)
	u.put(word("rack-a", now, mains))
	u.put(measured("rack-a", now, 230, 1))
	told("read", false)
	u.miss(ups.TierWatch, now, errSilent)
	u.miss(ups.TierStatus, now, errSilent)
	told("two reads missed", false)
	u.put(word("rack-a", now, mains))
	u.miss(ups.TierWatch, now, errSilent)
	told("one after a good one", false)
	u.miss(ups.TierWatch, now, errSilent)
	u.miss(ups.TierIdentity, now, errSilent)
	told("three in a row", true)
	u.put(measured("rack-a", now, 230, 2))
	told("read again", false)
	u.miss(ups.TierLive, now, errSilent)
	u.miss(ups.TierLive, now, errSilent)
	told("stale", true)
	u.put(measured("rack-a", now, 230, 3))
	u.unconnected(now, errSilent)
	told("its line is gone", true)
}

func TestAUnitWithoutLiveTierIsStaleWhenNothingAnswers(t *testing.T) {
	w := newWorld(t)
	u := w.unit(config.Unit{Name: "rack-a", Poll: rates(0, 3*time.Second, 0)})
	at := time.Now()
	u.put(word("rack-a", at, mains))
	for after, stale := range map[time.Duration]bool{0: false, 7 * time.Second: false, 7*time.Second + 1: true} {
		if got := u.status(at.Add(after))&ups.Stale != 0; got != stale {
			t.Errorf("%v after the last answer, at one read in 3 s: stale is %v", after, got)
		}
	}
}

func TestSilenceOnBatteryIsCriticalUnknown(t *testing.T) {
	w := newWorld(t)
	at := time.Now()
	for flags, want := range map[int64]ups.Status{
		mains:   ups.Online | ups.Stale,
		battery: ups.OnBattery | ups.Stale | ups.CriticalUnknown,
	} {
		u := w.unit(config.Unit{Name: "rack-a", Poll: rates(0, 0, time.Second)})
		u.put(word("rack-a", at, flags))
		u.put(measured("rack-a", at, 230, 1))
		if got := u.status(at); got != want&^(ups.Stale|ups.CriticalUnknown) {
			t.Errorf("while it answers: %v", got.Names())
		}
		u.miss(ups.TierLive, at, errSilent)
		u.miss(ups.TierLive, at, errSilent)
		if got := u.status(at); got != want {
			t.Errorf("silent: %v, want %v", got.Names(), want.Names())
		}
	}
}

// TestCountsTransfersAlarmsAndTimeOnBattery: what /metrics shows as counters since the start.
func TestCountsTransfersAlarmsAndTimeOnBattery(t *testing.T) {
	w := newWorld(t)
	u := w.unit(config.Unit{Name: "rack-a", Poll: rates(200*time.Millisecond, time.Second, 500*time.Millisecond)})
	at := time.Now()
	var kinds []string
	condition := 0
	put := func(after time.Duration, flags int64) {
		at = at.Add(after)
		out := u.put(word("rack-a", at, flags))
		for _, e := range out.events {
			kinds = append(kinds, fmt.Sprintf("%v %d", e.Kind, e.ID))
		}
		if len(out.events) > 0 && out.saved == nil {
			t.Errorf("events %v without the alarm state they led to", out.events)
		}
		if len(out.events) > 0 && !out.condition {
			t.Errorf("events %v and nobody is told that the condition changed", out.events)
		}
		if out.condition {
			condition++
		}
	}
	put(0, mains)
	put(time.Second, mains)
	put(time.Second, battery)
	put(time.Second, battery)
	put(3*time.Second, battery)
	put(time.Hour, battery) // nobody knows what was in between
	put(time.Second, mains)
	for range 10 {
		put(time.Second, mains)
	}
	m := u.metrics(at, func(t time.Time) time.Time { return t })
	if want := (1 + 3 + 10 + 1) * time.Second; m.OnBattery != want {
		t.Errorf("%v on battery, want %v", m.OnBattery, want)
	}
	if want := []string{"raise 101", "clear 101", "event 102"}; !slices.Equal(kinds, want) {
		t.Errorf("events %v, want %v", kinds, want)
	}
	if m.Raised[101] != 1 || m.Raised[102] != 1 {
		t.Errorf("raised %v, want one 101 and one 102", m.Raised)
	}
	n := uint64(0)
	for _, v := range m.Transfers {
		n += v
	}
	if n != 1 {
		t.Errorf("transfers %v, want one", m.Transfers)
	}
	if condition > 6 {
		t.Errorf("the condition changed %d times in 17 reads, most of which said the same", condition)
	}
	m.State.Apply(word("rack-a", at, battery))
	if u.state.Flags(ups.StatusFlags) != mains {
		t.Error("a scrape has the unit's own state, not a copy")
	}
}

func TestEnergyRegisterThatJumpsBackOnceIsNoReset(t *testing.T) {
	for _, row := range []struct {
		name       string
		seen, want []int64
	}{
		{"rises", []int64{5, 6, 6, 9}, []int64{5, 6, 6, 9}},
		{"one reading is low", []int64{100, 3, 101}, []int64{100, 100, 101}},
		{"one reading is low, then the same again", []int64{100, 3, 100}, []int64{100, 100, 100}},
		{"a register that begins anew", []int64{100, 3, 4, 5}, []int64{100, 100, 101, 102}},
		{"twice", []int64{100, 0, 0, 9, 0, 1}, []int64{100, 100, 100, 109, 109, 110}},
		{"two low ones and back", []int64{100, 3, 3, 101, 102}, []int64{100, 100, 100, 101, 102}},
		{"a long life after it", []int64{100, 0, 0, 99, 100, 150}, []int64{100, 100, 100, 199, 200, 250}},
		{"low, high, low is twice alone", []int64{100, 3, 101, 4, 102}, []int64{100, 100, 101, 101, 102}},
		{"absent says nothing", []int64{ups.Absent, 7, ups.Absent, 8}, []int64{ups.Absent, 7, 7, 8}},
		{"absent between two low ones", []int64{100, 3, ups.Absent, 4}, []int64{100, 100, 100, 101}},
		{"falling and falling", []int64{100, 9, 8, 7, 7}, []int64{100, 100, 100, 100, 100}},
		{"from zero", []int64{0, 1}, []int64{0, 1}},
	} {
		e, st := energy{total: ups.Absent}, ups.NewState()
		for i, raw := range row.seen {
			st.Apply(measured("rack-a", time.Now(), 230, raw))
			if e.see(st); e.total != row.want[i] {
				t.Errorf("%s: after reading %d, %d, the total is %d, want %d", row.name, i, raw, e.total, row.want[i])
			}
		}
	}
}

func TestAnotherUnitInItsPlaceInheritsNoValues(t *testing.T) {
	w := newWorld(t)
	u := w.unit(config.Unit{Name: "rack-a", Poll: rates(0, 0, time.Second)})
	at := time.Now()
	named := func(serial string) *ups.Reading {
		return &ups.Reading{
			Unit: "rack-a", Tier: ups.TierIdentity, At: at, Layout: &ups.Layout{Columns: []ups.Column{{Point: ups.Serial, Divisor: 1}}},
			Raw: []int64{ups.Absent}, Text: []string{serial},
		}
	}
	u.put(named("A"))
	u.put(measured("rack-a", at, 230, 1000))
	u.put(named("A"))
	if _, ok := u.state.Value(ups.OutputVoltage); !ok {
		t.Error("the same unit again, and its values are gone")
	}
	u.put(named("B"))
	if v, ok := u.state.Value(ups.OutputVoltage); ok || u.energy.total != ups.Absent {
		t.Errorf("another unit has the output voltage %v and the energy %d of the one before", v, u.energy.total)
	}
	u.put(measured("rack-a", at, 120, 1))
	var devices []string
	_, _ = u.batch.Take(&sampler.Room{}, func(of sampler.Owner, _ []wire.Rows) error { devices = append(devices, of.Device); return nil })
	if len(devices) != 2 || devices[0] != "A" || devices[1] != "B" {
		t.Errorf("samples of %q, want A's and then B's", devices)
	}
}
