package upssim

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// play lets words happen, one after the other; a duration among them lets so much time pass.
func play(t *testing.T, c *clock, u *Unit, words string) {
	t.Helper()
	for w := range strings.FieldsSeq(words) {
		if d, err := time.ParseDuration(w); err == nil {
			c.pass(d)
			u.Advance(c.t)
			continue
		}
		a, err := ParseAction(w)
		if err != nil {
			t.Fatalf("%s: %v", w, err)
		}
		a.Do(u)
	}
}

// TestLives lets something happen to a unit and looks at one item, and at the cause where a transfer shows it.
func TestLives(t *testing.T) {
	const smt, smx, srt, srt10, surtd = "SMT1500RM2UC", "SMX1500RM2U", "SRT1000XLA", "SRT10KXLI", "SURTD5000RMXLT3U"
	for _, c := range []struct {
		sku, words string
		item       string
		want       string // names of the bits, in order
		cause      int    // -1: whatever
	}{
		// Input, sections 6.2 and 6.12.
		{smt, "dip", "UPSStatus_BF", "StateOnBattery|InputBad|PendingOutputOff", causeRapidChange},
		{smt, "dip=ATSTransfer", "UPSStatus_BF", "StateOnBattery|InputBad|PendingOutputOff", 24},
		{smt, "dip=28 1s 3s", "UPSStatus_BF", "StateOnline", causeAcceptable},
		{smt, "wave=Distorted", "Input.InputStatus_BF", "Distorted", causeDistorted},
		{smt, "wave=FrequencyTooLow", "Input.InputStatus_BF", "FrequencyTooLow", causeSlow},
		{smt, "wave=FrequencyTooHigh", "Input.InputStatus_BF", "FrequencyTooHigh", causeFast},
		{smt, "wave=FreqAndPhaseNotLocked", "Input.InputStatus_BF", "FreqAndPhaseNotLocked", causeUnlocked},
		{smt, "wave=PhaseDeltaOutOfRange", "Input.InputStatus_BF", "PhaseDeltaOutOfRange", causePhase},
		{smt, "wave=NeutralNotConnected", "Input.InputStatus_BF", "NeutralNotConnected", causeNeutral},
		{smt, "wave=Distorted 5s wave=good 4s", "UPSStatus_BF", "StateOnline", causeAcceptable},
		{smt, "input=140", "Input.InputStatus_BF", "VoltageTooHigh", causeHighInput},
		{smt, "input=80", "Input.InputStatus_BF", "VoltageTooLow", causeLowInput},
		{smt, "input=108 4s", "Input.InputStatus_BF", "Acceptable|Boost|PoweringLoad", -1},
		{srt, "input=108 4s", "Input.InputStatus_BF", "Acceptable|PoweringLoad", -1},
		{smt, "mains-fail 1s mains-return", "Input.InputStatus_BF", "PendingAcceptable", -1},

		// Site, section 6.5.
		{smt, "wiring-bad", "GeneralError_BF", "SiteWiring", causeGeneralError},
		{smt, "wiring-bad wiring-good", "UPSStatus_BF", "StateOnline|HighEfficiency", causeErrorCleared},
		{smt, "epo", "UPSStatus_BF", "StateOutputOff|Fault", causeEPO},
		{smt, "epo", "GeneralError_BF", "EPOActive", causeEPO},
		{smt, "epo on 1s", "UPSStatus_BF", "StateOutputOff|Fault", -1},
		{smt, "epo 5s epo-release", "UPSStatus_BF", "StateOutputOff", causeErrorCleared},
		{smt, "epo 5s epo-release on 1s", "UPSStatus_BF", "StateOnline", causeLocalUI},

		// Overload and electronics, sections 6.1 and 6.6.
		{smt, "overload 20s", "UPSStatus_BF", "StateOnline|Fault", causePowerError},
		{smt, "mains-fail overload 11s", "UPSStatus_BF", "StateOutputOff|Fault|InputBad", causePowerError},
		{srt, "overload 5s", "UPSStatus_BF", "StateOnline|Fault", causePowerError},
		{srt, "overload 11s", "UPSStatus_BF", "StateBypass|Fault|FaultState|OverloadState", causePowerError},
		{srt, "overload 11s load=0.5 1s", "UPSStatus_BF", "StateOnline|FaultRecoveryState", causeErrorCleared},
		{smt, "overheat", "PowerSystemError_BF", "Overtemperature", causePowerError},
		{smt, "overheat", "UPSStatus_BF", "StateOnline|Fault|HighEfficiency|FaultState", causePowerError},
		{smt, "inverter-bad", "PowerSystemError_BF", "Inverter", causePowerError},
		{smt, "inverter-bad mains-fail 1s", "UPSStatus_BF", "StateOutputOff|Fault|InputBad|FaultState", causePowerError},
		{srt, "inverter-bad", "UPSStatus_BF", "StateBypass|Fault|FaultState", causePowerError},
		{srt, "inverter-distorted", "UPSStatus_BF", "StateBypass|Fault|FaultState", causeInverterDistorted},
		{srt, "inverter-distorted 5s inverter-good", "UPSStatus_BF", "StateOnline|FaultRecoveryState", causeInverterGood},
		{srt, "inverter-bad 5s inverter-good 11s", "UPSStatus_BF", "StateOnline", -1},
		{srt, "inverter-bad mains-fail 1s", "UPSStatus_BF", "StateOutputOff|Fault|InputBad|FaultState", causePowerError},
		{srt, "inverter-bad 5s bypass-expire", "UPSStatus_BF", "StateOutputOff|Fault|FaultState", causeBypassExpired},
		{srt, "overheat 1s cool", "UPSStatus_BF", "StateOnline|FaultRecoveryState", causeErrorCleared},

		// Bypass, sections 6.1, 6.12 and 7.2.
		{srt, "bypass", "UPSStatus_BF", "StateBypass|Commanded", causeLocalUI},
		{srt, "write=1536:0,0x10", "UPSStatus_BF", "StateBypass|Commanded", causeProtocol},
		{srt, "bypass 10s bypass-end", "UPSStatus_BF", "StateOnline", causeLocalUI},
		{srt, "write=1536:0,0x10 10s write=1536:0,0x20", "UPSStatus_BF", "StateOnline", causeProtocol},
		{srt, "bypass 1s mains-fail", "UPSStatus_BF", "StateOnBattery|InputBad|PendingOutputOff", -1},
		{srt, "bypass-feed=80 bypass", "UPSStatus_BF", "StateOnline|HighEfficiency", -1},
		{srt, "bypass-feed=80", "Bypass.InputStatus_BF", "VoltageTooLow", -1},
		{srt, "bypass-feed=150", "Bypass.InputStatus_BF", "VoltageTooHigh", -1},
		{srt, "bypass", "Bypass.InputStatus_BF", "Acceptable|PoweringLoad", -1},
		{srt, "battery-disconnect 1s input=137", "UPSStatus_BF", "StateBypass|Fault|InputBad|MainsBadState", -1},
		{surtd, "bypass", "UPSStatus_BF", "StateBypass", causeLocalUI},
		{surtd, "inverter-bad", "UPSStatus_BF", "StateBypass|Fault", causePowerError},
		{surtd, "cause=ATSTransfer", "UPSStatus_BF", "StatusChange|StateOnline", 24},
		{smt, "bypass", "UPSStatus_BF", "StateOnline|HighEfficiency", -1},

		// Battery, sections 6.7 and 6.10.
		{smt, "heat=48", "BatterySystemError_BF", "OvertemperatureWarning", causeBatteryError},
		{smt, "heat=60", "BatterySystemError_BF", "OvertemperatureCritical", causeBatteryError},
		{smt, "heat=60 heat=24", "BatterySystemError_BF", "", causeErrorCleared},
		{smt, "battery-disconnect", "BatterySystemError_BF", "Disconnected", causeBatteryError},
		{smt, "battery-disconnect battery-connect", "BatterySystemError_BF", "", causeErrorCleared},
		{smt, "charger-bad", "BatterySystemError_BF", "Charger", causeBatteryError},
		{smt, "charger-bad charger-good", "UPSStatus_BF", "StateOnline|HighEfficiency", causeErrorCleared},
		{smt, "self-test 30s restart", "ReplaceBatteryTestStatus_BF", "", causeStart},
		{smt, "mains-fail charge=0 1s", "UPSStatus_BF", "StateOutputOff|InputBad|PendingOutputOn", causeLowBattery},
		{smt, "battery-life=91", "Battery.LifeTimeStatus_BF", "LifeTimeStatusOK", -1},
		{smt, "battery-life=60", "Battery.LifeTimeStatus_BF", "LifeTimeNearEnd", -1},
		{smt, "battery-life=60", "UPSStatus_BF", "StateOnline|HighEfficiency|InformationalAlert", -1},
		{smt, "battery-life=60 ack-battery", "Battery.LifeTimeStatus_BF", "LifeTimeNearEnd|LifeTimeNearEndAcknowledged", -1},
		{smt, "battery-life=0", "Battery.LifeTimeStatus_BF", "LifeTimeExceeded", -1},
		{smt, "battery-life=-9 write=1543:32", "Battery.LifeTimeStatus_BF", "LifeTimeExceeded|LifeTimeExceededAcknowledged", -1},
		{smt, "battery-life=1 ack-battery 24h", "Battery.LifeTimeStatus_BF", "LifeTimeExceeded", -1},
		{smt, "battery-worn", "Battery.LifeTimeStatus_BF", "LifeTimeStatusOK|MeasuredLifeTimeNearEnd", -1},
		{smt, "battery-worn ack-battery", "Battery.LifeTimeStatus_BF", "LifeTimeStatusOK|MeasuredLifeTimeNearEnd|MeasuredLifeTimeNearEndAcknowledged", -1},
		{smt, "battery-life=-9 battery-worn battery-replace", "Battery.LifeTimeStatus_BF", "LifeTimeStatusOK", -1},
		{smt, "battery-bad self-test 30s", "BatterySystemError_BF", "NeedsReplacement", causeTestEnded},
		{smt, "battery-bad self-test 30s battery-replace", "BatterySystemError_BF", "", causeErrorCleared},
		{smt, "battery-bad self-test 30s battery-replace self-test 30s", "ReplaceBatteryTestStatus_BF", "Passed|LocalUI", -1},

		// Tests, sections 6.8, 6.9, 8.4 and 8.5.
		{smt, "self-test=internal 5s", "UPSStatus_BF", "StateOnBattery|Test", causeAutomaticTest},
		{smt, "self-test=internal 30s", "ReplaceBatteryTestStatus_BF", "Passed|Internal", causeTestEnded},
		{smt, "self-test 5s abort", "ReplaceBatteryTestStatus_BF", "Aborted|LocalUI", causeTestEnded},
		{smt, "charge=0.3 self-test", "ReplaceBatteryTestStatus_BF", "Refused|StateOfChargeNotAcceptable", -1},
		{smt, "battery-disconnect self-test", "ReplaceBatteryTestStatus_BF", "Refused|InternalFault", -1},
		{srt, "bypass self-test", "ReplaceBatteryTestStatus_BF", "Refused|InvalidState", -1},
		{smt, "calibrate 5s", "UPSStatus_BF", "StateOnBattery|Test", causeLocalUI},
		{smt, "calibrate 5s abort", "RunTimeCalibrationStatus_BF", "Aborted|LocalUI", causeTestEnded},
		{smt, "calibrate=protocol 40m", "RunTimeCalibrationStatus_BF", "Passed|Protocol", causeTestEnded},
		{smt, "battery-bad calibrate 40m", "RunTimeCalibrationStatus_BF", "Failed|LocalUI", causeTestEnded},
		{smt, "battery-bad calibrate 40m", "BatterySystemError_BF", "NeedsReplacement", causeTestEnded},
		{smt, "shutdown calibrate", "RunTimeCalibrationStatus_BF", "Refused|InvalidState", -1},
		{smt, "overload 10s calibrate", "RunTimeCalibrationStatus_BF", "Refused|InternalFault", -1},
		{smt, "mains-fail calibrate", "RunTimeCalibrationStatus_BF", "Refused|ACInputNotAcceptable", -1},
		{smt, "charge=0.5 calibrate", "RunTimeCalibrationStatus_BF", "Refused|StateOfChargeNotAcceptable|OverChargeInProgress", -1},
		{smt, "charge=0.89 1s charge=0.985 calibrate", "RunTimeCalibrationStatus_BF", "Refused|OverChargeInProgress", -1},
		{smt, "load=0.02 10s calibrate", "RunTimeCalibrationStatus_BF", "Refused|LoadTooLow", -1},
		{smt, "load=0.6 1s calibrate", "RunTimeCalibrationStatus_BF", "Refused|LoadChange", -1},
		{smt, "calibrate 5s mains-fail", "RunTimeCalibrationStatus_BF", "Aborted|LocalUI|ACInputNotAcceptable", -1},
		{smt, "calibrate 5s load=0.9", "RunTimeCalibrationStatus_BF", "Aborted|LocalUI|LoadChange", -1},

		// Panel, sections 6.11 and 7.7.
		{smt, "button", "UserInterfaceStatus_BF", "AnyButtonPressedRecently", -1},
		{smt, "button 10s", "UserInterfaceStatus_BF", "", -1},
		{smt, "mains-fail", "UserInterfaceStatus_BF", "AudibleAlarmInProgress", -1},
		{smt, "mains-fail mute 10s", "UserInterfaceStatus_BF", "AudibleAlarmMuted", -1},
		{smt, "mains-fail mute unmute 10s", "UserInterfaceStatus_BF", "AudibleAlarmInProgress", -1},
		{smt, "panel-test 10s", "UserInterfaceStatus_BF", "ContinuousTestInProgress", -1},
		{smt, "panel-test panel-test-end 10s", "UserInterfaceStatus_BF", "", -1},
		{smt, "wiring-bad", "UserInterfaceStatus_BF", "AudibleAlarmInProgress", -1},
		{smt, "wiring-bad ack-wiring 10s", "UserInterfaceStatus_BF", "", -1},
		{smt, "battery-life=9 ack-battery 10s", "UserInterfaceStatus_BF", "", -1},
		{smt, "alert", "UPSStatus_BF", "StateOnline|HighEfficiency|InformationalAlert", causeAlert},
		{smt, "alert alert-end", "UPSStatus_BF", "StateOnline|HighEfficiency", causeAlertCleared},

		// Outlets, sections 6.3 and 8.1.
		{smt, "outlet=reboot:sog0", "SOG[0].OutletStatus_BF", "StateOn|ProcessReboot|PendingOnDelay|PendingOffDelay|PendingOnACPresence|MemberGroupProcess1", -1},
		{smt, "write=1036:0,400 outlet=reboot:sog0", "SOG[0].OutletStatus_BF", "StateOn|ProcessSleep|PendingOnDelay|PendingOffDelay|PendingOnACPresence|MemberGroupProcess1", -1},
		{smx, "outlet=reboot:sog0 outlet=off:sog1", "SOG[1].OutletStatus_BF", "StateOn|PendingOffDelay|MemberGroupProcess2", -1},
		{smt, "outlet=off:sog0 90s", "SOG[0].OutletStatus_BF", "StateOff", -1},
		{smt, "outlet=off:sog0 90s outlet=on:sog0 1s", "SOG[0].OutletStatus_BF", "StateOn", -1},
		{smt, "outlet=off:sog0 30s outlet=cancel:sog0", "SOG[0].OutletStatus_BF", "StateOn", -1},
		{smt, "outlet=shutdown 91s", "UPSStatus_BF", "StateOutputOff|PendingOutputOn", -1},
		{smt, "outlet=off:mog", "MOG.OutletStatus_BF", "StateOn", -1},                                     // rule 5
		{smt, "mains-fail write=1034:5 write=1538:0,0x42B0 20s", "SOG[0].OutletStatus_BF", "StateOn", -1}, // cold boot
		{smt, "mains-fail write=1034:5 write=1538:0,0x4290 20s", "SOG[0].OutletStatus_BF", "StateOff|ProcessReboot|PendingOnDelay|PendingOnACPresence|MemberGroupProcess1", -1},
		{smt, "charge=0.02 write=1038:900 write=1538:0,0x4208 20s", "SOG[0].OutletStatus_BF", "StateOff|ProcessShutdown|PendingOnDelay|PendingOnACPresence|PendingOnMinRuntime|MemberGroupProcess1|LowRuntime", -1},
		{smt, "charge=0.02 write=1038:900 write=1538:0,0x4210 20s", "SOG[0].OutletStatus_BF", "StateOn|LowRuntime", -1}, // a reboot does not wait for runtime
		{srt, "outlet=reboot:sog0", "SimpleSignalingStatus_BF", "ShutdownImminent", -1},                                 // nobody reaches the main group
		{smt, "outlet=reboot:sog0", "SimpleSignalingStatus_BF", "", -1},
		{smx, "write=1056:0,0x20 overload 1s load=0.3 20s", "SOG[0].OutletStatus_BF", "StateOff", -1}, // shed for good
		{smt, "battery-life=9 ack-battery write=595:7732", "Battery.LifeTimeStatus_BF", "LifeTimeNearEnd", -1},
		{smt, "off", "UPSStatus_BF", "StateOutputOff", causeLocalUI},
		{smt, "off 5s on 1s", "UPSStatus_BF", "StateOnline", causeLocalUI},
		{smt, "shutdown", "SimpleSignalingStatus_BF", "ShutdownImminent", -1},
		{srt, "shutdown", "SimpleSignalingStatus_BF", "ShutdownImminent", -1},
		{srt10, "outlet=reboot:sog2 91s", "SOG[2].OutletStatus_BF", "StateOff|ProcessReboot|PendingOnDelay|PendingOnACPresence|MemberGroupProcess1", -1},

		// What has no life of its own.
		{smt, "bits=PowerSystemError+Fan", "UPSStatus_BF", "StateOnline|Fault|HighEfficiency", causePowerError},
		{smt, "bits=PowerSystemError+Fan 1s bits=PowerSystemError-Fan", "UPSStatus_BF", "StateOnline|HighEfficiency", causeErrorCleared},
		{smt, "mains-fail bits=Input.InputStatus!VoltageTooLow", "Input.InputStatus_BF", "", -1},
		{smt, "cause=PlugRatingExceeded bits=UPSStatus+InformationalAlert", "UPSStatus_BF", "StateOnline|HighEfficiency|InformationalAlert", 28},
	} {
		clk := newClock()
		u := clk.unit(Options{SKU: c.sku})
		play(t, clk, u, c.words)
		it := bitItem(c.item)
		v := uint32(u.reg(it.addr))
		if it.count == 2 {
			v = u.reg32(it.addr)
		}
		_, got, _ := strings.Cut(describe(it.name, v), " ")
		if got != c.want {
			t.Errorf("%s: %s: %s is %s, want %s", c.sku, c.words, c.item, got, c.want)
		}
		if cause := int(u.reg(2)); c.cause >= 0 && cause != c.cause {
			t.Errorf("%s: %s: cause %s, want %s", c.sku, c.words, causeNames[cause], causeNames[c.cause])
		}
	}
}

