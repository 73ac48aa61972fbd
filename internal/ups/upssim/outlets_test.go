package upssim

import (
	"testing"
	"time"
)

// TestOutletWords is the table of section 7.3: what a unit takes, and what it must refuse with exception 4.
func TestOutletWords(t *testing.T) {
	legal := []uint32{
		0x4301, 0x4302, 0x4342, 0x4322, 0x4304, 0x4384, 0x43C8, 0x4310, 0x43D0,
		0x1310, 0x20310, 0x310, // other sources, and none
		0x4210, 0x4204, // the switched group alone
	}
	illegal := []uint32{
		0x00000000, 0x00000007, 0x00004341, 0x00004382, 0x00004344, 0x000043E8, 0x00004002,
		0x00070000,     // sources and nothing else
		0x44D0, 0x4700, // a group that is not there; no command
		0x5310,         // two sources
		0x00104310,     // a reserved bit
		0x4104, 0x4110, // the main group cannot go off while the switched one is on
		0x4318, 0x4303, // two commands
		0x00080000 | 0x4310, // SOG[3]
	}
	for _, w := range legal {
		command(t, newClock().unit(Options{}), 0, 1538, uint16(w>>16), uint16(w))
	}
	for _, w := range illegal {
		command(t, newClock().unit(Options{}), 4, 1538, uint16(w>>16), uint16(w))
	}
}

// TestEveryWordOfOneTarget counts the legal forms of section 7.3: 1 + 4 + 2 + 4 + 8.
func TestEveryWordOfOneTarget(t *testing.T) {
	forms := 0
	for low := range uint16(256) {
		u := newClock().unit(Options{})
		if code(u.Handle(writePDU(1538, 0, 0x4300|low))) == 0 {
			forms++
		}
	}
	if forms != 19 {
		t.Errorf("%d forms taken, want 19", forms)
	}
}

type timers struct{ off, on, stay int }

func (u *Unit) timersAt(addr uint16) timers {
	return timers{int(int16(u.reg(addr))), int(int16(u.reg(addr + 1))), int(int32(u.reg32(addr + 2)))}
}

// TestRebootOfASwitchedGroup is the table of section 8.1 on SOG 0: off-delay 90, stay-off 8, on-delay 10.
func TestRebootOfASwitchedGroup(t *testing.T) {
	c := newClock()
	u := c.unit(Options{})
	command(t, u, 0, 1035, 10)
	command(t, u, 0, 1538, 0, 0x42D0)
	for _, s := range []struct {
		at     time.Duration
		status uint32
		timers timers
	}{
		{0, outletOn | outletReboot | outletOffDelay | outletOnDelay | outletACPresence | outletFirstGroup, timers{90, 10, 8}},
		{30 * time.Second, outletOn | outletReboot | outletOffDelay | outletOnDelay | outletACPresence | outletFirstGroup, timers{60, 10, 8}},
		{90 * time.Second, outletOff | outletReboot | outletOnDelay | outletACPresence | outletFirstGroup, timers{-1, 10, 8}},
		{94 * time.Second, outletOff | outletReboot | outletOnDelay | outletACPresence | outletFirstGroup, timers{-1, 10, 4}},
		{98 * time.Second, outletOff | outletReboot | outletOnDelay | outletFirstGroup, timers{-1, 10, -1}},
		{103 * time.Second, outletOff | outletReboot | outletOnDelay | outletFirstGroup, timers{-1, 5, -1}},
		{108 * time.Second, outletOn, timers{-1, -1, -1}},
	} {
		c.t = newClock().t.Add(s.at)
		expect(t, s.at.String()+" status", u.reg32(6), s.status)
		if got := u.timersAt(159); got != s.timers {
			t.Errorf("%v: timers %+v, want %+v", s.at, got, s.timers)
		}
		expect(t, "the unit", u.reg32(0), 0x2002)
	}
}

