package order

import (
	"context"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

// Get returns an order to who may read the device's log: it tells who did what.
func (b *Book) Get(ctx context.Context, tx *store.Tx, actor cloud.Actor, id string) (*Order, error) {
	o, err := load(ctx, tx, id)
	if err != nil || o == nil {
		return nil, firstOf(err, errNoOrder)
	}
	if _, err := b.mayRead(ctx, tx, actor, o.Device); err != nil {
		return nil, hide(err)
	}
	return o, nil
}

// A Position is where a list goes on: behind this order.
type Position struct {
	At time.Time `json:"at"`
	ID string    `json:"id"`
}

// Position returns where a list goes on behind o.
func (o *Order) Position() Position { return Position{o.RequestedAt, o.ID.String()} }

// List returns the orders of a device, the newest first, behind a position (nil: from the newest), at most limit.
func (b *Book) List(ctx context.Context, tx *store.Tx, actor cloud.Actor, deviceID string, after *Position, limit int) ([]*Order, error) {
	if _, err := b.mayRead(ctx, tx, actor, deviceID); err != nil {
		return nil, err
	}
	if after == nil {
		return query(ctx, tx, `WHERE device = $1 ORDER BY requested_at DESC, id DESC LIMIT $2`, deviceID, limit)
	}
	return query(ctx, tx, `WHERE device = $1 AND (requested_at < $2 OR requested_at = $2 AND id < $3) ORDER BY requested_at DESC, id DESC LIMIT $4`,
		deviceID, millis(after.At), after.ID, limit)
}

// mayRead: orders tell what people did, and so are the Event Log's (PRIV-9).
func (b *Book) mayRead(ctx context.Context, tx *store.Tx, actor cloud.Actor, id string) (*device.Device, error) {
	d, role, err := b.subject(ctx, tx, actor, id)
	if err != nil {
		return nil, err
	}
	if decision := policy.Decide(policy.EventLogRead, role, d.PlanAt(b.now()), actor.MFA); !decision.Allowed {
		return nil, cloud.Refuse(decision.Reason, "reading orders by %s", role)
	}
	return d, nil
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
