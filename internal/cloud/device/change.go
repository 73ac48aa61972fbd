package device

import (
	"context"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/eventlog"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

// planChanged is logged when a plan was set, made longer, or has ended (LOG-3). valid_until is empty where nothing ends the new one; next is
// what follows it then, until next_until.
var planChanged = eventlog.Declare("plan.change", eventlog.ByReaders, "old", "new", "valid_until", "next", "next_until")

// SetPlan gives a device a plan until an instant, or Forever: what the operator says holds, whatever was paid for. What stands behind an Advanced
// plan stays there; Standard and Basic take away what is better. role is that of the actor on the device.
func (r *Registry) SetPlan(ctx context.Context, tx *store.Tx, actor cloud.Actor, role policy.Role, d *Device, plan policy.Plan, until time.Time) error {
	return r.changePlan(ctx, tx, actor, role, d, func(now time.Time) (Terms, error) {
		switch until = before(store.Instant(store.Millis(until)), Forever); {
		case plan == policy.Basic:
			return Terms{}, nil
		case plan != policy.Standard && plan != policy.Advanced:
			return Terms{}, cloud.RefuseField(policy.Malformed, "plan", "%.40q is no plan", plan)
		case !until.After(now):
			return Terms{}, cloud.RefuseField(policy.Malformed, "until", "%s is over", until.Format(time.RFC3339))
		case plan == policy.Standard:
			return Terms{StandardUntil: until}, nil
		}
		return Terms{until, d.Terms().StandardUntil}, nil
	})
}

// Lengthen gives a device days more of a plan (Terms.Longer). role is that of the actor on the device.
func (r *Registry) Lengthen(ctx context.Context, tx *store.Tx, actor cloud.Actor, role policy.Role, d *Device, plan policy.Plan, days int) error {
	return r.changePlan(ctx, tx, actor, role, d, func(now time.Time) (Terms, error) { return d.Terms().Longer(plan, days, now) })
}

// changePlan writes other terms down, and tells site and log of them. The device is read again: terms are made of what they are now.
func (r *Registry) changePlan(ctx context.Context, tx *store.Tx, actor cloud.Actor, role policy.Role, d *Device, terms func(now time.Time) (Terms, error)) error {
	now := store.Instant(r.now().UnixMilli())
	fresh, err := Get(ctx, tx, d.ID)
	if err != nil {
		return err
	}
	*d = *fresh
	if err := r.settle(ctx, tx, d, now); err != nil {
		return err
	}
	to, err := terms(now)
	if err != nil {
		return err
	}
	old := d.Plan
	if err := r.writePlan(ctx, tx, d, to, now); err != nil {
		return err
	}
	e := entry(actor, role, planChanged)
	e.At = now
	return logPlan(ctx, tx, d, old, e)
}

// settle writes down which stretches of a device have ended by themselves.
func (r *Registry) settle(ctx context.Context, tx *store.Tx, d *Device, now time.Time) error {
	for d.Plan != policy.Basic && !now.Before(d.ValidUntil) {
		old, end := d.Plan, d.ValidUntil
		if err := r.writePlan(ctx, tx, d, d.Terms(), end); err != nil {
			return err
		}
		e := entry(cloud.System(""), "", planChanged)
		e.At, e.Arrived = end, now
		if err := logPlan(ctx, tx, d, old, e); err != nil {
			return err
		}
		if err := r.planEnded(ctx, tx, d, old, end); err != nil {
			return err
		}
	}
	return nil
}

// writePlan writes down the stretch of terms that begins at an instant, with the next grant version, of which the site is told: without one
// it would not believe it.
func (r *Registry) writePlan(ctx context.Context, tx *store.Tx, d *Device, t Terms, at time.Time) error {
	d.begin(t, at)
	_, err := tx.Exec(ctx, `UPDATE devices SET plan = $1, valid_until = $2, standard_until = $3, paid_since = $4, plan_set = $5, warn_at = $6 WHERE id = $7`,
		string(d.Plan), store.Millis(d.ValidUntil), store.Millis(d.StandardUntil), store.Millis(d.paid), store.Millis(d.PlanSet), store.Millis(d.warnAt), d.ID)
	if err != nil {
		return err
	}
	tx.After(r.look)
	return r.raise(ctx, tx, d)
}

// begin takes over the stretch of terms that begins at an instant.
func (d *Device) begin(t Terms, at time.Time) {
	plan, end := t.PlanAt(at), t.EndAt(at)
	same := d.Plan == plan && d.ValidUntil.Equal(end)
	d.Plan, d.ValidUntil, d.StandardUntil = plan, end, time.Time{}
	if plan == policy.Advanced && end.Before(t.StandardUntil) {
		d.StandardUntil = t.StandardUntil
	}
	switch {
	case plan == policy.Basic:
		d.paid = time.Time{}
	case d.paid.IsZero():
		d.paid = at
	}
	if !same { // else its warnings go on as they were
		d.PlanSet = at
		d.warnAt = d.nextWarning(at)
	}
}

// logPlan completes an entry of a change of plan.
func logPlan(ctx context.Context, tx *store.Tx, d *Device, old policy.Plan, e eventlog.Entry) error {
	e.Device, e.Outcome, e.Plan = d.ID, eventlog.Done, d.Plan
	e.Params = map[string]string{"old": string(old), "new": string(d.Plan), "valid_until": text(d.ValidUntil)}
	if next, until := d.Next(e.At); next != "" {
		e.Params["next"], e.Params["next_until"] = string(next), text(until)
	}
	return eventlog.Append(ctx, tx, e)
}

// OnPlanEnd has f called in the transaction that writes down that a plan has ended by itself; d has what follows.
func (r *Registry) OnPlanEnd(f func(ctx context.Context, tx *store.Tx, d *Device, old policy.Plan, end time.Time) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.onPlanEnd = append(r.onPlanEnd, f)
}

func (r *Registry) planEnded(ctx context.Context, tx *store.Tx, d *Device, old policy.Plan, end time.Time) error {
	r.mu.Lock()
	all := r.onPlanEnd
	r.mu.Unlock()
	for _, f := range all {
		if err := f(ctx, tx, d, old, end); err != nil {
			return err
		}
	}
	return nil
}
