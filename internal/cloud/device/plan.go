package device

import (
	"context"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/eventlog"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

// planChanged is logged when a plan was set or has ended (LOG-3).
var planChanged = eventlog.Declare("plan.change", eventlog.ByReaders, "old", "new", "valid_until")

// SetPlan gives a device a plan until an instant, or Forever. role is that of the actor on the device.
func (r *Registry) SetPlan(ctx context.Context, tx *store.Tx, actor cloud.Actor, role policy.Role, d *Device, plan policy.Plan, until time.Time) error {
	old := d.PlanAt(r.now())
	d.Plan, d.ValidUntil = plan, fromMillis(millis(until))
	d.GrantVersion++
	_, err := tx.Exec(ctx, `UPDATE devices SET plan = $1, valid_until = $2, grant_version = $3 WHERE id = $4`,
		string(plan), millis(until), int64(d.GrantVersion), d.ID)
	if err != nil {
		return err
	}
	r.changed(tx, d.Agent)
	e := entry(actor, role, planChanged)
	e.Device, e.At, e.Outcome = d.ID, r.now(), eventlog.Done
	e.Params = map[string]string{"old": string(old), "new": string(plan), "valid_until": text(until)}
	return eventlog.Append(ctx, tx, e)
}

// EndPlans writes down that plans have ended by themselves: basic is in force from valid_until on whether this has run or not, but an
// agent believes a plan only with a higher grant version.
func (r *Registry) EndPlans(ctx context.Context, db *store.DB) error {
	return db.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
		over, err := list(ctx, tx, `SELECT `+columns+` FROM devices
			WHERE ended_at IS NULL AND valid_until <> 0 AND valid_until <= $1 AND plan <> 'basic' ORDER BY id LIMIT 500`, r.now().UnixMilli())
		if err != nil {
			return err
		}
		for i := range over {
			d := &over[i]
			old := d.Plan
			d.Plan, d.GrantVersion = policy.Basic, d.GrantVersion+1
			_, err := tx.Exec(ctx, `UPDATE devices SET plan = $1, grant_version = $2 WHERE id = $3`, string(policy.Basic), int64(d.GrantVersion), d.ID)
			if err != nil {
				return err
			}
			r.changed(tx, d.Agent)
			err = eventlog.Append(ctx, tx, eventlog.Entry{
				Device: d.ID, At: d.ValidUntil, Arrived: r.now(), Actor: cloud.SystemRef, Action: planChanged, Outcome: eventlog.Done,
				Params: map[string]string{"old": string(old), "new": string(policy.Basic), "valid_until": text(d.ValidUntil)},
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// planEvery is the pause between two looks for plans that have ended.
const planEvery = time.Minute

// Run ends plans until ctx ends, which is no error.
func (r *Registry) Run(ctx context.Context, db *store.DB) error {
	tick := time.NewTicker(planEvery)
	defer tick.Stop()
	for {
		if err := r.EndPlans(ctx, db); err != nil && ctx.Err() == nil {
			r.log.Error("plans that ended were not written down", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