// TestEveryBitOfTheStatusCanBeDriven with the generic word, on every model that has the item.
func TestEveryBitOfTheStatusCanBeDriven(t *testing.T) {
	for _, sku := range SKUs() {
		u := newClock().unit(Options{SKU: sku})
		for i := range items {
			it := &items[i]
			if bitsOf[it.name] == nil || it.access != ro || it.addr > 150 || !u.have[it.addr] {
				continue
			}
			for _, b := range bitsOf[it.name] {
				name := strings.TrimSuffix(it.name, "_BF")
				show := func() bool { return (uint32(u.regs[it.addr])<<16*uint32(it.count-1)|u.low(it))&b.mask != 0 }
				before := show()
				play(t, nil, u, fmt.Sprintf("bits=%s+%s", name, b.name))
				if !show() {
					t.Errorf("%s: %s.%s does not show", sku, name, b.name)
				}
				play(t, nil, u, fmt.Sprintf("bits=%s!%s", name, b.name))
				if show() {
					t.Errorf("%s: %s.%s cannot be hidden", sku, name, b.name)
				}
				play(t, nil, u, fmt.Sprintf("bits=%s-%s", name, b.name))
				if show() != before {
					t.Errorf("%s: %s.%s was not given back", sku, name, b.name)
				}
			}
		}
	}
}

