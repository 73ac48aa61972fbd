package upssim

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// TestPowerFailureAndReturn is section 8.3.
func TestPowerFailureAndReturn(t *testing.T) {
	c := newClock()
	u := c.unit(Options{Load: 0.5})
	c.pass(10 * time.Second)
	expect(t, "status before", u.reg32(0), 0x2002)
	expect(t, "input before", uint32(u.reg(150)), inputAcceptable|inputPowering)
	charge, runtime, volts := u.reg(130), u.reg32(128), u.reg(131)

	u.SetMains(false)
	expect(t, "status at once", u.reg32(0), 0x244)
	if cause := u.reg(2); cause != 3 && cause != 4 {
		t.Errorf("cause %d, want 3 or 4", cause)
	}
	expect(t, "signalling", uint32(u.reg(18)), 1)
	expect(t, "input voltage", uint32(u.reg(151)), 0)
	expect(t, "input status", uint32(u.reg(150)), inputTooLow)
	expect(t, "efficiency", uint32(u.reg(154)), 0xFFFC)
	expect(t, "beeper", uint32(u.reg(26)), uiAlarm)
	if got := u.reg(142); got != 120*64 {
		t.Errorf("output %d/64 V on battery", got)
	}
	c.pass(time.Minute)
	if u.reg(130) >= charge || u.reg32(128) >= runtime || u.reg(131) >= volts {
		t.Errorf("after a minute: charge %d → %d, runtime %d → %d, voltage %d → %d", charge, u.reg(130), runtime, u.reg32(128), volts, u.reg(131))
	}
	lost := int(runtime) - int(u.reg32(128))
	if lost < 30 || lost > 90 {
		t.Errorf("a minute on battery cost %d s of runtime", lost)
	}

	u.SetMains(true)
	if got := u.reg(151); got < 110*64 {
		t.Errorf("input %d/64 V after the return", got)
	}
	expect(t, "status at first", u.reg32(0), 0x244)
	expect(t, "input status at first", uint32(u.reg(150)), inputPending)
	c.pass(qualify)
	expect(t, "status after", u.reg32(0), 0x2)
	expect(t, "cause after", uint32(u.reg(2)), 8)
	expect(t, "signalling after", uint32(u.reg(18)), 0)
	c.pass(greenPause)
	expect(t, "high efficiency again", u.reg32(0), 0x2002)
	expect(t, "cause is kept", uint32(u.reg(2)), 8)
}

func TestSpeedIsTheBatterys(t *testing.T) {
	c := newClock()
	u := c.unit(Options{Speed: 10, Load: 0.5})
	runtime := u.reg32(128)
	u.SetMains(false)
	c.pass(30 * time.Second)
	if lost := int(runtime) - int(u.reg32(128)); lost < 200 || lost > 400 {
		t.Errorf("30 s at speed 10 cost %d s of runtime", lost)
	}
}

// TestLowBattery is section 6.4: shutdown imminent at the low-runtime warning, LowRuntime in the groups.
func TestLowBattery(t *testing.T) {
	c := newClock()
	u := c.unit(Options{Load: 0.5})
	u.SetMains(false)
	u.SetRuntime(3 * time.Minute)
	expect(t, "signalling", uint32(u.reg(18)), powerFailure)
	c.pass(45 * time.Second)
	if r := u.reg32(128); r > 150 {
		t.Fatalf("runtime %d", r)
	}
	expect(t, "signalling", uint32(u.reg(18)), powerFailure|shutdownImminent)
	expect(t, "main group", u.reg32(3), outletOn|outletLowRuntime)
	expect(t, "switched group", u.reg32(6), outletOn|outletLowRuntime)
}

func TestEmptyBatteryIsSilentUntilTheMainsReturn(t *testing.T) {
	c := newClock()
	u := c.unit(Options{Load: 0.5})
	u.SetMains(false)
	u.SetRuntime(10 * time.Second)
	c.pass(time.Minute)
	if got := u.Handle(readPDU(0, 3)); got != nil {
		t.Fatalf("answered % x with an empty battery", got)
	}
	u.SetMains(true)
	c.pass(time.Second)
	if got := u.Handle(readPDU(0, 3)); got != nil {
		t.Fatalf("answered % x while starting", got)
	}
	c.pass(boot)
	expect(t, "status while judging the input", u.reg32(0), 0x150)
	c.pass(qualify)
	expect(t, "status after", u.reg32(0), 0x2)
	expect(t, "cause", uint32(u.reg(2)), causeAutomaticRestart)
}

