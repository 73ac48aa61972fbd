package upssim

import (
	"time"
)

// power is the input, the load and what the electronics make of them.
type power struct {
	mains  bool
	supply float64 // V when the mains are there, 0 = nominal
	input  float64 // V now
	noise  float64 // of the supply, V
	hertz  float64 // of the supply

	wave uint32  // what else is wrong with the input: bits of InputStatus_BF
	dip  dip     // a short failure
	feed feeding // the separate bypass input

	good      bool      // the input is acceptable and has been for long enough
	qualifyAt time.Time // when it will have been; zero while it is not acceptable
	avr       uint32    // inputBoost, inputTrim or 0

	load      float64   // as set
	changed   time.Time // when it was set to something else
	wander    float64   // what the load wanders by, a factor around 1
	drawn     float64   // real power now, part of the rating
	energy    float64   // Wh
	onBattery bool
	overload  bool
	overSince time.Time // on battery, or on line for a unit with a bypass
	greenFrom time.Time // high efficiency again from here on

	outageFrom time.Time // on battery because it must, since
	route                // around the electronics
}

// A dip is a failure of the mains that ends by itself.
type dip struct {
	until time.Time
	cause uint16
}

const (
	tick     = 100 * time.Millisecond // of the noise
	longTick = time.Second            // when there is much to catch up

	qualify     = 3 * time.Second  // INF: no source says how long good mains must last; on-line again within seconds is usual
	greenPause  = 5 * time.Minute  // high efficiency comes back after about this (sections 8.2 and 8.4)
	overloadOff = 10 * time.Second // INF: an overloaded inverter gives up after some seconds

	powerFactor = 0.9 // of the simulated load
)

func (p *power) start(u *Unit) {
	p.mains, p.good, p.load, p.wander = true, true, u.o.Load, 1
	p.input, p.hertz = u.fam.nominal, u.fam.hertz
	p.energy = 100_000 + float64(u.rng.IntN(400_000))
	p.greenFrom = u.started
	p.drawn = p.load
	p.feed.start(u)
}

// advance moves the unit to now in steps on a grid, so that the noise does not depend on how often the unit is asked.
func (u *Unit) advance(now time.Time) {
	if !now.After(u.at) {
		return
	}
	for {
		size := tick
		if now.Sub(u.at) > 10*time.Minute {
			size = longTick
		}
		next := u.started.Add((u.at.Sub(u.started)/size + 1) * size)
		if next.After(now) {
			break
		}
		u.wander()
		u.step(next)
	}
	u.step(now)
	u.publish()
}

// wander moves the noise on by one tick: supply and load are first-order processes around their settings.
func (u *Unit) wander() {
	p := &u.power
	p.noise = 0.95*p.noise + 0.0008*u.fam.nominal*u.rng.NormFloat64()
	p.wander = 1 + 0.97*(p.wander-1) + 0.004*u.rng.NormFloat64()
	p.hertz = u.fam.hertz + 0.9*(p.hertz-u.fam.hertz) + 0.004*u.rng.NormFloat64()
}

// step moves everything but the noise from u.at to t, which may be the same instant.
func (u *Unit) step(t time.Time) {
	dt := t.Sub(u.at)
	u.at = t
	u.power.input = u.power.volts(u.fam.nominal)
	if !u.power.dip.until.IsZero() {
		u.stepDip()
	}
	if u.stepDead() {
		return
	}
	u.stepInput()
	u.stepTests()
	u.stepFeed()
	u.transfer()
	u.stepBattery(dt)
	u.stepGroups()
	u.noteOutlets()
	u.stepLoad(dt)
}

// volts returns the input voltage.
func (p *power) volts(nominal float64) float64 {
	switch {
	case !p.mains:
		return 0
	case p.supply != 0:
		return p.supply + p.noise
	}
	return nominal + p.noise
}

// stepDip ends a short failure.
func (u *Unit) stepDip() {
	p := &u.power
	if u.at.Before(p.dip.until) {
		p.input = 0
		return
	}
	p.dip = dip{}
}

// stepInput judges the input. Power returns in two steps: the voltage first, the transfer when it has lasted (section 8.3).
func (u *Unit) stepInput() {
	p := &u.power
	lower, upper := u.transferPoints()
	if p.input < lower || p.input > upper || p.wave != 0 {
		if p.good {
			u.cause = u.failureCause()
		}
		p.good, p.qualifyAt, p.avr = false, time.Time{}, 0
	} else if !p.good {
		if p.qualifyAt.IsZero() {
			p.qualifyAt = u.at.Add(qualify)
		}
		if !u.at.Before(p.qualifyAt) {
			p.good = true
			u.cause = causeAcceptable
		}
	}
	if p.good && !u.fam.bypass() { // an on-line unit makes its output anew and needs no regulator
		p.avr = regulation(p.avr, p.input/u.fam.nominal)
	}
}

// waveCauses names the cause of a transfer by what is wrong with the input.
var waveCauses = []struct {
	bit   uint32
	cause uint16
}{
	{inputDistorted, causeDistorted},
	{inputSlow, causeSlow},
	{inputFast, causeFast},
	{inputUnlocked, causeUnlocked},
	{inputPhase, causePhase},
	{inputNeutral, causeNeutral},
}

func (u *Unit) failureCause() uint16 {
	p := &u.power
	for _, w := range waveCauses {
		if p.wave&w.bit != 0 {
			return w.cause
		}
	}
	lower, upper := u.transferPoints()
	switch {
	case !p.dip.until.IsZero():
		return p.dip.cause
	case p.input > upper:
		return causeHighInput
	case p.mains && p.input < lower:
		return causeLowInput
	case u.rng.IntN(2) == 0:
		return causeDistorted
	}
	return causeRapidChange
}

// regulation returns what the voltage regulator does at this part of the nominal voltage, with hysteresis.
func regulation(was uint32, part float64) uint32 {
	switch {
	case part < 0.91 || was == inputBoost && part < 0.93:
		return inputBoost
	case part > 1.09 || was == inputTrim && part > 1.07:
		return inputTrim
	}
	return 0
}

// stepLoad follows the load, its energy and an overload.
func (u *Unit) stepLoad(dt time.Duration) {
	p := &u.power
	p.drawn = p.load * p.wander * u.share()
	p.energy += p.drawn * float64(u.fam.watts) * dt.Hours()
	switch {
	case p.drawn > 1.02 && !p.overload:
		p.overload, p.overSince = true, u.at
		u.cause = causePowerError
	case p.drawn < 0.98 && p.overload && u.groups[0].on:
		p.overload = false
		u.cause = causeErrorCleared
	}
	u.stepOverload()
}

// share returns the part of the load that hangs on groups that are on: the switched groups carry 0.3 of it together.
func (u *Unit) share() float64 {
	if !u.groups[0].on {
		return 0
	}
	sogs := u.groups[1:]
	if len(sogs) == 0 {
		return 1
	}
	part := 0.7
	for _, g := range sogs {
		if g.on {
			part += 0.3 / float64(len(sogs))
		}
	}
	return part
}
