package device_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/eventlog"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

func (w *world) unregistered(org string) (out []device.Sighting) {
	w.Helper()
	must(w, w.db.Read(w.Context(), func(ctx context.Context, tx *store.Tx) (err error) {
		out, err = device.Unregistered(ctx, tx, org, "", "", 5000)
		return err
	}))
	return out
}

func TestDEV5AnotherSerialNumberIsAnotherDevice(t *testing.T) {
	each(t, func(w *world) {
		w.report("g_1", unit("rack-a", "AS1"), unit("rack-b", "AS2"))
		d := w.mustRegister(w.ada, "AS1")
		before := w.now
		w.now = w.now.Add(time.Minute)
		w.report("g_1", unit("rack-a", ""), unit("rack-b", "AS2")) // just started: it does not know yet
		if st := w.status(d); st.Why != "" {
			t.Errorf("while the serial number is not known: %+v", st)
		}
		w.report("g_1", unit("rack-a", "AS7"), unit("rack-b", "AS2"))
		st := w.status(d)
		if st.Why != string(device.Replaced) || !st.Connected || st.Seen.LastSeen.Before(before) {
			t.Errorf("the old device: %+v, seen %+v", st, st.Seen)
		}
		new := w.unregistered("o_1")
		if len(new) != 2 || new[0].Serial != "AS7" || new[0].Unit != "rack-a" || new[1].Serial != "AS2" || len(w.unregistered("o_2")) != 0 {
			t.Errorf("reported and not registered: %+v", new)
		}
		must(t, w.db.Read(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			all, err := device.OfAgent(ctx, tx, "g_1")
			if len(all) != 1 || all[0].Serial != "AS1" {
				t.Errorf("devices: %+v", all)
			}
			return err
		}))
		w.wantActions(d.ID, "device.register done", "device.replaced done")
		w.now = w.now.Add(time.Minute)
		w.report("g_1", unit("rack-c", "AS1"), unit("rack-a", "AS7"))
		if st := w.status(d); st.Why != "" || st.Seen.Unit != "rack-c" {
			t.Errorf("back, under another name: %+v", st)
		}
		w.report("g_1", unit("rack-a", "AS7"))
		if st := w.status(d); st.Why != string(device.Removed) {
			t.Errorf("gone from the configuration: %+v", st)
		}
	})
}

func TestTIME4ASilentAgentsDevicesHaveNoCommunication(t *testing.T) {
	each(t, func(w *world) {
		w.report("g_1", unit("rack-a", "AS1"))
		d := w.mustRegister(w.ada, "AS1")
		heard := w.now
		presence := func(online bool) {
			w.do(func(ctx context.Context, tx *store.Tx) error { return w.r.Presence(ctx, tx, "g_1", online, w.now) })
		}
		w.now = w.now.Add(3 * time.Minute)
		presence(false)
		if st := w.status(d); st.Why != device.AgentSilent || st.Connected || !st.Seen.LastSeen.Equal(heard) || st.Seen.Condition[0] != "online" {
			t.Errorf("silent: %+v, seen %+v", st, st.Seen)
		}
		presence(true)
		if st := w.status(d); st.Why != "" || !st.Seen.LastSeen.Equal(heard) {
			t.Errorf("heard again: %+v, seen %+v", st, st.Seen)
		}
		w.now = w.now.Add(time.Minute)
		w.report("g_1", unit("rack-a", "AS1"))
		told := w.now
		w.now = w.now.Add(time.Minute)
		lost := unit("rack-a", "AS1")
		lost.Condition, lost.Alarms = ups.Stale|ups.OnBattery, []ups.AlarmID{802}
		w.report("g_1", lost)
		w.now = w.now.Add(time.Minute)
		w.report("g_1", lost)
		if st := w.status(d); st.Why != device.UnitSilent || !st.Seen.LastSeen.Equal(told) || st.Seen.Alarms[0] != 802 {
			t.Errorf("the agent does not reach the unit: %+v, seen %+v", st, st.Seen)
		}
	})
}

func TestTIME3WhatTheSiteHasConfirmedIsTold(t *testing.T) {
	each(t, func(w *world) {
		u := unit("rack-a", "AS1")
		w.report("g_1", u)
		d := w.mustRegister(w.ada, "AS1")
		if w.status(d).Confirmed(d) {
			t.Error("confirmed before the agent said so")
		}
		u.Epoch, u.GrantVersion = 1, 1
		w.report("g_1", u)
		if !w.status(d).Confirmed(d) {
			t.Error("not confirmed")
		}
		w.do(func(ctx context.Context, tx *store.Tx) error {
			return w.r.SetPlan(ctx, tx, w.ada, policy.Owner, d, policy.Standard, device.Forever)
		})
		if w.status(d).Confirmed(d) {
			t.Error("an older plan counts as the new one")
		}
	})
}

func TestT54TextsOfUnitsAreBoundedAndPrintable(t *testing.T) {
	each(t, func(w *world) {
		bad := "<b>\x00\n\u202e\xff\" =1+1" + strings.Repeat("ü", 300)
		for _, serial := range []string{"A S", "A\"S", "A\\S", "A\nS", "Äs", strings.Repeat("A", 65)} {
			w.report("g_1", unit("rack-a", serial))
			if got := w.unregistered("o_1"); len(got) != 0 {
				t.Errorf("serial number %q was taken: %+v", serial, got)
			}
		}
		u := unit(bad, "AS1")
		u.Model, u.Firmware = bad, bad
		w.report("g_1", u)
		got := w.unregistered("o_1")
		if len(got) != 1 {
			t.Fatalf("%+v", got)
		}
		for _, text := range []string{got[0].Unit, got[0].Model, got[0].Firmware} {
			if len(text) > 256 || eventlog.Clean(text) != text {
				t.Errorf("kept %q", text)
			}
		}
	})
}

