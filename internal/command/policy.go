package command

import (
	"fmt"
	"slices"
	"time"

	"upsedge/internal/policy"
)

// A Policy is what the site allows (R7). Nothing that comes from afar can widen it. The zero value allows nothing.
type Policy struct {
	Allow       []policy.Group
	Hours       policy.Hours  // of the day; the zero value is any hour
	MinInterval time.Duration // between two orders that drop the load of a device
	DailyMax    int           // such orders of a device in 24 hours
}

// refusal says why the site does not allow a group of orders now. now is zero while the time is not known.
func (p *Policy) refusal(g policy.Group, now time.Time) (detail string) {
	switch {
	case !slices.Contains(p.Allow, g):
		return fmt.Sprintf("orders.allow does not name %q", g)
	case p.Hours.Any():
		return ""
	case now.IsZero():
		return "orders.hours is set, and the box does not know the time"
	case !p.Hours.Has(now.Local()):
		return "it is outside of orders.hours"
	}
	return ""
}
