package smartups

import (
	"context"
	"fmt"
	"math"

	"upsedge/internal/ups"
)

// Evidence is what was seen before a command was written, and what was to be written: all that judging its outcome needs, also
// after a crash. It is kept in the journal as JSON; a version that is not known cannot be judged by.
type evidence struct {
	Version int    `json:"v"`
	Action  string `json:"action"`
	Addr    uint16 `json:"addr"` // the register written: which path was taken
	Word    uint32 `json:"word"`
	Targets uint16 `json:"targets,omitempty"` // groups that will go off and come back, bits as in 590
	Off     int64  `json:"off"`               // s, the longest delay of a target
	Stay    int64  `json:"stay"`
	On      int64  `json:"on"`
	Status  uint32 `json:"status"`
	Cause   int64  `json:"cause"`
	Test    uint32 `json:"test"` // 23, which is sticky
}

const evidenceVersion = 1

// groups are the targets.
func (ev *evidence) groups() (out []ups.Group) {
	for i, g := range ups.Groups {
		if ev.Targets&(1<<i) != 0 {
			out = append(out, g)
		}
	}
	return out
}

// plan reads the unit and returns what is to be written and what was seen, or a *ups.Refusal.
func (c *Control) plan(ctx context.Context, e *eye, cmd ups.Command) (*evidence, error) {
	ev := &evidence{Version: evidenceVersion, Action: cmd.Action}
	var err error
	switch cmd.Action {
	case ups.ActionReboot:
		err = c.planReboot(ctx, e, cmd.Params, ev)
	case ups.ActionDiagnostics:
		err = planTest(e, cmd.Params, ev)
	default:
		err = unsupported("this program cannot do %q to a unit", cmd.Action)
	}
	if err != nil {
		return nil, err
	}
	s, err := e.look(ctx, e.status()) // last of all: it is what the command goes by
	if err != nil {
		return nil, unreachable(err)
	}
	if err := locked(s, e.about.profile); err != nil {
		return nil, err
	}
	ev.Status, ev.Test = s.Flags(ups.StatusFlags), s.Flags(ups.BatteryTest)
	ev.Cause, _ = s.Raw(ups.StatusCause)
	if ev.Action == ups.ActionReboot {
		err = ev.aim(s)
	}
	return ev, err
}

func unsupported(format string, args ...any) error {
	return &ups.Refusal{Reason: ups.ReasonUnsupported, Detail: fmt.Sprintf(format, args...)}
}

// family tells why commands to a unit of this family are not certain to do what they say, nil where they are.
func (e *eye) family() error {
	switch e.about.profile.family {
	case smt, srt:
		return nil
	case surtd:
		return unsupported("SURTD is read-only through Modbus")
	}
	return unsupported("no document says which commands a unit of this family takes")
}

// planTest is for the self-test: 1541 is marked for every family, and SURTD is read-only (D12).
func planTest(e *eye, params map[string]string, ev *evidence) error {
	if v := params[ups.ParamTest]; v != ups.TestSelf || len(params) != 1 {
		return unsupported("%s needs %s=%s", ups.ActionDiagnostics, ups.ParamTest, ups.TestSelf)
	}
	ev.Addr, ev.Word = testCommand, startTest
	return e.family()
}

// planReboot chooses the path: on SMT and SMX one word to 1538 that names every group of 590, so that none keeps another from
// changing its state (section 7.3, rule 5). An SRT1000XLA refused every write to 1538 over its serial port and took 1540 bit 0, which
// with mains present is a reboot of what is on, by the delays that are set (7.4, 8.2); on its other ports neither was ever seen.
func (c *Control) planReboot(ctx context.Context, e *eye, params map[string]string, ev *evidence) error {
	delay, given := params[ups.ParamDelay]
	if !given {
		delay = ups.DelayConfigured
	}
	if given && len(params) != 1 || !given && len(params) != 0 || delay != ups.DelayConfigured && delay != ups.DelayNone {
		return unsupported("%s takes %s=%s or %s", ups.ActionReboot, ups.ParamDelay, ups.DelayConfigured, ups.DelayNone)
	}
	if err := e.family(); err != nil {
		return err
	}
	p, port := e.about.profile, c.port(e)
	switch {
	case p.groups&0xF == 0 || p.groups&^0xF != 0:
		return unsupported("its outlet groups (590 = 0x%04X) are not as any unit known", p.groups)
	case p.family == smt:
		ev.Addr, ev.Word = outletCommand, outletReboot|uint32(p.groups)<<firstTarget|port
		if delay == ups.DelayConfigured {
			ev.Word |= useOffDelay | useOnDelay
		}
	case port != fromSerial:
		return unsupported("which command restarts an SRT is known of its serial port alone")
	case delay == ups.DelayNone:
		return unsupported("an SRT restarts by 1540, and that always keeps the delays set in the unit")
	default:
		ev.Addr, ev.Word = signallingCommand, requestShutdown
	}
	ev.Targets = p.groups
	return e.planDelays(ctx, ev, delay)
}

