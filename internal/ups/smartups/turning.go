package smartups

import (
	"fmt"
	"time"

	"upsedge/internal/ups"
)

// Turning follows groups that are turned on or off: states that stay, so that what they are says how it ended, also after a crash. The
// other way round it does not: that a group is as it was can mean that nothing came of the command, or that somebody was here since.
type turning struct {
	to    uint32 // ups.OStateOn or ups.OStateOff
	taken bool   // something was pending
	ever  uint16 // groups that were as they should be in some reading
	there int    // readings in a row in which all are
}

// sure is how many readings in a row have to show it.
const sure = 2

func (t *turning) see(f *following, s *ups.State, after time.Duration) *ups.Outcome {
	var reached uint16
	var pending uint32
	for _, g := range f.ev.groups() {
		o := s.Flags(g.Outlet())
		pending |= o & outletProcess
		if o&(ups.OStateOn|ups.OStateOff) == t.to {
			reached |= bitOf(g)
		}
	}
	t.taken, t.ever = t.taken || pending != 0, t.ever|reached
	settled := pending == 0 && t.stable(f.ev, s)
	if reached != f.ev.Targets || !settled {
		t.there = 0
	} else if t.there++; t.there >= sure {
		return t.done(f)
	}
	end := func(state ups.OutcomeState, reason, detail string) *ups.Outcome {
		out := f.end(state, reason, detail)
		return &out
	}
	switch {
	case !settled || t.there > 0:
		if f.answered {
			t.say(f, s)
		}
		return nil
	case t.taken && t.ever == 0 && f.control.takenBack.Load():
		return end(ups.Cancelled, ups.ReasonCancelled, "taken back before it acted")
	case f.judging && after < begins: // what was written the moment before shows soon
		return nil
	case f.judging:
		return end(ups.Unknown, "", fmt.Sprintf("nothing is pending, and of the groups 0x%X only 0x%X are %s; whether the command reached the unit cannot be seen", f.ev.Targets, reached, t))
	case t.taken && t.ever == 0 && f.answered && f.unseen <= leastOff:
		return end(ups.Cancelled, "", "taken back at the unit before it acted")
	case after < begins:
		return nil
	case !f.answered:
		return end(ups.Unknown, "", fmt.Sprintf("no answer came, nothing is pending, and of the groups 0x%X only 0x%X are %s; it is not repeated", f.ev.Targets, reached, t))
	case f.unseen > leastOff:
		return end(ups.Unknown, "", fmt.Sprintf("nothing is pending, and of the groups 0x%X only 0x%X are %s; what happened meanwhile was not seen", f.ev.Targets, reached, t))
	case t.ever != 0:
		return end(ups.Failed, "", fmt.Sprintf("nothing is pending, and of the groups 0x%X only 0x%X are %s", f.ev.Targets, reached, t))
	}
	return end(ups.Failed, ups.ReasonUPSRefused, "the unit said yes and has done nothing")
}

func (t *turning) String() string {
	if t.to == ups.OStateOn {
		return "on"
	}
	return "off"
}

// stable tells whether the unit as a whole leaves the groups as they are. With the main group, the output is off as well; without it, that
// the output is off means that they may come back with it.
func (t *turning) stable(ev *evidence, s *ups.State) bool {
	u := s.Flags(ups.StatusFlags)
	if t.to == ups.OStateOn {
		return true
	}
	return u&ups.UPendingOn == 0 && (ev.Targets&1 != 0 || u&ups.UOutputOff == 0)
}

func (t *turning) done(f *following) *ups.Outcome {
	out := f.end(ups.Done, "", fmt.Sprintf("%s%s: %s, and nothing is pending there", f.byWhom(), t, groupNames(f.ev.groups())))
	return &out
}

// byWhom is put before a state that says how a command ended where it may be another's work: the write may never have come to the unit.
func (f *following) byWhom() string {
	if f.judging || !f.answered {
		return "by this order or somebody else: "
	}
	return ""
}

func (t *turning) say(f *following, s *ups.State) {
	of, longest := turnOff, f.ev.Off
	if t.to == ups.OStateOn {
		of, longest = turnOn, f.ev.On
	}
	if left := f.left(s, of); left > 0 {
		f.tell(10, fmt.Sprintf("taken; %s in about %d s", t, left))
		return
	}
	f.tell(10, fmt.Sprintf("taken; %s %s", t, within(longest)))
}

func (t *turning) limit(f *following) time.Duration {
	return time.Duration(max(f.ev.Off, f.ev.On))*time.Second + slack
}

func (t *turning) over(f *following) ups.Outcome {
	if f.last.Flags(ups.StatusFlags)&ups.UInputBad != 0 || f.last.Flags(ups.Signalling)&ups.SPowerFailure != 0 {
		return f.end(ups.Unknown, "", "the input power failed meanwhile, and the groups wait for it")
	}
	return f.end(ups.Unknown, "", fmt.Sprintf("not over %v after it was written, and something is pending still", t.limit(f)))
}

// Clearing follows a cancel: nothing is pending any more, and what was on is on.
type clearing struct{}

func (c *clearing) see(f *following, s *ups.State, after time.Duration) *ups.Outcome {
	var off uint16
	var pending uint32
	for _, g := range f.ev.groups() {
		o := s.Flags(g.Outlet())
		pending |= o & f.ev.Pending & outletBusy
		if o&ups.OStateOn == 0 {
			off |= bitOf(g)
		}
	}
	end := func(state ups.OutcomeState, reason, detail string) *ups.Outcome {
		out := f.end(state, reason, detail)
		return &out
	}
	ranThrough := f.ev.Pending&(outletProcess&^ups.OOffDelay) != 0 // it would have brought the groups back, and may have
	switch {
	case off != 0 && f.judging:
		return end(ups.Unknown, "", fmt.Sprintf("groups 0x%X are off; whether the command reached the unit cannot be seen", off))
	case off != 0:
		return end(ups.Failed, "", fmt.Sprintf("groups 0x%X went off all the same", off))
	case pending == 0 && ranThrough && (f.judging || f.unseen > leastOff):
		return end(ups.Unknown, "", "nothing is pending and the groups are on; whether they were off was not seen")
	case pending == 0:
		return end(ups.Done, "", f.byWhom()+"nothing is pending any more, and the groups are on: "+groupNames(f.ev.groups()))
	case after < begins:
		f.tell(50, "taken; something is pending still")
		return nil
	case f.judging:
		return end(ups.Unknown, "", fmt.Sprintf("something is pending still (0x%04X); whether the command reached the unit cannot be seen", pending))
	case !f.answered:
		return end(ups.Unknown, "", fmt.Sprintf("no answer came, and something is pending still (0x%04X); it is not repeated", pending))
	}
	return end(ups.Failed, ups.ReasonUPSRefused, fmt.Sprintf("the unit said yes, and something is pending still (0x%04X)", pending))
}

func (c *clearing) limit(*following) time.Duration { return begins + slack }

func (c *clearing) over(f *following) ups.Outcome {
	return f.end(ups.Unknown, "", "how it ended was not seen")
}
