package order

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/policy"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// preview returns what is said of an order beforehand: reasons, and who gives them.
func (w *world) preview(actor cloud.Actor, r Request) (out []string, err error) {
	w.t.Helper()
	err = w.db.Read(context.Background(), func(ctx context.Context, tx *store.Tx) error {
		out = nil
		all, err := w.book.Preview(ctx, tx, actor, r)
		for _, d := range all {
			if d.Detail == "" {
				w.t.Errorf("%+v has no words", d)
			}
			out = append(out, string(d.Reason)+" "+d.By)
		}
		return err
	})
	return out, err
}

func (w *world) wantPreview(what string, r Request, want ...string) {
	w.t.Helper()
	r.Device = deviceID
	if got, err := w.preview(owner, r); err != nil || !slices.Equal(got, want) {
		w.t.Errorf("%s: %q, %v; want %q", what, got, err, want)
	}
}

// reports has the site say what it is like, to both who keep it.
func (w *world) reports(full wire.FullState) {
	w.t.Helper()
	w.write(func(ctx context.Context, tx *store.Tx) error {
		if err := w.book.State(ctx, tx, agentName, &full, w.clock); err != nil {
			return err
		}
		return device.New(device.Config{}).State(ctx, tx, agentName, &full, w.clock)
	})
}

// TestT07TheSitesRefusalIsSaidBefore an order is made: each rule of the site, from what its full state said.
func TestT07TheSitesRefusalIsSaidBefore(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.exec(`DELETE FROM agent_presence`)
		w.exec(`DELETE FROM sightings`)
		reboot := Request{Action: policy.RebootUPS}
		w.wantPreview("an agent that was never heard", reboot, "EXPIRED site")
		w.wantPreview("and it is not to wait", Request{Action: policy.RebootUPS, Reject: true}, "UPS_UNREACHABLE cloud", "EXPIRED site")
		w.connect()
		full := wire.FullState{
			Agent: agentName, Allow: []string{"reboot", "diagnostics", "outlets", "alarms"}, Clock: wire.ClockSynced,
			Units: []wire.UnitState{{Unit: "rack-a", Serial: serial, Condition: ups.Online, Epoch: 1, PlanVersion: 1, GrantVersion: 1, Drops: &wire.Drops{Left: 12}}},
			Rules: &wire.OrderRules{MinInterval: 2 * time.Minute, DailyMax: 12},
		}
		unit := &full.Units[0]
		w.reports(full)
		w.wantPreview("all is well", reboot)

		w.wantPreview("a group that is not allowed", Request{Action: policy.ConfigureDevice, Params: map[string]string{"setting": ups.SOG0TurnOnDelay.String(), "value": "30"}}, "LOCAL_POLICY site")

		full.Rules.Hours, full.Rules.Zone = "08:00-12:00", 0 // it is noon
		w.reports(full)
		w.wantPreview("outside of the hours", reboot, "LOCAL_POLICY site")
		full.Rules.Zone = -time.Hour
		w.reports(full)
		w.wantPreview("within them, by the site's clock", reboot)
		full.Clock = wire.ClockUnset
		w.reports(full)
		w.wantPreview("where the site does not know the time", reboot, "LOCAL_POLICY site")
		full.Rules.Hours, full.Clock = "nonsense", wire.ClockSynced
		w.reports(full)
		w.wantPreview("hours that nobody can read", reboot)
		full.Rules.Hours = ""

		unit.Drops = &wire.Drops{Wait: 90 * time.Second, Left: 11}
		w.reports(full)
		w.wantPreview("too soon", reboot, "RATE_LIMIT site")
		w.wantPreview("what drops no load", Request{Action: policy.AlarmMute})
		w.wantPreview("what turns on", Request{Action: policy.ControlOutlet, Params: map[string]string{"group": "sog0", "to": "on"}})
		w.clock = w.clock.Add(91 * time.Second)
		w.wantPreview("when it has waited", reboot)
		unit.Drops = &wire.Drops{Wait: time.Hour, Left: 0}
		w.reports(full)
		w.wantPreview("too many", reboot, "RATE_LIMIT site")
		full.Rules.DailyMax, unit.Drops = 0, &wire.Drops{}
		w.reports(full)
		w.wantPreview("none at all", reboot, "RATE_LIMIT site")
		full.Rules, unit.Drops = nil, nil
		w.reports(full)
		w.wantPreview("an agent that does not tell", reboot)

		for state, locks := range map[ups.Status]bool{ups.OnBattery: true, ups.Bypass: true, ups.Testing: true, ups.Calibrating: true, ups.Overload: true, ups.OutputOff: true, ups.Boost: false} {
			unit.Condition = state
			w.reports(full)
			want := []string{"SAFETY_LOCK site"}
			if !locks {
				want = nil
			}
			w.wantPreview(fmt.Sprint("in the state ", state.Names()), reboot, want...)
			w.wantPreview("what a state does not lock", Request{Action: policy.AlarmMute})
			w.wantPreview("taking back", Request{Action: policy.ControlOutlet, Params: map[string]string{"group": "sog0", "to": "cancel"}})
		}
		w.wantPreview("aborting", Request{Action: policy.DiagnosticsRun, Params: map[string]string{"test": "self", "do": "abort"}})
		unit.Condition = ups.Stale
		w.reports(full)
		w.wantPreview("a unit that does not answer", reboot, "UPS_UNREACHABLE site")
		w.wantPreview("the box itself does", Request{Action: policy.SupportBundle})
		unit.Condition = ups.Online
		w.reports(full)

		w.setPlan(policy.Standard)
		w.wantPreview("a plan that is too low", Request{Action: policy.RebootGroup, Params: map[string]string{"group": "sog0"}}, "PLAN_STANDARD cloud")
		w.setPlan(policy.Basic)
		w.wantPreview("no plan, and the site is told nothing of", reboot, "PLAN_BASIC cloud")
		w.setPlan(policy.Advanced)
		w.wantPreview("parameters", Request{Action: policy.RebootUPS, Params: map[string]string{"delay": "7"}}, "MALFORMED cloud")
		w.wantPreview("no action", Request{Action: "reboot.everything"}, "UNKNOWN_ACTION cloud")

		w.book.limits.Load = 0
		w.wantPreview("limits here", reboot, "RATE_LIMIT cloud")
		w.book.limits.Load = 1000
		before := w.log()
		if got, err := w.preview(alien, Request{Device: deviceID, Action: policy.RebootUPS}); err == nil || got != nil || !strings.Contains(err.Error(), "NOT_FOUND") && !strings.Contains(fmt.Sprint(err), "no such") {
			t.Errorf("to a stranger: %q, %v", got, err)
		}
		if after := w.log(); !slices.Equal(before, after) {
			t.Errorf("a preview was logged: %q", after)
		}
		var n int
		must(t, db.Read(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			return tx.QueryRow(ctx, `SELECT COUNT(*) FROM orders`).Scan(&n)
		}))
		if n != 0 {
			t.Errorf("%d orders", n)
		}

		w.site.manual = true
		w.reboot()
		w.pass()
		w.deliver()
		w.wantPreview("beside another", reboot, "BUSY site")
	})
}

