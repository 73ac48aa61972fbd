package upssim

import (
	"math"
	"time"
)

// battery is the state of the battery. Runtime is charge times the runtime a full battery has at the present load, and
// discharge is the inverse of that, so charge, runtime and load agree at every moment.
type battery struct {
	charge float64 // 0 … 1
	volts  float64
	warmth float64 // °C
	smooth float64 // the load the runtime is computed from, part of the rating
	bad    bool    // fails the next test
	failed bool    // NeedsReplacement
	quiet  bool    // that was acknowledged

	disconnected bool
	uncharged    bool    // the charger does nothing
	capacity     float64 // of what a new battery has
	sag          float64 // how much more its voltage falls in use, a part
	boost        bool    // charging after a discharge
	around       float64 // °C
	life
}

const (
	ambient    = 24.0 // °C
	mostWarmth = 90.0 // °C, of what can be set

	// INF: where a unit begins to warn of its battery's temperature, and where it is critical.
	batteryHotFrom    = 45.0
	batteryTooHotFrom = 55.0

	firstInstalled = 8892 // 2024-05-06; to be replaced by 2029-05-01

	idleWatts  = 30.0 // the unit's own consumption on battery
	offWatts   = 8.0  // the controller's, with the output off
	peukert    = 1.35 // how much worse than proportionally a high load empties the battery; fits the vendor's charts within a third
	chargeTime = 3 * time.Hour
	boostEnd   = 0.995 // INF: the charge at which boost charging ends
)

func (b *battery) start(u *Unit) {
	b.charge, b.smooth, b.warmth, b.around, b.capacity = 1, u.o.Load, ambient, ambient, 1
	b.volts = u.batteryTarget()
}

// fullRuntime returns how long a full battery would last at the present load, in seconds.
func (u *Unit) fullRuntime() float64 {
	rated := float64(u.fam.watts)
	return u.battery.capacity * u.fam.fullLoad * math.Pow((rated+idleWatts)/(u.battery.smooth*rated+idleWatts), peukert)
}

// lasts returns the runtime left, in seconds. A bad battery promises as much as a good one, until it is tested.
func (u *Unit) lasts() float64 {
	if u.battery.disconnected {
		return 0
	}
	return u.battery.charge * u.fullRuntime()
}

// stepBattery empties or fills the battery. Speed counts here and nowhere else.
func (u *Unit) stepBattery(dt time.Duration) {
	b, p := &u.battery, &u.power
	s := dt.Seconds() * u.o.Speed
	if u.groups[0].on {
		b.smooth += (p.drawn - b.smooth) * follow(dt.Seconds(), 5)
	}
	switch {
	case b.disconnected:
	case p.onBattery:
		b.charge -= s / u.fullRuntime()
	case !p.mains: // output off, the controller alone
		b.charge -= s * offWatts / (b.capacity * u.fam.fullLoad * (float64(u.fam.watts) + idleWatts))
	case b.uncharged:
	case b.charge < 0.9:
		b.charge += s * 0.9 / chargeTime.Seconds()
	default:
		b.charge += (1.005 - b.charge) * follow(s, chargeTime.Seconds()/2)
	}
	b.charge = clamp(b.charge, 0, 1)
	b.boost = b.charge < 0.9 || b.boost && b.charge < boostEnd
	b.volts += (u.batteryTarget() - b.volts) * follow(s, 4)
	heat := b.around
	if p.onBattery {
		heat += 14 * p.drawn
	}
	b.warmth += (heat - b.warmth) * follow(s, 1200)
	if (b.charge == 0 || b.disconnected) && !p.good && !p.bypassed {
		u.empty()
	} else {
		u.lastWords = time.Time{}
	}
}

// follow returns how far a first-order lag with time constant tau gets in s seconds.
func follow(s, tau float64) float64 { return 1 - math.Exp(-s/tau) }

// batteryTarget returns the voltage the battery goes to: lead-acid, 12 cells for 24 V. Float at 2.275 V a cell; in use 2.12
// to 1.85 V as the charge falls, and 6 % less at full load.
func (u *Unit) batteryTarget() float64 {
	b, p := &u.battery, &u.power
	cells := u.fam.batteryVolts / 2
	switch {
	case b.disconnected: // the charger alone
		return cells * 2.275
	case p.onBattery:
		return cells * (1.85 + 0.27*math.Sqrt(b.charge)) * (1 - 0.06*p.drawn) * (1 - b.sag)
	case !p.mains:
		return cells * (1.92 + 0.2*b.charge)
	}
	return cells * (2.10 + 0.175*math.Sqrt(b.charge))
}

// empty is the end of the battery: the output goes off, returns with the mains, and unless it was told otherwise the unit
// falls silent.
func (u *Unit) empty() {
	if u.groups[0].on {
		u.cause = causeLowBattery
		for _, g := range u.groups {
			if g.on {
				g.turnOffWaiting(u)
			}
		}
		u.endTests(testFault)
		u.power.onBattery, u.power.bypassed = false, false
	}
	if u.o.AliveWhenEmpty || u.power.input >= leastController*u.fam.nominal { // mains too bad for the load still feed the controller
		u.lastWords = time.Time{}
		return
	}
	if u.lastWords.IsZero() {
		u.lastWords = u.at
		if !u.battery.disconnected {
			u.lastWords = u.at.Add(linger)
		}
	}
	if !u.at.Before(u.lastWords) {
		u.dead, u.bootAt, u.lastWords = true, time.Time{}, time.Time{}
	}
}

// linger is how long the controller outlives the output, so that someone can read why it went off. INF.
const linger = 3 * time.Second

// leastController is the part of the nominal voltage that keeps the controller running. INF.
const leastController = 0.3

// boot is how long the controller of a dead unit needs after the mains returned. INF.
const boot = 2 * time.Second

// stepDead reports whether the unit is dead at u.at. With the mains the controller starts afresh: sticky results are gone.
func (u *Unit) stepDead() bool {
	if !u.dead {
		return false
	}
	if u.power.input < leastController*u.fam.nominal {
		u.bootAt = time.Time{}
		return true
	}
	if u.bootAt.IsZero() {
		u.bootAt = u.at.Add(boot)
	}
	if u.at.Before(u.bootAt) {
		return true
	}
	u.dead = false
	u.restart()
	return false
}

func (u *Unit) setBatteryBad(bad bool) {
	u.battery.bad = bad
	if !bad && u.battery.failed {
		u.battery.failed = false
		u.cause = causeErrorCleared
	}
}

// setDisconnected takes the battery away or puts it back.
func (u *Unit) setDisconnected(away bool) {
	if u.battery.disconnected != away {
		u.battery.disconnected = away
		u.cause = errorCause(away, causeBatteryError)
		u.endTests(testFault)
	}
}

// setHeat makes battery and surroundings so warm, in °C, at once.
func (u *Unit) setHeat(celsius float64) {
	b := &u.battery
	was := b.warmth >= batteryHotFrom
	b.around, b.warmth = celsius, celsius
	if is := b.warmth >= batteryHotFrom; is != was {
		u.cause = errorCause(is, causeBatteryError)
	}
}

func (u *Unit) publishBattery() {
	charge := u.battery.charge
	if u.battery.disconnected {
		charge = 0
	}
	u.put(aRuntime, math.Floor(u.lasts()))
	u.put(aCharge, 100*charge)
	u.put(aBatteryVolts, u.battery.volts)
	if u.fam.split {
		u.put(aNegativeVolts, 0.998*u.battery.volts)
	}
	u.put(aReplaceBy, float64(u.battery.replaceBy))
	u.put(aTemperature, u.battery.warmth)
}
