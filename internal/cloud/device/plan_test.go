package device_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/policy"
)

const day = 24 * time.Hour

// days is an instant some days behind the beginning of the world.
func days(n int) time.Time {
	return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(time.Duration(n) * day)
}

func (w *world) get(id string) (d *device.Device) {
	w.Helper()
	must(w, w.db.Read(w.Context(), func(ctx context.Context, tx *store.Tx) (err error) {
		d, err = device.Get(ctx, tx, id)
		return err
	}))
	return d
}

func (w *world) setPlan(d *device.Device, plan policy.Plan, until time.Time) {
	w.Helper()
	w.do(func(ctx context.Context, tx *store.Tx) error {
		return w.r.SetPlan(ctx, tx, cloud.System(""), "", d, plan, until)
	})
}

func (w *world) lengthen(d *device.Device, plan policy.Plan, days int) error {
	return w.write(func(ctx context.Context, tx *store.Tx) error {
		return w.r.Lengthen(ctx, tx, w.ada, policy.Owner, d, plan, days)
	})
}

// trial is a device in its free period.
func (w *world) trial(serial string) *device.Device {
	w.Helper()
	w.report("g_1", unit("rack-"+serial, serial))
	return w.mustRegister(w.ada, serial)
}

// params are those of the last entry of an action in a device's log.
func (w *world) params(id, action string) (actor, text string) {
	w.Helper()
	must(w, w.db.Read(w.Context(), func(ctx context.Context, tx *store.Tx) error {
		return tx.QueryRow(ctx, `SELECT actor, params FROM event_log WHERE chain = $1 AND action = $2 ORDER BY n DESC LIMIT 1`, id, action).Scan(&actor, &text)
	}))
	return actor, text
}

func TestPLAN1PlansAreOfDevicesNotOfAccounts(t *testing.T) {
	each(t, func(w *world) {
		w.report("g_1", unit("rack-a", "AS1"), unit("rack-b", "AS2"))
		one, two := w.mustRegister(w.ada, "AS1"), w.mustRegister(w.ada, "AS2")
		w.setPlan(one, policy.Basic, device.Forever)
		if p, q := w.get(one.ID).PlanAt(w.now), w.get(two.ID).PlanAt(w.now); p != policy.Basic || q != policy.Advanced {
			t.Errorf("%s, and the other device of the same owner %s", p, q)
		}
		if v := w.get(two.ID).GrantVersion; v != two.GrantVersion {
			t.Errorf("the other's grant version went from %d to %d", two.GrantVersion, v)
		}
	})
}

func TestPLAN9EachStretchEndsAtItsInstant(t *testing.T) {
	terms := device.Terms{AdvancedUntil: days(10), StandardUntil: days(20)}
	for at, want := range map[time.Time]policy.Plan{
		days(0): policy.Advanced, days(10).Add(-1): policy.Advanced, days(10): policy.Standard, days(20).Add(-1): policy.Standard, days(20): policy.Basic, device.Forever: policy.Basic,
	} {
		if got := terms.PlanAt(at); got != want {
			t.Errorf("%v: %s, want %s", at, got, want)
		}
	}
	if a, b, c := terms.EndAt(days(0)), terms.EndAt(days(10)), terms.EndAt(days(20)); a != days(10) || b != days(20) || c != device.Forever {
		t.Errorf("ends: %v, %v, %v", a, b, c)
	}
}

// TestLIC2NothingThatWasPaidForIsLost: however licences of both plans follow each other while time goes on, each adds its days, and to its own plan.
func TestLIC2NothingThatWasPaidForIsLost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := days(0)
		terms := device.Terms{}
		for range rapid.IntRange(1, 8).Draw(t, "licences") {
			now = now.Add(time.Duration(rapid.IntRange(0, 40).Draw(t, "days later")) * day)
			plan := rapid.SampledFrom([]policy.Plan{policy.Standard, policy.Advanced}).Draw(t, "plan")
			n := rapid.IntRange(1, 60).Draw(t, "days")
			before := left(terms, now)
			longer, err := terms.Longer(plan, n, now)
			if err != nil {
				t.Fatal(err)
			}
			before[plan] += time.Duration(n) * day
			if after := left(longer, now); !maps.Equal(after, before) {
				t.Fatalf("%d days of %s: left %v, want %v", n, plan, after, before)
			}
			terms = longer
		}
	})
}

