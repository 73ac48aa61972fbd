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
	u.set(aTest, u.test.word)
	u.set(aCalibration, u.cal.word)
	u.set(aUserInterface, u.panelBits())
	u.publishStatus()
	u.set(aSignalling, u.signalling())
}

func (u *Unit) publishErrors() {
	var powerError, batteryError uint32
	if u.power.overload {
		powerError |= outputOverload
	}
	if u.battery.failed {
		batteryError |= needsReplacement
	}
	u.set(aPowerError, powerError)
	u.set(aBatteryError, batteryError)
}

// publishStatus writes the state word, and the cause when the word changed for a reason that is known (section 3.5).
func (u *Unit) publishStatus() {
	s := u.status()
	if s != u.long(aStatus) {
		u.set(aStatus, s)
		if u.cause != 0 {
			u.regs[aCause] = u.cause
		}
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
	if p.overload || u.battery.failed {
		s |= statusFault
	}
	return s
}

// signalling computes SimpleSignalingStatus_BF (section 6.4).
func (u *Unit) signalling() (s uint32) {
	if !u.power.good {
		s |= powerFailure
	}
	low := u.long(aStatus)&pendingOutputOff != 0 && u.lasts() <= u.o.LowRuntime.Seconds()
	if low || u.groups[0].phase == offDelay {
		s |= shutdownImminent
	}
	return s
}

func (u *Unit) panelBits() (s uint32) {
	if u.panel.continuous {
		s |= uiContinuousTest
	}
	if !u.alarming() {
		u.panel.muted = false
		return s
	}
	if u.panel.muted {
		return s | uiMuted
	}
	return s | uiAlarm
}