// low returns the last register of an item.
func (u *Unit) low(it *item) uint32 { return uint32(u.regs[it.addr+it.count-1]) }

// TestDeadBatteryAndBack is the whole way: outage, low battery, output off, silence, and the automatic restart.
func TestDeadBatteryAndBack(t *testing.T) {
	for _, sku := range SKUs() {
		c := newClock()
		u := c.unit(Options{SKU: sku, Load: 0.5})
		play(t, c, u, "mains-fail low-battery 1s")
		expect(t, sku+" signalling", uint32(u.reg(18)), powerFailure|shutdownImminent)
		play(t, c, u, "3m")
		if u.Handle(readPDU(0, 3)) != nil {
			t.Errorf("%s: answers with an empty battery", sku)
		}
		play(t, c, u, "mains-return 6s")
		if s := u.reg32(0) & (stateOnline | stateOutputOff); s != stateOnline {
			t.Errorf("%s: status %#x after the return", sku, u.reg32(0))
		}
		expect(t, sku+" cause", uint32(u.reg(2)), causeAutomaticRestart)
	}
}

// TestWithoutBatteryAnOutageIsTheEnd at once, and the unit comes back with the mains.
func TestWithoutBatteryAnOutageIsTheEnd(t *testing.T) {
	c := newClock()
	u := c.unit(Options{})
	play(t, c, u, "battery-disconnect")
	expect(t, "runtime", u.reg32(128), 0)
	expect(t, "efficiency", uint32(u.reg(154)), 0xFFF8)
	play(t, c, u, "mains-fail 100ms")
	if u.Handle(readPDU(0, 3)) != nil {
		t.Error("answers with neither mains nor battery")
	}
	play(t, c, u, "mains-return 6s")
	expect(t, "status", u.reg32(0), stateOnline|statusFault)
}

