package upssim

import (
	"fmt"
	"sync/atomic"
)

// Stats counts what happened on a line. It is safe for concurrent use; the zero value is ready.
type Stats struct {
	requests, answered, exceptions, early, overlapping, damaged, foreign, silent, received, sent, lost atomic.Uint64
}

// Counts is what Stats held at one moment.
type Counts struct {
	Requests    uint64 // whole requests, whatever became of them
	Answered    uint64 // replies sent, exceptions included
	Exceptions  uint64 // replies that were exceptions
	Early       uint64 // requests that began less than 35 ms after the end of the last exchange
	Overlapping uint64 // requests that began before the reply to the one before was through
	Damaged     uint64 // frames with a wrong checksum, or cut short by silence
	Foreign     uint64 // requests to an address that is not here
	Silent      uint64 // requests a unit did not answer: dead, or deaf on purpose
	Received    uint64 // bytes
	Sent        uint64 // bytes
	Lost        uint64 // reply bytes nobody took
}

// Counts returns the present numbers.
func (s *Stats) Counts() Counts {
	return Counts{
		Requests: s.requests.Load(), Answered: s.answered.Load(), Exceptions: s.exceptions.Load(),
		Early: s.early.Load(), Overlapping: s.overlapping.Load(), Damaged: s.damaged.Load(), Foreign: s.foreign.Load(),
		Silent: s.silent.Load(), Received: s.received.Load(), Sent: s.sent.Load(), Lost: s.lost.Load(),
	}
}

// String returns the numbers in one line of key=value.
func (c Counts) String() string {
	return fmt.Sprintf("requests=%d answered=%d exceptions=%d early=%d overlapping=%d damaged=%d foreign=%d silent=%d received=%d sent=%d lost=%d",
		c.Requests, c.Answered, c.Exceptions, c.Early, c.Overlapping, c.Damaged, c.Foreign, c.Silent, c.Received, c.Sent, c.Lost)
}

// replied counts a reply.
func (s *Stats) replied(pdu []byte) {
	s.answered.Add(1)
	if pdu[0]&0x80 != 0 {
		s.exceptions.Add(1)
	}
}
