package smartups

import (
	"context"
	"fmt"
	"math"
	"time"

	"upsedge/internal/ups"
)

// rebootDeed is reboot.ups: everything the unit feeds goes off and comes back.
type rebootDeed struct{ outletDeed }

// plan chooses the path: one word to 1538 that names every group of 590, so that none keeps another from changing its state (section
// 7.3, rule 5), and with delays 1540 bit 0 instead where the unit refuses that: with mains present it is a reboot of what is on, by
// the delays that are set (7.4, 8.2). On the serial port of an SRT it goes first: the only one of which the way is known refused every
// write to 1538 there.
func (rebootDeed) plan(ctx context.Context, c *Control, e *eye, params map[string]string, ev *evidence) error {
	p, delay := e.about.profile, params[ups.ParamDelay]
	if err := e.outlets(); err != nil {
		return err
	}
	ev.Targets = p.groups
	why := c.noOutlets(e, true)
	if why == "" {
		ev.outletWord(c.port(e), outletReboot|delays(delay, useOffDelay|useOnDelay))
	}
	switch {
	case delay == ups.DelayNone && why != "":
		return unsupported("%s, and 1540 always keeps the delays set in the unit", why)
	case delay == ups.DelayNone:
	case why != "", p.family == srt && c.port(e) == fromSerial:
		ev.Addr, ev.Word = signallingCommand, requestShutdown
	default:
		ev.OrAddr, ev.OrWord = signallingCommand, requestShutdown
	}
	return e.planDelays(ctx, ev)
}

func (rebootDeed) may(ev *evidence, s *ups.State, p profile) error {
	if err := locked(s, p); err != nil {
		return err
	}
	return ev.aim(s)
}

func (rebootDeed) follow(*evidence) step { return &rebooting{} }

// rebootGroupDeed is reboot.group: some of the outlet groups, and nothing else.
type rebootGroupDeed struct{ outletDeed }

func (rebootGroupDeed) plan(ctx context.Context, c *Control, e *eye, params map[string]string, ev *evidence) error {
	if err := c.planOutlets(e, params, ev); err != nil {
		return err
	}
	ev.outletWord(c.port(e), outletReboot|delays(params[ups.ParamDelay], useOffDelay|useOnDelay))
	return e.planDelays(ctx, ev)
}

func (rebootGroupDeed) may(ev *evidence, s *ups.State, p profile) error {
	if err := locked(s, p); err != nil {
		return err
	}
	if err := ev.aim(s); err != nil {
		return err
	}
	return dependent(ev.Targets, s, p)
}

func (rebootGroupDeed) follow(*evidence) step { return &rebooting{} }

// shutdownDeed is control.outlet to=shutdown: off, and back by itself when the mains are there and the runtime suffices. With the mains
// present that is a reboot.
type shutdownDeed struct{ outletDeed }

func (shutdownDeed) plan(ctx context.Context, c *Control, e *eye, params map[string]string, ev *evidence) error {
	if err := c.planOutlets(e, params, ev); err != nil {
		return err
	}
	ev.outletWord(c.port(e), outletShutdown|delays(params[ups.ParamDelay], useOffDelay|useOnDelay))
	return e.planDelays(ctx, ev)
}

func (shutdownDeed) may(ev *evidence, s *ups.State, p profile) error {
	return rebootGroupDeed{}.may(ev, s, p)
}

func (shutdownDeed) follow(*evidence) step { return &rebooting{shutdown: true} }

// planDelays reads what the delays are set to: how long to wait for the end follows from it. Those that are not ordered count, too: it
// is not known whether units leave them out (D22).
func (e *eye) planDelays(ctx context.Context, ev *evidence) error {
	s, err := e.look(ctx, e.delays(ev.groups()))
	if exception(err) != 0 {
		return unsupported("the delays of its outlet groups cannot be read (exception %d)", exception(err))
	}
	if err != nil {
		return unreachable(err)
	}
	main, on := int64(0), int64(0)
	ev.Short = math.MaxInt16
	for _, g := range ev.groups() {
		first := ups.MainTurnOffDelay + 4*ups.Point(g-ups.MainGroup)
		off, _ := s.Raw(first)
		turnOn, _ := s.Raw(first + 1)
		stay, known := s.Raw(first + 2)
		off, turnOn = min(max(off, 0), math.MaxInt16), min(max(turnOn, 0), math.MaxInt16)
		if !known || stay < 0 {
			stay = 0
		}
		ev.Off, ev.Stay, ev.Short = max(ev.Off, off), max(ev.Stay, min(stay, math.MaxInt16)), min(ev.Short, stay)
		if g == ups.MainGroup {
			main = turnOn
		} else {
			on = max(on, turnOn)
		}
	}
	ev.On = main + on // a switched group waits for the main one
	return nil
}

