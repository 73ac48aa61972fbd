package alarm

import (
	"fmt"
	"math"

	"upsedge/internal/ups"
)

// What the rows of the battery that are stories measure by.
const (
	// rises is by how much, in percent, the charge has to be above its lowest to count as rising (220, 222): a hundred steps of
	// the register, more than a battery that is kept full moves up and down.
	rises220, rises222 = 0.5, 1
	lowCharge          = 90 // percent, 222
	chargedAgain       = 5  // percent, 222

	sameLoad         = 0.05 // of the load of the reference, 223
	runtimeFar       = 0.5  // of the reference, 223
	runtimeFair      = 0.6
	leastLoad        = 1 // percent; below it a runtime says nothing of the battery
	referencePolls   = 2
	dipLimit         = 0.20 // of the voltage before the test, 225; see weakBattery
	dipPolls         = 2
	earlyDays        = 180 // 214
	dueDays          = 90  // 215
	loadWasThere     = 10  // percent, 321
	loadIsGone       = 1
	loadIsBack       = 2
	disappearsWithin = 60 // seconds, 321
)

// charge returns the charge in percent and whether there is one.
func (x *look) charge() (float64, bool) { return x.st.Value(ups.Charge) }

func full(x *look) bool {
	c, ok := x.charge()
	return ok && c >= 100
}

// trackCharge follows the charge for 220 and 222. There is no bit that says that a battery charges.
func (e *Engine) trackCharge(x *look) {
	c, ok := x.charge()
	if !ok {
		return
	}
	m := &e.mem
	if !m.lowest.known || c < m.lowest.value || c >= 100 || !x.u(ups.UOnline) {
		m.lowest = level{c, true}
	}
	switch active := x.active.has(222); {
	case active:
		m.stalled.value = math.Min(m.stalled.value, c)
	case !x.u(ups.UOnline) || c >= lowCharge:
		e.unset(markStalled)
	case !m.marks[markStalled].set || c > m.stalled.value+rises222:
		m.stalled = level{c, true}
		e.put(markStalled)
	case c < m.stalled.value:
		m.stalled.value = c
	}
}

func charging(x *look) bool {
	c, ok := x.charge()
	return ok && x.u(ups.UOnline) && c < 100 && c >= x.mem.lowest.value+rises220
}

func doesNotCharge(x *look) bool {
	c, ok := x.charge()
	return ok && c < lowCharge && x.u(ups.UOnline) && x.since(markStalled).over(x.limits.Day, x.now)
}

func chargedSince(x *look) bool {
	c, ok := x.charge()
	return ok && (c >= x.mem.stalled.value+chargedAgain || c >= 100)
}

// A reference is the runtime of a battery that is known to be good, with the load it was taken at.
type reference struct {
	pending       bool // the battery was replaced or calibrated: the next time it is full the reference is taken
	n             int
	known         bool
	load, runtime float64 // percent, s
}

// trackReference takes the reference of 223 when the battery is first full after replacement or calibration.
func (e *Engine) trackReference(x *look) {
	r := &e.mem.reference
	if !r.pending {
		return
	}
	load, runtime, ok := fullRuntime(x)
	if !ok {
		r.n = 0
		return
	}
	if r.n++; r.n >= referencePolls {
		*r = reference{known: true, load: load, runtime: runtime}
		e.dirty = true
	}
}

// fullRuntime returns the load and the runtime of a full battery on line, if both say something.
func fullRuntime(x *look) (load, runtime float64, ok bool) {
	load, ok1 := x.st.Value(ups.LoadReal)
	runtime, ok2 := x.st.Value(ups.Runtime)
	return load, runtime, ok1 && ok2 && load >= leastLoad && x.u(ups.UOnline) && full(x) && runtime > 0
}

// alike reports whether the runtime now can be compared with the reference: a full battery, at ±5 % the same load.
func alike(x *look) bool {
	load, _, ok := fullRuntime(x)
	r := &x.mem.reference
	return ok && r.known && math.Abs(load-r.load) <= sameLoad*r.load
}

func runtimeBelow(part float64) func(*look) bool {
	return func(x *look) bool { return !x.over(ups.Runtime, math.Nextafter(part*x.mem.reference.runtime, 0)) }
}

func runtimeAbove(part float64) func(*look) bool {
	return func(x *look) bool { return x.over(ups.Runtime, part*x.mem.reference.runtime) }
}

func referenceDetail(x *look) string {
	r := &x.mem.reference
	return phrase(x.value("runtime", ups.Runtime), fmt.Sprintf("reference %.4g s at load %.4g %%", r.runtime, r.load))
}

// A dip is how far the battery voltage falls in a self-test.
type dip struct {
	before  level // the last voltage before the test
	least   float64
	n       int // voltages read in the test
	low     int // those that were too low
	running bool
	result  dipResult
}

type dipResult uint8

const (
	dipUnknown dipResult = iota // no test, or it was not measured
	dipNormal
	dipDeep
)

// measure takes over a voltage.
func (d *dip) measure(x *look) {
	v, ok := x.st.Value(ups.BatteryVoltage)
	testing := (x.u(ups.UTest) || x.bits(ups.BatteryTest, ups.TInProgress)) && !x.bits(ups.Calibration, ups.TInProgress)
	switch {
	case !ok:
	case !testing:
		if d.running = false; x.u(ups.UOnline) {
			d.before = level{v, true}
		}
	default:
		if !d.running {
			*d = dip{before: d.before, running: true, least: v}
		}
		d.n++
		d.least = math.Min(d.least, v)
		if v < d.before.value*(1-dipLimit) {
			d.low++
		}
	}
}

// judge is called when a test has passed.
func (d *dip) judge() {
	switch {
	case !d.before.known || d.n < dipPolls:
		d.result = dipUnknown
	case d.low >= dipPolls:
		d.result = dipDeep
	default:
		d.result = dipNormal
	}
}

func dipIs(r dipResult) func(*look) bool { return func(x *look) bool { return x.mem.dip.result == r } }

func dipDetail(x *look) string {
	d := &x.mem.dip
	return fmt.Sprintf("battery voltage from %.4g V to %.4g V, limit %.4g V", d.before.value, d.least, d.before.value*(1-dipLimit))
}
