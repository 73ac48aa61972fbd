package modbus

import (
	"fmt"
	"time"
)

const (
	// tooMany misses among the last fewRequests that went out right after the short gap make a line keep the long one.
	tooMany     = 3
	fewRequests = 2000
	// firstTrust is how long a line is good with the long gap before the short one is tried again; it doubles with every trial that
	// fails, up to mostTrust.
	firstTrust = 10 * time.Minute
	mostTrust  = 24 * time.Hour
	// right after the gap is within this of it: of a request that went out later the gap is not the reason that it was missed.
	rightAfter = 9 * time.Millisecond
)

// A gap is the silence that one line keeps before a request. It begins with the short one, which AN176 4.2.2 asks for. At 35 ms
// units were seen that miss a request now and then and at 45 ms do not (protocol reference, section 2.1): a line on which that
// happens keeps the long one, and tries the short one again after a long good time. Where the long one does not help it goes
// back at once.
//
// Only a request that is missed by a unit that answered the one before and the one after counts: a unit that is gone says
// nothing about the gap.
type gap struct {
	short, long time.Duration
	keepsLong   bool
	trial       bool          // the short one is on trial after the long one
	doubted     bool          // the long one did not help: it is not tried again for a while
	sent        int           // requests right after the gap that is kept, and how many of them were missed
	missed      int           //
	before      float64       // share missed with the gap before
	since       time.Time     // of the last change, or with the long gap of the last miss
	trust       time.Duration // good time before the next change of mind
}

// newGap returns a gap that begins with short; with 0, as on TCP, or with more than 45 ms it never changes.
func newGap(short time.Duration) gap {
	g := gap{short: short, long: max(short, missGap), trust: firstTrust}
	if short == 0 {
		g.long = 0
	}
	return g
}

// now returns the gap that is kept.
func (g *gap) now() time.Duration {
	if g.keepsLong {
		return g.long
	}
	return g.short
}

// note takes note of a request that went out after a silence, and whether it was missed. It tells whether the gap changed.
func (g *gap) note(at time.Time, silence time.Duration, missed bool) (changed bool) {
	if g.short == g.long {
		return false
	}
	if g.since.IsZero() {
		g.since = at
	}
	if silence <= g.now()+rightAfter {
		g.count(at, missed)
	}
	long := g.keepsLong
	switch good := at.Sub(g.since); {
	case long && g.missed >= tooMany && 2*g.share() > g.before:
		g.keepsLong, g.trial, g.doubted = false, false, true
		g.trust = min(2*g.trust, mostTrust)
	case long && good >= g.trust:
		g.keepsLong, g.trial, g.doubted = false, true, false
	case !long && g.missed >= tooMany && (!g.doubted || good >= g.trust):
		g.keepsLong = true
		switch {
		case good >= g.trust && !g.doubted:
			g.trust = firstTrust
		case g.trial:
			g.trust = min(2*g.trust, mostTrust)
		}
	}
	if g.keepsLong == long {
		return false
	}
	g.before, g.sent, g.missed, g.since = g.share(), 0, 0, at
	return true
}

func (g *gap) count(at time.Time, missed bool) {
	if g.sent++; g.sent > fewRequests {
		g.sent, g.missed = g.sent/2, g.missed/2
	}
	if missed {
		g.missed++
		if g.keepsLong {
			g.since = at
		}
	}
}

func (g *gap) share() float64 { return float64(g.missed) / float64(max(g.sent, 1)) }

// learnGap takes note of an exchange that began after a silence. A miss is known for a lone one, the gap's fault perhaps, when the
// unit answers the next request.
func (r *runner) learnGap(u *unit, result Result, silence time.Duration) {
	switch result {
	case ResultOK, ResultException:
		changed := u.missed && r.gap.note(r.end, u.silence, true)
		changed = r.gap.note(r.end, silence, false) || changed
		u.answered, u.missed = true, false
		if changed {
			r.rest = r.gap.now()
			r.gapNow.Store(int64(r.rest))
			r.cfg.Log.Info("gap before requests changed", "gap", r.rest, "missed_before", fmt.Sprintf("%.1f%%", 100*r.gap.before))
		}
	case ResultTimeout:
		u.missed, u.answered, u.silence = u.answered, false, silence
	default:
		u.missed, u.answered = false, false
	}
}
