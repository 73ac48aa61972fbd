package order

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/policy"
	"upsedge/internal/ups/upstest"
	"upsedge/internal/wire"
)

// waiting puts an order into the book that passed every check when it was asked for.
func (w *world) waiting(action policy.Action, params map[string]string) *Order {
	w.t.Helper()
	var o *Order
	w.write(func(ctx context.Context, tx *store.Tx) error {
		d, err := device.Get(ctx, tx, deviceID)
		if err != nil {
			return err
		}
		o = newOrder(d, owner, device.Right{Role: policy.Owner, Plan: d.PlanAt(w.clock)}, action, params, w.clock)
		return w.book.begin(ctx, tx, o)
	})
	return o
}

// TestPLAN8AQueuedRebootOfAGroupIsRefusedBehindADropToStandard, and the reboot of the whole unit is not (PERM-6).
func TestPLAN8AQueuedRebootOfAGroupIsRefusedBehindADropToStandard(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		for _, row := range []struct {
			action policy.Action
			params map[string]string
			drop   policy.Plan
			want   policy.Reason
		}{
			{policy.RebootGroup, map[string]string{"group": "sog0", "delay": "configured"}, policy.Standard, policy.PlanStandard},
			{policy.ControlOutlet, map[string]string{"group": "sog0", "state": "off"}, policy.Standard, policy.PlanStandard},
			{policy.RebootUPS, map[string]string{"delay": "configured"}, policy.Standard, ""},
			{policy.RebootUPS, map[string]string{"delay": "configured"}, policy.Basic, policy.PlanBasic},
		} {
			w := newWorld(t, db)
			o := w.waiting(row.action, row.params)
			w.connect()
			w.setPlan(row.drop)
			w.pass()
			if row.want == "" {
				w.want(o.ID, Sent, "")
				continue
			}
			w.want(o.ID, wire.OrderRefused, row.want)
			if len(w.sign.signed) != 0 {
				t.Errorf("%s on %s: signed %+v", row.action, row.drop, w.sign.signed)
			}
		}
	})
}

func TestPERM6NoGroupIsOrderedOnStandard(t *testing.T) {
	onSQLite(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		for plan, want := range map[policy.Plan][3]policy.Reason{ // reboot.ups, reboot.group, control.outlet
			policy.Basic:    {policy.PlanBasic, policy.PlanBasic, policy.PlanBasic}, // PERM-4
			policy.Standard: {"", policy.PlanStandard, policy.PlanStandard},
			policy.Advanced: {"", "", ""},
		} {
			w.setPlan(plan)
			for i, action := range []policy.Action{policy.RebootUPS, policy.RebootGroup, policy.ControlOutlet} {
				if _, err := w.create(owner, Request{Device: deviceID, Action: action, Params: upstest.Params(string(action))}); reasonOf(t, err) != want[i] {
					t.Errorf("%s on %s: %v, want %q", action, plan, err, want[i])
				}
			}
		}
	})
}

// TestPLAN5AnUpgradeIsObeyedAtOnce: what was refused on Basic is taken again, with nothing done by anyone but the change of the plan.
func TestPLAN5AnUpgradeIsObeyedAtOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.connect()
		w.setPlan(policy.Basic)
		if _, err := w.create(owner, Request{Device: deviceID, Action: policy.RebootUPS}); reasonOf(t, err) != policy.PlanBasic {
			t.Fatalf("on basic: %v", err)
		}
		w.setPlan(policy.Standard)
		o := w.reboot()
		w.pass()
		w.deliver()
		w.want(o.ID, wire.OrderDone, "")
	})
}

// TestLIC4AnotherProcesssPlanIsToldWithinSeconds: a command of the operator beside a server wakes nobody, on SQLite either.
func TestLIC4AnotherProcesssPlanIsToldWithinSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, storetest.Open(t, storetest.SQLite(t)))
		w.connect()
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- w.book.Run(ctx, w.link) }()
		synctest.Wait()
		w.setPlan(policy.Standard) // without Refresh
		time.Sleep(5 * time.Second)
		synctest.Wait()
		w.deliver()
		if b := w.site.bind; b.Plan != "standard" || b.GrantVersion != 2 {
			t.Errorf("5 s later the site has %+v", b)
		}
		stop()
		must(t, <-ended)
	})
}
