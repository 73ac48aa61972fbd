package upssim

import "time"

// panel is the display and the beeper.
type panel struct {
	continuous bool
	muted      uint32    // the alarms that were muted and go on
	pressed    time.Time // a button counts as pressed recently until here
}

// recently is how long a pressed button shows (section 6.11).
const recently = 10 * time.Second

func (u *Unit) press() { u.panel.pressed = u.at.Add(recently) }

// UserInterfaceCommand_BF (section 7.7): one bit at a time, bit 4 is reserved.
func (u *Unit) panelCommand(v uint32) bool {
	switch v {
	case 1 << 0: // ShortTest ends the continuous one
		u.panel.continuous = false
	case 1 << 1:
		u.panel.continuous = true
	case 1 << 2: // MuteAllActiveAudibleAlarms
		u.panel.muted = u.alarms()
	case 1 << 3: // CancelMute
		u.panel.muted = 0
	case 1 << 5: // AcknowledgeBatteryAlarms
		u.acknowledgeBattery()
	case 1 << 6: // AcknowledgeSiteWiringAlarm
		u.site.quiet = true
	default:
		return false
	}
	return true
}

// alarms are what there is to beep about that nobody acknowledged, a bit each. MuteAllActiveAudibleAlarms mutes those that are there, and
// one that comes later sounds (INF: the bits of 26 are then both set).
func (u *Unit) alarms() (mask uint32) {
	p, b := &u.power, &u.battery
	for i, is := range []bool{
		!p.good, p.overload, p.bad(), p.bypassed, u.site.epo, b.disconnected, u.lifeAlarm(), b.failed && !b.quiet, u.site.wiring && !u.site.quiet,
		b.warmth >= batteryHotFrom,
	} {
		if is {
			mask |= 1 << i
		}
	}
	return mask
}
