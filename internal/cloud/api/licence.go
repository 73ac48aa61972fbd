package api

import (
	"time"

	"upsedge/internal/cloud/device"
	"upsedge/internal/policy"
)

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