// aim leaves the groups that will go off and come back. What is off stays so by 1540; by 1538 it would be turned on, which nobody
// asked for.
func (ev *evidence) aim(s *ups.State) error {
	for _, g := range ev.groups() {
		o := s.Flags(g.Outlet())
		switch {
		case o&ups.OStateOn != 0:
		case ev.Addr == signallingCommand:
			ev.Targets &^= bitOf(g)
		default:
			return &ups.Refusal{Reason: ups.ReasonSafetyLock, Detail: fmt.Sprintf("group %s is not on (0x%04X), and it would be turned on", g, o)}
		}
	}
	if ev.Targets == 0 {
		return &ups.Refusal{Reason: ups.ReasonSafetyLock, Detail: "no outlet group is on"}
	}
	return nil
}

// instead chooses the other path after the unit refused the first with an exception: nothing was taken then, so that what is written next
// is still the only one. Exceptions 1 and 2 say that the unit does not know the item or takes no writes there. 4 is its normal no (section
// 3.4): it counts where nothing in the unit's state explains it. Anything but an exception is no answer, and nothing follows it.
func (f *following) instead(ctx context.Context, code uint8) bool {
	if f.ev.OrAddr == 0 || code != illegalFunction && code != illegalAddress && code != deviceFailure {
		return false
	}
	other := *f.ev
	other.OrAddr, other.OrWord, other.Addr, other.Word = 0, 0, f.ev.OrAddr, f.ev.OrWord
	s, err := f.eye.look(ctx, deeds[f.ev.Deed].looks(f.eye, f.ev))
	if err != nil || s.Flags(ups.StatusFlags) != f.ev.Status || locked(s, f.eye.about.profile) != nil ||
		other.aim(s) != nil || other.Targets != f.ev.Targets {
		return false
	}
	f.no = fmt.Sprintf("%v with exception %d", order{f.ev.Addr, f.ev.Word}, code)
	f.ev = &other
	return true
}

// Rebooting follows an outlet process: pending, off, on again (protocol reference, sections 8.1 and 8.2).
type rebooting struct {
	shutdown bool // control.outlet to=shutdown

	began bool
	taken bool   // a process or an off was seen
	sign  bool   // so was what a command alone leaves: ours, where nobody gave the same one at the same time
	off   uint16 // groups seen off
	blind bool   // an off may have gone unseen
}

// leastOff is the least time a group is off that reading once a second cannot overlook; stay-off is typically 4 to 300 s (section 5.4).
const leastOff = 2 * lookEvery

func (r *rebooting) see(f *following, s *ups.State, after time.Duration) *ups.Outcome {
	on, busy := r.look(f, s)
	end := func(state ups.OutcomeState, reason, detail string) *ups.Outcome {
		out := f.end(state, reason, detail)
		return &out
	}
	cause, _ := s.Raw(ups.StatusCause)
	recalled := f.control.cancelled.Load()
	sure := f.answered || r.sign
	// That the cause is a command's, while nothing was seen: somebody else's cancel through the same port would leave the same trace; one
	// at the unit shows another cause (INF).
	commanded := f.ev.whole() && !recalled && (sure || cause != f.ev.Cause) && (cause == causeCommand || sure && cause == causeOutlets)
	settled := on && !busy && s.Flags(ups.StatusFlags)&(ups.UPendingOff|ups.UPendingOn|ups.UOutputOff) == 0
	switch {
	case !settled:
		if sure {
			r.say(f, s, on)
		}
		return nil
	case r.off == f.ev.Targets && sure:
		return end(ups.Done, "", r.end())
	case r.off != 0 && !r.blind && sure:
		return end(ups.Failed, "", fmt.Sprintf("of the groups 0x%X only 0x%X went off", f.ev.Targets, r.off))
	case r.blind && commanded:
		return end(ups.Done, "", "the outlets are on, and the unit says that a command changed its state")
	case r.gathered(f, s) != "":
		return end(ups.Done, "", r.gathered(f, s))
	case r.off != 0:
		return end(ups.Unknown, "", "outlets were off and are on again; that a command did it, to all of them, was not seen")
	case r.taken && f.control.takenBack.Load(), r.taken && !r.blind && recalled:
		return end(ups.Cancelled, ups.ReasonCancelled, "taken back before the outlets went off")
	case r.taken && !r.blind && sure:
		return end(ups.Cancelled, "", "taken back at the unit before the outlets went off")
	case r.taken:
		return end(ups.Unknown, "", "the outlets are on and nothing is pending; whether they were off was not seen")
	case f.judging:
		return end(ups.Unknown, "", "the outlets are on and nothing is pending; whether the command reached the unit cannot be seen")
	case after < begins:
		return nil
	case !f.answered:
		return end(ups.Unknown, "", "no answer came, and nothing has happened; it is not repeated")
	case r.blind:
		return end(ups.Unknown, "", "the unit said yes; whether the outlets were off was not seen")
	}
	return end(ups.Failed, ups.ReasonUPSRefused, "the unit said yes and has done nothing")
}

