package account

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

// A limit is how often something may happen in a stretch of time, which begins with the first. Counts are in the database: they hold over
// restarts and for all processes together.
type limit struct {
	name string
	most int64
	per  time.Duration
}

// Limits. A person who mistypes meets none of them; a guesser has, from one address at one account, forty tries in an hour, and from
// everywhere together a hundred. That somebody can keep another out by failing on purpose is bounded by the first: it counts per caller.
var (
	signInHere   = limit{"sign-in here", 10, 15 * time.Minute}        // failures of an address from one source
	signInAll    = limit{"sign-in", 100, time.Hour}                   // failures of an address
	signInSource = limit{"sign-in source", 100, 15 * time.Minute}     // failures from one source, whatever the address: stuffing of lists (T-84)
	factorHere   = limit{"factor here", 5, 15 * time.Minute}          // wrong second factors of an identity from one source
	factorAll    = limit{"factor", 20, time.Hour}                     // wrong second factors of an identity
	lettersTo    = limit{"letters", 5, time.Hour}                     // mails with a code that strangers have sent to an address
	lettersFrom  = limit{"letters source", 60, time.Hour}             // mails with a code asked for from one source
	codesWrong   = limit{"codes", 20, time.Hour}                      // wrong codes for an address (INV-12)
	codesSource  = limit{"codes source", 20, time.Hour}               // wrong codes from one source
	invitesBy    = limit{"invitations", 50, 24 * time.Hour}           // invitations by an account
	resendsOften = limit{"invitation resent", 1, time.Minute}         // of one invitation (INV-14)
	resendsDay   = limit{"invitation resent, day", 5, 24 * time.Hour} // of one invitation (INV-14)
)

// bucket is the key of a count: no address stands in the table.
func (l limit) bucket(of string) []byte {
	sum := sha256.Sum256([]byte(l.name + "\x00" + of))
	return sum[:]
}

// reached returns RATE_LIMIT when there is no more room, without counting.
func (l limit) reached(ctx context.Context, tx *store.Tx, now time.Time, of string) error {
	var hits, ends int64
	err := tx.QueryRow(ctx, `SELECT hits, ends_at FROM limits WHERE bucket = $1`, l.bucket(of)).Scan(&hits, &ends)
	switch left := time.UnixMilli(ends).Sub(now); {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err != nil:
		return err
	case hits >= l.most && left > 0:
		return tooOften(left)
	}
	return nil
}

func tooOften(left time.Duration) error {
	return &cloud.Error{Reason: policy.RateLimit, Detail: "too many tries; wait, then try again", Retry: left}
}

// count adds one.
func (l limit) count(ctx context.Context, tx *store.Tx, now time.Time, of string) error {
	ends := now.Add(l.per).UnixMilli()
	_, err := tx.Exec(ctx, `INSERT INTO limits (bucket, began_at, hits, ends_at) VALUES ($1, $2, 1, $3)
		ON CONFLICT (bucket) DO UPDATE SET
			hits = CASE WHEN limits.ends_at <= $2 THEN 1 ELSE limits.hits + 1 END,
			began_at = CASE WHEN limits.ends_at <= $2 THEN $2 ELSE limits.began_at END,
			ends_at = CASE WHEN limits.ends_at <= $2 THEN $3 ELSE limits.ends_at END`,
		l.bucket(of), now.UnixMilli(), ends)
	return err
}

// A counted is one limit of one thing.
type counted struct {
	limit
	of string
}

// anyReached returns the first refusal.
func anyReached(ctx context.Context, tx *store.Tx, now time.Time, list ...counted) error {
	for _, c := range list {
		if err := c.reached(ctx, tx, now, c.of); err != nil {
			return err
		}
	}
	return nil
}

func countAll(ctx context.Context, tx *store.Tx, now time.Time, list ...counted) error {
	for _, c := range list {
		if err := c.count(ctx, tx, now, c.of); err != nil {
			return err
		}
	}
	return nil
}

// spend counts where there is room, and refuses where there is none.
func spend(ctx context.Context, tx *store.Tx, now time.Time, list ...counted) error {
	if err := anyReached(ctx, tx, now, list...); err != nil {
		return err
	}
	return countAll(ctx, tx, now, list...)
}
