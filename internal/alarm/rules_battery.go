package alarm

import (
	"time"

	"upsedge/internal/ups"
)

// lowBatteryHysteresis is how far the runtime has to rise above the limit before 201 and 203 clear, coolBy how far the battery
// has to cool below it before 208 does (event catalogue, section 3).
const (
	lowBatteryHysteresis = 60 * time.Second
	coolBy               = 3 // °C
)

var (
	onRuntime     = points(ups.Runtime)
	onTemperature = points(ups.BatteryTemperature)
	onBattery     = points(ups.BatteryError)
	onCharge      = points(ups.Charge)
	onVoltage     = points(ups.BatteryVoltage)
	onDate        = points(ups.ReplaceBy)
	onLife        = points(ups.BatteryLife)
	onOutlets     = points(ups.MainOutlet, ups.SOG0Outlet, ups.SOG1Outlet, ups.SOG2Outlet, ups.SOG3Outlet)
)

func hotFor(l *Limits) time.Duration { return l.HotFor }

// batteryRules: event catalogue, section 3. READ-4: the battery errors are register 22.
var batteryRules = []rule{
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
		sees:   points(ups.OutletConfig),
		then:   202,
	},
	{
		id:    203,
		raise: []test{{on: onRuntime, is: func(x *look) bool { return x.u(ups.UOnline) && runtimeLow(x) }, polls: 2}},
		clear: []test{{on: onRuntime, is: runtimeRecovered, polls: 2}},
		raw:   []ups.Point{ups.StatusFlags, ups.Runtime},
		detail: func(x *look) string {
			return phrase(x.value("runtime", ups.Runtime), seconds("limit", x.limits.LowBatteryRuntime))
		},
		ended: func(x *look) string { return x.value("runtime", ups.Runtime) },
	},
	bitRule(204, ups.BatteryError, ups.BDisconnected),
	bitRule(205, ups.BatteryError, ups.BOvervoltage),
	bitRule(206, ups.BatteryError, ups.BNeedsReplacement),
	bitRule(207, ups.BatteryError, ups.BOverheated),
	{
		id: 208,
		raise: []test{
			{on: onBattery, is: bit(ups.BatteryError, ups.BHot), polls: 2},
			{on: onTemperature, is: func(x *look) bool { return x.over(ups.BatteryTemperature, x.limits.BatteryTemperature) }, polls: 2, hold: hotFor},
		},
		clear: []test{
			{on: onBattery, is: noBit(ups.BatteryError, ups.BHot), polls: 2},
			{on: onTemperature, is: func(x *look) bool { return !x.over(ups.BatteryTemperature, x.limits.BatteryTemperature-coolBy) }, polls: 2},
		},
		raw:    []ups.Point{ups.BatteryError, ups.BatteryTemperature},
		detail: batteryTemperature,
		ended:  batteryTemperature,
	},
	bitRule(209, ups.BatteryError, ups.BCharger),
	bitRule(210, ups.BatteryError, ups.BTemperatureSensor),
	bitRule(211, ups.BatteryError, ups.BBusSoftStart),
	bitRule(212, ups.BatteryError, ups.BGeneral),
	bitRule(213, ups.BatteryError, ups.BCommunication),
	{
		id: 215,
		raise: []test{
			{on: onLife, is: bit(ups.BatteryLife, ups.LNearEnd), polls: 2},
			{on: onDate, is: dueWithin(dueDays), polls: 2},
		},
		clear: []test{
			{on: onLife, is: noBit(ups.BatteryLife, ups.LNearEnd), polls: 2},
			{on: onDate, when: dateCounts(215), is: dueAfter(dueDays), polls: 2},
		},
		raw:    []ups.Point{ups.BatteryLife, ups.ReplaceBy},
		detail: dueDetail,
		ended:  dueDetail,
	},
	{
		id: 216,
		raise: []test{
			{on: onLife, is: bit(ups.BatteryLife, ups.LExceeded), polls: 2},
			{on: onDate, is: dueWithin(-1), polls: 2},
		},
		clear: []test{
			{on: onLife, is: noBit(ups.BatteryLife, ups.LExceeded), polls: 2},
			{on: onDate, when: dateCounts(216), is: dueAfter(0), polls: 2},
		},
		raw:    []ups.Point{ups.BatteryLife, ups.ReplaceBy},
		detail: dueDetail,
		ended:  dueDetail,
	},
	{ // after those, which say more
		id:      214,
		raise:   []test{{on: onDate, is: earlyNotice, polls: 2}},
		clear:   []test{{on: onDate, when: dateCounts(214), is: dueAfter(earlyDays), polls: 2}},
		yieldTo: 215,
		raw:     []ups.Point{ups.ReplaceBy},
		detail:  dueDetail,
		ended:   dueDetail,
	},
	bitRule(217, ups.BatteryLife, ups.LMeasuredNearEnd),
	{
		id:     219,
		raise:  []test{{on: points(ups.BatteryInstalled, ups.ReplaceBy), is: wasReplaced, polls: 1}}, // trackReplacement counts polls
		raw:    []ups.Point{ups.BatteryInstalled, ups.ReplaceBy},
		byTime: true,
	},
	{
		id:     220,
		raise:  []test{{on: onCharge, is: charging, polls: 2}},
		clear:  []test{{on: onCharge, is: func(x *look) bool { return full(x) || x.u(ups.UOnBattery) }, polls: 2}},
		then:   221,
		thenIf: full,
		raw:    []ups.Point{ups.StatusFlags, ups.Charge},
		detail: chargeDetail,
		ended:  chargeDetail,
		byTime: true,
	},
	{
		id:     222,
		raise:  []test{{on: onCharge, is: doesNotCharge, polls: 2}},
		clear:  []test{{on: onCharge, is: chargedSince, polls: 2}},
		raw:    []ups.Point{ups.StatusFlags, ups.Charge},
		detail: chargeDetail,
		ended:  chargeDetail,
		byTime: true,
	},
	{
		id:     223,
		raise:  []test{{on: onRuntime, when: alike, is: runtimeBelow(runtimeFar), polls: 2}},
		clear:  []test{{on: onRuntime, when: alike, is: runtimeAbove(runtimeFair), polls: 2}},
		raw:    []ups.Point{ups.Runtime, ups.Charge, ups.LoadReal},
		detail: referenceDetail,
		ended:  referenceDetail,
		byTime: true,
	},
	causeMoment(224, causedBy(ups.CauseLowBatteryVoltage)),
	{
		// The map names no limit: a fifth of the voltage before the test. A sealed lead battery kept full stands at about 2.28 V a
		// cell, and one that is good stays above 1.95 V at once under load; at four fifths, 1.82 V, it is near the voltage at
		// which units at light load call it empty.
		id:     225,
		raise:  []test{{on: onVoltage, is: dipIs(dipDeep), polls: 2}},
		clear:  []test{{on: onVoltage, is: dipIs(dipNormal), polls: 2}},
		raw:    []ups.Point{ups.BatteryTest, ups.BatteryVoltage},
		detail: dipDetail,
		ended:  dipDetail,
		byTime: true,
	},
}

