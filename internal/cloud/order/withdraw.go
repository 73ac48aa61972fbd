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

// GrantEnded ends what was asked for by somebody whose right on a device has ended, in the transaction that ends it (TIME-1): what waits is
// refused without waiting for its delivery, whichever process has the agent; what was sent is not sent again, even if its actor is given a right
// anew, and the agent refuses it by the statement that goes out behind this commit (EDGE-5). Feeds look at once. It is for device.Registry.OnGrantEnd.
func (b *Book) GrantEnded(ctx context.Context, tx *store.Tx, d *device.Device, g *device.Grant) error {
	return b.withdraw(ctx, tx, d, &cloud.Error{Reason: policy.GrantStale, Detail: "the right of who asked has ended"}, func(o *Order) bool {
		return o.Actor.Account == g.Account && o.Role == g.Role
	})
}

// DeviceEnded ends what was asked of a device that is not registered any more. It is for device.Registry.OnDeviceEnd.
func (b *Book) DeviceEnded(ctx context.Context, tx *store.Tx, d *device.Device) error {
	return b.withdraw(ctx, tx, d, &cloud.Error{Reason: policy.NotBound, Detail: "the device is not registered any more"}, func(*Order) bool { return true })
}

func (b *Book) withdraw(ctx context.Context, tx *store.Tx, d *device.Device, why *cloud.Error, of func(*Order) bool) error {
	open, err := query(ctx, tx, `WHERE device = $1 AND final_at = 0 ORDER BY requested_at, id`, d.ID)
	if err != nil {
		return err
	}
	now := b.now().UTC().Truncate(time.Millisecond)
	for _, o := range open {
		if !of(o) || o.Withheld {
			continue
		}
		if err := b.refuse(ctx, tx, o, now, why); err != nil {
			return err
		}
	}
	tx.After(func() { b.hub.wake(d.ID) })
	return nil
}

// AgentEnded ends what an agent has that is one no more, in the transaction that removes it: nobody can tell any more how it ended. It is for
// authority.Options.Removed.
func (b *Book) AgentEnded(ctx context.Context, tx *store.Tx, agent string) error {
	if _, err := tx.Exec(ctx, `UPDATE order_agents SET session = 0, stated = 0 WHERE agent = $1`, agent); err != nil {
		return err
	}
	open, err := openOrders(ctx, tx, agent)
	if err != nil {
		return err
	}
	now := b.now()
	for _, o := range open {
		if o.State == Pending {
			err = b.end(ctx, tx, o, now, wire.OrderRefused, policy.NotBound, "the agent was removed before it was sent")
		} else {
			err = b.end(ctx, tx, o, now, wire.OrderUnknown, policy.NotBound, "the agent was removed; the last that is known is "+string(o.State))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// judgeAgain refuses what waits and may not be sent any more, since plan or grants of its device have changed: also where its agent is away, and
// whoever has made the change, a command of the operator for instance.
func (b *Book) judgeAgain(ctx context.Context) error {
	var ids []string
	err := b.db.Read(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
		ids, err = tx.Texts(ctx, `SELECT o.id FROM orders o JOIN devices d ON d.id = o.device
			WHERE o.final_at = 0 AND o.state = 'pending' AND o.sent_grant <> d.grant_version LIMIT $1`, sweepOnce)
		return err
	})
	if err != nil || len(ids) == 0 {
		return err
	}
	return b.db.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
		for _, id := range ids {
			o, err := load(ctx, tx, id)
			if err == nil && o != nil && o.State == Pending {
				err = b.judgeWaiting(ctx, tx, o)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func (b *Book) judgeWaiting(ctx context.Context, tx *store.Tx, o *Order) error {
	now := b.now().UTC().Truncate(time.Millisecond)
	c, err := b.command(ctx, tx, o, now)
	var refusal *cloud.Error
	if errors.As(err, &refusal) {
		return b.refuse(ctx, tx, o, now, refusal)
	}
	if err != nil {
		return err
	}
	o.Grant = c.GrantVersion
	return o.update(ctx, tx)
}

// StopJob ends what has not begun of a job, as Cancel would: what was not sent is cancelled at once, for the reason why; an order.cancel goes
// behind what was sent, where who asked may still do that, and the agent decides. What runs goes on.
func (b *Book) StopJob(ctx context.Context, tx *store.Tx, actor cloud.Actor, job, why string) error {
	open, err := query(ctx, tx, `WHERE job = $1 AND final_at = 0 AND target = '' ORDER BY requested_at, id`, job)
	if err != nil {
		return err
	}
	for _, o := range open {
		if err := b.stop(ctx, tx, actor, o, why); err != nil {
			return err
		}
	}
	return nil
}

func (b *Book) stop(ctx context.Context, tx *store.Tx, actor cloud.Actor, o *Order, why string) error {
	now := b.now().UTC().Truncate(time.Millisecond)
	switch {
	case o.State == Pending:
		return b.end(ctx, tx, o, now, wire.OrderCancelled, policy.Cancelled, why)
	case rank(o.State) >= rank(wire.OrderRunning) || o.Cancel != "":
		return nil
	}
	d, right, err := b.may(ctx, tx, actor, o.Device, policy.OrderCancel, now)
	var refusal *cloud.Error
	if errors.As(err, &refusal) {
		return nil // who may not take it back does not; a right that has ended is told to the agent by itself
	}
	if err != nil {
		return err
	}
	cancel := newOrder(d, actor, right, policy.OrderCancel, map[string]string{targetParam: o.ID.String()}, now)
	cancel.Target, cancel.Job = o.ID.String(), o.Job
	return b.beginCancel(ctx, tx, o, cancel)
}
