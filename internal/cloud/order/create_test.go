package order

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/policy"
	"upsedge/internal/ups"

	"pgregory.net/rapid"
)

// reasonOf is the code of a refusal, "" of none.
func reasonOf(t rapid.TB, err error) policy.Reason {
	t.Helper()
	var refusal *cloud.Error
	if err != nil && !errors.As(err, &refusal) {
		t.Fatalf("no refusal: %v", err)
	}
	if refusal == nil {
		return ""
	}
	return refusal.Reason
}

// refused writes down a refusal as the interface does.
func (w *world) refused(actor cloud.Actor, r Request, err error) {
	w.t.Helper()
	var refusal *cloud.Error
	if errors.As(err, &refusal) {
		w.write(func(ctx context.Context, tx *store.Tx) error { return w.book.Refused(ctx, tx, actor, r, refusal) })
	}
}

func TestPERM1RequestsAreRefusedWithTheFirstReasonInOrderAndEachIsLogged(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		stale := owner
		stale.HasFactor = true
		for name, row := range map[string]struct {
			actor  cloud.Actor
			action policy.Action
			params map[string]string
			plan   policy.Plan
			want   policy.Reason
			log    string
		}{
			"reboot":                  {owner, policy.RebootUPS, nil, policy.Standard, "", "reboot.ups accepted  by cloud in d_1"},
			"reboot without delay":    {owner, policy.RebootUPS, map[string]string{"delay": "none"}, policy.Advanced, "", "reboot.ups accepted  by cloud in d_1"},
			"self-test":               {owner, policy.DiagnosticsRun, map[string]string{"test": "self"}, policy.Standard, "", "diagnostics.run accepted  by cloud in d_1"},
			"a stranger":              {alien, policy.RebootUPS, nil, policy.Advanced, policy.NotFound, "reboot.ups refused NOT_FOUND by cloud in o_two"},
			"a stranger's nonsense":   {alien, "x", nil, policy.Basic, policy.NotFound, "order.request refused NOT_FOUND by cloud in o_two"},
			"basic":                   {owner, policy.RebootUPS, nil, policy.Basic, policy.PlanBasic, "reboot.ups refused PLAN_BASIC by cloud in d_1"},
			"basic before the form":   {owner, policy.DiagnosticsRun, map[string]string{"test": "x"}, policy.Basic, policy.PlanBasic, "diagnostics.run refused PLAN_BASIC by cloud in d_1"},
			"group on standard":       {owner, policy.RebootGroup, nil, policy.Standard, policy.PlanStandard, "reboot.group refused PLAN_STANDARD by cloud in d_1"},
			"group on advanced":       {owner, policy.RebootGroup, map[string]string{"group": "sog0"}, policy.Advanced, "", "reboot.group accepted  by cloud in d_1"},
			"no group":                {owner, policy.RebootGroup, nil, policy.Advanced, policy.Malformed, "reboot.group refused MALFORMED by cloud in d_1"},
			"not offered yet":         {owner, policy.FirmwareUpgrade, nil, policy.Advanced, policy.Unsupported, "firmware.upgrade refused UNSUPPORTED by cloud in d_1"},
			"no such action":          {owner, "reboot.world", nil, policy.Advanced, policy.UnknownAction, "order.request refused UNKNOWN_ACTION by cloud in d_1"},
			"an action of the portal": {owner, policy.MonitorStatus, nil, policy.Advanced, policy.UnknownAction, "order.request refused UNKNOWN_ACTION by cloud in d_1"},
			"a number for a delay":    {owner, policy.RebootUPS, map[string]string{"delay": "30"}, policy.Advanced, policy.Malformed, "reboot.ups refused MALFORMED by cloud in d_1"},
			"an unknown parameter":    {owner, policy.RebootUPS, map[string]string{"when": "now"}, policy.Advanced, policy.Malformed, "reboot.ups refused MALFORMED by cloud in d_1"},
			"no test":                 {owner, policy.DiagnosticsRun, nil, policy.Advanced, policy.Malformed, "diagnostics.run refused MALFORMED by cloud in d_1"},
			"an unknown test":         {owner, policy.DiagnosticsRun, map[string]string{"test": "all"}, policy.Advanced, policy.Malformed, "diagnostics.run refused MALFORMED by cloud in d_1"},
			"T-07 factor not fresh":   {stale, policy.RebootUPS, nil, policy.Advanced, policy.StepUpRequired, "reboot.ups refused STEP_UP_REQUIRED by cloud in d_1"},
			"a test drops no load":    {stale, policy.DiagnosticsRun, map[string]string{"test": "self"}, policy.Advanced, "", "diagnostics.run accepted  by cloud in d_1"},
			"cancel of nothing":       {owner, policy.OrderCancel, map[string]string{"order": strings.Repeat("0", 32)}, policy.Advanced, policy.NotFound, "order.cancel refused NOT_FOUND by cloud in d_1"},
			"cancel of no id":         {owner, policy.OrderCancel, map[string]string{"order": strings.Repeat("A", 32)}, policy.Advanced, policy.Malformed, "order.cancel refused MALFORMED by cloud in d_1"},
		} {
			w := newWorld(t, db)
			w.exec(`UPDATE devices SET plan = $1`, row.plan)
			r := Request{Device: deviceID, Action: row.action, Params: row.params}
			_, err := w.create(row.actor, r)
			if got := reasonOf(t, err); got != row.want {
				t.Errorf("%s: %v, want %q", name, err, row.want)
			}
			w.refused(row.actor, r, err)
			if got := w.log(); !slices.Equal(got, []string{row.log}) {
				t.Errorf("%s: the log has %q, want %q", name, got, row.log)
			}
		}
	})
}

