package smartups

import (
	"upsedge/internal/ups"
)

// A past is what is known of the time before a judge. The box may hang on the outlet that the command turns off: then it is gone before
// the end, and what the registers show afterwards, another reboot may have left there before.
type past struct {
	progress int  // the farthest that was told, and only where the command was certain to be ours
	rebooted bool // the box, which hangs on a target, was started anew since: it had no power, or somebody started it
}

// What rebooting tells of its progress: that it was taken, that groups went off, that all of them did. It is 0 while the process that is
// seen may be somebody else's.
const (
	tookIt  = 10
	someOff = 30
	allOff  = 50
)

// Witnessed says, before Judge, how far a process before had seen the command get, and whether the box was started anew since; of a box that
// hangs on none of the targets that says nothing, and is false.
func (c *Control) Witnessed(_ ups.Command, progress int, rebooted bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.witness = past{progress, rebooted}
}

// testimony takes what Witnessed has said; it counts once.
func (c *Control) testimony() past {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.witness
	c.witness = past{}
	return w
}

// testify takes over what was seen before.
func (r *rebooting) testify(f *following) {
	if f.was.progress >= tookIt {
		r.taken, r.sign = true, true
	}
	if f.was.progress >= allOff {
		r.off = f.ev.Targets
	}
}

// gathered is why a reboot that is over, and whose off nobody saw, was carried out all the same, "" where that is not certain. No ground is
// enough alone: that the box was off proves nothing about the unit, and that the unit took the command is no sign that nobody took it back.
func (r *rebooting) gathered(f *following, s *ups.State) string {
	if !f.judging || f.control.cancelled.Load() {
		return ""
	}
	cause, _ := s.Raw(ups.StatusCause)
	ours := cause == causeCommand || cause == causeOutlets || cause == f.ev.Cause && !f.ev.whole() // nothing else has happened to the unit
	switch {
	case f.was.progress >= someOff, r.off != 0 && r.sign && (f.was.progress >= tookIt || f.was.rebooted):
		return "outlets were off, by this command, and all are on again"
	case r.sign && f.was.rebooted && ours:
		return "it was seen to begin, then the box was off, and the outlets are on"
	}
	// That high efficiency, which a restart of the output ends for about five minutes (section 8.2), is gone is no ground: it may end by itself
	// while the cause stays the one of a command before, and the box may have been off before anything was written.
	return ""
}