func chargeDetail(x *look) string { return x.value("charge", ups.Charge) }

// earlyNotice: the date is near, and neither 215 nor 216 says more.
func earlyNotice(x *look) bool {
	return dueWithin(earlyDays)(x) && !x.active.has(215) && !x.active.has(216)
}

func batteryTemperature(x *look) string {
	return x.value("battery temperature", ups.BatteryTemperature)
}

func runtimeLow(x *look) bool { return x.atMost(ups.Runtime, x.limits.LowBatteryRuntime.Seconds()) }

func runtimeRecovered(x *look) bool {
	return x.over(ups.Runtime, (x.limits.LowBatteryRuntime + lowBatteryHysteresis).Seconds())
}

func groupRuntimeLow(x *look) bool {
	for _, g := range ups.Groups {
		if x.bits(g.Outlet(), ups.OLowRuntime) && x.present(g) {
			return true
		}
	}
	return false
}

func lowBatteryDetail(x *look) string {
	limit := seconds("limit", x.limits.LowBatteryRuntime)
	groups := ""
	for _, g := range ups.Groups {
		if x.bits(g.Outlet(), ups.OLowRuntime) && x.present(g) {
			groups = phrase(groups, "runtime of group "+g.String()+" low")
		}
	}
	return phrase(x.value("runtime", ups.Runtime), limit, groups)
}
