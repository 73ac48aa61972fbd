package smartups

import (
	"fmt"

	"upsedge/internal/ups"
)

// ackBatteryDeed acknowledges what the unit has to say of its battery. Register 25 shows that of the battery's age. Of the errors in 22 no
// register shows it, the beeper neither: what it sounds for, and how often it pauses, is not documented (protocol reference, sections 6.7,
// 6.10 and 7.7).
var ackBatteryDeed = goalDeed{
	write: order{panelCommand, ackBattery},
	shows: []ups.Point{ups.BatteryLife, ups.BatteryError, ups.UserInterface},
	reached: func(was *seenNote, s *ups.State) (reach, string) {
		life, errors := s.Flags(ups.BatteryLife), s.Flags(ups.BatteryError)
		switch open := unacknowledged(life); {
		case open != 0:
			return notReached, fmt.Sprintf("the age of the battery is not acknowledged (0x%02X)", life)
		case was != nil && unacknowledged(was.Life) != 0 && errors != 0:
			return reached, fmt.Sprintf("the age of the battery is acknowledged (0x%02X); whether its error 0x%04X is, no register tells", life, errors)
		case was != nil && unacknowledged(was.Life) != 0:
			return reached, fmt.Sprintf("the age of the battery is acknowledged (0x%02X)", life)
		case errors != 0:
			return untold, fmt.Sprintf("whether the battery error 0x%04X is acknowledged, no register tells", errors)
		}
		return reached, "the unit shows no battery alarm that is not acknowledged"
	},
}

// unacknowledged are the bits of register 25 that tell of the battery's age and have not been acknowledged.
func unacknowledged(life uint32) (open uint32) {
	for _, a := range []struct{ alarm, ack uint32 }{
		{ups.LNearEnd, ups.LNearEndAcknowledged},
		{ups.LExceeded, ups.LExceededAcknowledged},
		{ups.LMeasuredNearEnd, ups.LMeasuredAcknowledged},
	} {
		if life&(a.alarm|a.ack) == a.alarm {
			open |= a.alarm
		}
	}
	return open
}

// ackWiringDeed acknowledges that the site is wired wrongly. The error stays as long as the wiring does, and nothing tells that somebody
// took note of it (sections 6.5 and 7.7).
var ackWiringDeed = goalDeed{
	write: order{panelCommand, ackWiring},
	shows: []ups.Point{ups.GeneralError, ups.UserInterface},
	reached: func(_ *seenNote, s *ups.State) (reach, string) {
		if s.Flags(ups.GeneralError)&ups.GSiteWiring != 0 {
			return untold, "the site wiring is bad; whether that is acknowledged, no register tells"
		}
		return reached, "the unit shows no site wiring alarm"
	},
}
