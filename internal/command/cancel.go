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
	stopped, already, away := false, false, false
	switch {
	case h == nil || h.e.cmd.ID != id: // it has ended meanwhile
		h = nil
	case h.phase == checking:
		h.revoke, stopped = true, true
	case h.told:
		already = true
	case h.unit == nil:
		away = true
	default:
		unit = h.unit
		_, h.told = unit.(Canceller)
	}
	x.mu.Unlock()
	switch c, can := unit.(Canceller); {
	case h == nil:
		x.refuse(o, e, refuse(policy.NotFound, "that order has ended"))
	case stopped:
		e.state, e.detail = wire.OrderDone, "the order had not begun"
		_ = x.conclude(e) // else it is the order itself that tells
	case already:
		x.refuse(o, e, refuse(policy.Busy, "the unit has been told already to take it back"))
	case away:
		x.refuse(o, e, refuse(policy.UPSUnreachable, "the order runs, and the unit is not reached now"))
	case !can:
		x.refuse(o, e, refuse(policy.Unsupported, "the order runs, and the unit cannot take it back"))
	default:
		x.works.Go(func() {
			defer x.rest(e)
			x.takeBack(ctx, o, e, c, h)
		})
		return true
	}
	return false
}

// takeBack writes to the unit, like any other order: accepted, running, then the write, once.
func (x *Executor) takeBack(ctx context.Context, o *Order, e *entry, unit Canceller, target *hand) {
	err := x.write("accept an order", func(t *tx) {
		at := x.stamp()
		t.recall(target.e.cmd.ID, recall{Told: true}) // nobody takes what shows at the unit for the order's own doing
		for _, s := range []wire.OrderState{wire.OrderReceived, wire.OrderAccepted, wire.OrderRunning} {
			e.state = s
			t.tell(e.outgoing(at))
		}
		t.add(e)
	})
	if err != nil {
		x.untold(target)
		x.refuse(o, e, refuse(policy.LocalPolicy, "the journal of orders could not be written"))
		return
	}
	err = unit.Cancel(ctx, target.e.command())
	var r *ups.Refusal
	switch {
	case err == nil:
		e.outcome(ups.Outcome{State: ups.Done, Detail: "the unit was told"})
	case errors.As(err, &r):
		_ = x.write("note that nothing was taken back", func(t *tx) { t.recall(target.e.cmd.ID, recall{}) })
		x.untold(target)
		e.outcome(ups.Outcome{State: ups.Refused, Reason: r.Reason, Detail: r.Detail})
	default:
		e.outcome(ups.Outcome{State: ups.Unknown, Detail: "whether the unit was told is not known"})
	}
	x.insist(ctx, e)
}
