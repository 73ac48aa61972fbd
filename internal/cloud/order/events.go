package order

import (
	"context"
	"time"

	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
	"upsedge/internal/wire"
)

// An Event is one line of the history of a device's orders.
type Event struct {
	Number   uint64 // per device, in the order of storing, without holes
	Order    string
	Action   policy.Action
	At       time.Time // when it was: the agent's word where its clock is trusted, else the arrival
	Arrived  time.Time
	State    wire.OrderState
	Reason   policy.Reason
	Progress int
	Detail   string
	Decided  string
	Kind     string // "": the order took this state; Stale, Repeated
}

// Kinds of events that changed nothing.
const (
	Stale    = "late"     // the order had moved on or ended when it came
	Repeated = "repeated" // it was told once more
)

// record writes an event down and wakes who waits for it.
func (b *Book) record(ctx context.Context, tx *store.Tx, o *Order, e Event) error {
	// The row is every writer's of this device: numbers are given in the order of commits.
	err := tx.QueryRow(ctx, `INSERT INTO order_devices (device, number) VALUES ($1, 1)
		ON CONFLICT (device) DO UPDATE SET number = order_devices.number + 1 RETURNING number`, o.Device).Scan(&e.Number)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO order_events (device, number, order_id, action, at, arrived, state, reason, progress, detail, decided, kind)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
		o.Device, e.Number, o.ID.String(), o.Action, store.Millis(e.At), store.Millis(e.Arrived), e.State, e.Reason, e.Progress, e.Detail, e.Decided, e.Kind)
	tx.After(func() { b.hub.wake(o.Device) })
	return err
}

// eventsAfter returns the events of a device, or of one order, behind a number and not from before an instant: at most limit.
func eventsAfter(ctx context.Context, tx *store.Tx, device, order string, after uint64, since time.Time, limit int) (out []Event, err error) {
	q, args := `device = $1 AND number > $2`, []any{device, after}
	if order != "" {
		q, args = `order_id = $1 AND number > $2`, []any{order, after}
	}
	q, args = q+` AND at >= $3 AND arrived >= $3`, append(args, store.Millis(since))
	rows, err := tx.Query(ctx, `SELECT number, order_id, action, at, arrived, state, reason, progress, detail, decided, kind FROM order_events
		WHERE `+q+` ORDER BY number LIMIT $4`, append(args, limit)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var e Event
		var at, arrived int64
		if err := rows.Scan(&e.Number, &e.Order, &e.Action, &at, &arrived, &e.State, &e.Reason, &e.Progress, &e.Detail, &e.Decided, &e.Kind); err != nil {
			return nil, err
		}
		e.At, e.Arrived = store.Instant(at), store.Instant(arrived)
		out = append(out, e)
	}
	return out, rows.Err()
}
