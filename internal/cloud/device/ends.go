package device

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"upsedge/internal/cloud/store"
)

const (
	// mostLook is the longest pause between two looks for the next end: another process may have set one that comes soon.
	mostLook = 10 * time.Second
	// afterFailure is the pause behind a look that failed.
	afterFailure = time.Second
	atOnce       = 200 // plans written down between two looks
)

// EndPlans writes down which plans have ended by themselves: what follows is in force from that instant on whether this has run or not, but
// an agent believes a plan only with a higher grant version. Each is a transaction of its own, in which the device is read again: of any
// number of processes one writes it down.
func (r *Registry) EndPlans(ctx context.Context, db *store.DB) error {
	return r.each(ctx, db, `SELECT id FROM devices WHERE ended_at IS NULL AND plan <> 'basic' AND valid_until <> 0 AND valid_until <= $1
		ORDER BY valid_until LIMIT $2`, r.endPlan)
}

func (r *Registry) endPlan(ctx context.Context, tx *store.Tx, id string) error {
	d, err := Get(ctx, tx, id)
	if errors.Is(err, ErrNone) {
		return nil // it is no device any more
	}
	if err != nil {
		return err
	}
	return r.settle(ctx, tx, d, store.Instant(r.now().UnixMilli()))
}

// each runs fn for the devices of a query (now, limit), each in a transaction of its own, until there are none. One that fails keeps no other of
// its batch waiting, and is tried again by the next call.
func (r *Registry) each(ctx context.Context, db *store.DB, query string, fn func(ctx context.Context, tx *store.Tx, id string) error) error {
	for {
		ids, err := r.due(ctx, db, query)
		if err != nil || len(ids) == 0 {
			return err
		}
		for _, id := range ids {
			if failed := db.Write(ctx, func(ctx context.Context, tx *store.Tx) error { return fn(ctx, tx, id) }); failed != nil {
				err = errors.Join(err, fmt.Errorf("device %s: %w", id, failed))
			}
		}
		if err != nil {
			return err
		}
	}
}

func (r *Registry) due(ctx context.Context, db *store.DB, query string) (ids []string, err error) {
	err = db.Read(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
		ids, err = tx.Texts(ctx, query, r.now().UnixMilli(), atOnce)
		return err
	})
	return ids, err
}

// untilNext returns how long it is until the next end or warning, at most mostLook.
func (r *Registry) untilNext(ctx context.Context, db *store.DB) (pause time.Duration, err error) {
	err = db.Read(ctx, func(ctx context.Context, tx *store.Tx) error {
		pause = mostLook
		for _, query := range []string{
			`SELECT MIN(valid_until) FROM devices WHERE ended_at IS NULL AND plan <> 'basic' AND valid_until <> 0`,
			`SELECT MIN(warn_at) FROM devices WHERE warn_at <> 0`,
		} {
			var next sql.NullInt64
			if err := tx.QueryRow(ctx, query).Scan(&next); err != nil {
				return err
			}
			if next.Valid {
				pause = min(pause, max(time.UnixMilli(next.Int64).Sub(r.now()), 0))
			}
		}
		return nil
	})
	return pause, err
}

// look has Run ask for the next end again: a plan was set.
func (r *Registry) look() {
	select {
	case r.wake <- struct{}{}:
	default: // it will
	}
}

// Run ends plans and warns of their ends, each at its moment, until ctx ends, which is no error. Every process may.
func (r *Registry) Run(ctx context.Context, db *store.DB) error {
	for {
		pause, err := r.round(ctx, db)
		if err != nil && ctx.Err() == nil {
			pause = afterFailure
			r.log.Error("plans that ended, or will, were not looked after", "err", err)
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

// round does once what Run does, and returns after how long there is more to do.
func (r *Registry) round(ctx context.Context, db *store.DB) (time.Duration, error) {
	ends := r.EndPlans(ctx, db)
	warnings := r.WarnOfEnds(ctx, db)
	pause, err := r.untilNext(ctx, db)
	return pause, errors.Join(ends, warnings, err)
}
