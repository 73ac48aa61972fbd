package alarm

import (
	"fmt"
	"time"

	"upsedge/internal/ups"
)

// overloadLimit is the load in percent of the rating above which a unit is overloaded (event catalogue, 301); loadEases how far
// below its limit the load has to fall before 303 clears.
const (
	overloadLimit = 100
	loadEases     = 5
)

var (
	onPower      = points(ups.PowerError)
	onSignalling = points(ups.Signalling)
	onLoad       = points(ups.LoadReal, ups.LoadApparent)
	onBypass     = points(ups.BypassStatus)
	turnOffs     = [len(ups.Groups)]ups.Point{ups.MainTurnOff, ups.SOG0TurnOff, ups.SOG1TurnOff, ups.SOG2TurnOff, ups.SOG3TurnOff}
)

func overloadFor(l *Limits) time.Duration  { return l.OverloadFor }
func loadHighFor(l *Limits) time.Duration  { return l.LoadHighFor }
func badBypassFor(l *Limits) time.Duration { return l.BadBypassFor }

// outputRules: event catalogue, section 4. The families are those of the protocol reference, section 6.1.
var outputRules = []rule{
	{
		id: 301, // TIMING-1
		raise: []test{
			{on: onStatus, is: bit(ups.StatusFlags, ups.UOverload), polls: 1, only: ups.SRT},
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
		then:   302,
	},
	{
		id:     303,
		raise:  []test{{on: onLoad, is: func(x *look) bool { return loadOver(x, x.limits.Load) }, polls: 2, hold: loadHighFor}},
		clear:  []test{{on: onLoad, is: func(x *look) bool { return loadBelow(x, x.limits.Load-loadEases) }, polls: 2, hold: loadHighFor}},
		raw:    []ups.Point{ups.LoadReal, ups.LoadApparent},
		detail: func(x *look) string { return phrase(fmt.Sprintf("limit %.4g %%", x.limits.Load), loads(x)) },
		ended:  loads,
	},
	bitRule(304, ups.PowerError, ups.PShortCircuit),
	bitRule(305, ups.PowerError, ups.POvervoltage),
	bitRule(306, ups.PowerError, ups.POverCurrent),
	{
		id:     307,
		raise:  []test{{on: onStatus, is: bit(ups.StatusFlags, ups.UOutputOff), polls: 2}},
		clear:  []test{{on: onStatus, is: noBit(ups.StatusFlags, ups.UOutputOff), polls: 2}},
		then:   308,
		raw:    []ups.Point{ups.StatusFlags, ups.StatusCause},
		detail: (*look).causeName,
		ended:  (*look).causeName,
	},
	bitRule(309, ups.StatusFlags, ups.UPendingOn),
	{
		id:     310, // READ-2
		raise:  []test{{on: onStatus, is: func(x *look) bool { return x.u(ups.UPendingOff) && x.u(ups.UOnline) }, polls: 2}},
		clear:  []test{{on: onStatus, is: noBit(ups.StatusFlags, ups.UPendingOff), polls: 2}},
		raw:    []ups.Point{ups.StatusFlags, ups.MainTurnOff},
		detail: func(x *look) string { return x.value("in", ups.MainTurnOff) },
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
	{
		id:     312,
		raise:  []test{{on: onStatus, is: func(x *look) bool { return x.u(ups.UBypass) && x.u(ups.UCommanded) }, polls: 2, only: ups.SRT}},
		clear:  []test{{on: onStatus, is: noBit(ups.StatusFlags, ups.UBypass), polls: 2}},
		then:   314,
		thenIf: func(x *look) bool { return !x.active.has(313) }, // both at once are one return
		raw:    []ups.Point{ups.StatusFlags, ups.StatusCause},
		detail: (*look).causeName,
		ended:  (*look).causeName,
	},
	{
		id:     313,
		raise:  []test{{on: onStatus, is: func(x *look) bool { return x.u(ups.UBypass) && !x.u(ups.UCommanded) }, polls: 2, only: ups.SRT | ups.SURTD}},
		clear:  []test{{on: onStatus, is: noBit(ups.StatusFlags, ups.UBypass), polls: 2}},
		then:   314,
		raw:    []ups.Point{ups.StatusFlags, ups.StatusCause},
		detail: (*look).causeName,
		ended:  (*look).causeName,
	},
	{
		id:    315,
		raise: []test{{on: onBypass, is: bypassBad, polls: 2, hold: badBypassFor, only: ups.SRT | ups.SURTD}},
		clear: []test{{on: onBypass, is: bypassGood, polls: 2}},
		raw:   []ups.Point{ups.BypassStatus},
	},
	bitRule(316, ups.StatusFlags, ups.UFaultRecovery).of(ups.SRT),
	bitRule(317, ups.StatusFlags, ups.UFaultState).of(ups.SMT | ups.SRT),
	{
		// A cause says it, and another that it is over. Where that one can have been missed, as nobody read, two polls of any
		// other cause are enough.
		id:    318,
		raise: []test{causedBy(ups.CauseInverterDistorted)},
		clear: []test{{on: onCause, when: func(x *look) bool { return x.again != noCause }, is: inverterGood, polls: 1}},
		raw:   []ups.Point{ups.StatusFlags, ups.StatusCause},
	},
	causeMoment(319, causedBy(ups.CauseBypassExpired)),
	{
		id:    320,
		raise: []test{{on: onErrors, is: bit(ups.GeneralError, ups.GEPOActive), polls: 2}, causedBy(ups.CauseEPO)},
		clear: []test{{on: onErrors, is: noBit(ups.GeneralError, ups.GEPOActive), polls: 2}},
		raw:   []ups.Point{ups.GeneralError, ups.StatusFlags, ups.StatusCause},
	},
	{
		id:     321,
		raise:  []test{{on: onLoad, is: loadDisappeared, polls: 2, hold: offFor}},
		clear:  []test{{on: onLoad, is: func(x *look) bool { return loadOver(x, loadIsBack) }, polls: 2}},
		raw:    []ups.Point{ups.LoadReal, ups.LoadApparent, ups.StatusFlags},
		detail: loads,
		ended:  loads,
		sees:   onOutlets,
		byTime: true,
	},
}

// offFor is long enough for the status block to say that somebody switched the output off.
func offFor(*Limits) time.Duration { return 3 * time.Second }

// loadDisappeared: there was a load within the last minute, there is none now, and the output is on: of the unit and of every
// outlet group, for a command shows in their states.
func loadDisappeared(x *look) bool {
	if !x.u(ups.UOnline) || !loadBelow(x, loadIsGone) || !x.since(markLoaded).within(disappearsWithin*time.Second, x.now) {
		return false
	}
	for _, g := range ups.Groups {
		if x.present(g) && x.bits(g.Outlet(), ups.OStateOff|ups.OReboot|ups.OShutdown|ups.OSleep) {
			return false
		}
	}
	return true
}

func loadOver(x *look, limit float64) bool {
	return x.over(ups.LoadReal, limit) || x.over(ups.LoadApparent, limit)
}

// loadBelow: of the loads that have a value, all are below limit.
func loadBelow(x *look, limit float64) bool {
	for _, p := range [...]ups.Point{ups.LoadReal, ups.LoadApparent} {
		if v, ok := x.st.Value(p); ok && v >= limit {
			return false
		}
	}
	return true
}

// inverterGood: the cause that ends 318, or, as long as nobody knows whether it was missed, any other twice.
func inverterGood(x *look) bool {
	if a := x.active.find(key{id: 318}); a != nil && a.unconfirmed {
		return x.again != ups.CauseInverterDistorted
	}
	return x.confirmed == ups.CauseInverterGood
}

// bypassGood: the input is acceptable; or, as long as nobody has heard of 315 since the program began or communication was lost,
// there is none: it may be another unit.
func bypassGood(x *look) bool {
	a := x.active.find(key{id: 315})
	return x.bits(ups.BypassStatus, ups.IAcceptable) || a != nil && a.unconfirmed && !x.bits(ups.BypassStatus, all)
}

// bypassBad: a unit that has a bypass input says something of it, and not that it is acceptable.
func bypassBad(x *look) bool {
	return x.bits(ups.BypassStatus, all) && !x.bits(ups.BypassStatus, ups.IAcceptable)
}

func loadHigh(x *look) bool {
	return loadOver(x, overloadLimit)
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
		if _, ok := x.st.Raw(p); ok && x.present(ups.Groups[i]) {
			return true
		}
	}
	return false
}
