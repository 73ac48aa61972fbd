package order

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/policy"
	"upsedge/internal/wire"
)

// T-08, T-82: the right ends between the request and the delivery.
func TestT08ALoweredPlanEndsWhatWaits(t *testing.T) {
	onSQLite(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		o := w.reboot()
		w.setPlan(policy.Basic)
		w.connect()
		w.pass()
		w.want(o.ID, wire.OrderRefused, policy.PlanBasic)
		if len(w.sign.signed) != 0 {
			t.Errorf("signed %+v", w.sign.signed)
		}
		w.wantLog("reboot.ups accepted  by cloud in d_1", "reboot.ups refused PLAN_BASIC by cloud in d_1")
	})
}

// T-08, T-82: it was signed already. The statement of the next session, or of this one, comes before it.
func TestT82WhatWasSignedBeforeThePlanWasLoweredIsRefusedOnSite(t *testing.T) {
	onSQLite(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.connect()
		o := w.reboot()
		w.pass()
		signed := w.link.out
		w.link.out = nil // held back by whoever is between
		w.setPlan(policy.Basic)
		w.book.Refresh(agentName)
		w.pass()
		w.deliver() // the statement
		w.link.out = signed
		w.deliver()
		w.want(o.ID, wire.OrderRefused, policy.PlanBasic)
		if told := w.told(); told != nil {
			t.Errorf("a change explains it, and it was told: %q", told)
		}
	})
}

// T-10: the agent refuses what the new key signs until it was told the new list, and then what the old one signs.
func TestT10ARotatedKeyIsToldBeforeItsFirstCommand(t *testing.T) {
	onSQLite(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.connect()
		first := w.reboot()
		w.pass()
		w.deliver()
		w.want(first.ID, wire.OrderDone, "")
		w.sign.rotate(t)
		second := w.reboot()
		w.pass()
		w.deliver()
		w.want(second.ID, wire.OrderDone, "")
		w.start() // another process does not know what was told
		w.connect()
		w.sign.rotate(t)
		third := w.reboot()
		w.pass()
		w.deliver()
		w.want(third.ID, wire.OrderDone, "")
	})
}

func TestT82OfASessionThatIsOverNothingCounts(t *testing.T) {
	onSQLite(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.connect()
		o := w.reboot()
		w.pass()
		signed := w.link.out
		w.disconnect()
		w.setPlan(policy.Basic)
		w.connect()
		w.pass()
		if len(w.sign.signed) != 1 {
			t.Errorf("signed again: %+v", w.sign.signed)
		}
		w.link.out = signed
		w.deliver()
		w.want(o.ID, wire.OrderRefused, policy.Expired)
	})
}

func TestPERM10ARightThatEndedEndsWhatWaits(t *testing.T) {
	for name, row := range map[string]struct {
		change string
		want   policy.Reason
	}{
		"another owner":       {`UPDATE devices SET owner = 'a_bob', grant_version = 2`, policy.GrantStale},
		"deleted":             {`UPDATE devices SET ended_at = 1`, policy.NotBound},
		"another agent":       {`UPDATE devices SET agent = 'box-8'`, policy.NotBound},
		"another epoch":       {`UPDATE devices SET epoch = 2`, policy.NotBound},
		"the plan ran out":    {`UPDATE devices SET valid_until = 1`, policy.PlanBasic},
		"a plan of no name":   {`UPDATE devices SET plan = 'platinum'`, policy.PlanBasic},
		"it was never signed": {`UPDATE orders SET role = 'owner'`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, storetest.Open(t, storetest.SQLite(t)))
			o := w.reboot()
			w.connect()
			w.exec(row.change)
			w.pass()
			if row.want == "" {
				w.want(o.ID, Sent, "")
				return
			}
			w.want(o.ID, wire.OrderRefused, row.want)
			if len(w.sign.signed) != 0 {
				t.Errorf("signed %+v", w.sign.signed)
			}
		})
	}
}

