package alarm

import (
	"strconv"
	"time"

	"upsedge/internal/ups"
)

// testRules are the states of tests; their results stand in results.go. Event catalogue, section 6.
var testRules = []rule{
	bitRule(501, ups.BatteryTest, ups.TPending),
	runningRule(502, ups.BatteryTest),
	{
		id:     507,
		raise:  []test{{on: onTest, is: testOverdue, polls: 2}},
		clear:  []test{{on: onTest, is: not(testOverdue), polls: 2}},
		raw:    []ups.Point{ups.BatteryTest, ups.TestInterval},
		detail: func(x *look) string { return "none passed for " + days(x.since(markPassed).age(x.now)) },
		byTime: true,
	},
	runningRule(508, ups.Calibration),
	bitRule(513, ups.UserInterface, ups.KPanelTest),
	bitRule(514, ups.UserInterface, ups.KAlarmSounds),
	bitRule(515, ups.UserInterface, ups.KAlarmMuted),
}

var onTest = points(ups.BatteryTest)

// testOverdue: none passed for twice the set interval, at least 30 days. A unit that is set to test never, or at its start only,
// has no interval.
func testOverdue(x *look) bool {
	interval := time.Duration(0)
	switch {
	case x.bits(ups.TestInterval, ups.TestWeekly):
		interval = x.limits.Week
	case x.bits(ups.TestInterval, ups.TestFortnightly):
		interval = 2 * x.limits.Week
	}
	return interval > 0 && x.since(markPassed).over(max(2*interval, x.limits.TestOverdue), x.now)
}

// days writes a long time as people count it.
func days(d time.Duration) string {
	if d < 2*day {
		return round(d).String()
	}
	return strconv.Itoa(int(d/day)) + " days"
}

// runningRule is a test that runs, with who started it.
func runningRule(id ups.AlarmID, p ups.Point) rule {
	r := bitRule(id, p, ups.TInProgress)
	r.detail = func(x *look) string { return testSource(x.st.Flags(p)) }
	return r
}
