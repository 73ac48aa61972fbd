package smartups

import (
	"context"
	"fmt"
	"math"
	"time"

	"upsedge/internal/ups"
)

// rebootDeed is reboot.ups: everything the unit feeds goes off and comes back.
type rebootDeed struct{}

// plan chooses the path: on SMT and SMX one word to 1538 that names every group of 590, so that none keeps another from
// changing its state (section 7.3, rule 5). An SRT1000XLA refused every write to 1538 over its serial port and took 1540 bit 0, which
// with mains present is a reboot of what is on, by the delays that are set (7.4, 8.2); on its other ports neither was ever seen.
func (rebootDeed) plan(ctx context.Context, c *Control, e *eye, params map[string]string, ev *evidence) error {
	delay := params[ups.ParamDelay]
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

func (rebootDeed) may(ev *evidence, s *ups.State, p profile) error {
	if err := locked(s, p); err != nil {
		return err
	}
	return ev.aim(s)
}

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

func (rebootDeed) looks(e *eye, _ *evidence) []*read { return e.status() }
func (rebootDeed) follow(*evidence) step             { return &rebooting{} }
func (rebootDeed) shown(ev *evidence) []ups.Point    { return ev.outlets() }

func (rebootDeed) back(ev *evidence, s *ups.State) (order, error) {
	if ev.Addr != outletCommand {
		return order{}, unsupported("a shutdown by 1540 cannot be taken back")
	}
	for _, g := range ev.groups() {
		if s.Flags(g.Outlet())&ups.OStateOff != 0 {
			return order{}, &ups.Refusal{Reason: ups.ReasonBusy, Detail: "group " + g.String() + " is off already; it runs to its end"}
		}
	}
	return order{outletCommand, ev.Word&^(outletReboot|useOnDelay|useOffDelay) | outletCancel}, nil
}

// Rebooting follows an outlet process: pending, off, on again (protocol reference, sections 8.1 and 8.2).
type rebooting struct {
	taken bool   // a process or an off was seen
	off   uint16 // groups seen off
}

// leastOff is the least time a group is off that reading once a second cannot overlook; stay-off is typically 4 to 300 s (section 5.4).
const leastOff = 2 * lookEvery

func (r *rebooting) see(f *following, s *ups.State, after time.Duration) *ups.Outcome {
	on, busy := true, false
	for _, g := range f.ev.groups() {
		o := s.Flags(g.Outlet())
		on = on && o&ups.OStateOn != 0
		busy = busy || o&outletProcess != 0
		if o&ups.OStateOff != 0 {
			r.off |= 1 << (g - ups.MainGroup)
		}
	}
	r.taken = r.taken || busy || !on
	end := func(state ups.OutcomeState, reason, detail string) *ups.Outcome {
		out := f.end(state, reason, detail)
		return &out
	}
	settled := on && !busy && s.Flags(ups.StatusFlags)&(ups.UPendingOff|ups.UPendingOn|ups.UOutputOff) == 0
	switch {
	case !settled:
		r.say(f, on)
		return nil
	case r.off == f.ev.Targets:
		return end(ups.Done, "", "the outlets went off and are on again")
	case r.off != 0 && !f.missed(leastOff):
		return end(ups.Failed, "", fmt.Sprintf("of the groups 0x%X only 0x%X went off", f.ev.Targets, r.off))
	case f.missed(leastOff) && f.commanded(s) && !f.control.cancelled.Load():
		// Somebody else's cancel on the same port would leave the same trace; one at the unit shows another cause (INF).
		return end(ups.Done, "", "the outlets are on, and the unit says that a command changed its state")
	case r.taken && f.control.cancelled.Load():
		return end(ups.Cancelled, ups.ReasonCancelled, "taken back before the outlets went off")
	case r.taken && !f.missed(leastOff):
		return end(ups.Cancelled, "", "taken back at the unit before the outlets went off")
	case r.taken:
		return end(ups.Unknown, "", "the outlets are on and nothing is pending; whether they were off was not seen")
	case f.judging:
		return end(ups.Unknown, "", "the outlets are on and nothing is pending; whether the command reached the unit cannot be seen")
	case after < begins:
		return nil
	case !f.answered:
		return end(ups.Unknown, "", "no answer came, and nothing has happened; it is not repeated")
	}
	return end(ups.Failed, ups.ReasonUPSRefused, "the unit said yes and has done nothing")
}

// say tells where it is.
func (r *rebooting) say(f *following, on bool) {
	switch {
	case on && r.off == 0:
		f.tell(10, fmt.Sprintf("taken; the outlets go off, after up to %d s", f.ev.Off))
	case !on:
		f.tell(50, fmt.Sprintf("outlets are off, for %d s and up to %d s more", f.ev.Stay, f.ev.On))
	}
}

func (r *rebooting) limit(f *following) time.Duration {
	return time.Duration(f.ev.Off+f.ev.Stay+f.ev.On)*time.Second + slack
}

func (r *rebooting) over(f *following) ups.Outcome {
	if f.last.Flags(ups.StatusFlags)&ups.UInputBad != 0 || f.last.Flags(ups.Signalling)&ups.SPowerFailure != 0 {
		return f.end(ups.Unknown, "", "the input power failed meanwhile; the outlets wait for it")
	}
	return f.end(ups.Failed, "", fmt.Sprintf("not over %v after it was written", r.limit(f)))
}
