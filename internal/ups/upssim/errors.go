package upssim

// A force is what a bit field shows beside what the simulation thinks.
type force struct{ set, clear uint32 }

// publishErrors writes the three error items. Items 19, 20 and 22 are what UPSStatus.Fault sums up.
func (u *Unit) publishErrors() {
	var general, power, pack uint32
	p, b := &u.power, &u.battery
	for _, e := range []struct {
		is   bool
		in   *uint32
		mask uint32
	}{
		{u.site.wiring, &general, siteWiring},
		{u.site.epo, &general, epoActive},
		{p.overload, &power, outputOverload},
		{p.hot, &power, overtemperature},
		{p.broken || p.distorted, &power, inverterFault},
		{b.failed, &pack, needsReplacement},
		{b.disconnected, &pack, batteryDisconnected},
		{b.uncharged, &pack, chargerFault},
		{b.warmth >= batteryHotFrom && b.warmth < batteryTooHotFrom, &pack, batteryHot},
		{b.warmth >= batteryTooHotFrom, &pack, batteryTooHot},
	} {
		if e.is {
			*e.in |= e.mask
		}
	}
	u.set(aGeneralError, general)
	u.set(aPowerError, power)
	u.set(aBatteryError, pack)
}

// errors reports whether any of the three items shows one.
func (u *Unit) errors() bool {
	return u.regs[aGeneralError] != 0 || u.long(aPowerError) != 0 || u.regs[aBatteryError] != 0
}

// site is what surrounds the unit.
type site struct {
	wiring bool // line and neutral are crossed
	quiet  bool // that was acknowledged
	epo    bool // the emergency power off input is active or was not acknowledged
}

// setWiring makes the site wiring bad or good.
func (u *Unit) setWiring(bad bool) {
	if u.site.wiring != bad {
		u.site.wiring, u.site.quiet = bad, false
		u.cause = errorCause(bad, causeGeneralError)
	}
}

// setEPO is the emergency power off input: everything off at once, and nothing comes back by itself.
func (u *Unit) setEPO(on bool) {
	switch {
	case on && !u.site.epo:
		u.allOff()
		u.cause = causeEPO
	case !on && u.site.epo:
		u.cause = causeErrorCleared
	}
	u.site.epo = on
}

func errorCause(bad bool, asserted uint16) uint16 {
	if bad {
		return asserted
	}
	return causeErrorCleared
}