// left is how much of each plan is ahead.
func left(terms device.Terms, now time.Time) map[policy.Plan]time.Duration {
	out := map[policy.Plan]time.Duration{policy.Standard: 0, policy.Advanced: 0}
	for at := now; terms.PlanAt(at) != policy.Basic; at = terms.EndAt(at) {
		out[terms.PlanAt(at)] += terms.EndAt(at).Sub(at)
	}
	return out
}

func TestAPlanWithoutAnEndTakesNoDays(t *testing.T) {
	for name, row := range map[string]struct {
		terms device.Terms
		plan  policy.Plan
		want  policy.Reason
	}{
		"advanced on advanced":          {device.Terms{AdvancedUntil: device.Forever}, policy.Advanced, policy.Conflict},
		"standard behind advanced":      {device.Terms{AdvancedUntil: device.Forever}, policy.Standard, policy.Conflict},
		"standard on standard":          {device.Terms{StandardUntil: device.Forever}, policy.Standard, policy.Conflict},
		"advanced on standard":          {device.Terms{StandardUntil: device.Forever}, policy.Advanced, ""},
		"no days":                       {device.Terms{}, policy.Basic, policy.Malformed},
		"standard behind some advanced": {device.Terms{AdvancedUntil: days(9), StandardUntil: device.Forever}, policy.Standard, policy.Conflict},
	} {
		got, err := row.terms.Longer(row.plan, 30, days(0))
		if reason(err) != row.want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if row.want == "" && (got.PlanAt(days(29)) != policy.Advanced || got.PlanAt(days(30)) != policy.Standard || got.StandardUntil != device.Forever) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestLOG3EachChangeOfAPlanIsToldAndLogged(t *testing.T) {
	each(t, func(w *world) {
		d := w.trial("AS1")
		for _, step := range []struct {
			do            func() error
			plan          policy.Plan
			actor, params string
		}{
			{
				func() error { return w.lengthen(d, policy.Standard, 30) }, policy.Advanced, "u_ada",
				`{"new":"advanced","next":"standard","next_until":"2026-06-29T12:00:00Z","old":"advanced","valid_until":"2026-05-30T12:00:00Z"}`,
			},
			{
				func() error { w.now = days(90); return w.r.EndPlans(t.Context(), w.db) }, policy.Standard, "system",
				`{"new":"standard","next":"basic","next_until":"","old":"advanced","valid_until":"2026-06-29T12:00:00Z"}`,
			},
			{
				func() error { w.setPlan(d, policy.Advanced, days(100)); return nil }, policy.Advanced, "system",
				`{"new":"advanced","next":"standard","next_until":"2026-06-29T12:00:00Z","old":"standard","valid_until":"2026-06-09T12:00:00Z"}`,
			},
			{
				func() error { w.setPlan(d, policy.Basic, device.Forever); return nil }, policy.Basic, "system",
				`{"new":"basic","old":"advanced","valid_until":""}`,
			},
		} {
			before, told := w.get(d.ID), len(w.changed)
			must(t, step.do())
			after := w.get(d.ID)
			if after.GrantVersion != before.GrantVersion+1 || len(w.changed) != told+1 || after.Plan != step.plan {
				t.Errorf("%s of version %d became %s of version %d, told %d times", before.Plan, before.GrantVersion, after.Plan, after.GrantVersion, len(w.changed)-told)
			}
			if actor, params := w.params(d.ID, "plan.change"); actor != step.actor || params != step.params {
				t.Errorf("%s said %s, want %s of %s", actor, params, step.params, step.actor)
			}
		}
	})
}

func TestPLAN9TwoProcessesWriteAnEndDownOnce(t *testing.T) {
	each(t, func(w *world) {
		w.report("g_1", unit("a", "AS1"), unit("b", "AS2"), unit("c", "AS3"))
		var all []*device.Device
		for _, serial := range []string{"AS1", "AS2", "AS3"} {
			all = append(all, w.mustRegister(w.ada, serial))
		}
		at := all[0].ValidUntil
		var group sync.WaitGroup
		for range 4 {
			r := device.New(device.Config{Now: func() time.Time { return at.Add(time.Second) }})
			group.Go(func() {
				if err := r.EndPlans(t.Context(), w.db); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		for _, d := range all {
			w.wantActions(d.ID, "device.register done", "plan.change done")
			if got := w.get(d.ID); got.GrantVersion != d.GrantVersion+1 || got.Plan != policy.Basic || !got.PlanSet.Equal(at) {
				t.Errorf("%+v", got)
			}
		}
	})
}

func TestPLAN9OneDeviceThatFailsKeepsNoOtherWaiting(t *testing.T) {
	each(t, func(w *world) {
		w.report("g_1", unit("a", "AS1"), unit("b", "AS2"), unit("c", "AS3"))
		one, two, three := w.mustRegister(w.ada, "AS1"), w.mustRegister(w.ada, "AS2"), w.mustRegister(w.ada, "AS3")
		bad := true
		w.r.OnPlanEnd(func(_ context.Context, _ *store.Tx, d *device.Device, _ policy.Plan, _ time.Time) error {
			if bad && d.ID == two.ID {
				return storetest.ErrInjected
			}
			return nil
		})
		w.now = one.ValidUntil
		if err := w.r.EndPlans(t.Context(), w.db); !errors.Is(err, storetest.ErrInjected) {
			t.Errorf("%v", err)
		}
		if p, q, r := w.get(one.ID).Plan, w.get(two.ID).Plan, w.get(three.ID).Plan; p != policy.Basic || q != policy.Advanced || r != policy.Basic {
			t.Errorf("%s, %s, %s", p, q, r)
		}
		bad = false
		must(t, w.r.EndPlans(t.Context(), w.db))
		w.wantActions(two.ID, "device.register done", "plan.change done")
	})
}

// TestPLAN9APlanEndsAtItsMoment: not at the next look, and also where it was set while Run slept.
func TestPLAN9APlanEndsAtItsMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, storetest.Open(t, storetest.SQLite(t)))
		w.now = time.Now()
		w.report("g_1", unit("rack-a", "AS1"))
		var mu sync.Mutex
		var told []time.Time
		r := device.New(device.Config{})
		r.AfterChange(func(string) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, time.Now())
		})
		w.r = r
		d := w.mustRegister(w.ada, "AS1")
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- r.Run(ctx, w.db) }()
		synctest.Wait()
		want := time.Now().Add(1234 * time.Millisecond)
		w.setPlan(d, policy.Standard, want)
		mu.Lock()
		told = nil
		mu.Unlock()
		time.Sleep(time.Minute)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if len(told) != 1 || told[0].Sub(want) >= time.Millisecond || told[0].Before(want) {
			t.Errorf("told at %v, want %v", told, want)
		}
		stop()
		must(t, <-ended)
	})
}

