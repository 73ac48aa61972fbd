package alarm

import (
	"fmt"
	"time"

	"upsedge/internal/ups"
)

// lowBatteryHysteresis is how far the runtime has to rise above the limit before 201 clears (event catalogue, section 3).
const lowBatteryHysteresis = 60 * time.Second

// overloadLimit is the load in percent of the rating above which a unit is overloaded (event catalogue, 301).
const overloadLimit = 100

// withoutStatus is how long an outage without a bad input is doubted when the calibration word is never read.
const withoutStatus = 10 * time.Second

var (
	onStatus      = points(ups.StatusFlags)
	onCalibration = points(ups.Calibration)
	onPower       = points(ups.PowerError)
	onSignalling  = points(ups.Signalling)
	onRuntime     = points(ups.Runtime)
	onLoad        = points(ups.LoadReal, ups.LoadApparent)
	turnOffs      = [len(ups.Groups)]ups.Point{ups.MainTurnOff, ups.SOG0TurnOff, ups.SOG1TurnOff, ups.SOG2TurnOff, ups.SOG3TurnOff}
	onOutlets     = points(ups.MainOutlet, ups.SOG0Outlet, ups.SOG1Outlet, ups.SOG2Outlet, ups.SOG3Outlet)
)

func overloadFor(l *Limits) time.Duration    { return l.OverloadFor }
func withoutStatusFor(*Limits) time.Duration { return withoutStatus }

// rules are judged in this order, so a row may refer to alarms above it as they are now.
var rules, streaks = numbered([]rule{
	{
		// READ-1, TIMING-1. With a bad input it is an outage on the first poll, whatever test may run. Without one it is an
		// outage only if no calibration runs, and a watch does not tell: it may come between the start of a calibration and
		// the read that shows it. So such a change waits for a read that contains the calibration word (a second at the
		// default rates, less in a burst), and for a second one while 103 is active: status and calibration word are two items
		// and change at two moments (protocol reference, section 3.5), also at the end. Where that word is never read, 10 s.
		id: 101,
		raise: []test{
			{on: onStatus, is: mainsGone, polls: 1},
			{on: onCalibration, is: func(x *look) bool { return batteryWithoutTest(x) && !x.active.has(103) }, polls: 1},
			{on: onCalibration, is: batteryWithoutTest, polls: 2},
			{on: onStatus, is: batteryWithoutTest, polls: 2, hold: withoutStatusFor},
		},
		clear:  []test{{on: onStatus, is: noBit(ups.StatusFlags, ups.UOnBattery), polls: 2}},
		then:   102,
		thenIf: bit(ups.StatusFlags, ups.UOnline),
		raw:    []ups.Point{ups.StatusFlags, ups.StatusCause, ups.Calibration},
		detail: (*look).cause,
		ended:  (*look).cause,
	},
	{
		id: 103, // READ-1
		raise: []test{
			{on: onStatus, is: batteryForTest, polls: 1},
			{on: onCalibration, is: batteryForTest, polls: 1},
		},
		clear: []test{
			{on: onStatus, is: noBit(ups.StatusFlags, ups.UTest), polls: 2},
			{on: onCalibration, is: noBit(ups.Calibration, ups.TInProgress), polls: 2},
		},
		yieldTo: 101,
		raw:     []ups.Point{ups.StatusFlags, ups.Calibration},
		detail: func(x *look) string {
			if x.bits(ups.Calibration, ups.TInProgress) {
				return "runtime calibration"
			}
			return "self-test"
		},
	},
	{
		// READ-3: from the runtime or the groups' own limits, never from S.1. Two different exchanges with the deciding point
		// (protocol reference, section 8.6): a single runtime of 0 says nothing.
		id:    201,
		while: 101,
		raise: []test{
			{on: onRuntime, is: runtimeLow, polls: 2},
			{on: onOutlets, is: groupRuntimeLow, polls: 2},
		},
		clear: []test{
			{on: onRuntime, is: runtimeRecovered, polls: 2},
			{on: onOutlets, is: func(x *look) bool { return !groupRuntimeLow(x) }, polls: 2},
		},
		raw:    []ups.Point{ups.Runtime, ups.MainOutlet, ups.SOG0Outlet, ups.SOG1Outlet, ups.SOG2Outlet, ups.SOG3Outlet},
		detail: lowBatteryDetail,
		ended:  func(x *look) string { return x.value("runtime", ups.Runtime) },
	},
	{
		id: 301, // TIMING-1
		raise: []test{
			{on: onStatus, is: bit(ups.StatusFlags, ups.UOverload), polls: 1},
			{on: onPower, is: bit(ups.PowerError, ups.POverload), polls: 1},
			{on: onLoad, is: loadHigh, polls: 2, hold: overloadFor},
		},
		clear: []test{
			{on: onStatus, is: noBit(ups.StatusFlags, ups.UOverload), polls: 2, hold: overloadFor},
			{on: onPower, is: noBit(ups.PowerError, ups.POverload), polls: 2, hold: overloadFor},
			{on: onLoad, is: func(x *look) bool { return !loadHigh(x) }, polls: 2, hold: overloadFor},
		},
		raw:    []ups.Point{ups.StatusFlags, ups.PowerError, ups.LoadReal, ups.LoadApparent},
		detail: overloadDetail,
		ended:  loads,
	},
	{
		// READ-2, READ-3, TIMING-1. Online and with nothing pending the bit contradicts the status word, and needs a second read.
		id: 311,
		raise: []test{
			{on: onSignalling, is: func(x *look) bool { return shutdownImminent(x) && !quietlyOnline(x) }, polls: 1},
			{on: onSignalling, is: shutdownImminent, polls: 2},
		},
		clear:  []test{{on: onSignalling, is: noBit(ups.Signalling, ups.SShutdownImminent), polls: 2}},
		raw:    []ups.Point{ups.Signalling, ups.StatusFlags, ups.Runtime, ups.Charge, ups.MainTurnOff},
		detail: shutdownDetail,
	},
	bitRule(502, ups.BatteryTest, ups.TInProgress, func(x *look) string { return testSource(x.st.Flags(ups.BatteryTest)) }),
})

