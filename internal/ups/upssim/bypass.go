package upssim

import "time"

// A feeding is the input of the bypass. It hangs on the mains until it is given a voltage of its own.
type feeding struct {
	own   float64 // V as set; 0 = the mains
	volts float64
	hertz float64
	good  bool
}

// A route is how the output is fed around the electronics, and why.
type route struct {
	bypassed  bool
	commanded bool // someone wants the bypass
	broken    bool // the inverter feeds nothing
	distorted bool // the inverter's output is distorted
	hot       bool // the electronics are too hot to run
	toBypass  bool // an overload went on for too long
	expired   bool // the time on bypass by fault is over
	recovery  time.Time
}

const (
	bypassReach  = 0.15             // INF: the bypass feed is good within this part of the nominal voltage
	recoveryTime = 10 * time.Second // INF: how long a unit shows that it recovers from a fault
)

func (f *feeding) start(u *Unit) { f.volts, f.hertz, f.good = u.fam.nominal, u.fam.hertz, true }

// stepFeed follows the bypass input.
func (u *Unit) stepFeed() {
	f := &u.power.feed
	f.volts, f.hertz = u.power.input, u.power.hertz
	if f.own > 0 {
		f.volts = f.own + u.power.noise
	}
	n := u.fam.nominal
	f.good = f.volts > n*(1-bypassReach) && f.volts < n*(1+bypassReach) && u.power.wave&^inputPhase == 0
}

// bad reports whether the electronics cannot feed the output by way of the inverter.
func (r *route) bad() bool { return r.broken || r.distorted || r.hot || r.toBypass }

// transfer decides where the output is fed from. Every change ends high efficiency for a while.
func (u *Unit) transfer() {
	p := &u.power
	wasBattery, wasBypass := p.onBattery, p.bypassed
	main := u.groups[0].on
	p.bypassed = main && u.wantsBypass() && p.feed.good
	p.onBattery = main && !p.bypassed && (!p.good || u.test.running() || u.cal.running())
	if wasBattery != p.onBattery || wasBypass != p.bypassed {
		p.greenFrom = u.at.Add(greenPause)
	}
	if wasBypass && !p.bypassed && !p.commanded && main && u.cause == 0 {
		u.cause = causeErrorCleared
	}
	if !u.outage() {
		p.outageFrom = u.at
	}
	u.giveUp(main)
}

// wantsBypass reports whether the unit would rather be in bypass: told to, unable to do otherwise, or with bad mains and no
// battery to bridge them.
func (u *Unit) wantsBypass() bool {
	p := &u.power
	if !u.fam.bypass() || p.expired {
		return false
	}
	return p.commanded || p.bad() || u.badMains()
}

// badMains reports whether the mains are out of the transfer points and the battery cannot bridge that.
func (u *Unit) badMains() bool {
	return u.power.mains && !u.power.good && u.power.qualifyAt.IsZero() && (u.battery.disconnected || u.battery.charge == 0)
}

// giveUp turns the output off for good where nothing can feed it: an on-line unit without inverter and bypass, any unit
// without inverter on battery.
func (u *Unit) giveUp(main bool) {
	p := &u.power
	dead := p.broken || p.hot && u.fam.bypass() || p.expired
	if !main || p.bypassed || !dead || !u.fam.bypass() && !p.onBattery {
		return
	}
	u.allOff()
	u.cause = causePowerError
	if p.expired {
		u.cause = causeBypassExpired
	}
}

// commandBypass goes into bypass or out of it. It reports whether that can be.
func (u *Unit) commandBypass(in bool, cause uint16) bool {
	p := &u.power
	if !u.fam.bypass() || !u.groups[0].on || in && !p.feed.good || p.commanded == in && p.bypassed == in {
		return false
	}
	p.commanded = in
	u.cause = cause
	u.endTests(testInvalidState)
	return true
}

// fault lets something in the electronics fail or work again. What worked its way back shows that for a while (bit 20).
func (u *Unit) fault(what *bool, bad bool, asserted, cleared uint16) {
	if *what == bad {
		return
	}
	*what = bad
	u.cause = asserted
	if !bad {
		u.cause, u.power.expired = cleared, false
		u.power.recovery = u.at.Add(recoveryTime)
	}
}

// stepOverload is the end of patience: an inverter on battery gives up, an on-line unit goes into bypass.
func (u *Unit) stepOverload() {
	p := &u.power
	online := u.fam.bypass() && !p.onBattery
	if !p.overload || !u.groups[0].on || !p.onBattery && !online {
		p.overSince = u.at
	}
	if !p.overload {
		if p.toBypass {
			u.fault(&p.toBypass, false, causePowerError, causeErrorCleared)
			u.transfer()
		}
		return
	}
	if u.at.Sub(p.overSince) < overloadOff || p.toBypass {
		return
	}
	u.cause = causePowerError
	if p.onBattery {
		u.allOff()
		return
	}
	p.toBypass = p.feed.good
	u.transfer()
}

// publishFeed writes the items of the bypass input.
func (u *Unit) publishFeed() {
	f := &u.power.feed
	u.put(aBypassVolts, f.volts)
	u.put(aBypassHertz, f.hertz)
	s := uint32(inputAcceptable)
	switch {
	case f.volts < u.fam.nominal*(1-bypassReach):
		s = inputTooLow
	case f.volts > u.fam.nominal*(1+bypassReach):
		s = inputTooHigh
	case !f.good:
		s = u.power.wave
	}
	if u.power.bypassed {
		s |= inputPowering
	}
	u.set(aBypassStatus, s)
}

// routeBits returns the bits of UPSStatus_BF that say how and why the output goes around the electronics.
func (u *Unit) routeBits() (s uint32) {
	p := &u.power
	if p.bypassed && p.commanded {
		s |= statusCommanded
	}
	if p.bad() || p.expired {
		s |= faultState
	}
	if p.bypassed && p.toBypass {
		s |= overloadState
	}
	if p.bypassed && u.badMains() {
		s |= mainsBadState
	}
	if u.at.Before(p.recovery) && u.groups[0].on && !p.bad() {
		s |= faultRecovery
	}
	return s
}
