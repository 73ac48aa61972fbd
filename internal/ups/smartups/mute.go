package smartups

import "upsedge/internal/ups"

// muteDeed silences what sounds now (protocol reference, sections 6.11 and 7.7). Where nothing sounds it is so already: a unit mutes the
// alarms that are active, and none that begins later.
var muteDeed = goalDeed{
	write: order{panelCommand, muteAlarms},
	shows: []ups.Point{ups.UserInterface},
	reached: func(was *seenNote, s *ups.State) (reach, string) {
		k := s.Flags(ups.UserInterface)
		sounds, muted := k&ups.KAlarmSounds != 0, k&ups.KAlarmMuted != 0
		switch {
		case !sounds && muted:
			return reached, "the beeper is muted"
		case !sounds: // the bit may lag behind a write
			return perhaps, "nothing sounds; an alarm that begins later will"
		case muted && was != nil && was.Panel&ups.KAlarmMuted == 0:
			return reached, "what sounded is muted, and something else sounds since"
		case muted:
			return untold, "something is muted and something sounds, as before: whether anything was muted since, no register tells"
		}
		return notReached, "the beeper sounds and nothing is muted"
	},
}

// unmuteDeed lets it sound again.
var unmuteDeed = goalDeed{
	write: order{panelCommand, unmuteAlarms},
	shows: []ups.Point{ups.UserInterface},
	reached: func(_ *seenNote, s *ups.State) (reach, string) {
		if s.Flags(ups.UserInterface)&ups.KAlarmMuted != 0 {
			return notReached, "the beeper is muted"
		}
		return reached, "nothing is muted"
	},
}