// TestRequestShutdownOnline is section 8.2: off-delay, 0x110 with the controller alive, main group back, switched group later.
func TestRequestShutdownOnline(t *testing.T) {
	c := newClock()
	u := c.unit(Options{})
	command(t, u, 0, 1034, 60)
	command(t, u, 0, 1035, 15)
	command(t, u, 0, 1540, 1)
	expect(t, "status at once", u.reg32(0), 0x2202)
	expect(t, "signalling at once", uint32(u.reg(18)), shutdownImminent)
	c.pass(60 * time.Second)
	expect(t, "status off", u.reg32(0), 0x110)
	expect(t, "cause off", uint32(u.reg(2)), causeProtocol)
	expect(t, "efficiency off", uint32(u.reg(154)), 0xFFFD)
	c.pass(8 * time.Second)
	expect(t, "status on", u.reg32(0), 0x2)
	expect(t, "main group", u.reg32(3), outletOn)
	if u.reg32(6)&outletOff == 0 {
		t.Error("the switched group did not wait")
	}
	c.pass(15 * time.Second)
	expect(t, "switched group", u.reg32(6), outletOn)
	c.pass(5 * time.Minute)
	expect(t, "high efficiency", u.reg32(0), 0x2002)
}

func TestRequestShutdownOnBattery(t *testing.T) {
	c := newClock()
	u := c.unit(Options{})
	command(t, u, 0, 1034, 60)
	u.SetMains(false)
	c.pass(time.Second)
	command(t, u, 0, 1540, 1)
	expect(t, "status at once", u.reg32(0), 0x244)
	expect(t, "signalling at once", uint32(u.reg(18)), 3)
	c.pass(60 * time.Second)
	expect(t, "status off", u.reg32(0), 0x150)
	c.pass(10 * time.Minute)
	expect(t, "status later", u.reg32(0), 0x150)
	u.SetMains(true)
	c.pass(qualify)
	expect(t, "status back", u.reg32(0), 0x2)
}

func TestShutdownWaitsForRuntime(t *testing.T) {
	c := newClock()
	u := c.unit(Options{Load: 0.5, AliveWhenEmpty: true, Speed: 60})
	command(t, u, 0, 1033, 600)
	u.SetMains(false)
	command(t, u, 0, 1538, 0, 0x4308)
	c.pass(10 * time.Second)
	u.SetCharge(0.1)
	u.SetMains(true)
	c.pass(10 * time.Second)
	expect(t, "waits", u.reg32(3)&(outletMinRuntime|outletOff|outletShutdown), outletMinRuntime|outletOff|outletShutdown)
	u.SetCharge(1)
	c.pass(time.Second)
	expect(t, "back", u.reg32(3), outletOn)
}

func TestRemoteOffStaysOff(t *testing.T) {
	c := newClock()
	u := c.unit(Options{})
	command(t, u, 0, 1540, 2)
	expect(t, "status", u.reg32(0), stateOutputOff)
	c.pass(time.Hour)
	expect(t, "status later", u.reg32(0), stateOutputOff)
	command(t, u, 4, 1538, 0, 0x4202) // a switched group cannot turn on while the main group is off
	command(t, u, 0, 1540, 4)
	c.pass(time.Second)
	expect(t, "status on", u.reg32(0), 0x2)
	expect(t, "switched group", u.reg32(6), outletOn)
	command(t, u, 4, 1540, 3)
	command(t, u, 4, 1540, 0)
}

func TestPendingCommandIsNotReplaced(t *testing.T) {
	c := newClock()
	u := c.unit(Options{})
	command(t, u, 0, 1538, 0, 0x42D0)
	command(t, u, 4, 1538, 0, 0x4284)
	command(t, u, 0, 1538, 0, 0x4201) // cancel
	expect(t, "cancelled", u.reg32(6), outletOn)
	if got, want := u.timersAt(159), (timers{-1, -1, -1}); got != want {
		t.Errorf("timers %+v", got)
	}
	command(t, u, 0, 1538, 0, 0x4284)
	c.pass(90 * time.Second)
	expect(t, "off", u.reg32(6), outletOff)
	if load := u.reg(136); load > 25*256 {
		t.Errorf("load %d/256 %% with the switched group off", load)
	}
}

