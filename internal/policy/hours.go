package policy

import (
	"fmt"
	"strings"
	"time"
)

// Hours are a part of each day, by the clock of the site. The zero value is all of it.
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
	if h.Any() {
		return ""
	}
	clock := func(d time.Duration) string { return time.Time{}.Add(d).Format("15:04") }
	return clock(h.from) + "-" + clock(h.to)
}

// Any reports whether they are all of the day.
func (h Hours) Any() bool { return h.from == h.to }

// Has reports whether it is in these hours at an instant, by the clock of the zone that it is in.
func (h Hours) Has(at time.Time) bool {
	day := ofDay(at)
	if h.from < h.to {
		return h.from <= day && day < h.to
	}
	return h.Any() || h.from <= day || day < h.to
}
