package alarm

import "upsedge/internal/ups"

// testRules are the states of tests; their results stand in results.go. Event catalogue, section 6.
var testRules = []rule{
	bitRule(501, ups.BatteryTest, ups.TPending),
	runningRule(502, ups.BatteryTest),
	runningRule(508, ups.Calibration),
	bitRule(513, ups.UserInterface, ups.KPanelTest),
	bitRule(514, ups.UserInterface, ups.KAlarmSounds),
	bitRule(515, ups.UserInterface, ups.KAlarmMuted),
}

// runningRule is a test that runs, with who started it.
func runningRule(id ups.AlarmID, p ups.Point) rule {
	r := bitRule(id, p, ups.TInProgress)
	r.detail = func(x *look) string { return testSource(x.st.Flags(p)) }
	return r
}
