package alarm

import (
	"time"

	"upsedge/internal/ups"
)

// A valueState is a value that hardly ever changes. What it is first is taken as it is: a second look may be an hour later. A
// change is one after two polls in a row.
type valueState struct {
	known bool
	value int64
	next  int64
	n     int
}

// count takes over one read and reports whether the value is another one now.
func (s *valueState) count(v int64) (news, changed bool) {
	if s.known && v == s.value {
		s.n = 0
		return false, false
	}
	if s.n == 0 || v != s.next {
		s.next, s.n = v, 0
	}
	if s.n++; s.n < 2 && s.known {
		return false, false
	}
	news = s.known
	*s = valueState{known: true, value: v}
	return news, true
}

// trackReplacement finds out that the battery was replaced (219): the date of installation, which a user sets, is another one;
// or it was worn out (206, 216), is so no more, and the unit says a later date of replacement. Both for the same battery
// within a day are one event.
func (e *Engine) trackReplacement(x *look) {
	m := &e.mem
	replaced := false
	if v, ok := x.st.Raw(ups.BatteryInstalled); ok && x.read.has(ups.BatteryInstalled) {
		news, changed := m.installed.count(v)
		replaced, e.dirty = news, e.dirty || changed
	}
	if due, ok := x.st.Raw(ups.ReplaceBy); ok && x.read.has(ups.ReplaceBy) {
		worn := x.active.has(206) || x.active.has(216)
		switch {
		case worn && !m.worn.known:
			m.worn = valueState{known: true, value: due}
			e.dirty = true
		case !worn && m.worn.known && due > m.worn.value:
			m.worn = valueState{}
			replaced, e.dirty = true, true
		}
	}
	m.replaced = replaced && !m.marks[markReplaced].within(x.limits.Day, x.now)
}

func wasReplaced(x *look) bool { return x.mem.replaced }

// clockGrace is how long after its start a program waits for a clock that can be trusted before dates no longer keep an alarm
// active that the unit itself has ended.
const clockGrace = time.Hour

// A calendar is what is known of the day.
type calendar struct {
	trusted bool
	today   int64 // days since 2000-01-01, UTC, while trusted
}

// lookAtClock finds out once a minute what day it is, if that is known.
func (e *Engine) lookAtClock(x *look) {
	if x.now < e.clockAt {
		return
	}
	e.clockAt = x.now + time.Minute
	now := calendar{}
	if t := e.date(x.at); !t.IsZero() {
		now = calendar{true, int64(t.Sub(ups.Day(0)) / day)}
	}
	if now != x.calendar {
		x.calendar, e.restless = now, e.set.all
	}
}

// TrustClock tells the engine whom to ask for the wall time of an instant, which is zero while it is not known. What the instants
// themselves say on the machine's clock is not believed. Until it is called nothing is known, and what needs a date is silent.
func (e *Engine) TrustClock(wall func(time.Time) time.Time) { e.wallTime = wall }

// date returns the wall time of an instant of this run, zero while it is not known.
func (e *Engine) date(t time.Time) time.Time {
	if e.wallTime == nil || t.IsZero() {
		return time.Time{}
	}
	return e.wallTime(t)
}

// between is how long before the instant to an alarm's Since was, false where that is not known: over a restart only the wall
// clock is left.
func (e *Engine) between(a *activeAlarm, to time.Time) (time.Duration, bool) {
	if a.inherited {
		to = e.date(to)
	}
	d := to.Sub(a.Since)
	return d, !a.Since.IsZero() && !to.IsZero() && d >= 0
}

func noDate(x *look) bool       { _, ok := x.st.Raw(ups.ReplaceBy); return !x.trusted || !ok }
func (x *look) daysLeft() int64 { d, _ := x.st.Raw(ups.ReplaceBy); return d - x.today }

// dateCounts: the date has a say in the end of an alarm. Without a clock it has none, but where the alarm may come from it, as it
// was raised before the program began, that waits for the clock.
func dateCounts(id ups.AlarmID) func(*look) bool {
	return func(x *look) bool {
		a := x.active.find(key{id: id})
		return x.trusted || x.now >= clockGrace || a == nil || !a.inherited
	}
}

// dueWithin: the date of replacement is known and days away or less.
func dueWithin(days int64) func(*look) bool {
	return func(x *look) bool { return !noDate(x) && x.daysLeft() <= days }
}

// dueAfter: it is further away, or there is none.
func dueAfter(days int64) func(*look) bool {
	return func(x *look) bool { return noDate(x) || x.daysLeft() > days }
}

func dueDetail(x *look) string {
	d, ok := x.st.Raw(ups.ReplaceBy)
	if !ok {
		return ""
	}
	return "replace by " + ups.Day(d).Format(time.DateOnly)
}