func TestEmptyBatteryAnswersWhenToldTo(t *testing.T) {
	c := newClock()
	u := c.unit(Options{Load: 0.5, AliveWhenEmpty: true})
	u.SetMains(false)
	u.SetRuntime(10 * time.Second)
	c.pass(time.Minute)
	expect(t, "status", u.reg32(0), 0x150)
	expect(t, "cause", uint32(u.reg(2)), causeLowBattery)
	expect(t, "load", uint32(u.reg(136)), 0)
	expect(t, "output", uint32(u.reg(142)), 0)
	u.SetMains(true)
	c.pass(qualify)
	expect(t, "status after", u.reg32(0), 0x2)
	expect(t, "cause after", uint32(u.reg(2)), causeAutomaticRestart)
}

func TestOverload(t *testing.T) {
	c := newClock()
	u := c.unit(Options{})
	u.SetLoad(1.2)
	expect(t, "power errors", u.reg32(20), outputOverload)
	expect(t, "status", u.reg32(0), 0x22)
	expect(t, "cause", uint32(u.reg(2)), causePowerError)
	u.SetLoad(0.5)
	expect(t, "power errors", u.reg32(20), 0)
	expect(t, "cause", uint32(u.reg(2)), causeErrorCleared)
	u.SetLoad(1.2)
	u.SetMains(false)
	c.pass(overloadOff + time.Second)
	expect(t, "status, overloaded on battery", u.reg32(0), stateOutputOff|statusFault|statusInputBad)
}

func TestBoostAndTrim(t *testing.T) {
	c := newClock()
	u := c.unit(Options{})
	for _, s := range []struct {
		volts         float64
		status, input uint32
	}{
		{108, 0x2, inputAcceptable | inputPowering | inputBoost},
		{120, 0x2002, inputAcceptable | inputPowering},
		{98, 0x244, inputTooLow},
		{0, 0x2, inputAcceptable | inputPowering},
		{140, 0x244, inputTooHigh},
	} {
		u.SetInput(s.volts)
		c.pass(4 * time.Second)
		expect(t, fmt.Sprintf("status at %g V", s.volts), u.reg32(0), s.status)
		expect(t, fmt.Sprintf("input at %g V", s.volts), uint32(u.reg(150)), s.input)
		if v := float64(u.reg(142)) / 64; v < 113 || v > 127 {
			t.Errorf("output %.1f V at %g V", v, s.volts)
		}
	}
	expect(t, "cause", uint32(u.reg(2)), causeHighInput)
}

// A moment is a pair of words as a poller sees them.
type moment struct{ test, status uint32 }

// watch polls every 100 ms and returns the different moments in order.
func watch(c *clock, u *Unit, item uint16, d time.Duration) (out []moment) {
	for end := c.t.Add(d); c.t.Before(end); c.pass(100 * time.Millisecond) {
		m := moment{uint32(u.reg(item)), u.reg32(0)}
		if len(out) == 0 || out[len(out)-1] != m {
			out = append(out, m)
		}
	}
	return out
}

// TestBatteryTest is section 8.4.
func TestBatteryTest(t *testing.T) {
	c := newClock()
	u := c.unit(Options{})
	command(t, u, 0, 1541, 1)
	start := c.t
	got := watch(c, u, 23, 20*time.Second)
	want := []moment{{0x0001, 0x2002}, {0x0042, 0x84}}
	if !slices.Equal(got, want) {
		t.Errorf("start: %x, want %x", got, want)
	}
	expect(t, "signalling during the test", uint32(u.reg(18)), 0)
	expect(t, "cause during the test", uint32(u.reg(2)), causeProtocol)
	got = watch(c, u, 23, 5*time.Second)
	want = []moment{{0x0042, 0x84}, {0x0044, 0x2}}
	if !slices.Equal(got, want) {
		t.Errorf("end: %x, want %x", got, want)
	}
	expect(t, "cause", uint32(u.reg(2)), causeTestEnded)
	c.pass(start.Add(testTime + testAck + greenPause).Sub(c.t))
	expect(t, "high efficiency again", u.reg32(0), 0x2002)
	expect(t, "sticky", uint32(u.reg(23)), 0x44)
}

