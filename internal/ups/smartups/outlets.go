package smartups

import (
	"context"
	"fmt"
	"strings"

	"upsedge/internal/ups"
)

// outletDeed is what the commands to outlet groups have in common.
type outletDeed struct{}

func (outletDeed) looks(e *eye, _ *evidence) []*read { return append(e.status(), e.countdowns()...) }
func (outletDeed) shown(ev *evidence) []ups.Point    { return ev.outlets() }

func (outletDeed) back(ev *evidence, s *ups.State) (order, error) {
	if ev.Addr != outletCommand {
		return order{}, unsupported("a shutdown by 1540 cannot be taken back: no source says so")
	}
	for _, g := range ev.groups() {
		if err := stillAhead(s, g); err != nil {
			return order{}, err
		}
	}
	return ev.cancel(), nil
}

// lastSecond is how long before a group goes off a cancel is still written, s. One that arrives when the group is off leaves it so, with
// nothing to turn it on (R10).
const lastSecond = 5

// stillAhead answers whether what is pending on a group can be taken back so that the group stays on.
func stillAhead(s *ups.State, g ups.Group) error {
	o := s.Flags(g.Outlet())
	left, runs := turnOff(s, g)
	switch {
	case o&ups.OStateOn == 0:
		return busy("group %s is off already (0x%04X); it runs to its end", g, o)
	case o&outletProcess == 0:
		return nil
	case g == ups.MainGroup && (!runs || left == 0) && waitsForOthers(s):
		return nil
	case o&ups.OOffDelay == 0 || !runs || left <= lastSecond:
		return busy("group %s goes off at any moment (0x%04X); it runs to its end", g, o)
	}
	return nil
}

// waitsForOthers tells whether the main group, whose own delay is over and which is on, goes off behind a switched one: it cannot before
// (section 7.3, rule 5), and its usual delay is 0 where there are such groups (section 5.4).
func waitsForOthers(s *ups.State) bool {
	for _, g := range ups.Groups[1:] {
		o := s.Flags(g.Outlet())
		if left, runs := turnOff(s, g); o&ups.OStateOn != 0 && o&ups.OOffDelay != 0 && runs && left > lastSecond {
			return true
		}
	}
	return false
}

func busy(format string, args ...any) error {
	return &ups.Refusal{Reason: ups.ReasonBusy, Detail: fmt.Sprintf(format, args...)}
}

func lockedBy(format string, args ...any) error {
	return &ups.Refusal{Reason: ups.ReasonSafetyLock, Detail: fmt.Sprintf(format, args...)}
}

// outlets tells why commands to the outlet groups of this unit are not certain to do what they say.
func (e *eye) outlets() error {
	if err := e.family(); err != nil {
		return err
	}
	if p := e.about.profile; p.groups&everyGroup == 0 || p.groups&^everyGroup != 0 {
		return unsupported("its outlet groups (590 = 0x%04X) are not as any unit known", p.groups)
	}
	return nil
}

// planOutlets reads which groups are meant, of those the unit has, and whether it takes outlet commands.
func (c *Control) planOutlets(e *eye, params map[string]string, ev *evidence) error {
	if err := e.outlets(); err != nil {
		return err
	}
	groups, err := ups.ParseGroups(params[ups.ParamGroup])
	if err != nil {
		return unsupported("%v", err)
	}
	for _, g := range groups {
		if !e.about.profile.has(g) {
			return unsupported("the unit has no group %s; it has %s", g, groupNames(groupsOf(e.about.profile.groups)))
		}
		ev.Targets |= bitOf(g)
	}
	if why := c.noOutlets(e, false); why != "" {
		return unsupported("%s, and what it takes instead would act on all of its outlets", why)
	}
	return nil
}

func groupNames(groups []ups.Group) string {
	var out []string
	for _, g := range groups {
		out = append(out, g.String())
	}
	return strings.Join(out, ", ")
}

