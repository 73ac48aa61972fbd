package clock

import (
	"context"
	"time"

	"upsedge/internal/wire"
)

// A Change is news of the wall clock.
type Change struct {
	At    time.Time // in this process
	State wire.ClockState
	// Step is by how much the machine's clock was set, against the monotonic one; back is negative. Only where it was trusted
	// before: while nobody knows the time, nothing is wrong with setting it.
	Step time.Duration
	// Off is by how much the time that was trusted was found to be wrong by other means. With both 0 only the state has changed.
	Off time.Duration
}

// mostChanges bounds what waits to be told. More are a clock that jumps about; the last ones say how it is.
const mostChanges = 16

// change notes news for Watch. The caller holds mu.
func (c *Clock) change(n Change) {
	n.At = time.Now()
	if len(c.changes) == mostChanges {
		c.changes = c.changes[1:]
	}
	c.changes = append(c.changes, n)
}

// Watch looks at the machine's clock once a second until ctx ends, tells every change, and writes the floor of Remember to disk
// when it is due. The state a Change tells is the one after all that was found with it.
func (c *Clock) Watch(ctx context.Context, tell func(Change)) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		for _, n := range c.news() {
			tell(n)
		}
		c.save()
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (c *Clock) news() []Change {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.look()
	out := c.changes
	c.changes = nil
	for i := range out {
		out[i].State = c.state
	}
	return out
}
