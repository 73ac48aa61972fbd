package order

import (
	"context"
	"testing"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/policy"
	"upsedge/internal/wire"
)

var impatient = Request{Device: deviceID, Action: policy.RebootUPS, Reject: true}

// presence tells what ingest tells of a connection.
func (w *world) presence(online bool) {
	w.t.Helper()
	w.exec(`INSERT INTO agent_presence (agent, online, since, state_at) VALUES ($1, $2, 0, 0) ON CONFLICT (agent) DO UPDATE SET online = excluded.online`,
		agentName, store.Flag(online))
	w.write(func(ctx context.Context, tx *store.Tx) error {
		return w.book.Presence(ctx, tx, agentName, online, w.clock)
	})
}

// TestEDGE11AnOrderThatIsNotToWaitIsRefusedWhileTheAgentIsAway: never heard, gone, or connected and without a statement; and taken when it is there.
func TestEDGE11AnOrderThatIsNotToWaitIsRefusedWhileTheAgentIsAway(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.exec(`DELETE FROM agent_presence`)
		refused := func(when string) {
			t.Helper()
			if _, err := w.create(owner, impatient); reasonOf(t, err) != policy.UPSUnreachable {
				t.Errorf("%s: %v", when, err)
			}
		}
		refused("never heard")
		w.link.up = true
		w.announce()
		refused("connected, without a statement")
		w.deliver()
		w.presence(false)
		refused("gone")
		w.presence(true)
		c, err := w.create(owner, impatient)
		must(t, err)
		w.pass()
		w.deliver()
		w.want(c.ID, wire.OrderDone, "")
		patient, err := w.create(owner, Request{Device: deviceID, Action: policy.AlarmMute})
		must(t, err)
		w.presence(false)
		w.want(patient.ID, Pending, "")
	})
}

// TestEDGE11AnOrderThatIsNotToWaitEndsWhenTheAgentLeaves before it was sent: when that is seen, and else when the next session begins. What was
// sent is the agent's to tell.
func TestEDGE11AnOrderThatIsNotToWaitEndsWhenTheAgentLeaves(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.exec(`DELETE FROM agent_presence`)
		w.connect()
		seen, err := w.create(owner, impatient)
		must(t, err)
		w.presence(false)
		w.want(seen.ID, wire.OrderRefused, policy.UPSUnreachable)
		w.presence(true)

		sent, err := w.create(owner, impatient)
		must(t, err)
		w.pass()
		unseen, err := w.create(owner, impatient)
		must(t, err)
		w.disconnect()
		w.connect()
		w.want(sent.ID, Sent, "")
		w.want(unseen.ID, wire.OrderRefused, policy.UPSUnreachable)
		w.pass()
		w.deliver()
		w.want(sent.ID, wire.OrderDone, "")
		if w.site.effects[unseen.ID] != 0 || w.site.effects[sent.ID] != 1 {
			t.Errorf("effects %v", w.site.effects)
		}
	})
}

// TestPLAN8WhatWaitsIsRefusedWhenThePlanFalls, where the agent is away, too, and whoever has changed the plan; another change lets it wait.
func TestPLAN8WhatWaitsIsRefusedWhenThePlanFalls(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		o := w.reboot()
		w.setPlan(policy.Standard)
		w.pass()
		w.want(o.ID, Pending, "")
		if got := w.order(o.ID).Grant; got != 2 {
			t.Errorf("judged by version %d", got)
		}
		w.setPlan(policy.Basic)
		w.pass()
		w.want(o.ID, wire.OrderRefused, policy.PlanBasic)
		w.wantLog("reboot.ups accepted  by cloud in d_1", "reboot.ups refused PLAN_BASIC by cloud in d_1")
	})
}

// TestPLAN8APlanThatEndsByItselfRefusesWhatWaits: the end is written down by package device.
func TestPLAN8APlanThatEndsByItselfRefusesWhatWaits(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		devices := device.New(device.Config{Now: func() time.Time { return w.clock }})
		w.write(func(ctx context.Context, tx *store.Tx) error {
			d, err := device.Get(ctx, tx, deviceID)
			if err == nil {
				err = devices.SetPlan(ctx, tx, cloud.System("test"), "", d, policy.Advanced, noon.Add(30*time.Second))
			}
			return err
		})
		o := w.reboot()
		w.clock = w.clock.Add(31 * time.Second)
		must(t, devices.EndPlans(t.Context(), db))
		w.pass()
		w.want(o.ID, wire.OrderRefused, policy.PlanBasic)
	})
}

// TestEDGE9WhatARemovedAgentHadInHandEnds in the transaction that removes it.
func TestEDGE9WhatARemovedAgentHadInHandEnds(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.connect()
		w.site.manual = true
		accepted := w.reboot()
		w.pass()
		w.deliver()
		w.want(accepted.ID, wire.OrderAccepted, "")
		waits := w.reboot()
		w.write(func(ctx context.Context, tx *store.Tx) error { return w.book.AgentEnded(ctx, tx, agentName) })
		if o := w.want(accepted.ID, wire.OrderUnknown, policy.NotBound); o.Detail != "the agent was removed; the last that is known is accepted" {
			t.Errorf("it says %q", o.Detail)
		}
		w.want(waits.ID, wire.OrderRefused, policy.NotBound)
		if _, err := w.create(owner, impatient); reasonOf(t, err) != policy.UPSUnreachable {
			t.Errorf("it is still there: %v", err)
		}
	})
}