func TestSleepIsALongReboot(t *testing.T) {
	u := newClock().unit(Options{})
	command(t, u, 0, 1036, 0, 301)
	command(t, u, 0, 1538, 0, 0x4210)
	if s := u.reg32(6); s&outletSleep == 0 || s&outletReboot != 0 {
		t.Errorf("status %s", describe("SOG[0].OutletStatus_BF", s))
	}
}

func TestUPSCommands(t *testing.T) {
	u := newClock().unit(Options{})
	command(t, u, 0, 1029, 77)
	command(t, u, 0, 1536, 0, 8)
	expect(t, "factory settings", uint32(u.reg(1029)), 0)
	for _, bit := range []uint16{1 << 9, 1 << 13, 1 << 14} {
		command(t, u, 0, 1536, 0, bit)
	}
	for _, bit := range []uint16{0, 1, 2, 4, 64, 128, 256, 1 << 4, 1 << 5, 0x18} {
		command(t, u, 4, 1536, 0, bit)
	}
	command(t, u, 2, 1536, 8)
	command(t, u, 2, 1538, 0)
}

// TestEveryWordOnEveryModel tries each command, modifier and set of targets on a fresh unit and compares with the rules of
// section 7.3, said once more: one command, its modifiers, groups of 590, and no main group off below switched ones.
func TestEveryWordOnEveryModel(t *testing.T) {
	allowed := map[uint32]uint32{0x01: 0, 0x02: 0x60, 0x04: 0x80, 0x08: 0xC0, 0x10: 0xE0}
	for _, sku := range []string{"SMT1500RM2UC", "SMX1500RM2U", "SRT10KXLI", "SMC1500IC"} {
		f, _ := familyOf(sku)
		there := uint32(f.groups&0xF) << 8
		taken := 0
		for word := range uint32(1 << 12) {
			modifiers, one := allowed[word&0x1F]
			targets := word & 0xF00
			legal := one && word&0xE0&^modifiers == 0 && targets != 0 && targets&^there == 0
			if command := word & 0x1F; legal && command >= 0x04 && targets&0x100 != 0 && targets != there {
				legal = false // the main group goes off and a switched one does not
			}
			w := word | 0x4000
			got := code(newClock().unit(Options{SKU: sku}).Handle(writePDU(1538, uint16(w>>16), uint16(w))))
			if (got == 0) != legal || got != 0 && got != 4 {
				t.Fatalf("%s: %#08x: exception %d, legal %v", sku, w, got, legal)
			}
			if got == 0 {
				taken++
			}
		}
		if want := map[string]int{"SMT1500RM2UC": 43, "SMX1500RM2U": 91, "SRT10KXLI": 187, "SMC1500IC": 19}[sku]; taken != want {
			t.Errorf("%s: %d words taken, want %d", sku, taken, want)
		}
	}
}

// TestOneSourceOrNone: every source alone is taken, two are not (rule 3).
func TestOneSourceOrNone(t *testing.T) {
	for a := 12; a <= 18; a++ {
		for b := a; b <= 18; b++ {
			w := uint32(0x210) | 1<<a | 1<<b
			want := byte(4)
			if a == b {
				want = 0
			}
			command(t, newClock().unit(Options{}), want, 1538, uint16(w>>16), uint16(w))
		}
	}
	for bit := 19; bit < 32; bit++ { // SOG[3] and reserved
		w := uint32(0x4210) | 1<<bit
		command(t, newClock().unit(Options{}), 4, 1538, uint16(w>>16), uint16(w))
	}
}