// TestBatteryDateMovesTheReplacement: the installation date is written, or a battery replaced; the replacement date follows with
// month accuracy.
func TestBatteryDateMovesTheReplacement(t *testing.T) {
	c := newClock()
	u := c.unit(Options{})
	expect(t, "at first", uint32(u.reg(133)), 10713)
	play(t, c, u, "battery-life=-30")
	expect(t, "past", uint32(u.reg(25)), lifeExceeded)
	day := dayOf(c.t)
	command(t, u, 0, 595, day-40)
	expect(t, "installed", uint32(u.reg(595)), uint32(day-40))
	want := time.Date(2030, 11, 1, 0, 0, 0, 0, time.UTC) // 2026-01-02 less 40 days is in November 2025
	expect(t, "to be replaced", uint32(u.reg(133)), uint32(dayOf(want)))
	expect(t, "life", uint32(u.reg(25)), lifeTimeOK)
	play(t, c, u, "battery-replace")
	expect(t, "today", uint32(u.reg(595)), uint32(day))
}

// TestWhatNoBitTells: a worn battery lasts and holds less, and a charger that does nothing fills none.
func TestWhatNoBitTells(t *testing.T) {
	c := newClock()
	u := c.unit(Options{})
	full := u.reg32(128)
	play(t, c, u, "capacity=0.4")
	if r := u.reg32(128); r < full*39/100 || r > full*41/100 {
		t.Errorf("runtime %d of %d", r, full)
	}
	expect(t, "charge", uint32(u.reg(130)), 51200)
	lowest := func(words string) uint16 {
		u := c.unit(Options{})
		play(t, c, u, words+" self-test 15s")
		return u.reg(131)
	}
	if good, bad := lowest(""), lowest("sag=0.2"); float64(bad) > 0.85*float64(good) {
		t.Errorf("in a test: %d/32 V, a good one %d/32 V", bad, good)
	}
	play(t, c, u, "charger-bad charge=0.5 24h")
	expect(t, "charge without a charger", uint32(u.reg(130)), 25600)
	play(t, c, u, "serial=AS9999")
	if s := string([]byte{byte(u.reg(564) >> 8), byte(u.reg(564)), byte(u.reg(565) >> 8)}); s != "AS9" {
		t.Errorf("serial %q", s)
	}
}