// look takes over what a reading shows: whether all groups are on, and whether something is pending on one.
func (r *rebooting) look(f *following, s *ups.State) (on, busy bool) {
	var all uint32
	ahead := true // every group is on and its off-delay runs: it has not been off
	on = true
	for _, g := range f.ev.groups() {
		o := s.Flags(g.Outlet())
		all |= o
		on = on && o&ups.OStateOn != 0
		ahead = ahead && o&ups.OOffDelay != 0
		if o&ups.OStateOff != 0 {
			r.off |= bitOf(g)
		}
	}
	busy = all&outletProcess != 0
	// The unit's own pending bit counts as well: of one without a main group it is all that was ever seen (section 8.2).
	going := busy || !on || f.ev.whole() && s.Flags(ups.StatusFlags)&(ups.UPendingOff|ups.UOnBattery) == ups.UPendingOff
	r.taken = r.taken || going
	cause, _ := s.Raw(ups.StatusCause)
	changed := f.ev.whole() && cause == causeCommand && cause != f.ev.Cause && !f.control.cancelled.Load()
	ours := cause == causeCommand || !f.ev.whole() // another cause says that it is somebody else's, and of single groups none says anything
	switch {                                       // load shedding acts as a shutdown: its process alone proves nothing
	case all&(ups.OReboot|ups.OSleep) != 0 && !r.shutdown && ours, all&ups.OShutdown != 0 && cause == causeCommand, going && changed:
		r.sign = true
	}
	if !r.began {
		r.began, r.blind = true, f.judging
		r.testify(f)
	}
	if f.gap > leastOff || time.Duration(f.ev.Short)*time.Second <= leastOff {
		r.blind = true
	}
	if on && ahead && r.off == 0 {
		r.blind = false
	}
	return on, busy
}

// end is what is said of the end.
func (r *rebooting) end() string {
	if r.shutdown {
		return "the outlets went off and, as the mains are present, came back: as in a reboot"
	}
	return "the outlets went off and are on again"
}

// say tells where it is, by the countdowns where the unit tells them, once it is certain that the unit took it: 10 is taken, 50 that all
// groups have been off.
func (r *rebooting) say(f *following, s *ups.State, on bool) {
	switch {
	case on && r.off == 0:
		if left := f.left(s, turnOff); left > 0 {
			f.tell(tookIt, fmt.Sprintf("taken; the outlets go off in about %d s", left))
			return
		}
		f.tell(tookIt, "taken; the outlets go off "+within(f.ev.Off))
	case r.off != f.ev.Targets:
		f.tell(someOff, fmt.Sprintf("of the groups 0x%X, 0x%X went off", f.ev.Targets, r.off))
	case !on:
		if left := f.left(s, turnOn); left > 0 {
			f.tell(allOff, fmt.Sprintf("outlets are off; an on-delay of about %d s is left", left))
			return
		}
		f.tell(allOff, fmt.Sprintf("outlets are off for %d s, then on %s", f.ev.Stay, within(f.ev.On)))
	}
}

// within says when something comes behind a delay of at most so many seconds, where the unit counts none down.
func within(seconds int64) string {
	if seconds == 0 {
		return "at once"
	}
	return fmt.Sprintf("after up to %d s", seconds)
}

// left is the longest countdown of the groups, in steps of ten seconds: each is told once.
func (f *following) left(s *ups.State, of func(*ups.State, ups.Group) (int64, bool)) (left int64) {
	for _, g := range f.ev.groups() {
		if v, runs := of(s, g); runs {
			left = max(left, v)
		}
	}
	return (left + 9) / 10 * 10
}

func (r *rebooting) limit(f *following) time.Duration {
	return time.Duration(f.ev.Off+f.ev.Stay+f.ev.On)*time.Second + slack
}

func (r *rebooting) over(f *following) ups.Outcome {
	on, pending := true, f.last.Flags(ups.StatusFlags)&(ups.UPendingOn|ups.UPendingOff) != 0
	for _, g := range f.ev.groups() {
		o := f.last.Flags(g.Outlet())
		on, pending = on && o&ups.OStateOn != 0, pending || o&outletProcess != 0
	}
	bad := f.last.Flags(ups.StatusFlags)&ups.UInputBad != 0 || f.last.Flags(ups.Signalling)&ups.SPowerFailure != 0
	switch {
	case bad && r.shutdown && !on && pending && r.off == f.ev.Targets && (f.answered || r.sign):
		return f.end(ups.Done, "", "the outlets are off; the input power failed meanwhile, and they come back with it")
	case bad:
		return f.end(ups.Unknown, "", "the input power failed meanwhile; the outlets wait for it")
	case on || pending:
		return f.end(ups.Unknown, "", fmt.Sprintf("not over %v after it was written, and something is pending still", r.limit(f)))
	}
	return f.end(ups.Failed, "", "outlets are off, and nothing is pending that would turn them on")
}
