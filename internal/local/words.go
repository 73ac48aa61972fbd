package local

import (
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"time"

	"upsedge/internal/ups"
)

// A mood is how somebody should feel about something.
type mood int

const (
	well mood = iota
	look      // somebody should look at it
	act       // now
)

var moods = [...]struct {
	class markup
	mark  markup // beside the words, for the eye
}{{"well", "✓"}, {"look", "!"}, {"act", "‼"}}

// has reports whether the unit's condition has a state.
//
//go:noinline
func (u *Unit) has(s ups.Status) bool {
	return slices.Contains(u.Condition, ups.StatusNames[bits.TrailingZeros32(uint32(s))])
}

func (u *Unit) stale() bool { return u.Age == nil || u.has(ups.Stale) }

// mood is that of the worst that is known of the unit.
func (u *Unit) mood() mood {
	m := well
	for _, a := range u.Alarms {
		m = max(m, a.mood())
	}
	switch {
	case u.has(ups.CriticalUnknown), u.has(ups.LowBattery), u.has(ups.Fault):
		m = act
	case u.Bad(), u.has(ups.OnBattery), u.has(ups.OutputOff), u.has(ups.Bypass), u.Age == nil:
		m = max(m, look)
	}
	return m
}

func (a Alarm) mood() mood {
	switch a.Severity {
	case ups.Critical.String():
		return act
	case ups.Informational.String():
		return well
	}
	return look
}

// State says in words how the unit is: "On battery for 4 min". What was so when this run began is "for at least".
func (u *Unit) State() string {
	long := ""
	if u.Since != nil {
		long = " for "
		if u.AtLeast {
			long = " for at least "
		}
		long += span(*u.Since)
	}
	switch {
	case u.Age == nil:
		return "Has not answered yet"
	case u.has(ups.CriticalUnknown):
		return "No answer for " + span(*u.Age) + ", and it was on battery then"
	case u.has(ups.Stale):
		return "No answer for " + span(*u.Age)
	case u.has(ups.OutputOff):
		return "Output is off" + long
	case u.has(ups.Bypass):
		return "On bypass" + long + ": the load is not protected"
	case u.has(ups.OnBattery) && (u.has(ups.Testing) || u.has(ups.Calibrating)):
		return "On battery" + long + ", for a test"
	case u.has(ups.OnBattery):
		return "On battery" + long
	case u.has(ups.Online):
		return "On mains" + long
	}
	return "It does not say whether it is on mains"
}

// besides are the states that go with State.
func (u *Unit) besides() string {
	if u.stale() {
		return ""
	}
	var out []string
	for _, row := range []struct {
		is    ups.Status
		words string
	}{
		{ups.LowBattery, "battery low"},
		{ups.Overload, "overloaded"},
		{ups.Fault, "fault"},
		{ups.ReplaceBattery, "battery needs replacement"},
		{ups.Calibrating, "runtime calibration runs"},
		{ups.Boost, "low input voltage is raised"},
		{ups.Trim, "high input voltage is lowered"},
		{ups.HighEfficiency, "high efficiency mode"},
	} {
		if u.has(row.is) {
			out = append(out, row.words)
		}
	}
	if len(out) == 0 {
		return ""
	}
	return sentence(strings.Join(out, ", "))
}

// Lasts says how long the battery would, "" where the unit does not say.
func (u *Unit) Lasts() string {
	if u.Now.Runtime == nil {
		return ""
	}
	verb := "would last"
	if u.has(ups.OnBattery) {
		verb = "lasts"
	}
	if u.stale() {
		verb = "would have lasted"
	}
	return "Battery " + verb + " about " + span(*u.Now.Runtime) + " at this load"
}

// A matter is something that the first line names: of a unit, or of this box.
type matter struct {
	mood      mood
	who, what string
}

func (m matter) String() string { return m.who + ": " + m.what }

const thisBox = "this box"

