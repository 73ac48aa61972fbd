package front

import (
	"fmt"
	"sync/atomic"
)

// A Reason is why a connection, a session or a request of one was refused or ended.
type Reason uint8

// The reasons. Closed and Stopped are the ordinary ends.
const (
	Closed       Reason = iota // by the agent, with or without saying so
	Stopped                    // we stop
	Silent                     // nothing came for one and a half times its keep-alive
	Crowded                    // too many connections
	Handshake                  // no TLS within its time, a certificate that does not hold
	NoConnect                  // no CONNECT within its time, or one that breaks the protocol
	Version                    // not MQTT 3.1.1
	Unauthorized               // its certificate is refused: unknown, expired or revoked
	Undecided                  // whether it may enter cannot be found out now
	ClientID                   // its client identifier is not its agent id
	BadWill                    // a will on another topic than its own state
	BadPacket                  // what the protocol forbids, or this front has no use for
	TooLarge                   // a packet beyond the greatest length of its kind
	TooSlow                    // a packet that does not end in time
	Topic                      // a message on a topic that is not its own
	Filter                     // a subscription that is not its own; its session goes on
	NotStored                  // what it sent could not be kept
	NotRead                    // it does not read or acknowledge what it is sent
	TakenOver                  // another connection came with its identity
	Revoked                    // its right ended while it was connected
	reasons                    // how many there are
)

var reasonNames = [reasons]string{
	"closed", "stopped", "silent", "crowded", "handshake", "no_connect", "version", "unauthorized", "undecided", "client_id", "will",
	"bad_packet", "too_large", "too_slow", "topic", "filter", "not_stored", "not_read", "taken_over", "revoked",
}

// String is the name of a reason as labels of metrics have it.
func (r Reason) String() string {
	if r < reasons {
		return reasonNames[r]
	}
	return fmt.Sprintf("reason(%d)", uint8(r))
}

// An endError is why a connection ends.
type endError struct {
	reason Reason
	detail string
}

func (e *endError) Error() string { return e.reason.String() + ": " + e.detail }

func ended(r Reason, format string, args ...any) *endError {
	return &endError{r, fmt.Sprintf(format, args...)}
}

// Stats are counts since the start, and what is now.
type Stats struct {
	Connections  int              // with those that have not said who they are
	Sessions     int              // agents that are connected
	Received     uint64           // messages of agents
	Acknowledged uint64           // of these, behind their commit
	Bytes        uint64           // of their payloads
	Sent         uint64           // messages to agents
	Unsent       uint64           // of those that were to be sent: nobody was there, or their queue was full
	Ended        map[Reason]int64 // connections that ended, and filters that were refused
}

type counters struct {
	received, acknowledged, bytes, sent, unsent atomic.Uint64
	ended                                       [reasons]atomic.Int64
}

// Stats returns what the front has counted.
func (f *Front) Stats() Stats {
	s := Stats{
		Received: f.counts.received.Load(), Acknowledged: f.counts.acknowledged.Load(), Bytes: f.counts.bytes.Load(),
		Sent: f.counts.sent.Load(), Unsent: f.counts.unsent.Load(), Ended: map[Reason]int64{},
	}
	for r := range reasons {
		s.Ended[r] = f.counts.ended[r].Load()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	s.Connections, s.Sessions = len(f.conns), len(f.sessions)
	return s
}
