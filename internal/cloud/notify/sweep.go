package notify

import (
	"context"
	"time"

	"upsedge/internal/cloud/store"
)

const (
	listedFor = 7 * 24 * time.Hour  // deliveries that ended stay in the list
	askedFor  = 30 * 24 * time.Hour // recipients that never confirmed
	eventsFor = 7 * 24 * time.Hour  // events that no process has spread: nobody wants to hear of them any more
)

// Sweep takes out what is over. Run does so each hour.
func (s *Service) Sweep(ctx context.Context) error {
	return s.DB.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
		now := s.Now()
		for _, q := range []struct {
			delete string
			before time.Time
		}{
			{`DELETE FROM notification_deliveries WHERE state <> 'waiting' AND ended_at <= $1`, now.Add(-listedFor)},
			{`DELETE FROM notification_recipients WHERE state = 'unconfirmed' AND created_at <= $1`, now.Add(-askedFor)},
			{`DELETE FROM notification_events WHERE arrived_at <= $1`, now.Add(-eventsFor)},
			{`DELETE FROM notification_refusals WHERE at <= $1`, now.Add(-refusalFor)},
		} {
			if _, err := tx.Exec(ctx, q.delete, q.before.UnixMilli()); err != nil {
				return err
			}
		}
		return nil
	})
}
