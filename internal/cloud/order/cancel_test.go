package order

import (
	"testing"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/policy"
	"upsedge/internal/wire"
)

func TestWhatWaitsIsCancelledAtOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		o := w.reboot()
		_, cancel, err := w.cancel(owner, o.ID)
		must(t, err)
		w.want(o.ID, wire.OrderCancelled, policy.Cancelled)
		w.want(cancel.ID, wire.OrderDone, "")
		w.connect()
		w.pass()
		if len(w.sign.signed) != 0 {
			t.Errorf("signed %+v", w.sign.signed)
		}
		w.wantLog("reboot.ups accepted  by cloud in d_1", "order.cancel done  by cloud in d_1", "reboot.ups cancelled CANCELLED by cloud in d_1")
		if _, _, err := w.cancel(owner, o.ID); reasonOf(t, err) != policy.Conflict {
			t.Errorf("cancelled again: %v", err)
		}
	})
}

func TestWhatRunsIsAskedBackFromTheAgent(t *testing.T) {
	onSQLite(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.site.manual = true
		w.connect()
		o := w.reboot()
		w.pass()
		w.deliver()
		_, cancel, err := w.cancel(owner, o.ID)
		must(t, err)
		if _, same, err := w.cancel(owner, o.ID); err != nil || same.ID != cancel.ID {
			t.Errorf("asked twice: %v, %v", same, err)
		}
		w.want(o.ID, wire.OrderAccepted, "")
		w.pass()
		w.deliver()
		w.want(o.ID, wire.OrderCancelled, "")
		w.want(cancel.ID, wire.OrderDone, "")
	})
}

// The command was lost on the way: the agent knows nothing of it, and it must not follow its own cancellation.
func TestWhatWasLostOnTheWayIsNotSentBehindItsCancellation(t *testing.T) {
	onSQLite(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.connect()
		o := w.reboot()
		w.pass()
		w.disconnect()
		_, cancel, err := w.cancel(owner, o.ID)
		must(t, err)
		w.connect()
		w.pass()
		w.deliver()
		w.want(cancel.ID, wire.OrderRefused, policy.NotFound)
		w.want(o.ID, wire.OrderCancelled, policy.Cancelled)
		w.clock = w.clock.Add(20 * time.Second)
		w.pass()
		w.deliver()
		if w.site.effects[o.ID] != 0 || len(w.sign.signed) != 2 {
			t.Errorf("%d effects, %d signed", w.site.effects[o.ID], len(w.sign.signed))
		}
	})
}

func TestPERM2OnesOwnOrderOrTheOwnerAny(t *testing.T) {
	target := &Order{Actor: cloud.Actor{Ref: "u_ada"}}
	for _, row := range []struct {
		actor string
		role  policy.Role
		want  policy.Reason
	}{
		{"u_ada", policy.Shared, ""},
		{"u_ada", policy.Owner, ""},
		{"u_eve", policy.Owner, ""},
		{"u_eve", policy.Shared, policy.OwnerOnly},
		{"u_eve", policy.PartnerAdmin, policy.OwnerOnly},
	} {
		if got := reasonOf(t, mayCancel(target, row.actor, row.role)); got != row.want {
			t.Errorf("%s as %s: %q, want %q", row.actor, row.role, got, row.want)
		}
	}
	w := newWorld(t, storetest.Open(t, storetest.SQLite(t)))
	o := w.reboot()
	if _, _, err := w.cancel(alien, o.ID); reasonOf(t, err) != policy.NotFound {
		t.Errorf("by a stranger: %v", err)
	}
	w.setPlan(policy.Basic)
	if _, _, err := w.cancel(owner, o.ID); reasonOf(t, err) != policy.PlanBasic {
		t.Errorf("on basic: %v", err)
	}
}
