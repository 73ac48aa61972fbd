package order

import (
	"time"

	"upsedge/internal/policy"
	"upsedge/internal/wire"
)

// choose picks the orders of one agent that are to be sent now on its present session, from its open ones in the order of their requests.
// later is when there may be more to send, with nothing new having come; zero: never.
//
// Of a device one order at a time is on its way unanswered: the next one waits for its answer, or for the end of its life. A cancellation
// goes at once, and what it cancels is not sent again.
func choose(open []*Order, a *agentRow, now time.Time) (send []*Order, later time.Time) {
	if !a.ready() {
		return nil, time.Time{}
	}
	busy := map[string]bool{}
	soon := func(t time.Time) {
		if t.After(now) && (later.IsZero() || t.Before(later)) {
			later = t
		}
	}
	for _, o := range open {
		if o.State != Pending && o.State != Sent || !now.Before(o.ExpiresAt) || o.ahead(now) {
			continue
		}
		soon(o.ExpiresAt)
		cancels := o.Action == policy.OrderCancel
		if busy[o.Device] && !cancels {
			continue
		}
		busy[o.Device] = busy[o.Device] || !cancels
		if o.Cancel != "" || o.Withheld {
			continue // it was taken back, or its right has ended
		}
		if o.State == Sent && o.Session == a.session {
			if again := o.again(); now.Before(again) {
				soon(again)
				continue
			}
		}
		send = append(send, o)
	}
	return send, later
}

// A message is a signed command that is to go out, now that its counter is on disk.
type message struct {
	agent     string
	order     wire.ID
	session   uint64
	payload   []byte
	statement []byte // to go out before it; nil: the agent knows all that it has to
}