func TestPLAN9AStretchThatEndedUnseenIsWrittenDownBeforeAnotherBegins(t *testing.T) {
	each(t, func(w *world) {
		d := w.trial("AS1")
		w.now = days(95)
		must(t, w.lengthen(d, policy.Standard, 10))
		w.wantActions(d.ID, "device.register done", "plan.change done", "plan.change done")
		if got := w.get(d.ID); got.PlanAt(w.now) != policy.Standard || !got.ValidUntil.Equal(days(105)) || !got.PaidSince(w.now).Equal(days(95)) {
			t.Errorf("%+v, paid since %v", got, got.PaidSince(w.now))
		}
	})
}

func TestPLAN7PaidSinceBeginsBehindEachBreak(t *testing.T) {
	each(t, func(w *world) {
		d := w.trial("AS1")
		want := func(what string, at, since time.Time) {
			t.Helper()
			if got := w.get(d.ID).PaidSince(at); !got.Equal(since) {
				t.Errorf("%s: since %v, want %v", what, got, since)
			}
		}
		want("trial", w.now, days(0))
		w.now = days(5)
		w.setPlan(d, policy.Standard, days(50))
		want("from advanced to standard there is no break", w.now, days(0))
		want("its end, written down or not", days(50), time.Time{})
		w.now = days(60)
		must(t, w.r.EndPlans(t.Context(), w.db))
		want("basic", w.now, time.Time{})
		w.now = days(70)
		must(t, w.lengthen(d, policy.Advanced, 30))
		want("upgraded again", w.now, days(70))
	})
}