func TestBatteryTestFromThePanel(t *testing.T) {
	c := newClock()
	u := c.unit(Options{})
	u.StartSelfTest()
	c.pass(time.Second)
	expect(t, "running", uint32(u.reg(23)), 0x82)
	expect(t, "cause", uint32(u.reg(2)), causeLocalUI)
	c.pass(testTime)
	expect(t, "passed", uint32(u.reg(23)), 0x84)
}

func TestBadBatteryFailsItsTest(t *testing.T) {
	c := newClock()
	u := c.unit(Options{})
	u.SetBatteryBad(true)
	command(t, u, 0, 1541, 1)
	c.pass(testTime + testAck)
	expect(t, "failed", uint32(u.reg(23)), 0x48)
	expect(t, "battery errors", uint32(u.reg(22)), needsReplacement)
	expect(t, "status", u.reg32(0), 0x22)
	u.SetBatteryBad(false)
	expect(t, "battery errors", uint32(u.reg(22)), 0)
}

func TestBatteryTestIsRefusedOnBattery(t *testing.T) {
	c := newClock()
	u := c.unit(Options{})
	command(t, u, 0, 1541, 1)
	c.pass(time.Minute) // passed by protocol
	u.SetMains(false)
	command(t, u, 0, 1541, 1)
	expect(t, "old source, refused, invalid state", uint32(u.reg(23)), 0x0250)
}

func TestBatteryTestIsAborted(t *testing.T) {
	c := newClock()
	u := c.unit(Options{})
	command(t, u, 4, 1541, 2) // none runs
	command(t, u, 0, 1541, 1)
	c.pass(5 * time.Second)
	command(t, u, 0, 1541, 2)
	expect(t, "by protocol", uint32(u.reg(23)), testAborted|byProtocol)
	expect(t, "status", u.reg32(0), 0x2)

	c.pass(time.Minute)
	command(t, u, 0, 1541, 1)
	c.pass(5 * time.Second)
	u.SetMains(false)
	expect(t, "by a power failure", uint32(u.reg(23)), testAborted|byProtocol|testInvalidState)
	expect(t, "status", u.reg32(0), 0x244)
}

// TestCalibration is section 8.5.
func TestCalibration(t *testing.T) {
	c := newClock()
	u := c.unit(Options{Load: 0.4, Speed: 30})
	command(t, u, 0, 1542, 1)
	expect(t, "pending", uint32(u.reg(24)), 0x01)
	c.pass(testAck)
	expect(t, "running", uint32(u.reg(24)), 0x42)
	expect(t, "status", u.reg32(0), 0x84)
	c.pass(time.Minute)
	expect(t, "passed", uint32(u.reg(24)), 0x44)
	expect(t, "status", u.reg32(0), 0x2)
	if r := u.reg(130) / 512; r > 30 {
		t.Errorf("charge %d %% after a calibration", r)
	}
	command(t, u, 0, 1542, 1)
	expect(t, "refused: not full, and being filled", uint32(u.reg(24)), byProtocol|testRefused|testCharge|calOverCharge)
}

func TestCalibrationIsAborted(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(*testing.T, *Unit)
		want uint32
	}{
		"command": {func(t *testing.T, u *Unit) { command(t, u, 0, 1542, 2) }, 0x60},
		"mains":   {func(t *testing.T, u *Unit) { u.SetMains(false) }, 0x2060},
		"load":    {func(t *testing.T, u *Unit) { u.SetLoad(0.9) }, 0x1060},
	} {
		clk := newClock()
		u := clk.unit(Options{Load: 0.4})
		command(t, u, 0, 1542, 1)
		clk.pass(10 * time.Second)
		c.do(t, u)
		expect(t, name, uint32(u.reg(24)), c.want)
	}
	u := New(Options{Load: 0.05})
	command(t, u, 0, 1542, 1)
	expect(t, "load too low", uint32(u.reg(24)), testRefused|calLoadTooLow)
}

func TestMute(t *testing.T) {
	u := newClock().unit(Options{})
	u.SetMains(false)
	command(t, u, 0, 1543, 4)
	expect(t, "muted", uint32(u.reg(26)), uiMuted)
	command(t, u, 0, 1543, 8)
	expect(t, "mute cancelled", uint32(u.reg(26)), uiAlarm)
	command(t, u, 0, 1543, 2)
	expect(t, "continuous test", uint32(u.reg(26)), uiAlarm|uiContinuousTest)
	command(t, u, 0, 1543, 1)
	expect(t, "short test ends it", uint32(u.reg(26)), uiAlarm)
	command(t, u, 4, 1543, 16)
	command(t, u, 4, 1543, 0)
}
