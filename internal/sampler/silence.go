package sampler

import "time"

// Back-off of a unit that does not answer. Where others share the line a single time-out makes it suspect: it is asked again only
// after a period that begins at backOffLeast and doubles up to backOffMost, and each time that is one request, so that a dead unit
// costs the others one time-out per period. An answer ends it at once. After lostAfter failures in a row the unit is lost: it is
// connected to anew. Alone on a line nobody waits for its time-outs: it is lost before it is asked less often, and found again sooner.
const (
	lostAfter    = 3
	backOffLeast = time.Second
	backOffMost  = 10 * time.Second
	backOffAlone = 5 * time.Second
)

// A silence is what a unit owes.
type silence struct {
	failed int           // attempts in a row
	pause  time.Duration // of the last back-off, 0 for none
	until  time.Time     // not asked before
}

// answered ends the back-off.
func (c *silence) answered() { *c = silence{} }

func (s *Sampler) shared() bool { return len(s.units) > 1 }

// suspect lets u rest after a time-out that ended at now.
func (s *Sampler) suspect(u *unit, now time.Time) {
	most := backOffAlone
	if s.shared() {
		most = backOffMost
	}
	u.pause = min(max(2*u.pause, backOffLeast), most)
	u.until = now.Add(u.pause)
	for _, t := range u.tasks {
		if t.due.Before(u.until) {
			t.due = u.until
		}
	}
}