// TestTIME3APlanThatTheSiteHasNotConfirmedIsSaidBefore.
func TestTIME3APlanThatTheSiteHasNotConfirmedIsSaidBefore(t *testing.T) {
	onSQLite(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.connect()
		w.exec(`INSERT INTO grant_plans (device, version, plan, valid_until) VALUES ($1, 1, 'basic', $2), ($1, 2, 'advanced', $2)`, deviceID, device.Forever.UnixMilli())
		w.setPlan(policy.Advanced)
		full := wire.FullState{
			Agent: agentName, Allow: []string{"reboot"}, Clock: wire.ClockSynced,
			Units: []wire.UnitState{{Unit: "rack-a", Serial: serial, Condition: ups.Online, Epoch: 1, PlanVersion: 1, GrantVersion: 1}},
		}
		w.reports(full)
		w.wantPreview("before it is confirmed", Request{Action: policy.RebootUPS}, "PLAN_BASIC site")
		full.Units[0].GrantVersion = 2
		w.reports(full)
		w.wantPreview("behind it", Request{Action: policy.RebootUPS})
	})
}

// TestLOG4AnOrderGivenOnSiteIsInTheDevicesLog as done by "local", with the time of the box; and who claims so of an order that was made here is not
// believed.
func TestLOG4AnOrderGivenOnSiteIsInTheDevicesLog(t *testing.T) {
	onSQLite(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.connect()
		w.site.manual = true
		o := w.reboot()
		w.pass()
		w.deliver()
		w.exec(`DELETE FROM event_log`)
		w.exec(`DELETE FROM event_heads`)
		result := wire.Result{Order: wire.ID{0xaa}, Device: serial, Unit: "rack-a", Action: "reboot.ups", Actor: wire.OnSite, Role: wire.OnSite}
		for _, result.State = range []wire.OrderState{wire.OrderReceived, wire.OrderAccepted, wire.OrderRunning, wire.OrderDone} {
			w.site.results = append(w.site.results, result)
		}
		w.deliver()
		w.wantLog("reboot.ups accepted  by agent in "+deviceID, "reboot.ups done  by agent in "+deviceID)
		if got := w.order(wire.ID{0xaa}); got != nil {
			t.Errorf("it became an order of the cloud: %+v", got)
		}
		if told := w.told(); told != nil {
			t.Errorf("told: %q", told)
		}

		result.Order = o.ID
		w.site.results = append(w.site.results, result)
		w.deliver()
		w.want(o.ID, wire.OrderAccepted, "")
		if told := w.told(); !slices.Equal(told, []string{Foreign + " " + serial}) {
			t.Errorf("told: %q", told)
		}
		half := result // an actor of ours that is none on site
		half.Order, half.Actor = wire.ID{0xbb}, owner.Ref
		w.site.results = append(w.site.results, half)
		w.deliver()
		if log := w.log(); !strings.HasPrefix(log[len(log)-1], logNeverSent) {
			t.Errorf("half a claim: %q", log)
		}
	})
}
