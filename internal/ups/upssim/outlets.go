package upssim

import (
	"cmp"
	"math"
	"time"
)

// A process is what a command started on a group.
type process uint8

const (
	noProcess process = iota
	offProcess
	onProcess
	shutdownProcess // off, returns with the mains and enough runtime
	rebootProcess   // off, stay off, on
)

// A phase is how far a process is. Phases follow each other in this order (section 8.1).
type phase uint8

const (
	idle phase = iota
	offDelay
	stayOff
	waiting // for the mains, the runtime, or the main group
	onDelay
)

// A group is an outlet group. All timers a process needs are loaded when it starts; each holds its value until its step
// begins. A step that is over shows -1: which of 0 and -1 units show is not documented.
type group struct {
	index    int // 0 main, 1 SOG[0] …
	status   uint16
	timers   uint16
	settings uint16

	on       bool
	process  process
	phase    phase
	until    time.Time // of the phase
	off      time.Duration
	stay     time.Duration
	onAfter  time.Duration
	coldBoot bool
	minimum  time.Duration // runtime that must be there before the group returns
	by       uint16        // cause to show when the main group turns off or on, 0: the command
	restart  uint16        // and when it turns on, if another
	member   uint32        // outletFirstGroup or outletSecondGroup

	kept bool // a pending load shed was cancelled, until the mains return
}

// startGroups makes the groups of 590, all on. The main group exists even where no outlet of it does: it is the output of
// the unit (section 6.14).
func (u *Unit) startGroups() {
	for i := range groupPrefix {
		if i > 0 && u.fam.groups&(1<<i) == 0 {
			continue
		}
		u.groups = append(u.groups, &group{
			index: i, on: true,
			status: uint16(aMOG + 3*i), timers: uint16(aMOGTimers + 4*i), settings: settingsOf(i),
		})
	}
}

// load starts a process on the group.
func (g *group) load(u *Unit, p process, useOff, useOn, coldBoot bool) {
	s := g.settings
	*g = group{index: g.index, status: g.status, timers: g.timers, settings: s, on: g.on, process: p, coldBoot: coldBoot}
	if useOff {
		g.off = u.setting(s + settingOff)
	}
	if useOn {
		g.onAfter = u.setting(s + settingOn)
	}
	g.stay = u.setting(s + settingStay)
	if p == shutdownProcess {
		g.minimum = u.setting(s + settingMin)
	}
	g.phase, g.until = offDelay, u.at.Add(g.off)
	if p == onProcess {
		g.phase = waiting
	}
}

func seconds(n uint32) time.Duration { return time.Duration(n) * time.Second }

// cancel ends what is pending; the group stays as it is.
func (g *group) cancel() {
	g.process, g.phase, g.member, g.restart = noProcess, idle, 0, 0
	g.by = 0
}

func (g *group) pending() bool { return g.phase != idle }

// turnOffWaiting turns the group off at once; it returns when the mains do, as after an empty battery.
func (g *group) turnOffWaiting(u *Unit) {
	g.load(u, shutdownProcess, false, true, false)
	g.on, g.phase, g.restart = false, waiting, causeAutomaticRestart
}

// allOff turns everything off at once and for good.
func (u *Unit) allOff() {
	for _, g := range u.groups {
		g.cancel()
		g.on = false
	}
	u.power.onBattery, u.power.bypassed, u.power.commanded = false, false, false
	u.endTests(testInvalidState)
}

// stepGroups carries the processes on: switched groups first, because the main group waits for them to be off.
func (u *Unit) stepGroups() {
	u.stepShedding()
	for i := len(u.groups) - 1; i >= 0; i-- {
		u.groups[i].step(u)
	}
}

func (g *group) step(u *Unit) {
	if g.phase == offDelay && !u.at.Before(g.until) && !(g.index == 0 && u.sogOn()) {
		g.switchTo(u, false)
		if g.process == offProcess {
			g.cancel()
		} else {
			g.phase, g.until = stayOff, u.at.Add(g.stay)
		}
	}
	if g.phase == stayOff && !u.at.Before(g.until) {
		g.phase = waiting
	}
	if g.phase == waiting && g.mayReturn(u) {
		g.phase, g.until = onDelay, u.at.Add(g.onAfter)
	}
	if g.phase == onDelay && !u.at.Before(g.until) {
		g.switchTo(u, true)
		g.cancel()
	}
}

// mayReturn reports whether nothing but the on-delay keeps the group off. A switched group needs the main group.
func (g *group) mayReturn(u *Unit) bool {
	if g.index > 0 && !u.groups[0].on {
		return false
	}
	return (u.power.good || g.coldBoot && u.battery.charge > 0.02) && u.lasts() >= g.minimum.Seconds()
}

func (g *group) switchTo(u *Unit, on bool) {
	if g.index == 0 && g.on != on {
		u.cause = cmp.Or(g.by, causeProtocol)
		if on {
			u.cause = cmp.Or(g.restart, u.cause)
		}
		u.power.greenFrom = u.at.Add(greenPause)
		u.power.onBattery = on && !u.power.good
		u.power.bypassed = false
		u.endTests(testInvalidState)
	}
	g.on = on
}

func (u *Unit) sogOn() bool {
	for _, g := range u.groups[1:] {
		if g.on {
			return true
		}
	}
	return false
}

// publish shows the group in its status item and its three timers.
func (g *group) publish(u *Unit) {
	u.set(g.status, g.bits(u))
	off, stay, on := -1.0, -1.0, -1.0
	if g.phase == offDelay {
		off = g.left(u, g.until)
	}
	if g.process == shutdownProcess || g.process == rebootProcess {
		switch g.phase {
		case offDelay:
			stay = g.stay.Seconds()
		case stayOff:
			stay = g.left(u, g.until)
		}
	}
	if g.pending() && g.process != offProcess {
		on = g.onAfter.Seconds()
		if g.phase == onDelay {
			on = g.left(u, g.until)
		}
	}
	u.put(g.timers, off)
	u.put(g.timers+1, on)
	u.put(g.timers+2, stay)
}

// left returns the seconds until t, rounded up, so that 0 means expired.
func (g *group) left(u *Unit, t time.Time) float64 {
	return math.Max(0, math.Ceil(t.Sub(u.at).Seconds()))
}

func (g *group) bits(u *Unit) uint32 {
	s := uint32(outletOff)
	if g.on {
		s = outletOn
	}
	if u.groups[0].on && u.lasts() <= u.o.LowRuntime.Seconds() {
		s |= outletLowRuntime
	}
	if g.phase == idle {
		if u.shedPending(g) {
			s |= outletLoadShed
		}
		return s
	}
	s |= g.member
	switch g.process {
	case shutdownProcess:
		s |= outletShutdown
	case rebootProcess:
		if g.stay > 300*time.Second {
			s |= outletSleep
		} else {
			s |= outletReboot
		}
	}
	if g.phase == offDelay {
		s |= outletOffDelay
	}
	if g.process == offProcess {
		return s
	}
	s |= outletOnDelay
	if !g.coldBoot && g.phase != onDelay { // cleared with the AC wait over, as the table of section 8.1 shows
		s |= outletACPresence
	}
	if g.minimum > 0 && g.phase == waiting && u.lasts() < g.minimum.Seconds() {
		s |= outletMinRuntime
	}
	return s
}
