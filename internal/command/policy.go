package command

import (
	"fmt"
	"slices"
	"strings"
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
	first, last, _ := strings.Cut(text, "-")
	from, err := time.Parse("15:04", first)
	to, err2 := time.Parse("15:04", last)
	if err != nil || err2 != nil || len(text) != len("08:00-18:00") {
		return h, fmt.Errorf("%q is not like 08:00-18:00", text)
	}
	return Hours{ofDay(from), ofDay(to)}, nil
}

// ofDay is the time of the day, in whole minutes.
func ofDay(at time.Time) time.Duration {
	return time.Duration(at.Hour())*time.Hour + time.Duration(at.Minute())*time.Minute
}

// String is what ParseHours reads.
func (h Hours) String() string {
	if h.always() {
		return ""
	}
	clock := func(d time.Duration) string { return time.Time{}.Add(d).Format("15:04") }
	return clock(h.from) + "-" + clock(h.to)
}

func (h Hours) always() bool { return h.from == h.to }

// has reports whether it is in these hours at an instant.
func (h Hours) has(at time.Time) bool {
	day := ofDay(at)
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
