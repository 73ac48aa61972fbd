package device

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"upsedge/internal/cloud/store"
)

const (
	// mostLook is the longest pause between two looks for the next end: another process may have set one.
	mostLook = time.Minute
	// afterFailure is the pause behind a look that failed.
	afterFailure = time.Second
	atOnce       = 200 // plans written down between two looks
)

// EndPlans writes down which plans have ended by themselves: what follows is in force from that instant on whether this has run or not, but
// an agent believes a plan only with a higher grant version. Each is a transaction of its own, in which the device is read again: of any
// number of processes one writes it down.
func (r *Registry) EndPlans(ctx context.Context, db *store.DB) error {
	for {
		over, err := r.over(ctx, db)
		if err != nil || len(over) == 0 {
			return err
		}
		for _, id := range over {
			err := db.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
				d, err := Get(ctx, tx, id)
				if errors.Is(err, ErrNone) {
					return nil // it has ended meanwhile
				}
				if err != nil {
					return err
				}
				return r.settle(ctx, tx, d, fromMillis(r.now().UnixMilli()))
			})
			if err != nil {
				return err
			}
		}
	}
}

// over returns devices whose plan has ended.
func (r *Registry) over(ctx context.Context, db *store.DB) (ids []string, err error) {
	err = db.Read(ctx, func(ctx context.Context, tx *store.Tx) error {
		ids = ids[:0]
		rows, err := tx.Query(ctx, `SELECT id FROM devices WHERE ended_at IS NULL AND plan <> 'basic' AND valid_until <> 0 AND valid_until <= $1
			ORDER BY valid_until LIMIT $2`, r.now().UnixMilli(), atOnce)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id string
			if err := rows.Scan(&id); err != nil {
				return err
			}
			ids = append(ids, id)
		}
		return rows.Err()
	})
	return ids, err
}

// nextEnd returns how long it is until the next end, at most mostLook.
func (r *Registry) nextEnd(ctx context.Context, db *store.DB) (time.Duration, error) {
	var next sql.NullInt64
	err := db.Read(ctx, func(ctx context.Context, tx *store.Tx) error {
		return tx.QueryRow(ctx, `SELECT MIN(valid_until) FROM devices WHERE ended_at IS NULL AND plan <> 'basic' AND valid_until <> 0`).Scan(&next)
	})
	if err != nil || !next.Valid {
		return mostLook, err
	}
	return min(max(time.UnixMilli(next.Int64).Sub(r.now()), 0), mostLook), nil
}

// look has Run ask for the next end again: a plan was set.
func (r *Registry) look() {
	select {
	case r.wake <- struct{}{}:
	default: // it will
	}
}

// Run ends plans, each at its moment, until ctx ends, which is no error. Every process may.
func (r *Registry) Run(ctx context.Context, db *store.DB) error {
	for {
		err := r.EndPlans(ctx, db)
		var pause time.Duration
		if err == nil {
			pause, err = r.nextEnd(ctx, db)
		}
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			pause = afterFailure
			r.log.Error("plans that ended were not written down", "err", err)
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-r.wake:
		case <-timer.C:
		}
		timer.Stop()
		if ctx.Err() != nil {
			return nil
		}
	}
}
