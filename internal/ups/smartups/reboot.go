package smartups

import (
	"fmt"
	"time"

	"upsedge/internal/ups"
)

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