func TestPERM11ADifferenceThatNothingExplainsIsTold(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.connect()
		w.site.bind.Plan = string(policy.Basic) // whatever made it so
		o := w.reboot()
		w.pass()
		w.deliver()
		w.want(o.ID, wire.OrderRefused, policy.PlanBasic)
		if told := w.told(); !slices.Equal(told, []string{"841 " + serial}) {
			t.Errorf("told %q", told)
		}
		w.wantLog("reboot.ups accepted  by cloud in d_1", "policy.differ refused PLAN_BASIC by agent in d_1", "reboot.ups refused PLAN_BASIC by agent in d_1")
	})
}

func TestAnOrderThatRunsAndWasNeverSentIsTold(t *testing.T) {
	w := newWorld(t, storetest.Open(t, storetest.SQLite(t)))
	w.connect()
	o := w.reboot()
	w.site.bring(wire.Result{Order: o.ID, Device: serial, Action: "reboot.ups", State: wire.OrderAccepted, Actor: "u_ada", Role: "owner"})
	if told := w.told(); !slices.Equal(told, []string{"order.never_sent " + serial}) {
		t.Errorf("told %q", told)
	}
	w.want(o.ID, wire.OrderAccepted, "")
	w.pass()
	if len(w.sign.signed) != 0 {
		t.Error("it was sent on top")
	}
}

func TestResultsOfOthersOrdersChangeNothing(t *testing.T) {
	w := newWorld(t, storetest.Open(t, storetest.SQLite(t)))
	w.connect()
	o := w.reboot()
	for _, r := range []wire.Result{
		{Order: o.ID, Device: "AS0", Action: "reboot.ups", State: wire.OrderDone, Actor: "u_ada", Role: "owner"},
		{Order: wire.ID{1}, Device: serial, Action: "reboot.ups", State: wire.OrderDone, Actor: "u_ada", Role: "owner"},
	} {
		w.site.bring(r)
	}
	w.want(o.ID, Pending, "")
	if told := w.told(); !slices.Equal(told, []string{"order.foreign AS0", "order.never_sent " + serial}) {
		t.Errorf("told %q", told)
	}
}

func TestLOG6OrdersGivenOnSiteStandInTheLogWithBothTimes(t *testing.T) {
	onSQLite(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.connect()
		w.clock = noon.Add(time.Hour)
		r := wire.Result{Order: wire.ID{1}, Device: serial, Action: "reboot.ups", Actor: cloud.LocalRef, Role: "local"}
		for _, r.State = range []wire.OrderState{wire.OrderReceived, wire.OrderAccepted, wire.OrderRunning, wire.OrderDone} {
			w.site.bring(r)
		}
		w.wantLog("reboot.ups accepted  by agent in d_1", "reboot.ups done  by agent in d_1")
		must(t, db.Read(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			var at, arrived int64
			var actor string
			err := tx.QueryRow(ctx, `SELECT at, arrived, actor FROM event_log WHERE n = 2`).Scan(&at, &arrived, &actor)
			if arrived-at != 1000 || arrived != w.clock.UnixMilli() || actor != "local" {
				t.Errorf("at %d, arrived %d, by %s", at, arrived, actor)
			}
			return err
		}))
	})
}

func TestWhatAnAgentSaysIsOneLineOfTheLog(t *testing.T) {
	w := newWorld(t, storetest.Open(t, storetest.SQLite(t)))
	w.connect()
	o := w.reboot()
	w.pass()
	w.site.bring(wire.Result{
		Order: o.ID, Device: serial, Action: "reboot.ups", State: wire.OrderFailed, Reason: "X\nY", Detail: "a\x1b[2J\n" + strings.Repeat("b", 5000), Actor: "u_ada", Role: "owner",
	})
	if got := w.order(o.ID); strings.ContainsAny(got.Detail, "\x1b\n") || len(got.Detail) > 256 {
		t.Errorf("detail %q", got.Detail)
	}
}
