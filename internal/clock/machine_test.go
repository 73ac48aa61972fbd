package clock

import (
	"testing"
	"time"
)

// TestT27TheMarkOfTheTimeServiceStandsForTheKernel: where the kernel may not be asked (ProtectClock=yes) the file that systemd-timesyncd
// touches says whether the clock is set, as long as the kernel would have, and not when somebody else has set it since.
func TestT27TheMarkOfTheTimeServiceStandsForTheKernel(t *testing.T) {
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	var wall, mark time.Time
	var mono time.Duration
	p := &publication{
		ask:  func() (Service, bool) { return Service{}, false },
		mark: func() (time.Time, bool) { return mark, !mark.IsZero() },
		wall: func() time.Time { return wall },
		mono: func() time.Duration { return mono },
	}
	pass := func(d time.Duration) { wall, mono = wall.Add(d), mono+d }
	want := func(when string, set, was bool, bound time.Duration) {
		t.Helper()
		if got := p.service(); got != (Service{Set: set, Error: bound, Was: was}) {
			t.Errorf("%s: %+v, want set %v, was %v, error %v", when, got, set, was, bound)
		}
	}
	wall = time.Unix(0, 0)
	want("at 1970, no mark", false, false, 0)
	wall, mark = start, start
	want("just set", true, true, time.Millisecond)
	pass(34 * time.Minute)
	want("34 minutes later", true, true, 1020*time.Millisecond)
	pass(8 * time.Hour)
	want("hours later", true, true, 15420*time.Millisecond)
	pass(time.Hour)
	want("nobody confirmed it for nine hours", false, true, 0)
	mark = wall
	want("confirmed", true, true, time.Millisecond)
	wall = wall.Add(time.Hour)
	want("set by hand, an hour ahead", false, true, 0)
	pass(time.Minute)
	want("still", false, true, 0)
	wall = wall.Add(-2 * time.Hour)
	want("set back behind the mark", false, true, 0)
	wall = wall.Add(time.Hour)
	pass(time.Minute)
	mark = wall
	want("set again by the service", true, true, time.Millisecond)
	p.ask = func() (Service, bool) { return Service{Was: true}, true }
	want("the kernel may be asked and says no", false, true, 0)
}
