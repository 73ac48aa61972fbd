package device

import (
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/policy"
)

// Forever is the end of a plan that has none. Agents take no time beyond 2199.
var Forever = time.Date(2199, 1, 1, 0, 0, 0, 0, time.UTC)

// Terms say which plan a device has and when: Advanced before one instant, Standard before another, Basic behind both (PLAN-1, PLAN-9). Each
// stretch ends at its instant: of it, the next plan is in force. A zero instant: no such stretch.
type Terms struct{ AdvancedUntil, StandardUntil time.Time }

// PlanAt returns the plan that is in force at an instant.
func (t Terms) PlanAt(now time.Time) policy.Plan {
	switch {
	case now.Before(t.AdvancedUntil):
		return policy.Advanced
	case now.Before(t.StandardUntil):
		return policy.Standard
	}
	return policy.Basic
}

// EndAt returns when the stretch ends that is in force at an instant; Forever on Basic, which nothing ends by itself.
func (t Terms) EndAt(now time.Time) time.Time {
	switch t.PlanAt(now) {
	case policy.Advanced:
		return t.AdvancedUntil
	case policy.Standard:
		return t.StandardUntil
	}
	return Forever
}

// day is what licences are counted in.
const day = 24 * time.Hour

// Longer returns the terms with days more of a plan, at an instant. More of Advanced begins at the end of what is left of it, and pushes what is
// left of Standard behind its own end; more of Standard begins at the end of both: nothing that was paid for is lost. It returns CONFLICT where
// the days would add nothing, as the plan has no end.
func (t Terms) Longer(plan policy.Plan, days int, now time.Time) (Terms, error) {
	more := time.Duration(days) * day
	advanced := later(now, t.AdvancedUntil)      // from when on there is no Advanced
	standard := later(advanced, t.StandardUntil) // from when on there is neither
	switch {
	case plan != policy.Advanced && plan != policy.Standard || days < 1:
		return t, cloud.Refuse(policy.Malformed, "%d days of the plan %q", days, plan)
	case !advanced.Before(Forever) || plan == policy.Standard && !standard.Before(Forever):
		return t, cloud.Refuse(policy.Conflict, "the device has the plan %s without an end", t.PlanAt(now))
	case plan == policy.Standard:
		return Terms{t.AdvancedUntil, before(standard.Add(more), Forever)}, nil
	}
	out := Terms{AdvancedUntil: before(advanced.Add(more), Forever)}
	if left := standard.Sub(advanced); left > 0 {
		out.StandardUntil = before(out.AdvancedUntil.Add(left), Forever)
		if !standard.Before(Forever) {
			out.StandardUntil = Forever
		}
	}
	return out, nil
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

func before(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// Terms returns what the row says: one stretch, and what is left behind it.
func (d *Device) Terms() Terms {
	switch d.Plan {
	case policy.Advanced:
		return Terms{AdvancedUntil: d.ValidUntil, StandardUntil: d.StandardUntil}
	case policy.Standard:
		return Terms{StandardUntil: d.ValidUntil}
	}
	return Terms{}
}

// PlanAt returns the plan that is in force at an instant: it ends by itself (PLAN-9), whether that has been written down or not.
func (d *Device) PlanAt(now time.Time) policy.Plan { return d.Terms().PlanAt(now) }

// EndAt returns when the plan ends that is in force at an instant; Forever where nothing ends it.
func (d *Device) EndAt(now time.Time) time.Time { return d.Terms().EndAt(now) }

// Next returns the plan that follows when the one in force at an instant has ended, and until when; "" where nothing ends it.
func (d *Device) Next(now time.Time) (policy.Plan, time.Time) {
	end := d.EndAt(now)
	if !end.Before(Forever) {
		return "", time.Time{}
	}
	return d.PlanAt(end), d.EndAt(end)
}

// PaidSince returns since when a device has been on Standard or better without a break, as of an instant; zero while it is on Basic. What
// happened before is nothing to notify anybody of (PLAN-7).
func (d *Device) PaidSince(now time.Time) time.Time {
	if d.PlanAt(now) == policy.Basic {
		return time.Time{}
	}
	return d.paid
}