// matters are what somebody should know, the worst first.
func (s *Status) matters() []matter {
	var out []matter
	for _, a := range s.Alarms {
		if m := a.mood(); m > well {
			out = append(out, matter{m, thisBox, lower(a.Text)})
		}
	}
	if !s.Clock.Trusted {
		out = append(out, matter{look, thisBox, "the clock is not set"})
	}
	for i := range s.Units {
		u := &s.Units[i]
		if m := u.mood(); m > well {
			out = append(out, matter{m, u.Name, u.why()})
		}
	}
	return worst(out, func(m matter) mood { return m.mood })
}

// worst puts what is worst first, and leaves the order otherwise. With three moods that takes three looks and no sorting.
func worst[T any](all []T, of func(T) mood) []T {
	out := make([]T, 0, len(all))
	for m := act; m >= well; m-- {
		for i := range all {
			if of(all[i]) == m {
				out = append(out, all[i])
			}
		}
	}
	return out
}

// why names in short what is the matter with a unit. It has no number that changes all the time: it is read aloud when it changes.
func (u *Unit) why() string {
	switch {
	case u.Age == nil:
		return "has not answered yet"
	case u.has(ups.CriticalUnknown):
		return "does not answer, and was on battery"
	case u.has(ups.Stale):
		return "does not answer"
	}
	switch worst := u.worst(); {
	case worst != nil:
		return lower(worst.Text)
	case u.Failure != "":
		return "reads fail"
	case u.has(ups.OnBattery):
		return "on battery"
	case u.has(ups.OutputOff):
		return "output is off"
	case u.has(ups.Bypass):
		return "on bypass"
	}
	return "fault"
}

// worst is the first of its worst alarms, nil where none is more than informational.
func (u *Unit) worst() (out *Alarm) {
	for i := range u.Alarms {
		if a := &u.Alarms[i]; a.mood() > well && (out == nil || a.mood() > out.mood()) {
			out = a
		}
	}
	return out
}

// lower begins a text in lower case where that is a word and no abbreviation.
func lower(s string) string {
	if len(s) > 1 && s[1] >= 'a' && s[1] <= 'z' {
		return strings.ToLower(s[:1]) + s[1:]
	}
	return s
}

// sentence begins a text with a capital.
func sentence(s string) string {
	if s == "" {
		return ""
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// span is a time in seconds as people say it.
func span(seconds float64) string {
	if math.IsNaN(seconds) || seconds < 0 {
		seconds = 0
	}
	s := int64(seconds)
	switch {
	case s < 60:
		return fmt.Sprintf("%d s", s)
	case s < 600 && s%60 != 0:
		return fmt.Sprintf("%d min %d s", s/60, s%60)
	case s < 3600:
		return fmt.Sprintf("%d min", s/60)
	case s < 48*3600 && s/60%60 != 0:
		return fmt.Sprintf("%d h %d min", s/3600, s/60%60)
	case s < 48*3600:
		return fmt.Sprintf("%d h", s/3600)
	}
	return ups.Count(s/86400, "day")
}

// ago is an age as it stands in a table.
func ago(seconds float64) string {
	if seconds < 10 {
		return strconv.FormatFloat(max(seconds, 0), 'f', 1, 64) + " s ago"
	}
	return span(seconds) + " ago"
}

// size is a number of bytes.
func size(n int64) string {
	switch {
	case n < 1<<10:
		return ups.Count(n, "byte")
	case n < 1<<20:
		return fmt.Sprintf("%.0f KiB", float64(n)/(1<<10))
	case n < 1<<30:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.2f GiB", float64(n)/(1<<30))
}

// since is how long ago an instant of the box's clock was.
func since(now time.Time, at *time.Time) string {
	if at == nil {
		return ""
	}
	return span(now.Sub(*at).Seconds())
}

// number is a value with its unit, "–" where there is none.
func number(v *float64, decimals int, unit string) string {
	if v == nil {
		return "–"
	}
	return strconv.FormatFloat(*v, 'f', decimals, 64) + " " + unit
}
