package device_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

// TIME-3: what is confirmed has the plan that its grant version means.
func TestTIME3ThePlanThatASiteHasIsThatOfItsGrantVersion(t *testing.T) {
	each(t, func(w *world) {
		d := w.registered() // version 1: advanced
		plan := func(p policy.Plan, until time.Time) {
			w.do(func(ctx context.Context, tx *store.Tx) error {
				return w.r.SetPlan(ctx, tx, cloud.System(""), "", d, p, until)
			})
		}
		w.mustShare(d, "bob") // 2
		plan(policy.Basic, device.Forever)
		plan(policy.Standard, w.now.Add(time.Hour)) // 4
		for version, want := range map[uint64]policy.Plan{0: "", 1: policy.Advanced, 2: policy.Advanced, 3: policy.Basic, 4: policy.Standard, 9: policy.Standard} {
			u := unit("rack", "AS1")
			u.Epoch, u.GrantVersion = d.Epoch, version
			w.report("g_1", u)
			w.wantPlan(d, want, version >= 4)
		}
		u := unit("rack", "AS1")
		u.Epoch, u.GrantVersion = d.Epoch, 4
		w.report("g_1", u)
		w.now = w.now.Add(time.Hour)
		w.wantPlan(d, policy.Basic, true) // the site lets it end by itself
		u.Epoch = d.Epoch + 1
		w.report("g_1", u)
		w.wantPlan(d, "", false)
	})
}

func (w *world) wantPlan(d *device.Device, want policy.Plan, confirmed bool) {
	w.Helper()
	st := w.status(d)
	must(w, w.db.Read(w.Context(), func(ctx context.Context, tx *store.Tx) error {
		got, err := st.ConfirmedPlan(ctx, tx, d, w.now)
		if got != want || st.Confirmed(w.get(d.ID)) != confirmed {
			w.Errorf("of version %d the site has %q (confirmed %v), want %q (%v)", st.Seen.GrantVersion, got, st.Confirmed(d), want, confirmed)
		}
		return err
	}))
}

// PLAN-3, PLAN-4, PLAN-5: on Basic a share stays and gives what Basic gives; on the way up everything is back, with nothing done by anybody.
func TestPLAN5SharesComeBackWithThePlanAndNoAction(t *testing.T) {
	each(t, func(w *world) {
		d := w.registered()
		g := w.mustShare(d, "bob")
		for _, step := range []struct {
			plan policy.Plan
			want policy.Reason // of reboot.ups
		}{{policy.Advanced, ""}, {policy.Basic, policy.PlanBasic}, {policy.Standard, ""}} {
			w.setPlan(d, step.plan, device.Forever)
			if got := w.shares(d.ID); !slices.Equal(got, []string{"a_bob"}) {
				t.Errorf("PLAN-3: on %s the shares are %q", step.plan, got)
			}
			if _, err := w.may(person("bob"), d.ID, policy.MonitorStatus); err != nil {
				t.Errorf("PLAN-4: on %s: %v", step.plan, err)
			}
			if _, err := w.may(person("bob"), d.ID, policy.RebootUPS); reason(err) != step.want {
				t.Errorf("PLAN-5: on %s: %v, want %s", step.plan, err, step.want)
			}
		}
		must(t, w.db.Read(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			now, err := device.GrantOf(ctx, tx, d.ID, "a_bob")
			if err == nil && (now == nil || now.ID != g.ID) {
				t.Errorf("the share is another one: %+v", now)
			}
			return err
		}))
	})
}
