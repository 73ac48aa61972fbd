package alarm

import (
	"time"

	"upsedge/internal/ups"
)

// A memory is what rules look at beside the latest values: how things went until now. What of it is kept over a restart stands
// in saved.go.
type memory struct {
	marks     [marks]mark
	installed valueState // date of installation of the battery (219)
	worn      valueState // date of replacement when the battery was found worn out, while that waits for a new one (219)
	replaced  bool       // this read shows that the battery was replaced (219)
	lowest    level      // charge: the lowest since it was full or last fell (220)
	stalled   level      // charge: the level that does not rise (222)
	reference reference  // 223
	dip       dip        // 225
}

// A level is a value in percent that was read.
type level struct {
	value float64
	known bool
}

// A mark is when something happened, on the engine's time line; before a restart of the program it is negative.
type mark struct {
	at  time.Duration
	set bool
}

func (m mark) age(now time.Duration) time.Duration { return now - m.at }

// within reports whether it happened, and no longer ago than d.
func (m mark) within(d, now time.Duration) bool { return m.set && m.age(now) <= d }

// over reports whether it happened, and longer ago than d or just then.
func (m mark) over(d, now time.Duration) bool { return m.set && m.age(now) >= d }

// The marks. Their names in the saved state are never used again for anything else.
const (
	markOutage1  = iota // the last but two raise of 101
	markOutage2         // the last but one
	markOutage3         // the last
	markPassed          // the last self-test that passed, or the first look at the test word
	markStalled         // the charge last rose while it was low, or the unit came on line
	markReplaced        // the last 219
	markLoaded          // the load was last above what 321 asks; not kept
	marks
)

var markNames = [marks]string{"outage_1", "outage_2", "outage_3", "passed", "stalled", "replaced", ""}

// put sets a mark to now. What is kept has changed.
func (e *Engine) put(m int) {
	e.mem.marks[m] = mark{at: e.look.now, set: true}
	e.dirty = e.dirty || markNames[m] != ""
}

func (e *Engine) unset(m int) {
	e.dirty = e.dirty || e.mem.marks[m].set && markNames[m] != ""
	e.mem.marks[m] = mark{}
}

// since returns a mark.
func (x *look) since(m int) mark { return x.mem.marks[m] }

// track takes over what the read in hand adds to the memory, before the rules look at it.
func (e *Engine) track(x *look) {
	e.mem.replaced = false
	if x.read.has(ups.Charge) {
		e.trackCharge(x)
	}
	if x.read.has(ups.LoadReal) && loadOver(x, loadWasThere) {
		e.put(markLoaded)
	}
	if x.read.has(ups.Runtime) {
		e.trackReference(x)
	}
	if x.read.has(ups.BatteryVoltage) {
		e.mem.dip.measure(x)
	}
	if x.read.has(ups.BatteryInstalled) || x.read.has(ups.ReplaceBy) {
		e.trackReplacement(x)
	}
}

// remember takes over what an event means for later ones.
func (e *Engine) remember(v *ups.Event) {
	switch {
	case v.ID == 101 && v.Kind == ups.Raise:
		e.mem.marks[markOutage1], e.mem.marks[markOutage2] = e.mem.marks[markOutage2], e.mem.marks[markOutage3]
		e.put(markOutage3)
	case v.ID == 219:
		e.put(markReplaced)
		e.mem.reference = reference{pending: true}
	case v.ID == 509:
		e.mem.reference = reference{pending: true}
	case v.ID == 503:
		e.put(markPassed)
		e.mem.dip.judge()
	}
}
