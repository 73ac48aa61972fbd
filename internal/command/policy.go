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
	Hours       Hours         // of the day; the zero value is any hour
	MinInterval time.Duration // between two orders that drop the load of a device
	DailyMax    int           // such orders of a device in 24 hours
}

// Hours are a part of each day, by the time of the box's zone. The zero value is all of it.
type Hours struct{ from, to time.Duration } // since midnight; to below from: over midnight

// ParseHours reads "08:00-18:00"; "" is any hour.
func ParseHours(text string) (h Hours, err error) {
	if text == "" {
		return h, nil
	}
	var a, b, c, d int
	if n, err := fmt.Sscanf(text, "%02d:%02d-%02d:%02d", &a, &b, &c, &d); n != 4 || err != nil || len(text) != 11 {
		return h, fmt.Errorf("%q is not like 08:00-18:00", text)
	}
	minutes := func(h, m int) time.Duration { return time.Duration(h)*time.Hour + time.Duration(m)*time.Minute }
	return Hours{minutes(a, b), minutes(c, d)}, nil
}

func (h Hours) always() bool { return h.from == h.to }

// has reports whether it is in these hours at an instant.
func (h Hours) has(at time.Time) bool {
	day := time.Duration(at.Hour())*time.Hour + time.Duration(at.Minute())*time.Minute
	if h.from < h.to {
		return h.from <= day && day < h.to
	}
	return h.always() || h.from <= day || day < h.to
}

// refusal says why the site does not allow a group of orders now. now is zero while the time is not known.
func (p *Policy) refusal(g policy.Group, now time.Time) (detail string) {
	switch {
	case !slices.Contains(p.Allow, g):
		return fmt.Sprintf("orders.allow does not name %q", g)
	case p.Hours.always():
		return ""
	case now.IsZero():
		return "orders.hours is set, and the box does not know the time"
	case !p.Hours.has(now.Local()):
		return "it is outside of orders.hours"
	}
	return ""
}
