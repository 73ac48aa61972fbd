package order

import (
	"context"
	"database/sql"
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
	dev, err := deviceOf(ctx, tx, id)
	if err != nil {
		return nil, time.Time{}, err
	}
	since, err := b.mayRead(ctx, tx, actor, dev)
	if err != nil {
		return nil, since, hide(err)
	}
	o, err := load(ctx, tx, id)
	if err != nil || o == nil {
		return nil, since, firstOf(err, errNoOrder)
	}
	if o.RequestedAt.Before(since) {
		return nil, since, errNoOrder // LOG-7
	}
	return o, since, nil
}

// deviceOf returns the device of an order, "" where there is none: whose right on it is asked next is answered with the same work for both
// (PERM-9), and no more of the order is read before.
func deviceOf(ctx context.Context, tx *store.Tx, id string) (dev string, err error) {
	err = tx.QueryRow(ctx, `SELECT device FROM orders WHERE id = $1`, id).Scan(&dev)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return dev, err
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
		return query(ctx, tx, `WHERE device = $1 AND requested_at >= $2 ORDER BY requested_at DESC, id DESC LIMIT $3`, deviceID, store.Millis(since), limit)
	}
	return query(ctx, tx, `WHERE device = $1 AND requested_at >= $2 AND (requested_at < $3 OR requested_at = $3 AND id < $4)
		ORDER BY requested_at DESC, id DESC LIMIT $5`, deviceID, store.Millis(since), store.Millis(after.At), after.ID, limit)
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