func TestPLAN9APlanThatHasEndedByItselfAllowsNoOrder(t *testing.T) {
	onSQLite(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.exec(`UPDATE devices SET valid_until = $1`, noon.Add(time.Minute).UnixMilli())
		w.reboot()
		w.clock = noon.Add(time.Minute)
		if _, err := w.create(owner, Request{Device: deviceID, Action: policy.RebootUPS}); reasonOf(t, err) != policy.PlanBasic {
			t.Errorf("at the end of the plan: %v", err)
		}
	})
}

func TestT07TooManyOrdersAreRefusedUntilThereIsRoomAgain(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.book.limits = Limits{}.orDefault()
		for i := range 3 {
			w.reboot()
			w.clock = w.clock.Add(time.Duration(i+1) * time.Minute)
		}
		_, err := w.create(owner, Request{Device: deviceID, Action: policy.RebootUPS})
		var refusal *cloud.Error
		if !errors.As(err, &refusal) || refusal.Reason != policy.RateLimit || refusal.Retry != 4*time.Minute {
			t.Fatalf("a fourth reboot after six minutes: %+v", err)
		}
		if _, err := w.create(owner, Request{Device: deviceID, Action: policy.DiagnosticsRun, Params: map[string]string{"test": "self"}}); err != nil {
			t.Errorf("a test, which drops no load: %v", err)
		}
		w.clock = w.clock.Add(refusal.Retry)
		w.reboot()
	})
}

func TestTheCallerIsToldWhatTheSiteWillRefuse(t *testing.T) {
	onSQLite(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		warned := func() (out []string) {
			c, err := w.create(owner, Request{Device: deviceID, Action: policy.RebootUPS, Params: map[string]string{ups.ParamDelay: ups.DelayNone}})
			must(t, err)
			for _, x := range c.Warnings {
				out = append(out, string(x.Reason))
			}
			return out
		}
		if got := warned(); !slices.Equal(got, []string{"EXPIRED"}) {
			t.Errorf("while the agent is away: %q", got)
		}
		w.connect()
		if got := warned(); got != nil {
			t.Errorf("while all is well: %q", got)
		}
		w.site.allow, w.site.dirty = []string{"diagnostics"}, true
		w.deliver()
		if got := warned(); !slices.Equal(got, []string{"LOCAL_POLICY"}) {
			t.Errorf("where the site allows no reboot: %q", got)
		}
		w.exec(`INSERT INTO agent_presence (agent, online, since, state_at) VALUES ($1, 0, 0, 0)`, agentName)
		if got := warned(); !slices.Equal(got, []string{"EXPIRED", "LOCAL_POLICY"}) {
			t.Errorf("when it went away, too: %q", got)
		}
	})
}

// What a stranger finds in the log of their own organisation must not tell one that exists from one that does not.
func TestPERM9TheStrangersOwnLogTellsNothing(t *testing.T) {
	onSQLite(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		o := w.reboot()
		var seen []string
		for _, id := range []string{o.ID.String(), strings.Repeat("0", 32)} {
			for _, dev := range []string{deviceID, "d_9"} {
				w.exec(`DELETE FROM event_log`)
				w.exec(`DELETE FROM event_heads`)
				refusal := cloud.Refuse(policy.NotFound, "").(*cloud.Error)
				w.write(func(ctx context.Context, tx *store.Tx) error {
					if err := w.book.Refused(ctx, tx, alien, Request{Device: dev, Action: policy.RebootUPS}, refusal); err != nil {
						return err
					}
					return w.book.RefusedCancel(ctx, tx, alien, id, refusal)
				})
				must(t, db.Read(t.Context(), func(ctx context.Context, tx *store.Tx) error {
					var all string
					for n := range 2 {
						var chain, role, params, plan string
						err := tx.QueryRow(ctx, `SELECT chain, role, params, plan FROM event_log WHERE n = $1`, n+1).Scan(&chain, &role, &params, &plan)
						if err != nil {
							return err
						}
						all += chain + role + strings.NewReplacer(dev, "D", id, "O").Replace(params) + plan + "\n"
					}
					seen = append(seen, all)
					return nil
				}))
			}
		}
		if slices.ContainsFunc(seen, func(s string) bool { return s != seen[0] }) {
			t.Errorf("%q", seen)
		}
	})
}
