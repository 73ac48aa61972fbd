package command

import (
	"database/sql"
	"slices"
	"sync"
	"time"

	"upsedge/internal/policy"
	"upsedge/internal/trust"
	"upsedge/internal/wire"
)

// mostShown is how many orders that ended are shown on site.
const mostShown = 50

// An Ended is an order that ended, as whoever stands beside the box may see it: nobody's name, no id, no parameter.
type Ended struct {
	At     time.Time // zero while the box does not know the time of it
	Unit   string    // in the configuration; "": no unit here
	Epoch  uint32    // of the device, as the order said
	Action string
	Role   string
	State  wire.OrderState
	Reason policy.Reason
	Detail string // what the agent or the unit said of it
}

// Rejected are the messages that were no order of the cloud to this agent, since the start.
type Rejected struct {
	Count  uint64
	Reason policy.Reason // of the last one
	At     time.Time     // of the last one; zero while the box does not know it
}

// shown is what is shown on site, in memory: who asks waits for no disk and no order.
type shown struct {
	mu       sync.Mutex
	ended    []*entry // the last mostShown, the latest last
	rejected Rejected
	last     wire.Stamp
	policy   Policy
	told     time.Time // as Executor.told ...
	toldAt   time.Duration
}

func (s *shown) setPolicy(p Policy) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.policy = p
}

func (s *shown) setTime(told time.Time, at time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told, s.toldAt = told, at
}

func (s *shown) add(e *entry) {
	kept := *e
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = append(s.ended, &kept)
	s.ended = slices.Clone(s.ended[max(0, len(s.ended)-mostShown):])
}

// Local returns the last orders that ended, the latest first, over restarts, and what was no order. It never waits.
func (x *Executor) Local() (ended []Ended, rejected Rejected) {
	x.shown.mu.Lock()
	defer x.shown.mu.Unlock()
	for _, e := range slices.Backward(x.shown.ended) {
		out := Ended{Unit: e.unit, Epoch: e.cmd.Epoch, Action: e.cmd.Action, Role: e.cmd.Role, State: e.state, Reason: e.reason, Detail: e.detail}
		if e.ended.BootID != (wire.ID{}) {
			out.At = x.o.Clock.Complete(e.ended).Wall
		}
		ended = append(ended, out)
	}
	rejected = x.shown.rejected
	if rejected.Count > 0 {
		rejected.At = x.o.Clock.Complete(x.shown.last).Wall
	}
	return ended, rejected
}

// ShownPolicy returns what the site allows. It never waits.
func (x *Executor) ShownPolicy() Policy {
	x.shown.mu.Lock()
	defer x.shown.mu.Unlock()
	return x.shown.policy
}

// Fill returns how many orders the journal knows, and of how many on it refuses new ones. It never waits.
func (x *Executor) Fill() (orders, room int64) { return x.rows.Load(), x.o.most }

// PlanEnded reports whether a plan has ended by itself, as far as the box knows the time. It never waits.
func (x *Executor) PlanEnded(b Bind) bool {
	x.shown.mu.Lock()
	told, at := x.shown.told, x.shown.toldAt
	x.shown.mu.Unlock()
	now := time.Now()
	if !told.IsZero() {
		told = told.Add(x.o.Clock.Mono(now) - at)
	}
	return b.ended(x.o.Clock.Time(now), told)
}

// countRejected notes a message that was no order.
func (x *Executor) countRejected(r *trust.Refusal) {
	x.shown.mu.Lock()
	defer x.shown.mu.Unlock()
	x.shown.rejected.Count++
	x.shown.rejected.Reason = policy.Reason(r.Code)
	x.shown.last = x.stamp()
}

// lately returns the orders that ended last, the latest last. A row that came to harm is left out: it is noticed when its order comes again.
func (j *journal) lately(most int) (all []*entry, err error) {
	err = j.read("read what ended last", func(t *tx) {
		t.each(func(rows *sql.Rows) error {
			var id, body []byte
			var state, ended, crc int64
			if err := rows.Scan(&id, &state, &ended, &body, &crc); err != nil {
				return err
			}
			var key wire.ID
			copy(key[:], id)
			if e, err := decodeEntry(key, state, body); err == nil && sum("orders", []int64{state, ended}, id, body) == crc {
				all = append(all, e)
			}
			return nil
		}, "SELECT id, state, ended, body, crc FROM orders WHERE ended >= 0 ORDER BY ended DESC LIMIT ?", most)
	})
	slices.Reverse(all)
	return all, err
}