// port is the source bit of the port in use (section 7.3, rule 3; D11).
func (c *Control) port(e *eye) uint32 {
	switch {
	case e.about.profile.card:
		return fromCard
	case e.d.timing().ByteTime > 0:
		return fromSerial
	}
	return fromTCP
}

// planDelays reads what the delays are set to: how long to wait for the end follows from it.
func (e *eye) planDelays(ctx context.Context, ev *evidence, delay string) error {
	s, err := e.look(ctx, e.delays(ev.groups()))
	if exception(err) != 0 {
		return unsupported("the delays of its outlet groups cannot be read (exception %d)", exception(err))
	}
	if err != nil {
		return unreachable(err)
	}
	for _, g := range ev.groups() {
		first := ups.MainTurnOffDelay + 4*ups.Point(g-ups.MainGroup)
		for i, longest := range []*int64{&ev.Off, &ev.On, &ev.Stay} {
			if v, ok := s.Raw(first + ups.Point(i)); ok && (i == 2 || delay == ups.DelayConfigured) {
				*longest = max(*longest, min(v, math.MaxInt16))
			}
		}
	}
	return nil
}

// locked is why no command may go now, whatever was asked for (EDGE-8; T-12): the interlocks of this program, stricter than a unit's.
func locked(s *ups.State, p profile) error {
	u, test, cal := s.Flags(ups.StatusFlags), s.Flags(ups.BatteryTest), s.Flags(ups.Calibration)
	for _, lock := range []struct {
		on   bool
		what string
	}{
		{u&ups.UTest != 0 || test&(ups.TPending|ups.TInProgress) != 0, "a self-test runs"},
		{cal&(ups.TPending|ups.TInProgress) != 0, "a runtime calibration runs"},
		{u&ups.UOnBattery != 0, "on battery"},
		{u&ups.UBypass != 0, "in bypass"},
		{u&ups.UOutputOff != 0, "the output is off"},
		{u&ups.UInputBad != 0 || s.Flags(ups.Signalling)&ups.SPowerFailure != 0, "the input power is bad"},
		{u&ups.UFaultState != 0, "in a fault state"},
		{u&ups.UFaultRecovery != 0, "recovering from a fault"},
		{u&ups.UOverload != 0 || s.Flags(ups.PowerError)&ups.POverload != 0, "overloaded"},
		{s.Flags(ups.GeneralError)&ups.GEPOActive != 0, "emergency power off is active"},
		// The fault bit alone can be a latched battery condition while the power path is well (section 6.1, FIELD).
		{u&ups.UFault != 0 && s.Flags(ups.PowerError) != 0, "a fault of the power system"},
	} {
		if lock.on {
			return &ups.Refusal{Reason: ups.ReasonSafetyLock, Detail: fmt.Sprintf("%s (status 0x%08X)", lock.what, u)}
		}
	}
	if u&(ups.UPendingOff|ups.UPendingOn) != 0 || s.Flags(ups.Signalling)&ups.SShutdownImminent != 0 {
		return &ups.Refusal{Reason: ups.ReasonBusy, Detail: fmt.Sprintf("the unit is about to turn its output off or on (status 0x%08X)", u)}
	}
	for i, g := range ups.Groups {
		if o := s.Flags(g.Outlet()); p.groups&(1<<i) != 0 && o&outletBusy != 0 {
			return &ups.Refusal{Reason: ups.ReasonBusy, Detail: fmt.Sprintf("something is pending on group %s (0x%04X)", g, o)}
		}
	}
	return nil
}

// outletBusy are the bits of a group to which something will happen or happens (section 6.3); a pending load shed counts (7.3, rule 4).
const outletBusy = outletProcess | ups.OLoadShed

// outletProcess are those of a command.
const outletProcess = ups.OReboot | ups.OShutdown | ups.OSleep | ups.OOnDelay | ups.OOffDelay | ups.OOnMains | ups.OOnMinRuntime

// aim leaves the groups that will go off and come back. What is off stays so by 1540; by 1538 it would be turned on, which nobody
// asked for.
func (ev *evidence) aim(s *ups.State) error {
	for _, g := range ev.groups() {
		o := s.Flags(g.Outlet())
		switch {
		case o&ups.OStateOn != 0:
		case ev.Addr == signallingCommand:
			ev.Targets &^= 1 << (g - ups.MainGroup)
		default:
			return &ups.Refusal{Reason: ups.ReasonSafetyLock, Detail: fmt.Sprintf("group %s is not on (0x%04X), and a reboot would turn it on", g, o)}
		}
	}
	if ev.Targets == 0 {
		return &ups.Refusal{Reason: ups.ReasonSafetyLock, Detail: "no outlet group is on"}
	}
	return nil
}
