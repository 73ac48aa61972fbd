package eventlog

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"time"

	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

// Refusals are written down (LOG-1), and whoever is refused can ask again as fast as the line allows: without a bound somebody with an
// account fills the database, and the log of a device that was shared with them. So of one actor, in one chain, for one action and reason,
// mostRefusals are entries; the rest of the hour is counted, and one entry with the parameter "more" says how many there were. Nothing else
// is summed up: orders, which are bounded by themselves, end with an entry each (Entry.Own), and what agents refuse is theirs to tell.
const (
	mostRefusals = 20
	refusalsPer  = time.Hour
	moreParam    = "more" // of any action, for this alone: Allowed lets nobody outside name it
)

// counted reports whether an entry is one that is summed up when it comes too often.
func (l *Logged) counted() bool {
	return l.Outcome == Refused && l.Decided == ByCloud && !l.Own && l.more == 0
}

// admit counts a refusal and reports whether it is an entry of its own.
func (l *Logged) admit(ctx context.Context, tx *store.Tx) (bool, error) {
	before, err := l.refusals(ctx, tx)
	if err != nil {
		return false, err
	}
	if before != nil && l.Arrived.Before(before.ends) && l.Arrived.After(before.ends.Add(-2*refusalsPer)) { // not of a clock that was set back far
		_, err := tx.Exec(ctx, `UPDATE refusals SET hits = hits + 1, last_at = $1, request = $2, role = $3 WHERE chain = $4 AND actor = $5 AND action = $6 AND reason = $7`,
			l.Arrived.UnixMilli(), l.Request, string(l.Role), l.Chain, l.Actor, l.Action, string(l.Reason))
		return before.hits < mostRefusals, err
	}
	if before != nil {
		if err := before.end(ctx, tx, l.Arrived); err != nil {
			return false, err
		}
	}
	_, err = tx.Exec(ctx, `INSERT INTO refusals (chain, actor, action, reason, org, device, role, hits, ends_at, last_at, request) VALUES ($1, $2, $3, $4, $5, $6, $7, 1, $8, $9, $10)`,
		l.Chain, l.Actor, l.Action, string(l.Reason), l.Entry.Org, l.Device, string(l.Role), l.Arrived.Add(refusalsPer).UnixMilli(), l.Arrived.UnixMilli(), l.Request)
	return true, err
}

// A refusalCount is how often somebody was refused, in the hour that ends at ends.
type refusalCount struct {
	chain                                               string
	org, device, actor, role, action, reason, lastAsked string
	hits                                                int64
	ends, last                                          time.Time
}

const refusalColumns = `chain, org, device, actor, role, action, reason, request, hits, ends_at, last_at`

func scanRefusals(row interface{ Scan(...any) error }) (*refusalCount, error) {
	var c refusalCount
	var ends, last int64
	err := row.Scan(&c.chain, &c.org, &c.device, &c.actor, &c.role, &c.action, &c.reason, &c.lastAsked, &c.hits, &ends, &last)
	c.ends, c.last = time.UnixMilli(ends).UTC(), time.UnixMilli(last).UTC()
	return &c, err
}

// refusals returns the count that a refusal belongs to, nil for none.
func (l *Logged) refusals(ctx context.Context, tx *store.Tx) (*refusalCount, error) {
	c, err := scanRefusals(tx.QueryRow(ctx, `SELECT `+refusalColumns+` FROM refusals WHERE chain = $1 AND actor = $2 AND action = $3 AND reason = $4`,
		l.Chain, l.Actor, l.Action, string(l.Reason)))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return c, err
}

// end forgets a count, and says how many refusals had no entry.
func (c *refusalCount) end(ctx context.Context, tx *store.Tx, now time.Time) error {
	n, err := tx.Exec(ctx, `DELETE FROM refusals WHERE chain = $1 AND actor = $2 AND action = $3 AND reason = $4`, c.chain, c.actor, c.action, c.reason)
	if err != nil || n == 0 || c.hits <= mostRefusals || !Known(c.action) {
		return err
	}
	err = Append(ctx, tx, Entry{
		Device: c.device, Org: c.org, At: c.last, Arrived: now, Actor: c.actor, Role: policy.Role(c.role), Action: c.action, Outcome: Refused,
		Reason: policy.Reason(c.reason), Request: c.lastAsked, more: c.hits - mostRefusals,
	})
	var gone *FieldError
	if errors.As(err, &gone) && gone.Field == "device" {
		return nil // its log has gone with it
	}
	return err
}

// more is the parameter of an entry that stands for several.
func (e *Entry) addMore() {
	if e.more > 0 {
		if e.Params == nil {
			e.Params = map[string]string{}
		}
		e.Params[moreParam] = strconv.FormatInt(e.more, 10)
	}
}

const (
	sumEvery = time.Minute
	sumBatch = 100
)

// SumRefusals writes, once, the entries of the hours that have ended.
func SumRefusals(ctx context.Context, db *store.DB, now time.Time) error {
	for {
		n := 0
		err := db.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
			ended, err := endedRefusals(ctx, tx, now)
			n = len(ended)
			for _, c := range ended {
				if err == nil {
					err = c.end(ctx, tx, now)
				}
			}
			return err
		})
		if err != nil || n < sumBatch {
			return err
		}
	}
}

func endedRefusals(ctx context.Context, tx *store.Tx, now time.Time) (list []*refusalCount, err error) {
	rows, err := tx.Query(ctx, `SELECT `+refusalColumns+` FROM refusals WHERE ends_at <= $1 ORDER BY ends_at LIMIT $2`, now.UnixMilli(), sumBatch)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		c, err := scanRefusals(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, errors.Join(rows.Err(), rows.Close())
}

// RunSums calls SumRefusals each minute until ctx ends, which is no error.
func (s *Signer) RunSums(ctx context.Context, db *store.DB) error {
	tick := time.NewTicker(sumEvery)
	defer tick.Stop()
	for {
		if err := SumRefusals(ctx, db, s.now()); err != nil && ctx.Err() == nil {
			s.log.Error("refusals were not summed up in the event log", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
