package order

import (
	"context"

	"upsedge/internal/cloud/store"
)

// Find returns an order for whoever has judged, or judges next, whether it may be known; nil when there is none.
func Find(ctx context.Context, tx *store.Tx, id string) (*Order, error) { return load(ctx, tx, id) }

// DeviceOf returns the device of an order, "" where there is none: whose right on that is asked next is answered with the same work for both
// (PERM-9).
func DeviceOf(ctx context.Context, tx *store.Tx, id string) (string, error) {
	return deviceOf(ctx, tx, id)
}
