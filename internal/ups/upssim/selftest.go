package upssim

import "time"

// A test is a battery test or a runtime calibration: its sticky word (sections 6.8 and 6.9) and how far it is.
type test struct {
	word   uint32
	source uint32    // byProtocol or byLocalUI
	until  time.Time // of Pending, then of the test; zero while none
	load   float64   // at the start of a calibration
}

const (
	testAck  = 500 * time.Millisecond // Pending, "may be too short to see"
	testTime = 20 * time.Second       // section 8.4

	leastTestCharge = 0.7 // INF: below it a test is refused
	leastCalCharge  = 0.98
	leastCalLoad    = 0.1
)

func (t *test) pending() bool { return t.word&testPending != 0 }
func (t *test) running() bool { return t.word&testInProgress != 0 }

// refuse keeps the source of the last test (AN176) and says why.
func (t *test) refuse(why uint32) { t.word = t.word&testSources | testRefused | why }

// ReplaceBatteryTestCommand_BF (section 7.5). Abort is taken while a test runs (990; D6).
func (u *Unit) testCommand(v uint32) bool {
	switch v {
	case 1:
		u.startTest(byProtocol)
		return true
	case 2:
		return u.abort(&u.test, byProtocol)
	}
	return false
}

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

// startTest starts a battery test, or refuses it in the status word: the command itself was taken either way.
func (u *Unit) startTest(source uint32) {
	if why := u.unfit(leastTestCharge); why != 0 {
		u.test.refuse(why)
		return
	}
	u.test = test{word: testPending, source: source, until: u.at.Add(testAck)}
}

func (u *Unit) startCalibration(source uint32) {
	why := u.unfit(leastCalCharge)
	if u.power.drawn < leastCalLoad {
		why |= calLoadTooLow
	}
	if why != 0 {
		u.cal.refuse(why)
		return
	}
	u.cal = test{word: testInProgress | source, source: source, load: u.power.load}
	u.cause = causeOf(source)
}

func causeOf(source uint32) uint16 {
	if source == byLocalUI {
		return causeLocalUI
	}
	return causeProtocol
}

// unfit returns why the unit cannot test its battery now, 0 if it can.
func (u *Unit) unfit(charge float64) uint32 {
	busy := u.test.pending() || u.test.running() || u.cal.running()
	for _, g := range u.groups {
		busy = busy || g.pending()
	}
	var why uint32
	if busy || !u.power.good || !u.groups[0].on {
		why |= testInvalidState
	}
	if u.power.overload {
		why |= testFault
	}
	if u.battery.charge < charge {
		why |= testCharge
	}
	return why
}

func (u *Unit) abort(t *test, source uint32) bool {
	if !t.running() {
		return false
	}
	t.word = testAborted | source
	u.cause = causeTestEnded
	return true
}

// endTests aborts what runs or is about to, for this reason.
func (u *Unit) endTests(why uint32) {
	for _, t := range []*test{&u.test, &u.cal} {
		if t.running() || t.pending() {
			t.word = t.source | testAborted | why
		}
	}
}

// stepTests carries a test on. It ends with the mains: then the power failure is what counts.
func (u *Unit) stepTests() {
	if !u.power.good {
		if u.test.running() || u.test.pending() {
			u.test.word = u.test.source | testAborted | testInvalidState
		}
		if u.cal.running() {
			u.cal.word = u.cal.source | testAborted | calInput
		}
		return
	}
	t := &u.test
	if t.pending() && !u.at.Before(t.until) {
		t.word, t.until = testInProgress|t.source, t.until.Add(testTime)
		u.cause = causeOf(t.source)
	}
	if t.running() && !u.at.Before(t.until) {
		u.endTest()
	}
	u.stepCalibration()
}

func (u *Unit) endTest() {
	result := uint32(testPassed)
	u.cause = causeTestEnded
	if u.battery.bad {
		result = testFailed
	}
	u.battery.failed = u.battery.bad
	u.test.word = u.test.source | result
}

// stepCalibration ends a calibration when the battery is down to the low-runtime warning, or the load changed by a fifth.
func (u *Unit) stepCalibration() {
	c := &u.cal
	if !c.running() {
		return
	}
	change := u.power.load - c.load
	switch {
	case change > 0.2*c.load || change < -0.2*c.load:
		c.word = c.source | testAborted | calLoadChange
	case u.lasts() <= u.o.LowRuntime.Seconds():
		c.word = c.source | testPassed
	default:
		return
	}
	u.cause = causeTestEnded
}