// mainsGone: on battery, and the input is really bad, which a test alone does not set (READ-1).
func mainsGone(x *look) bool { return x.u(ups.UOnBattery) && x.u(ups.UInputBad) }

// batteryWithoutTest: on battery, and neither a self-test nor a calibration that has been read says why (READ-1).
func batteryWithoutTest(x *look) bool {
	return x.u(ups.UOnBattery) && !x.u(ups.UTest) && !x.bits(ups.Calibration, ups.TInProgress)
}

// batteryForTest: on battery for a test, the input is good, and no outage goes on: 101 ends only with the battery.
func batteryForTest(x *look) bool {
	return x.u(ups.UOnBattery) && !x.u(ups.UInputBad) && !x.active.has(101) &&
		(x.u(ups.UTest) || x.bits(ups.Calibration, ups.TInProgress))
}

func runtimeLow(x *look) bool { return x.atMost(ups.Runtime, x.limits.LowBatteryRuntime.Seconds()) }

func runtimeRecovered(x *look) bool {
	return x.over(ups.Runtime, (x.limits.LowBatteryRuntime + lowBatteryHysteresis).Seconds())
}

func groupRuntimeLow(x *look) bool {
	for i, g := range ups.Groups {
		if x.bits(g.Outlet(), ups.OLowRuntime) && x.present(i, g) {
			return true
		}
	}
	return false
}

func lowBatteryDetail(x *look) string {
	limit := fmt.Sprintf("limit %.4g s", x.limits.LowBatteryRuntime.Seconds())
	groups := ""
	for i, g := range ups.Groups {
		if x.bits(g.Outlet(), ups.OLowRuntime) && x.present(i, g) {
			groups = phrase(groups, "runtime of group "+g.String()+" low")
		}
	}
	return phrase(x.value("runtime", ups.Runtime), limit, groups)
}

func loadHigh(x *look) bool {
	return x.over(ups.LoadReal, overloadLimit) || x.over(ups.LoadApparent, overloadLimit)
}

func loads(x *look) string {
	return phrase(x.value("load", ups.LoadReal), x.value("apparent load", ups.LoadApparent))
}

func overloadDetail(x *look) string {
	why := ""
	switch {
	case x.u(ups.UOverload):
		why = "OverloadState"
	case x.bits(ups.PowerError, ups.POverload):
		why = "OutputOverload"
	default:
		why = fmt.Sprintf("limit %d %% for %s", overloadLimit, x.limits.OverloadFor)
	}
	return phrase(why, loads(x))
}

func shutdownImminent(x *look) bool { return x.bits(ups.Signalling, ups.SShutdownImminent) }

// quietlyOnline: on line and nothing in the status word says that the output will go.
func quietlyOnline(x *look) bool { return x.u(ups.UOnline) && !x.u(ups.UPendingOff) }

// shutdownDetail says who shuts the unit down. Not on battery it can only be a command (READ-2). On battery a pending turn-off
// says nothing, for it is always there: then it is the battery when the runtime is low, a command when a turn-off countdown
// runs (READ-3), and otherwise a command not yet counting or a limit of the unit's own above ours, which look the same.
func shutdownDetail(x *look) string {
	_, known := x.st.Raw(ups.Runtime)
	why := "battery"
	switch {
	case !x.u(ups.UOnBattery):
		why = "commanded"
	case runtimeLow(x):
	case turnOffCounts(x):
		why = "commanded"
	case known:
		why = "battery or commanded"
	}
	return phrase(why, x.value("runtime", ups.Runtime), x.value("charge", ups.Charge))
}

// turnOffCounts reports whether a turn-off countdown of a present group runs.
func turnOffCounts(x *look) bool {
	for i, p := range turnOffs {
		if _, ok := x.st.Raw(p); ok && x.present(i, ups.Groups[i]) {
			return true
		}
	}
	return false
}
