package clock

import "time"

// An anchor is one instant on two clocks: Go's monotonic clock, which stands still while the machine sleeps, and the one of the
// boot, which goes on. It holds until the machine wakes up the next time.
type anchor struct {
	at   time.Time
	mono time.Duration
}

const (
	// asleep is the least by which the clocks must differ to call it sleep; readings of the two are never quite of one instant.
	asleep = 20 * time.Millisecond
	// mostAnchors bounds how many times of waking are remembered: what is stamped long after it was read is rare.
	mostAnchors = 16
)

// Mono returns t on the monotonic clock of this boot. t must come from this process and carry the monotonic clock. Whether the
// machine has slept is found out here, so that the first reading after it is not taken for one before.
func (c *Clock) Mono(t time.Time) time.Duration {
	anchors := *c.anchors.Load()
	newest := anchors[len(anchors)-1]
	if c.m.Mono()-newest.since(time.Now()) >= asleep {
		anchors = c.wake()
	}
	for i := len(anchors) - 1; i > 0; i-- {
		if !t.Before(anchors[i].at) {
			return anchors[i].since(t)
		}
	}
	return anchors[0].since(t) // before the first one, too
}

// anchor reads both clocks.
func (m *Machine) anchor() anchor {
	mono := m.Mono()
	now := time.Now() // after mono: being interrupted in between looks like less sleep, not more
	return anchor{now, mono}
}

func (a anchor) since(t time.Time) time.Duration { return a.mono + t.Sub(a.at) }

// wake adds an anchor if the machine has slept, and returns them all.
func (c *Clock) wake() []anchor {
	c.mu.Lock()
	defer c.mu.Unlock()
	anchors := *c.anchors.Load()
	fresh := c.m.anchor()
	if fresh.mono-anchors[len(anchors)-1].since(fresh.at) < asleep {
		return anchors
	}
	anchors = append(append([]anchor(nil), anchors...), fresh)
	if len(anchors) > mostAnchors {
		anchors = anchors[1:]
	}
	c.anchors.Store(&anchors)
	return anchors
}
