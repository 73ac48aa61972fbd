package upssim

import (
	"testing"
	"time"
)

// TestWhoAskedIsTheCause: what a user switches, or takes back, shows another cause than what came through the protocol, where the unit's
// status changes by it; a group that is switched alone leaves the cause as it was (sections 3.5 and 8.1).
func TestWhoAskedIsTheCause(t *testing.T) {
	const user = 0x2000
	for name, c := range map[string]struct {
		words []uint16 // one a second apart
		want  uint32
	}{
		"a command":                      {[]uint16{0x43D0}, causeProtocol},
		"a user":                         {[]uint16{user | 0x03D0}, causeLocalUI},
		"a command, back by a user":      {[]uint16{0x43D0, user | 0x0301}, causeLocalUI},
		"a user, back by a command":      {[]uint16{user | 0x03D0, 0x4301}, causeProtocol},
		"a group, by a command":          {[]uint16{0x4210}, 0},
		"a group, and its cancel":        {[]uint16{0x42D0, user | 0x0201}, 0},
		"a user's reboot, to its end":    {[]uint16{user | 0x0310, 0, 0, 0, 0, 0, 0, 0, 0, 0}, causeLocalUI},
		"a command's reboot, to its end": {[]uint16{0x4310, 0, 0, 0, 0, 0, 0, 0, 0, 0}, causeProtocol},
	} {
		clock := newClock()
		u := clock.unit(Options{})
		for _, w := range c.words {
			if w != 0 {
				command(t, u, 0, 1538, 0, w)
			}
			clock.pass(time.Second)
		}
		expect(t, name, uint32(u.reg(2)), c.want)
	}
}

// TestALoadShedThatIsPendingKeepsCommandsOff is rules 4 and 6 of section 7.3: cancelled first, then taken; what is cancelled is not shed in
// this outage, and the main group is not concerned.
func TestALoadShedThatIsPendingKeepsCommandsOff(t *testing.T) {
	clock := newClock()
	u := clock.unit(Options{SKU: "SMX1500RM2U"})
	command(t, u, 0, 1056, 0, shedTime)
	command(t, u, 0, 1068, 20)
	u.SetMains(false)
	clock.pass(5 * time.Second)
	if u.reg32(6)&outletLoadShed == 0 || u.reg32(3)&outletLoadShed != 0 {
		t.Fatalf("SOG0 %#x, main %#x: want a load shed pending on SOG0 alone", u.reg32(6), u.reg32(3))
	}
	for _, w := range []uint16{0x4204, 0x4284, 0x4208, 0x4210, 0x4302, 0x4704} {
		command(t, u, 4, 1538, 0, w)
	}
	command(t, u, 0, 1538, 0, 0x4201)
	clock.pass(time.Minute)
	expect(t, "cancelled", u.reg32(6)&(outletOn|outletLoadShed), outletOn)
	command(t, u, 0, 1538, 0, 0x4204)
	clock.pass(time.Second)
	expect(t, "turned off", u.reg32(6)&outletOff, outletOff)
}
