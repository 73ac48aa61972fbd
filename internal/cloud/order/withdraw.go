package order

import (
	"context"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
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
