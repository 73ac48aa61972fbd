package upssim

import "math"

// publishPower writes the measurements of input, output and bypass.
func (u *Unit) publishPower() {
	p := &u.power
	watts := p.drawn * float64(u.fam.watts)
	output, hertz := u.output()
	u.put(aInputVolts, p.input)
	u.set(aInputStatus, u.inputStatus())
	u.put(aOutputVolts, output)
	u.put(aOutputHertz, hertz)
	u.put(aRealPower, 100*p.drawn)
	u.put(aApparentPower, 100*watts/powerFactor/float64(u.fam.va))
	u.put(aOutputAmps, watts/powerFactor/float64(u.fam.outputs)/math.Max(output, 0.5*u.fam.nominal))
	u.put(aEnergy, math.Mod(math.Floor(p.energy), math.MaxUint32))
	if u.have[aEfficiency] {
		u.regs[aEfficiency] = uint16(u.efficiency())
	}
	u.publishPhases()
	u.publishFeed()
}

// output returns voltage and frequency of the output. A line-interactive unit passes the input on, regulated; an on-line one
// does that in its high-efficiency mode alone.
func (u *Unit) output() (volts, hertz float64) {
	p := &u.power
	switch {
	case !u.groups[0].on:
		return 0, 0
	case p.bypassed:
		return p.feed.volts, p.feed.hertz
	case p.onBattery, u.fam.bypass() && !u.green():
		return u.fam.nominal, u.fam.hertz
	case p.avr == inputBoost:
		return p.input * 1.12, p.hertz
	case p.avr == inputTrim:
		return p.input * 0.88, p.hertz
	}
	return p.input, p.hertz
}

// publishPhases fills the second and third phase: a little apart from the first, as in a real installation. The loads of two
// output phases are percentages of the same ratings.
func (u *Unit) publishPhases() {
	for i, a := range []uint16{aInputVolts + 1, aInputVolts + 2} {
		if i+2 <= u.fam.inputs {
			u.put(a, u.power.input*(1+0.004*float64(i+1)))
		}
	}
	if u.fam.outputs < 2 {
		return
	}
	for _, a := range []uint16{aRealPower, aApparentPower, aOutputAmps, aOutputVolts} {
		u.put(a+1, 0.97*float64(u.regs[a])/float64(items[itemAt[a]].div))
	}
}

// inputStatus computes Input.InputStatus_BF.
func (u *Unit) inputStatus() uint32 {
	p := &u.power
	lower, upper := u.transferPoints()
	switch {
	case p.good && u.groups[0].on && !p.onBattery && !p.bypassed:
		return inputAcceptable | inputPowering | p.avr
	case p.good:
		return inputAcceptable
	case !p.qualifyAt.IsZero():
		return inputPending
	case p.input > upper:
		return inputTooHigh | p.wave
	case p.input < lower:
		return inputTooLow | p.wave
	}
	return p.wave
}

// efficiency returns register 154: a reason code (section 6.13), or the efficiency in 1/128 %.
func (u *Unit) efficiency() int16 {
	p := &u.power
	switch {
	case !u.groups[0].on:
		return efficiencyOff
	case p.bypassed:
		return efficiencyBypass
	case p.onBattery:
		return efficiencyBattery
	case u.battery.disconnected:
		return efficiencyNoPack
	case u.battery.charge < 0.9:
		return efficiencyCharging
	case p.avr != 0:
		return efficiencyPoorAC
	case p.drawn < 0.05:
		return efficiencyLowLoad
	}
	loss, grows := 0.022, 1.005 // electronics and charger, parts of the rating and of the load
	switch {
	case u.green():
		loss = 0.012
	case u.fam.bypass(): // rectifier and inverter carry the whole load
		grows = 1.06
	}
	it := find(aEfficiency)
	return int16(math.Round(100 * p.drawn / (grows*p.drawn + loss) * float64(it.div)))
}

// green reports whether the unit runs in its high-efficiency mode: only on good, unregulated mains, with a charged battery,
// and not within minutes of a transfer. SURTD has none.
func (u *Unit) green() bool {
	p := &u.power
	return u.groups[0].on && p.good && !p.onBattery && !p.bypassed && !p.overload && p.avr == 0 && u.battery.charge > 0.9 &&
		!u.at.Before(p.greenFrom) && highEfficiency&u.fam.shows() != 0
}
