package upssim

// Load shedding (sections 5.4 and 6.19): on battery for longer than a time, or with less runtime than a limit, or overloaded, a
// group is turned off as if commanded. SMX and SRT have it here; an SMT1500RM2UC refuses the settings.

// shedNever is the time that means "disabled"; seen on SRT.
const shedNever = 32767

func shedConfigOf(group int) uint16 { return uint16(aShedConfig + 2*group) }

func shedRuntimeOf(group int) uint16 {
	if group == 0 {
		return aMOGShedRuntime
	}
	return uint16(aShedRuntime + group - 1)
}

func shedTimeOf(group int) uint16 {
	if group == 0 {
		return aMOGShedTime
	}
	return uint16(aShedTime + group - 1)
}

func (u *Unit) factoryShedding(group int) {
	u.set(shedConfigOf(group), 0)
	u.put(shedRuntimeOf(group), 0)
	u.put(shedTimeOf(group), shedNever)
}

// takesShedding reports whether a configuration may be written: no reserved bit, and the main group is not shed on overload.
func (u *Unit) takesShedding(addr uint16, v uint32) bool {
	allowed := uint32(shedUseOff | shedManual | shedTime | shedRuntime | shedOverload)
	if addr == aShedConfig {
		allowed &^= shedOverload
	}
	return v&^allowed == 0
}

// shedConfig returns what sheds the group, 0 where the model has no load shedding.
func (u *Unit) shedConfig(g *group) uint32 {
	a := shedConfigOf(g.index)
	if g.index > 3 || !u.have[a] {
		return 0
	}
	return u.long(a)
}

// outage reports whether the unit feeds the load from its battery because it must.
func (u *Unit) outage() bool { return u.power.onBattery && !u.power.good }

// shedPending reports whether a condition exists that could turn the group off (section 6.3, bit 7).
func (u *Unit) shedPending(g *group) bool {
	return g.on && !g.kept && u.outage() && u.shedConfig(g)&(shedTime|shedRuntime) != 0
}

// stepShedding turns off what is due. On overload there is no automatic return (section 6.19).
func (u *Unit) stepShedding() {
	for _, g := range u.groups {
		config := u.shedConfig(g)
		if !u.outage() {
			g.kept = false
		}
		if config == 0 || !g.on || g.pending() {
			continue
		}
		p := shutdownProcess
		switch {
		case config&shedOverload != 0 && u.power.overload:
			p = offProcess
		case !u.shedPending(g) || !u.shedDue(g, config):
			continue
		case config&shedManual != 0:
			p = offProcess
		}
		u.cause = causeOutletStateChange
		g.load(u, p, config&shedUseOff != 0, true, false)
		g.member, g.by = u.member(), causeOutletStateChange
	}
}

func (u *Unit) shedDue(g *group, config uint32) bool {
	late := config&shedTime != 0 && u.setting(shedTimeOf(g.index)) < shedNever*1e9 &&
		u.at.Sub(u.power.outageFrom) >= u.setting(shedTimeOf(g.index))
	return late || config&shedRuntime != 0 && u.lasts() <= u.setting(shedRuntimeOf(g.index)).Seconds()
}
