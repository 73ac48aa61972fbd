package upssim

// command carries out a write to one of the command items (section 7) and reports whether it was taken; a refusal is
// exception 4.
func (u *Unit) command(addr uint16, v uint32) bool {
	switch addr {
	case aUPSCommand:
		return u.upsCommand(v)
	case aOutletCommand:
		return u.outletCommand(v)
	case aSignallingCommand:
		return u.signallingCommand(v)
	case aTestCommand:
		return u.testCommand(v)
	case aCalibrationCommand:
		return u.calibrationCommand(v)
	case aUICommand:
		return u.panelCommand(v)
	}
	return false
}

// UPSCommand_BF (section 7.2). The bypass commands are refused where there is no bypass, or no good one.
func (u *Unit) upsCommand(v uint32) bool {
	switch v {
	case 1 << 3: // RestoreFactorySettings
		u.factorySettings()
	case 1 << 4: // OutputIntoBypass
		return u.commandBypass(true, causeProtocol)
	case 1 << 5: // OutputOutOfBypass
		return u.commandBypass(false, causeProtocol)
	case 1 << 9: // ClearFaults; they come back if still present
		u.power.overload, u.power.expired = false, false
	case 1 << 13: // ResetStrings
		u.factoryStrings()
	case 1 << 14: // ResetLogs: there are none in the map
	default:
		return false
	}
	return true
}

// OutletCommand_BF (section 7.3).
const (
	cmdCancel   = 1 << 0
	cmdOn       = 1 << 1
	cmdOff      = 1 << 2
	cmdShutdown = 1 << 3
	cmdReboot   = 1 << 4
	cmdCold     = 1 << 5
	cmdUseOn    = 1 << 6
	cmdUseOff   = 1 << 7
	cmdTargets  = 1<<8 | 1<<9 | 1<<10 | 1<<11 | 1<<19
	cmdSources  = 1<<12 | 1<<13 | 1<<14 | 1<<15 | 1<<16 | 1<<17 | 1<<18

	cmdCommands  = cmdCancel | cmdOn | cmdOff | cmdShutdown | cmdReboot
	cmdModifiers = cmdCold | cmdUseOn | cmdUseOff
)

// modifiers names what each command may be combined with.
var modifiers = map[uint32]uint32{
	cmdCancel:   0,
	cmdOn:       cmdUseOn | cmdCold,
	cmdOff:      cmdUseOff,
	cmdShutdown: cmdUseOff | cmdUseOn,
	cmdReboot:   cmdUseOff | cmdUseOn | cmdCold,
}

// targetBit is the target bit of each group, main group first.
var targetBit = [...]uint32{1 << 8, 1 << 9, 1 << 10, 1 << 11, 1 << 19}

// outletCommand follows the rules of the section. A word without a source is taken, as NUT's are; one with two is not.
func (u *Unit) outletCommand(v uint32) bool { return !u.fam.noOutlets && u.outletWord(v) }

// outletWord carries such a word out, wherever it comes from.
func (u *Unit) outletWord(v uint32) bool {
	allowed, one := modifiers[v&cmdCommands]
	sources := v & cmdSources
	if !one || v&cmdModifiers&^allowed != 0 || v&^(cmdCommands|cmdModifiers|cmdTargets|cmdSources) != 0 || sources&(sources-1) != 0 {
		return false
	}
	targets, ok := u.targets(v & cmdTargets)
	if !ok {
		return false
	}
	cmd := v & cmdCommands
	by := uint16(causeProtocol)
	if v&cmdLocalUser != 0 {
		by = causeLocalUI
	}
	if cmd == cmdCancel {
		u.cause = by // shown where the status word changes by it
		for _, g := range targets {
			g.cancel()
			g.kept = true
		}
		return true
	}
	for _, g := range targets {
		if g.pending() || u.shedPending(g) || !u.possible(g, cmd, v) {
			return false
		}
	}
	u.run(targets, cmd, v, by)
	return true
}

// targets returns the groups a word names. All must be in 590, and there must be one.
func (u *Unit) targets(v uint32) (out []*group, ok bool) {
	for _, g := range u.groups {
		if bit := targetBit[g.index]; v&bit != 0 && u.fam.groups&(1<<g.index) != 0 {
			out = append(out, g)
			v &^= bit
		}
	}
	return out, len(out) > 0 && v == 0
}

// possible is rule 5: a command must not need a group to change that it does not name.
func (u *Unit) possible(g *group, cmd, v uint32) bool {
	if g.index > 0 {
		return cmd == cmdOff || u.groups[0].on && !u.groups[0].pending() || v&targetBit[0] != 0
	}
	if cmd == cmdOn {
		return true
	}
	for _, s := range u.groups[1:] {
		if s.on && v&targetBit[s.index] == 0 {
			return false
		}
	}
	return true
}

// run starts the process on every target. by is the cause to show: who asked for it.
func (u *Unit) run(targets []*group, cmd, v uint32, by uint16) {
	p := map[uint32]process{cmdOn: onProcess, cmdOff: offProcess, cmdShutdown: shutdownProcess, cmdReboot: rebootProcess}[cmd]
	member := u.member()
	u.cause = by
	for _, g := range targets {
		if g.on && cmd == cmdOn || !g.on && cmd == cmdOff {
			continue // already there
		}
		g.load(u, p, v&cmdUseOff != 0, v&cmdUseOn != 0, v&cmdCold != 0)
		g.member, g.by = member, by
		u.noteSOG(g)
	}
}

func (u *Unit) noteSOG(g *group) {
	if g.index > 0 {
		u.lastSOG = g
	}
}

// member returns the bit the next group command marks its members with.
func (u *Unit) member() uint32 {
	for _, g := range u.groups {
		if g.pending() && g.member == outletFirstGroup {
			return outletSecondGroup
		}
	}
	return outletFirstGroup
}

// SimpleSignalingCommand_BF (section 7.4): one bit at a time.
func (u *Unit) signallingCommand(v uint32) bool {
	switch v {
	case 1: // RequestShutdown
		u.requestShutdown()
	case 2: // RemoteOff
		u.cause = causeProtocol
		u.allOff()
	case 4: // RemoteOn
		if u.site.epo {
			return false
		}
		u.cause = causeProtocol
		for _, g := range u.groups {
			if !g.on {
				g.load(u, onProcess, false, true, true)
			}
		}
	default:
		return false
	}
	return true
}

// requestShutdown loads the off delays of the groups that are on, if no shutdown is in progress: with good input they come
// back after their stay-off time, otherwise with the mains. Groups that were off stay off (section 7.4).
func (u *Unit) requestShutdown() {
	for _, g := range u.groups {
		if g.process == shutdownProcess || g.process == rebootProcess {
			return
		}
	}
	p := shutdownProcess
	if u.power.good {
		p = rebootProcess
	}
	u.cause = causeProtocol
	for _, g := range u.groups {
		if g.on {
			g.load(u, p, true, true, false)
			g.member = outletFirstGroup
			u.noteSOG(g)
		}
	}
}
