package order

import (
	"context"
	"errors"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
	"upsedge/internal/wire"
)

// Cancel takes an order back: one's own, the owner any. What waits is cancelled at once; what was sent gets an order.cancel, which the
// agent decides, and is not sent again meanwhile. It returns the order as it is now, and the order.cancel, which has ended already in the
// first case. Asked once more while one is on its way, it returns that. Refusals are as Create's, and CONFLICT where the order has ended.
func (b *Book) Cancel(ctx context.Context, tx *store.Tx, actor cloud.Actor, id string) (target, cancel *Order, err error) {
	now := b.now().UTC().Truncate(time.Millisecond)
	dev, err := deviceOf(ctx, tx, id)
	if err != nil {
		return nil, nil, err
	}
	d, right, err := b.may(ctx, tx, actor, dev, policy.OrderCancel, now)
	if err != nil {
		return nil, nil, hide(err)
	}
	if target, err = load(ctx, tx, id); err != nil || target == nil {
		return nil, nil, firstOf(err, errNoOrder)
	}
	if err := mayCancel(target, actor.Ref, right.Role); err != nil {
		return nil, nil, err
	}
	switch {
	case !target.FinalAt.IsZero():
		return nil, nil, cloud.Refuse(policy.Conflict, "the order has ended: %s", target.State)
	case target.Action == policy.OrderCancel:
		return nil, nil, cloud.Refuse(policy.Conflict, "a cancellation cannot be cancelled")
	case target.Cancel != "":
		if cancel, err = load(ctx, tx, target.Cancel); err != nil || cancel != nil && cancel.FinalAt.IsZero() {
			return target, cancel, err
		}
	}
	cancel = newOrder(d, actor, right, policy.OrderCancel, map[string]string{targetParam: id}, now)
	cancel.Target = id
	if err := b.limits.check(ctx, tx, cancel); err != nil {
		return nil, nil, err
	}
	return target, cancel, b.beginCancel(ctx, tx, target, cancel)
}

// mayCancel: one's own, the owner any (rules, section 2).
func mayCancel(target *Order, actor string, role policy.Role) error {
	if target.Actor.Ref != actor && role != policy.Owner {
		return cloud.Refuse(policy.OwnerOnly, "the order is somebody else's")
	}
	return nil
}

// beginCancel ends what was not sent, and else sets the cancellation on its way.
func (b *Book) beginCancel(ctx context.Context, tx *store.Tx, target, cancel *Order) error {
	target.Cancel = cancel.ID.String()
	if target.State != Pending {
		if err := target.update(ctx, tx); err != nil {
			return err
		}
		return b.begin(ctx, tx, cancel)
	}
	cancel.State, cancel.FinalAt = wire.OrderDone, cancel.RequestedAt
	cancel.Detail = "it had not been sent"
	if err := b.begin(ctx, tx, cancel); err != nil {
		return err
	}
	return b.end(ctx, tx, target, cancel.RequestedAt, wire.OrderCancelled, policy.Cancelled, "before it was sent")
}

// createCancel is Create for order.cancel.
func (b *Book) createCancel(ctx context.Context, tx *store.Tx, actor cloud.Actor, r Request) (*Created, error) {
	if _, _, err := b.may(ctx, tx, actor, r.Device, r.Action, b.now()); err != nil {
		return nil, err
	}
	params, err := checkParams(r.Action, r.Params)
	if err != nil {
		return nil, err
	}
	target, err := load(ctx, tx, params[targetParam])
	if err != nil || target == nil || target.Device != r.Device {
		return nil, firstOf(err, errNoOrder)
	}
	_, cancel, err := b.Cancel(ctx, tx, actor, params[targetParam])
	return &Created{Order: cancel}, err
}

// settleTarget ends the order that a cancellation meant, when the agent has no such order in hand and has told nothing of it: commands come
// in order on a session, this one is not sent again, and its counter has been passed. So the agent never had it and never will.
func (b *Book) settleTarget(ctx context.Context, tx *store.Tx, cancel *Order, at time.Time) error {
	if cancel.Action != policy.OrderCancel || cancel.State != wire.OrderRefused || cancel.Reason != policy.NotFound {
		return nil
	}
	target, err := load(ctx, tx, cancel.Target)
	if err != nil || target == nil || target.State != Sent || target.Cancel != cancel.ID.String() {
		return err
	}
	return b.end(ctx, tx, target, at, wire.OrderCancelled, policy.Cancelled, "it never reached the agent")
}

// hide makes an order that may not be seen one that is not there.
func hide(err error) error {
	if errors.Is(err, device.ErrNone) {
		return errNoOrder
	}
	return err
}