func TestT54AnAgentThatMakesUpUnitsFillsNoTable(t *testing.T) {
	each(t, func(w *world) {
		w.report("g_1", unit("rack-a", "MINE"))
		d := w.mustRegister(w.ada, "MINE")
		for i := range 3 {
			w.now = w.now.Add(time.Minute)
			units := make([]wire.UnitState, 1050)
			for j := range units {
				units[j] = unit(fmt.Sprintf("rack-%04d", j), fmt.Sprintf("AS-%d-%d", i, j))
			}
			w.report("g_1", units...)
		}
		var n int
		must(t, w.db.Read(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			return tx.QueryRow(ctx, `SELECT COUNT(*) FROM sightings`).Scan(&n)
		}))
		if n > 3000 {
			t.Errorf("%d sightings are kept", n)
		}
		if len(w.unregistered("o_1")) != 1000 {
			t.Errorf("%d are there now, want the first 1000", len(w.unregistered("o_1")))
		}
		if st := w.status(d); st.Why != string(device.Removed) && st.Why != device.AgentSilent {
			t.Errorf("%+v", st)
		}
	})
}

func TestAHeartbeatThatSaysNothingNewWritesOneRow(t *testing.T) {
	each(t, func(w *world) {
		w.report("g_1", unit("rack-a", "AS1"))
		var first, second int64
		stored := func(into *int64) {
			must(t, w.db.Read(t.Context(), func(ctx context.Context, tx *store.Tx) error {
				return tx.QueryRow(ctx, `SELECT last_seen FROM sightings WHERE serial = 'AS1'`).Scan(into)
			}))
		}
		stored(&first)
		w.now = w.now.Add(time.Minute)
		w.report("g_1", unit("rack-a", "AS1"))
		stored(&second)
		if got := w.unregistered("o_1")[0]; first != second || !got.LastSeen.Equal(w.now) || got.FirstSeen.Equal(w.now) {
			t.Errorf("row written at %d, then %d; seen %+v", first, second, got)
		}
	})
}

func TestRenamingIsLoggedFieldByField(t *testing.T) {
	each(t, func(w *world) {
		w.report("g_1", unit("rack-a", "AS1"))
		d := w.mustRegister(w.ada, "AS1")
		rename := func(to device.Label) error {
			return w.write(func(ctx context.Context, tx *store.Tx) error { return w.r.Rename(ctx, tx, w.ada, policy.Owner, d, to) })
		}
		for _, bad := range []device.Label{{}, {Name: strings.Repeat("ü", 101)}, {Name: "a\nb"}, {Name: "a\x00"}, {Name: "a", Site: "\u202e"}} {
			if err := rename(bad); reason(err) != policy.Malformed {
				t.Errorf("%+v: %v", bad, err)
			}
		}
		must(t, rename(device.Label{Name: " UPS of the hall ", Notes: "first\nsecond"}))
		if d.Name != "UPS of the hall" {
			t.Errorf("named %q", d.Name)
		}
		w.wantActions(d.ID, "device.register done", "configure.label done", "configure.label done")
	})
}

func TestPERM9NobodyIsToldAndTheLogOfTheDeviceSaysNothing(t *testing.T) {
	each(t, func(w *world) {
		w.report("g_1", unit("rack-a", "AS1"))
		d := w.mustRegister(w.ada, "AS1")
		for _, id := range []string{d.ID, "d_none"} {
			err := w.db.Read(t.Context(), func(ctx context.Context, tx *store.Tx) error {
				_, _, err := device.May(ctx, tx, w.bob, id, policy.InventoryRead, w.now)
				return err
			})
			if err != device.ErrNone {
				t.Errorf("%s: %v", id, err)
			}
			w.do(func(ctx context.Context, tx *store.Tx) error {
				return device.LogRefusal(ctx, tx, w.bob, id, policy.RebootUPS, map[string]string{"delay": "none", "code": "x"}, refusal(err))
			})
		}
		w.wantActions(d.ID, "device.register done")
		w.wantActions("o_2", "reboot.ups refused NOT_FOUND", "reboot.ups refused NOT_FOUND")
	})
}

func TestPERM10TheRightIsAskedAtTheMomentOfActing(t *testing.T) {
	each(t, func(w *world) {
		w.report("g_1", unit("rack-a", "AS1"))
		d := w.mustRegister(w.ada, "AS1")
		may := func(action policy.Action) (err error) {
			return w.db.Read(t.Context(), func(ctx context.Context, tx *store.Tx) error {
				_, _, err = device.May(ctx, tx, w.ada, d.ID, action, w.now)
				return err
			})
		}
		if err := may(policy.RebootUPS); err != nil {
			t.Error(err)
		}
		if err := may("reboot.world"); reason(err) != policy.UnknownAction {
			t.Errorf("PERM-1: %v", err)
		}
		w.now = d.ValidUntil
		if err := may(policy.RebootUPS); reason(err) != policy.PlanBasic {
			t.Errorf("PLAN-9: %v", err)
		}
		w.do(func(ctx context.Context, tx *store.Tx) error {
			return device.LogRefusal(ctx, tx, w.ada, d.ID, policy.RebootUPS, nil, refusal(may(policy.RebootUPS)))
		})
		w.end(d)
		if err := may(policy.InventoryRead); err != device.ErrNone {
			t.Errorf("deleted: %v", err)
		}
		w.wantActions(d.ID, "device.register done", "reboot.ups refused PLAN_BASIC")
	})
}
