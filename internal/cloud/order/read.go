package order

import (
	"context"
	"errors"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

// Get returns an order to who may read the device's log: it tells who did what.
func (b *Book) Get(ctx context.Context, tx *store.Tx, actor cloud.Actor, id string) (*Order, error) {
	o, _, err := b.get(ctx, tx, actor, id)
	return o, err
}

// get is Get, and since when the reader may know what was done.
func (b *Book) get(ctx context.Context, tx *store.Tx, actor cloud.Actor, id string) (*Order, time.Time, error) {
	o, err := loadFor(ctx, tx, actor, id)
	if err != nil {
		return nil, time.Time{}, err
	}
	since, err := b.mayRead(ctx, tx, actor, o.Device)
	if err != nil {
		return nil, since, hide(err)
	}
	if o.RequestedAt.Before(since) {
		return nil, since, errNoOrder // LOG-7
	}
	return o, since, nil
}

// loadFor is load for somebody whose right on the order's device is asked next: of an order that does not exist a device is looked for, too, so
// that it takes no less than one that is not for them to know of (PERM-9). The error is errNoOrder for none.
func loadFor(ctx context.Context, tx *store.Tx, actor cloud.Actor, id string) (*Order, error) {
	o, err := load(ctx, tx, id)
	if err != nil || o != nil {
		return o, err
	}
	if _, err := device.GetFor(ctx, tx, actor, id); err != nil && !errors.Is(err, device.ErrNone) {
		return nil, err
	}
	return nil, errNoOrder
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
	since, err := b.mayRead(ctx, tx, actor, deviceID)
	if err != nil {
		return nil, err
	}
	if after == nil {
		return query(ctx, tx, `WHERE device = $1 AND requested_at >= $2 ORDER BY requested_at DESC, id DESC LIMIT $3`, deviceID, millis(since), limit)
	}
	return query(ctx, tx, `WHERE device = $1 AND requested_at >= $2 AND (requested_at < $3 OR requested_at = $3 AND id < $4)
		ORDER BY requested_at DESC, id DESC LIMIT $5`, deviceID, millis(since), millis(after.At), after.ID, limit)
}

// mayRead: orders tell what people did, and so are the Event Log's (PRIV-9). It returns since when the reader may know that (LOG-7).
func (b *Book) mayRead(ctx context.Context, tx *store.Tx, actor cloud.Actor, id string) (time.Time, error) {
	_, right, err := device.May(ctx, tx, actor, id, policy.EventLogRead, b.now())
	return right.Since, err
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
