package order

import (
	"context"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

// Limits are the cloud's own, beside those of the site (T-07): somebody with another's session can do so much harm and no more.
type Limits struct {
	Actor, ActorDay   int // orders of one actor in a minute, in a day
	Device, DeviceDay int // orders for one device in ten minutes, in a day
	Load, LoadDay     int // of those, the ones that can drop the load
	Waiting           int // orders of one device that have not been answered
}

// DefaultLimits are those of an operator who has not said otherwise.
func DefaultLimits() Limits {
	return Limits{Actor: 20, ActorDay: 500, Device: 20, DeviceDay: 200, Load: 3, LoadDay: 12, Waiting: 8}
}

func (l Limits) orDefault() Limits {
	if l == (Limits{}) {
		return DefaultLimits()
	}
	return l
}

const day = 24 * time.Hour

// check refuses an order that is one too many (RATE_LIMIT). Cancelling counts for the actor alone: who may order must be able to take back.
// Orders of a job count for their devices as any other, and not for their actor: of whole jobs package job has limits.
func (l Limits) check(ctx context.Context, tx *store.Tx, o *Order) error {
	cancel := o.Action == policy.OrderCancel
	for _, w := range []struct {
		most   int
		within time.Duration
		of     string
		args   []any
		leave  bool
		what   string
	}{
		{l.Actor, time.Minute, `actor = $2 AND job = ''`, []any{o.Actor.Ref}, o.Job != "", "orders of yours in a minute"},
		{l.ActorDay, day, `actor = $2 AND job = ''`, []any{o.Actor.Ref}, cancel || o.Job != "", "orders of yours in a day"},
		{l.Device, 10 * time.Minute, `device = $2`, []any{o.Device}, cancel, "orders for this device in ten minutes"},
		{l.DeviceDay, day, `device = $2`, []any{o.Device}, cancel, "orders for this device in a day"},
		{l.Load, 10 * time.Minute, `device = $2 AND drops_load = 1`, []any{o.Device}, !o.dropsLoad(), "orders in ten minutes that can drop this load"},
		{l.LoadDay, day, `device = $2 AND drops_load = 1`, []any{o.Device}, !o.dropsLoad(), "orders in a day that can drop this load"},
	} {
		if w.leave {
			continue
		}
		var n, first int64
		args := append([]any{store.Millis(o.RequestedAt.Add(-w.within))}, w.args...)
		err := tx.QueryRow(ctx, `SELECT COUNT(*), COALESCE(MIN(requested_at), 0) FROM orders WHERE requested_at > $1 AND `+w.of, args...).Scan(&n, &first)
		if err != nil {
			return err
		}
		if n >= int64(w.most) {
			retry := store.Instant(first).Add(w.within).Sub(o.RequestedAt)
			return &cloud.Error{Reason: policy.RateLimit, Detail: "too many " + w.what, Retry: max(retry, time.Second)}
		}
	}
	if cancel {
		return nil
	}
	var waiting int
	err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM orders WHERE device = $1 AND final_at = 0 AND state IN ('pending', 'sent') AND action <> 'order.cancel'`,
		o.Device).Scan(&waiting)
	if err == nil && waiting >= l.Waiting {
		return &cloud.Error{Reason: policy.RateLimit, Detail: "too many orders wait for this device", Retry: shortLife}
	}
	return err
}
