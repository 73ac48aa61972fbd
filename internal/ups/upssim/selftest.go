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
		if u.manner.noAbort {
			return false
		}
		return u.abort(&u.test, byProtocol)
	}
	return false
}

// startTest starts a battery test, or refuses it in the status word: the command itself was taken either way.
func (u *Unit) startTest(source uint32) {
	why := u.unfit(leastTestCharge)
	if !u.power.good {
		why |= testInvalidState
	}
	if why != 0 {
		u.test.refuse(why)
		return
	}
	u.test = test{word: testPending, source: source, until: u.at.Add(u.testAck())}
}

// testAck is how long Pending shows.
func (u *Unit) testAck() time.Duration {
	if u.manner.noPending {
		return 0
	}
	return testAck
}

func causeOf(source uint32) uint16 {
	switch source {
	case byLocalUI:
		return causeLocalUI
	case byInternal:
		return causeAutomaticTest
	}
	return causeProtocol
}

// unfit returns why the unit cannot use its battery for a test now, 0 if it can: the state it is in, a fault inside, or the
// charge (section 6.8).
func (u *Unit) unfit(charge float64) (why uint32) {
	busy := u.test.pending() || u.test.running() || u.cal.pending() || u.cal.running()
	for _, g := range u.groups {
		busy = busy || g.pending()
	}
	p, b := &u.power, &u.battery
	if busy || p.bypassed || !u.groups[0].on {
		why |= testInvalidState
	}
	if p.overload || p.bad() || b.disconnected {
		why |= testFault
	}
	if b.charge < charge {
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
		if u.cal.running() || u.cal.pending() {
			u.cal.word = u.cal.source | testAborted | calInput
		}
		return
	}
	u.stepSchedule()
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
	if u.battery.failed != u.battery.bad {
		u.battery.quiet = false
	}
	u.battery.failed = u.battery.bad
	u.tested = u.at
	u.test.word = u.test.source | result
}

// stepSchedule starts the tests the unit makes by itself, as BatteryTestIntervalSetting_BF says: so many days after the last.
func (u *Unit) stepSchedule() {
	var days int
	switch u.regs[aTestInterval] {
	case test7Days:
		days = 7
	case test14Days:
		days = 14
	default:
		return
	}
	if u.at.Sub(u.tested) >= time.Duration(days)*24*time.Hour {
		u.tested = u.at // refused or not, the next is due in as many days
		u.startTest(byInternal)
	}
}