// noOutlets is why the unit is not told anything by 1538, "" where it may be. Exception 4 can have been about the moment: it counts only
// where there is another way.
func (c *Control) noOutlets(e *eye, another bool) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	no := c.without
	switch {
	case e.about.sku == "SRT1000XLA" && c.port(e) == fromSerial: // FIELD, section 7.3
		return "an SRT1000XLA refuses every write to 1538 on its serial port"
	case no.by == e.about && (another || no.code != deviceFailure):
		return fmt.Sprintf("the unit refused a write to 1538 with exception %d since it was connected", no.code)
	}
	return ""
}

// learn notes that the unit refused an outlet command.
func (c *Control) learn(a *about, code uint8) {
	if code != illegalFunction && code != illegalAddress && code != deviceFailure {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.without = refusal{a, code}
}

// delays are the modifiers for the delays that are asked for. Both are always said explicitly (D22).
func delays(param string, bits uint32) uint32 {
	if param == ups.DelayConfigured {
		return bits
	}
	return 0
}

// outletWord makes the word that is written to 1538, for the targets.
func (ev *evidence) outletWord(source, command uint32) {
	ev.Addr, ev.Word = outletCommand, command|source
	ev.only(ev.Targets)
}

// only narrows the targets.
func (ev *evidence) only(groups uint16) {
	ev.Targets = groups
	ev.Word = ev.Word&^outletTargets | uint32(groups)<<firstTarget
}

// dependent is rule 5 of section 7.3 for groups that go off, or off and on: the main group cannot while a switched one is on that is not
// named, and none can come on while the main group is off.
func dependent(groups uint16, s *ups.State, p profile) error {
	for _, g := range groupsOf(p.groups &^ groups) {
		on := s.Flags(g.Outlet())&ups.OStateOn != 0
		switch {
		case g == ups.MainGroup && !on:
			return lockedBy("the main group is off, and group %s could not come on again without it", groupNames(groupsOf(groups)))
		case g != ups.MainGroup && on && groups&1 != 0:
			return lockedBy("the main group cannot go off while group %s is on, which is not named", g)
		}
	}
	return nil
}

// cancel is the word that takes back what is pending on the targets.
func (ev *evidence) cancel() order {
	return order{outletCommand, ev.Word&(outletTargets|fromSerial|fromCard|fromTCP) | outletCancel}
}

// split returns which of the targets are on and off, and what is pending on them together. A state that is neither is an error.
func (ev *evidence) split(s *ups.State) (on, off uint16, pending uint32, err error) {
	for _, g := range ev.groups() {
		o := s.Flags(g.Outlet())
		switch o & (ups.OStateOn | ups.OStateOff) {
		case ups.OStateOn:
			on |= bitOf(g)
		case ups.OStateOff:
			off |= bitOf(g)
		default:
			return 0, 0, 0, lockedBy("group %s is neither on nor off (0x%04X)", g, o)
		}
		pending |= o & outletBusy
	}
	return on, off, pending, nil
}

// onDeed is control.outlet to=on. Without mains it is refused: the unit would keep it and act at another time, when nobody expects it.
type onDeed struct{ outletDeed }

func (onDeed) plan(ctx context.Context, c *Control, e *eye, params map[string]string, ev *evidence) error {
	if err := c.planOutlets(e, params, ev); err != nil {
		return err
	}
	ev.outletWord(c.port(e), outletOn|delays(params[ups.ParamDelay], useOnDelay))
	return e.planDelays(ctx, ev)
}

func (onDeed) may(ev *evidence, s *ups.State, p profile) error {
	_, off, pending, err := ev.split(s)
	switch {
	case err != nil:
		return err
	case off == 0 && pending == 0:
		ev.Already = "on: " + groupNames(ev.groups())
		return nil
	case off == 0:
		return busy("something is pending on group %s, which is on (0x%04X); it can be taken back", groupNames(ev.groups()), pending)
	}
	if err := forbidden(s, off&1 != 0); err != nil {
		return err
	}
	if err := underWay(s, p); err != nil {
		return err
	}
	if p.has(ups.MainGroup) && off&1 == 0 && s.Flags(ups.MainOutlet)&ups.OStateOn == 0 {
		return lockedBy("group %s cannot come on while the main group is off", groupNames(groupsOf(off)))
	}
	ev.only(off)
	return nil
}

func (onDeed) follow(*evidence) step { return &turning{to: ups.OStateOn} }

// back leaves what is off as it was.
func (onDeed) back(ev *evidence, s *ups.State) (order, error) {
	for _, g := range ev.groups() {
		if o := s.Flags(g.Outlet()); o&ups.OStateOff == 0 {
			return order{}, busy("group %s is on already (0x%04X)", g, o)
		}
	}
	return ev.cancel(), nil
}

// offDeed is control.outlet to=off: until somebody turns it on.
type offDeed struct{ outletDeed }

func (offDeed) plan(ctx context.Context, c *Control, e *eye, params map[string]string, ev *evidence) error {
	if err := c.planOutlets(e, params, ev); err != nil {
		return err
	}
	ev.outletWord(c.port(e), outletOff|delays(params[ups.ParamDelay], useOffDelay))
	return e.planDelays(ctx, ev)
}

func (offDeed) may(ev *evidence, s *ups.State, p profile) error {
	on, _, pending, err := ev.split(s)
	switch {
	case err != nil:
		return err
	case on == 0 && pending == 0:
		ev.Already = "off: " + groupNames(ev.groups())
		return nil
	case on == 0:
		return busy("something is pending on group %s, which is off (0x%04X)", groupNames(ev.groups()), pending)
	}
	if err := locked(s, p); err != nil {
		return err
	}
	if on&1 != 0 {
		if err := dependent(ev.Targets, s, p); err != nil {
			return err
		}
	}
	ev.only(on)
	return nil
}

func (offDeed) follow(*evidence) step { return &turning{to: ups.OStateOff} }

// takeBackDeed is control.outlet to=cancel: whatever is pending on the groups, whoever began it. It keeps outlets on, and goes in nearly
// every state; a load shed that is pending is taken back, too (section 7.3, rules 4 and 6). What is off is left alone: what is pending
// there turns it on.
type takeBackDeed struct{ outletDeed }

func (takeBackDeed) plan(_ context.Context, c *Control, e *eye, params map[string]string, ev *evidence) error {
	if err := c.planOutlets(e, params, ev); err != nil {
		return err
	}
	ev.outletWord(c.port(e), outletCancel)
	return nil
}

func (takeBackDeed) may(ev *evidence, s *ups.State, p profile) error {
	_, _, pending, err := ev.split(s)
	if err != nil {
		return err
	}
	u := s.Flags(ups.StatusFlags)
	if !p.has(ups.MainGroup) && (s.Flags(ups.Signalling)&ups.SShutdownImminent != 0 || u&(ups.UPendingOff|ups.UOnBattery) == ups.UPendingOff) {
		return busy("the unit itself is about to turn its output off (status 0x%08X), and no group of it can be named", u)
	}
	if pending == 0 {
		ev.Already = "nothing is pending on " + groupNames(ev.groups())
		return nil
	}
	var which uint16
	for _, g := range ev.groups() {
		if s.Flags(g.Outlet())&outletBusy == 0 {
			continue
		}
		if err := stillAhead(s, g); err != nil {
			return err
		}
		which |= bitOf(g)
	}
	if main := s.Flags(ups.MainOutlet); p.has(ups.MainGroup) && ev.Targets&1 == 0 && main&outletProcess != 0 {
		return busy("something is pending on the main group as well (0x%04X): it has to be named, too", main)
	}
	ev.Pending = pending
	ev.only(which)
	return nil
}

func (takeBackDeed) follow(*evidence) step { return &clearing{} }

func (takeBackDeed) back(*evidence, *ups.State) (order, error) {
	return order{}, unsupported("what takes back cannot be taken back")
}