func TestPLAN8OperatorsPlansLeaveWhatStandsBehind(t *testing.T) {
	each(t, func(w *world) {
		d := w.trial("AS1")
		w.setPlan(d, policy.Standard, days(200))
		w.setPlan(d, policy.Advanced, days(30))
		if got := w.get(d.ID); got.PlanAt(days(29)) != policy.Advanced || got.PlanAt(days(30)) != policy.Standard || got.PlanAt(days(200)) != policy.Basic {
			t.Errorf("%+v", got.Terms())
		}
		for _, bad := range []struct {
			plan  policy.Plan
			until time.Time
		}{{"gold", days(3)}, {policy.Standard, w.now}} {
			err := w.write(func(ctx context.Context, tx *store.Tx) error {
				return w.r.SetPlan(ctx, tx, cloud.System(""), "", d, bad.plan, bad.until)
			})
			if reason(err) != policy.Malformed {
				t.Errorf("%s until %v: %v", bad.plan, bad.until, err)
			}
		}
	})
}

// warned has what OnPlanWarning was told of a device, with when.
func (w *world) warned(r *device.Registry, all *[]string) {
	r.OnPlanWarning(func(_ context.Context, tx *store.Tx, d *device.Device, n int) error {
		line := w.now.Format("2006-01-02") + " " + string(d.Plan) + " " + time.Duration(n).String()
		tx.After(func() { *all = append(*all, line) })
		return nil
	})
}

// pass goes through some days, half a day at a time, and ends and warns on the way.
func (w *world) pass(until time.Time) {
	w.Helper()
	for ; w.now.Before(until); w.now = w.now.Add(12 * time.Hour) {
		must(w, w.r.EndPlans(w.Context(), w.db))
		must(w, w.r.WarnOfEnds(w.Context(), w.db))
	}
}

func TestPLAN12WarningsComeOnceAndOnlyThoseThatLieAhead(t *testing.T) {
	each(t, func(w *world) {
		var got []string
		w.warned(w.r, &got)
		want := func(what string, lines ...string) {
			t.Helper()
			if !slices.Equal(got, lines) {
				t.Errorf("%s: %q, want %q", what, got, lines)
			}
			got = nil
		}
		d := w.trial("AS1") // 90 days, until 30 May
		w.pass(days(70))
		want("a trial of 90 days says nothing at its beginning", "2026-04-30 advanced 30ns")
		must(t, w.lengthen(d, policy.Advanced, 30)) // until 29 June, 50 days ahead
		must(t, w.lengthen(d, policy.Standard, 40)) // then until 8 August: the warnings of the first go on
		w.pass(days(115))
		want("another end", "2026-05-30 advanced 30ns", "2026-06-22 advanced 7ns")
		w.pass(days(125))
		want("on the day", "2026-06-29 advanced 0s")
		w.pass(days(158))
		want("what follows has its own", "2026-07-09 standard 30ns", "2026-08-01 standard 7ns")
		w.setPlan(d, policy.Standard, device.Forever)
		w.pass(days(170))
		want("no end")
	})
}

func TestPLAN12WhoWasAwayGetsTheLastWarningAlone(t *testing.T) {
	each(t, func(w *world) {
		var got []string
		w.warned(w.r, &got)
		w.trial("AS1")
		w.now = days(88)
		for range 3 {
			must(t, w.r.WarnOfEnds(t.Context(), w.db))
		}
		if !slices.Equal(got, []string{"2026-05-28 advanced 7ns"}) {
			t.Errorf("%q", got)
		}
		w.now = days(91) // the day and the end: EndPlans comes first
		got = nil
		must(t, w.r.EndPlans(t.Context(), w.db))
		must(t, w.r.WarnOfEnds(t.Context(), w.db))
		if len(got) != 0 {
			t.Errorf("warned of what is over: %q", got)
		}
	})
}

func TestPLAN12TwoProcessesWarnOnce(t *testing.T) {
	each(t, func(w *world) {
		w.trial("AS1")
		w.now = days(61)
		var mu sync.Mutex
		n := 0
		var group sync.WaitGroup
		for range 4 {
			r := device.New(device.Config{Now: func() time.Time { return w.now }})
			r.OnPlanWarning(func(_ context.Context, tx *store.Tx, _ *device.Device, _ int) error {
				tx.After(func() { mu.Lock(); defer mu.Unlock(); n++ })
				return nil
			})
			group.Go(func() {
				if err := r.WarnOfEnds(t.Context(), w.db); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if n != 1 {
			t.Errorf("warned %d times", n)
		}
	})
}

func TestPLAN12ADeletedDeviceWarnsNoMore(t *testing.T) {
	each(t, func(w *world) {
		var got []string
		w.warned(w.r, &got)
		w.end(w.trial("AS1"))
		w.pass(days(95))
		if len(got) != 0 {
			t.Errorf("%q", got)
		}
	})
}
