package command

import (
	"context"
	"errors"
	"time"

	"upsedge/internal/policy"
	"upsedge/internal/trust"
	"upsedge/internal/ups"
)

const (
	// watchEvery is how often what runs is held against plan and grants: a plan ends without anybody saying so.
	watchEvery = time.Second
	// A unit that cannot be told now to take something back is told again, recallEvery later, for recallWithin. Off-delays are longer.
	recallEvery  = time.Second
	recallWithin = time.Minute
)

// lost returns the right that whoever ordered c has lost since, "" while they have it: the device is another owner's (EDGE-3), the grant
// ended (EDGE-5), the plan fell or ended (PLAN-11, PLAN-9). The caller holds mu.
func (x *Executor) lost(c *trust.Command) policy.Reason {
	b := x.binds[c.Device]
	if b == nil || b.Epoch != c.Epoch {
		return policy.NotBound
	}
	if b.stale(c.Actor, c.GrantVersion) {
		return policy.GrantStale
	}
	return policy.Decide(policy.Action(c.Action), policy.Role(c.Role), policy.Lesser(x.planOf(b, time.Now()), policy.Plan(c.Plan)), c.MFA).Reason
}

// recallLost takes back what waits in a unit though who ordered it may not have it any more (PLAN-11). What has not begun is refused by
// its last check; tests are finished.
func (x *Executor) recallLost() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, h := range x.hands {
		// What a process before has told the unit is not told again (R6), whether it was heard shows when the order ends.
		if h.e.local || h.phase != running || h.unit == nil || h.told || h.why != "" || !actions[policy.Action(h.e.cmd.Action)].waits {
			continue
		}
		if h.why = x.lost(h.e.cmd); h.why == "" {
			continue
		}
		x.log.Warn("an order that runs is not allowed any more", "order", h.e.cmd.ID, "action", h.e.cmd.Action, "reason", string(h.why))
		if _, can := h.unit.(Canceller); can {
			c, id, mark := h.e.command(), h.e.cmd.ID, recall{Why: h.why, Told: true}
			x.works.Go(func() {
				x.recall(h, func(told bool) error {
					mark.Told = told
					return x.write("take an order back", func(t *tx) { t.recall(id, mark) })
				}, c)
			})
		}
	}
}

// recall tells a unit to take an order back, once: it is written down before, and what was told and came to nothing is not told again.
// A unit that says no, or cannot be reached, has taken nothing: it is asked again while there is time.
func (x *Executor) recall(h *hand, mark func(told bool) error, c ups.Command) {
	ctx, cancel := context.WithTimeout(context.Background(), recallWithin)
	defer cancel()
	for {
		unit, goes := x.tell(h)
		switch {
		case !goes:
			return
		case unit == nil: // its line has just been taken away
		case mark(true) != nil:
			x.untold(h)
		default:
			err := unit.Cancel(ctx, c)
			var r *ups.Refusal
			if !errors.As(err, &r) {
				x.log.Info("the unit was told to take an order back", "action", c.Action, "err", err)
				return
			}
			_ = mark(false) // else it counts as told
			x.untold(h)
			if r.Reason == ups.ReasonBusy || r.Reason == ups.ReasonUPSRefused {
				x.log.Info("an order cannot be taken back", "action", c.Action, "reason", r.Reason, "detail", r.Detail)
				return
			}
		}
		select {
		case <-time.After(recallEvery):
		case <-ctx.Done():
			return
		}
	}
}

// tell claims that the unit is to be told to take an order back. goes reports whether that is still to be done; unit is nil while it is
// not reached.
func (x *Executor) tell(h *hand) (unit Canceller, goes bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.hands[h.e.cmd.Device] != h || h.told {
		return nil, false
	}
	unit, h.told = h.unit.(Canceller)
	return unit, true
}

// untold gives that back: nothing was taken by the unit.
func (x *Executor) untold(h *hand) {
	x.mu.Lock()
	defer x.mu.Unlock()
	h.told = false
}
