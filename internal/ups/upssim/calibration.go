package upssim

import (
	"math"
	"time"
)

// A runtime calibration empties the battery under the real load to learn how long it lasts (sections 6.9, 7.6 and 8.5). The
// conditions are those the modifiers of its status word imply; their limits are INF.
const (
	leastCalCharge = 0.98
	leastCalLoad   = 0.1
	calSteady      = 5 * time.Second // how long the load must have been the same
	calChange      = 0.2             // by how much of itself it may change while one runs
)

// RunTimeCalibrationCommand_BF (section 7.6).
func (u *Unit) calibrationCommand(v uint32) bool {
	switch v {
	case 1:
		u.startCalibration(byProtocol)
		return true
	case 2:
		return u.abort(&u.cal, byProtocol)
	}
	return false
}

// startCalibration starts one, or refuses it in the status word.
func (u *Unit) startCalibration(source uint32) {
	why := u.unfit(leastCalCharge)
	for _, c := range []struct {
		is  bool
		why uint32
	}{
		{!u.power.good, calInput},
		{u.power.drawn < leastCalLoad, calLoadTooLow},
		{u.battery.boost, calOverCharge},
		{!u.power.changed.IsZero() && u.at.Sub(u.power.changed) < calSteady, calLoadChange},
	} {
		if c.is {
			why |= c.why
		}
	}
	if why != 0 {
		u.cal.refuse(why)
		return
	}
	u.cal = test{word: testPending, source: source, until: u.at.Add(u.testAck()), load: u.power.load}
}

// stepCalibration ends a calibration when the battery is down to the low-runtime warning, or the load changed. A bad battery
// gives out at half of its charge, which is a failure.
func (u *Unit) stepCalibration() {
	c := &u.cal
	if c.pending() && !u.at.Before(c.until) {
		c.word = testInProgress | c.source
		u.cause = causeOf(c.source)
	}
	if !c.running() {
		return
	}
	switch {
	case math.Abs(u.power.load-c.load) > calChange*c.load:
		c.word = c.source | testAborted | calLoadChange
	case u.battery.bad && u.battery.charge < 0.5:
		c.word = c.source | testFailed
		u.battery.failed, u.battery.quiet = true, false
	case u.lasts() <= u.o.LowRuntime.Seconds():
		c.word = c.source | testPassed
	default:
		return
	}
	u.cause = causeTestEnded
}
