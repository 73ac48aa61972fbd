// Package limit counts what may happen only so often: wrong codes, letters, invitations. Counts are in the database: they hold over restarts
// and for all processes together.
package limit

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

// A Limit is how often something may happen in a stretch of time, which begins with the first.
type Limit struct {
	Name string // counts of one name are one count
	Most int64
	Per  time.Duration
}

// Of returns the limit of one thing: of an address, an account, an invitation.
func (l Limit) Of(what string) Count { return Count{l, what} }

// bucket is the key of a count: no address stands in the table.
func (l Limit) bucket(of string) []byte {
	sum := sha256.Sum256([]byte(l.Name + "\x00" + of))
	return sum[:]
}

// reached returns RATE_LIMIT when there is no more room, without counting.
func (l Limit) reached(ctx context.Context, tx *store.Tx, now time.Time, of string) error {
	var hits, ends int64
	err := tx.QueryRow(ctx, `SELECT hits, ends_at FROM limits WHERE bucket = $1`, l.bucket(of)).Scan(&hits, &ends)
	switch left := time.UnixMilli(ends).Sub(now); {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err != nil:
		return err
	case hits >= l.Most && left > 0:
		return tooOften(left)
	}
	return nil
}

func tooOften(left time.Duration) error {
	return &cloud.Error{Reason: policy.RateLimit, Detail: "too many tries; wait, then try again", Retry: left}
}

// count adds one.
func (l Limit) count(ctx context.Context, tx *store.Tx, now time.Time, of string) error {
	ends := now.Add(l.Per).UnixMilli()
	_, err := tx.Exec(ctx, `INSERT INTO limits (bucket, began_at, hits, ends_at) VALUES ($1, $2, 1, $3)
		ON CONFLICT (bucket) DO UPDATE SET
			hits = CASE WHEN limits.ends_at <= $2 THEN 1 ELSE limits.hits + 1 END,
			began_at = CASE WHEN limits.ends_at <= $2 THEN $2 ELSE limits.began_at END,
			ends_at = CASE WHEN limits.ends_at <= $2 THEN $3 ELSE limits.ends_at END`,
		l.bucket(of), now.UnixMilli(), ends)
	return err
}

// A Count is one limit of one thing.
type Count struct {
	Limit
	of string
}

// Reached returns the first refusal.
func Reached(ctx context.Context, tx *store.Tx, now time.Time, list ...Count) error {
	for _, c := range list {
		if err := c.reached(ctx, tx, now, c.of); err != nil {
			return err
		}
	}
	return nil
}

// Add counts one of each.
func Add(ctx context.Context, tx *store.Tx, now time.Time, list ...Count) error {
	for _, c := range list {
		if err := c.count(ctx, tx, now, c.of); err != nil {
			return err
		}
	}
	return nil
}

// Spend counts where there is room, and refuses where there is none.
func Spend(ctx context.Context, tx *store.Tx, now time.Time, list ...Count) error {
	if err := Reached(ctx, tx, now, list...); err != nil {
		return err
	}
	return Add(ctx, tx, now, list...)
}
