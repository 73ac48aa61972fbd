package upssim

// publish writes the state into the registers. Nothing else does, but for settings, strings and constants.
func (u *Unit) publish() {
	if u.dead {
		return
	}
	u.publishPower()
	u.publishBattery()
	for _, g := range u.groups {
		g.publish(u)
	}
	u.publishErrors()
	u.set(aLifeTime, u.lifeBits())
	u.set(aTest, u.test.word)
	u.set(aCalibration, u.cal.word)
	u.set(aUserInterface, u.panelBits())
	u.publishStatus()
	u.set(aSignalling, u.signalling())
}

// publishStatus writes the state word, and the cause when the word changed for a reason that is known (section 3.5).
func (u *Unit) publishStatus() {
	s := u.forced(aStatus, u.status())
	if s != u.long(aStatus) {
		u.setLong(aStatus, s)
		switch {
		case u.said != nil:
			u.regs[aCause] = *u.said
		case u.cause != 0:
			u.regs[aCause] = u.cause
		}
		u.said = nil
	}
	u.cause = 0
}

// status computes UPSStatus_BF: exactly one of the states, and what goes with it (section 6.1).
func (u *Unit) status() (s uint32) {
	main, p := u.groups[0], &u.power
	switch {
	case !main.on:
		s = stateOutputOff
		if main.pending() {
			s |= pendingOutputOn
		}
	case p.bypassed:
		s = stateBypass
	case p.onBattery:
		s = stateOnBattery
		if !p.good {
			s |= pendingOutputOff // at once, whenever on battery because of bad input
		}
	default:
		s = stateOnline
		if u.green() {
			s |= highEfficiency
		}
	}
	if main.on && main.phase == offDelay {
		s |= pendingOutputOff
	}
	if !p.good {
		s |= statusInputBad
	}
	if u.test.running() || u.cal.running() {
		s |= statusTest
	}
	if u.errors() {
		s |= statusFault
	}
	if u.alert || u.lifeBits()&lifeTimeOK == 0 {
		s |= statusAlert
	}
	if u.toggle {
		s |= statusChange
	}
	return (s | u.routeBits()) & u.fam.shows()
}

// signalling computes SimpleSignalingStatus_BF (section 6.4). Where nobody can reach the main group, the turn-off countdown
// that counts is also that of the switched group commanded last.
func (u *Unit) signalling() (s uint32) {
	if !u.power.good {
		s |= powerFailure
	}
	low := u.long(aStatus)&pendingOutputOff != 0 && u.lasts() <= u.o.LowRuntime.Seconds()
	if low || u.groups[0].phase == offDelay || u.lastSOG != nil && u.fam.groups&mogPresent == 0 && u.lastSOG.phase == offDelay {
		s |= shutdownImminent
	}
	return s
}

func (u *Unit) panelBits() (s uint32) {
	if u.panel.continuous {
		s |= uiContinuousTest
	}
	if u.at.Before(u.panel.pressed) {
		s |= uiButton
	}
	alarms := u.alarms()
	u.panel.muted &= alarms
	if u.panel.muted != 0 {
		s |= uiMuted
	}
	if alarms&^u.panel.muted != 0 {
		s |= uiAlarm
	}
	return s
}
