package notify

import "sync/atomic"

// held is beside the states what may become of an event for a recipient: it is counted for a digest.
const held = "held"

// Counts is what became of notifications since the start of this process, and how many wait, as of the last look.
type Counts struct{ Sent, Failed, Withdrawn, Held, Waiting int64 }

type counts struct{ sent, failed, withdrawn, held, waiting atomic.Int64 }

func (c *counts) add(state string) {
	switch state {
	case sent:
		c.sent.Add(1)
	case failed:
		c.failed.Add(1)
	case withdrawn:
		c.withdrawn.Add(1)
	case held:
		c.held.Add(1)
	}
}

// Counts may be called at any time. It reads memory.
func (s *Service) Counts() Counts {
	c := &s.count
	return Counts{c.sent.Load(), c.failed.Load(), c.withdrawn.Load(), c.held.Load(), c.waiting.Load()}
}