// TestAScheduledTestComes after seven days, as the factory setting says, and not when that is switched off.
func TestAScheduledTestComes(t *testing.T) {
	c := newClock()
	u := c.unit(Options{})
	play(t, c, u, "167h")
	expect(t, "before", uint32(u.reg(23)), 0)
	play(t, c, u, "1h 1s")
	expect(t, "running", uint32(u.reg(23)), testInProgress|byInternal)
	play(t, c, u, "1m write=1024:1 400h")
	expect(t, "none after", uint32(u.reg(23)), testPassed|byInternal)
}

// TestRequestShutdownOfAnSRT is section 8.2 with its times: groups off after 60 s, the main group back about 15 s later, the
// switched groups 15 s after it, high efficiency after about 5 min.
func TestRequestShutdownOfAnSRT(t *testing.T) {
	c := newClock()
	u := c.unit(Options{SKU: "SRT1000XLA"})
	command(t, u, 0, 1540, 1)
	expect(t, "at once", u.reg32(0), 0x2202)
	play(t, c, u, "60s")
	expect(t, "off", u.reg32(0), 0x110)
	play(t, c, u, "14s")
	expect(t, "still off", u.reg32(0), 0x110)
	play(t, c, u, "1s")
	expect(t, "main group", u.reg32(0), 0x2)
	if u.reg32(6)&u.reg32(9)&outletOff == 0 {
		t.Error("the switched groups did not wait")
	}
	play(t, c, u, "15s")
	expect(t, "switched groups", u.reg32(6)&u.reg32(9), outletOn)
	play(t, c, u, "5m")
	expect(t, "high efficiency", u.reg32(0), 0x2002)

	play(t, c, u, "mains-fail 1s")
	expect(t, "on battery", uint32(u.reg(18)), 1)
	command(t, u, 0, 1540, 1)
	expect(t, "status stays", u.reg32(0), 0x244)
	expect(t, "imminent at once", uint32(u.reg(18)), 3)
	play(t, c, u, "60s")
	expect(t, "off", u.reg32(0), 0x150)
}

