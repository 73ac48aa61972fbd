package device

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/eventlog"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

// Defaults and bounds.
const (
	DefaultTrial = 90 * 24 * time.Hour  // of the free period (PLAN-13)
	trialRest    = 365 * 24 * time.Hour // from the beginning of one free period to the next of the same serial
	recently     = 5 * time.Minute      // since an agent's last full state, for it to prove possession: heartbeats come each minute
)

// Config says how devices are registered.
type Config struct {
	Trial time.Duration    // of a new device; 0: DefaultTrial; less: none
	Now   func() time.Time // nil: time.Now
	Log   *slog.Logger     // nil: nothing is logged
}

// A Registry registers devices and changes them. Use New.
type Registry struct {
	trial time.Duration
	now   func() time.Time
	log   *slog.Logger

	mu    sync.Mutex
	after []func(agent string)
}

// New returns a Registry.
func New(c Config) *Registry {
	r := &Registry{trial: cmp.Or(c.Trial, DefaultTrial), now: c.Now, log: c.Log}
	if r.now == nil {
		r.now = time.Now
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	return r
}

// AfterChange has f called behind the commit of each change that an agent is to be told of: registrations, plans. It must not wait.
func (r *Registry) AfterChange(f func(agent string)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.after = append(r.after, f)
}

func (r *Registry) changed(tx *store.Tx, agent string) {
	r.mu.Lock()
	after := r.after
	r.mu.Unlock()
	for _, f := range after {
		tx.After(func() { f(agent) })
	}
}

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

// entry begins an entry of the Event Log.
func entry(actor cloud.Actor, role policy.Role, action string) eventlog.Entry {
	return eventlog.Entry{Actor: actor.Ref, Role: role, Action: action, Request: actor.Request}
}

// text is an instant in a parameter of the Event Log.
func text(t time.Time) string {
	if t.Equal(Forever) {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
