package command

import (
	"context"
	"errors"

	"upsedge/internal/policy"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// cancel carries out order.cancel: what has not begun ends, what runs is taken back if the unit can. It reports whether it goes on by
// itself.
func (x *Executor) cancel(ctx context.Context, o *Order, e *entry) (goesOn bool) {
	id, _ := orderToCancel(o.Command.Params) // judged
	x.mu.Lock()
	h := x.hands[o.Command.Device]
	var unit Unit
	stopped := false
	switch {
	case h == nil || h.e.cmd.ID != id: // it has ended meanwhile
		h = nil
	case h.phase == checking:
		h.revoke, stopped = true, true
	default:
		unit = h.unit
	}
	x.mu.Unlock()
	switch c, can := unit.(Canceller); {
	case h == nil:
		x.refuse(o, e, refuse(policy.NotFound, "that order has ended"))
	case stopped:
		e.state, e.detail = wire.OrderDone, "the order had not begun"
		_ = x.conclude(e) // else it is the order itself that tells
	case !can:
		x.refuse(o, e, refuse(policy.Unsupported, "the order runs, and the unit cannot take it back"))
	default:
		x.works.Go(func() {
			defer x.rest(e)
			x.takeBack(ctx, o, e, c, h.e.command())
		})
		return true
	}
	return false
}

// takeBack writes to the unit, like any other order: accepted, running, then the write, once.
func (x *Executor) takeBack(ctx context.Context, o *Order, e *entry, unit Canceller, c ups.Command) {
	err := x.write("accept an order", func(t *tx) {
		at := x.stamp()
		for _, s := range []wire.OrderState{wire.OrderReceived, wire.OrderAccepted, wire.OrderRunning} {
			e.state = s
			t.tell(e.outgoing(at))
		}
		t.add(e)
	})
	if err != nil {
		x.refuse(o, e, refuse(policy.LocalPolicy, "the journal of orders could not be written"))
		return
	}
	err = unit.Cancel(ctx, c)
	var r *ups.Refusal
	switch {
	case err == nil:
		e.outcome(ups.Outcome{State: ups.Done, Detail: "the unit was told"})
	case errors.As(err, &r):
		e.outcome(ups.Outcome{State: ups.Refused, Reason: r.Reason, Detail: r.Detail})
	default:
		e.outcome(ups.Outcome{State: ups.Unknown, Detail: "whether the unit was told is not known"})
	}
	x.insist(ctx, e)
}

// planFell takes back what runs on a plan that does not allow it any more, where the unit can (PLAN-11). What has not begun is refused by
// its last check.
func (x *Executor) planFell(changes []Change) {
	for _, c := range changes {
		x.mu.Lock()
		h := x.hands[c.After.Device]
		var unit Canceller
		if h != nil && h.phase == running && h.why == "" {
			cmd := h.e.cmd
			d := policy.Decide(policy.Action(cmd.Action), policy.Role(cmd.Role), policy.Lesser(c.After.Plan, policy.Plan(cmd.Plan)), cmd.MFA)
			if !d.Allowed && policy.Action(cmd.Action).DropsLoad() {
				h.why = d.Reason
				unit, _ = h.unit.(Canceller)
			}
		}
		x.mu.Unlock()
		if unit == nil {
			continue
		}
		x.works.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), checkWithin)
			defer cancel()
			if err := unit.Cancel(ctx, h.e.command()); err != nil {
				x.log.Info("an order could not be taken back", "order", describe(h.e), "err", err)
			}
		})
	}
}