// TestLoadShedding on an SMX: the second group after a minute on battery, for good; the first when little runtime is left.
func TestLoadShedding(t *testing.T) {
	c := newClock()
	u := c.unit(Options{SKU: "SMX1500RM2U", Load: 0.5})
	command(t, u, 4, 1056, 0, 4)      // reserved
	command(t, u, 4, 1054, 0, 1<<5)   // not for the main group
	command(t, u, 0, 1058, 0, 1<<3|2) // time on battery, manual restart
	command(t, u, 0, 1069, 60)
	command(t, u, 0, 1056, 0, 1<<4) // runtime
	command(t, u, 0, 1064, 120)
	play(t, c, u, "mains-fail 1s")
	expect(t, "pending", u.reg32(9), outletOn|outletLoadShed)
	expect(t, "main group", u.reg32(3), outletOn)
	command(t, u, 4, 1538, 0, 0x4404) // rules 4 and 6
	command(t, u, 0, 1538, 0, 0x4201) // SOG 0 is cancelled
	play(t, c, u, "60s")
	expect(t, "shed", u.reg32(9), outletOff)
	expect(t, "kept", u.reg32(6), outletOn)
	u.SetRuntime(100 * time.Second)
	play(t, c, u, "5s")
	if u.reg32(6)&outletOn == 0 {
		t.Error("shed although that was cancelled")
	}
	play(t, c, u, "mains-return 5s")
	expect(t, "for good", u.reg32(9)&^outletLowRuntime, outletOff)
	play(t, c, u, "mains-fail charge=1 1s")
	u.SetRuntime(100 * time.Second)
	play(t, c, u, "1s")
	if s := u.reg32(6); s&(outletOff|outletShutdown) != outletOff|outletShutdown {
		t.Errorf("with little runtime: %s", describe("SOG[0].OutletStatus_BF", s))
	}
	command(t, u, 2, 1073, 0, 0)
	command(t, newClock().unit(Options{}), 2, 1056, 0, 8) // an SMT1500RM2UC refuses it
}
