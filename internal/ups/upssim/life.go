package upssim

import "time"

// Battery life (sections 5.2, 5.3 and 6.10): a date of installation that a user writes, a date of replacement that the unit
// makes of it, and a status that people acknowledge.

// epoch is day 0 of the dates of the map.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

const (
	designLife  = 5  // years from installation to replacement; INF
	nearEndDays = 90 // INF
)

// life is the age of the battery.
type life struct {
	installed uint16 // days since 2000-01-01
	replaceBy uint16
	counts    bool // the calendar is looked at: since a date was set. Before, the battery is in its best years for ever
	worn      bool // its measured capacity is near the replacement threshold
	acked     uint32
}

func dayOf(t time.Time) uint16 { return uint16(t.Sub(epoch) / (24 * time.Hour)) }

// install puts the date of installation in, and of replacement on the first of the month five years on: month accuracy only.
func (l *life) install(day uint16) {
	t := epoch.AddDate(0, 0, int(day)).AddDate(designLife, 0, 0)
	l.installed, l.replaceBy = day, dayOf(time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC))
	l.acked = 0
}

// bits computes Battery.LifeTimeStatus_BF for a day. OK excludes the two ends, which exclude each other.
func (l *life) bits(today uint16) (s uint32) {
	left := int(l.replaceBy) - int(today)
	switch {
	case !l.counts || left > nearEndDays:
		s = lifeTimeOK
	case left > 0:
		s = lifeNearEnd
	default:
		s = lifeExceeded
	}
	if l.worn {
		s |= lifeWorn
	}
	return s | l.acked&acknowledged(s)
}

// acknowledged returns the bits that acknowledging s sets.
func acknowledged(s uint32) (out uint32) {
	if s&lifeNearEnd != 0 {
		out |= lifeNearEndAck
	}
	if s&lifeExceeded != 0 {
		out |= lifeExceedAck
	}
	if s&lifeWorn != 0 {
		out |= lifeWornAck
	}
	return out
}

func (u *Unit) lifeBits() uint32 { return u.battery.bits(dayOf(u.at)) }

// acknowledgeBattery quiets what there is to acknowledge about the battery now (UserInterfaceCommand_BF, bit 5).
func (u *Unit) acknowledgeBattery() {
	u.battery.acked |= acknowledged(u.lifeBits())
	u.battery.quiet = true
}

// lifeAlarm reports whether the battery's age is worth a beep: not acknowledged yet.
func (u *Unit) lifeAlarm() bool {
	s := u.lifeBits()
	return acknowledged(s)&^s != 0
}

// setLifeLeft makes the date of replacement lie so many days ahead; negative is in the past.
func (u *Unit) setLifeLeft(days int) {
	u.battery.replaceBy = uint16(clamp(float64(int(dayOf(u.at))+days), 0, 0xFFFE))
	u.battery.counts, u.battery.acked = true, 0
}

// replaceBattery is a new, charged battery with today's date, as someone does it at the front panel.
func (u *Unit) replaceBattery() {
	b := &u.battery
	u.setBatteryBad(false)
	b.worn, b.counts, b.disconnected, b.charge, b.capacity, b.sag = false, true, false, 1, 1, 0
	b.install(dayOf(u.at))
	u.put(aInstalled, float64(b.installed))
}
