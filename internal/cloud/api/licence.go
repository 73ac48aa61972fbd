package api

import (
	"context"
	"net/http"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/eventlog"
	"upsedge/internal/cloud/licence"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

func (a *API) licenceRoutes() []route {
	const path = "/api/v1/devices/{id}/licences"
	return []route{
		{method: http.MethodPost, pattern: path, needs: policy.LicenceApply, change: a.applyLicence},
		{method: http.MethodGet, pattern: path, needs: policy.EventLogRead, read: a.listLicences},
	}
}

// nextPlanBody is the plan that follows when the one in force ends.
type nextPlanBody struct {
	Plan       policy.Plan `json:"plan"`
	ValidUntil *Time       `json:"valid_until"` // null: nothing ends it
}

// planEnd says when the plan that is in force ends, and what follows it.
func planEnd(d *device.Device, now time.Time) (*Time, *nextPlanBody) {
	next, until := d.Next(now)
	if next == "" {
		return nil, nil
	}
	return untilOf(d.EndAt(now)), &nextPlanBody{next, untilOf(until)}
}

// untilOf is the end of a plan; nil for none.
func untilOf(t time.Time) *Time {
	if !t.Before(device.Forever) {
		return nil
	}
	return timeOf(t)
}

// licenceBody is what a licence was used for.
type licenceBody struct {
	Licence string      `json:"licence"` // its id; nobody can use the code by it
	Plan    policy.Plan `json:"plan"`
	Days    int         `json:"days"`
	At      Time        `json:"applied_at"`
	Actor   string      `json:"actor"`
	Name    string      `json:"name"` // of who applied it, now
	Role    policy.Role `json:"role"`
}

func licenceOf(ctx context.Context, tx *store.Tx, names eventlog.Names, u *licence.Use) (licenceBody, error) {
	name, err := names.Of(ctx, tx, u.Actor)
	return licenceBody{u.Licence, u.Plan, u.Days, Time(u.At), u.Actor, name, u.Role}, err
}

// appliedBody is what the plan is now.
type appliedBody struct {
	Device       string        `json:"device"`
	Plan         policy.Plan   `json:"plan"`
	ValidUntil   *Time         `json:"valid_until"`
	Next         *nextPlanBody `json:"next_plan"`
	GrantVersion uint64        `json:"grant_version"` // from which on the site obeys the plan
	Applied      licenceBody   `json:"applied"`
}

func (a *API) applyLicence(ctx context.Context, tx *store.Tx, q *Request) (Answer, error) {
	var use licence.Use
	id := q.PathValue("id")
	q.Refused = func(ctx context.Context, tx *store.Tx, refusal *cloud.Error) error {
		if refusal.Reason == policy.Malformed {
			return nil // it came to no action
		}
		return a.cfg.Licences.Refused(ctx, tx, q.Actor, id, use, refusal)
	}
	var in struct {
		Code string `json:"code"`
	}
	if malformed := q.Decode(&in); malformed != nil {
		if _, _, err := device.May(ctx, tx, q.Actor, id, policy.LicenceApply, q.Now); err != nil {
			return Answer{}, err
		}
		return Answer{}, malformed
	}
	d, use, err := a.cfg.Licences.Apply(ctx, tx, q.Actor, id, in.Code)
	if err != nil {
		return Answer{}, err
	}
	b := appliedBody{Device: d.ID, Plan: d.PlanAt(q.Now), GrantVersion: d.GrantVersion}
	b.ValidUntil, b.Next = planEnd(d, q.Now)
	b.Applied, err = licenceOf(ctx, tx, eventlog.Names{}, &use)
	return Answer{Body: b}, err
}

// licencePosition is where a use stands in the list.
type licencePosition struct {
	At int64  `json:"t"`
	ID string `json:"i"`
}

func (a *API) listLicences(q *Request) (Answer, error) {
	page, err := q.Page()
	if err != nil {
		return Answer{}, err
	}
	var behind licencePosition
	if _, err := page.After(&behind); err != nil {
		return Answer{}, err
	}
	var bodies []licenceBody
	err = q.reading(policy.EventLogRead, func(ctx context.Context, tx *store.Tx, d *device.Device, right device.Right) error {
		bodies = nil
		list, err := licence.Uses(ctx, tx, d.ID, right.Since, // LOG-7: nothing from before
			time.UnixMilli(behind.At), behind.ID, page.Limit+1)
		if err != nil {
			return err
		}
		names := eventlog.Names{}
		for i := range list {
			b, err := licenceOf(ctx, tx, names, &list[i])
			if err != nil {
				return err
			}
			bodies = append(bodies, b)
		}
		return nil
	})
	if err != nil {
		return Answer{}, err
	}
	list, err := Paged(page, bodies, func(b licenceBody) any { return licencePosition{time.Time(b.At).UnixMilli(), b.Licence} })
	return Answer{Body: list}, err
}
