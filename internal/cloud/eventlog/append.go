package eventlog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

// Append writes an entry behind the last one of its chain, in the transaction of what it tells of. It fails for what is not declared
// (*FieldError) and for a device that was never registered; then nothing of the transaction may stay. A refusal of the cloud's that comes
// again and again is counted instead (refusals.go).
func Append(ctx context.Context, tx *store.Tx, e Entry) error {
	e, err := e.complete(time.Now())
	if err != nil {
		return err
	}
	l := &Logged{Entry: e, Chain: e.chain()}
	if e.Device != "" {
		if err := l.ofDevice(ctx, tx); err != nil {
			return err
		}
	}
	if l.counted() {
		if write, err := l.admit(ctx, tx); err != nil || !write {
			return err
		}
	}
	if err := l.take(ctx, tx); err != nil {
		return fmt.Errorf("event log: number of an entry in %s: %w", l.Chain, err)
	}
	l.Hash = l.sum()
	_, err = tx.Exec(ctx, `INSERT INTO event_log (`+columns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)`,
		l.Chain, l.Number, int64(l.Epoch), l.Org, l.Device, l.At.UnixMilli(), l.Arrived.UnixMilli(), l.Actor, string(l.Role), l.Action,
		encodeParams(l.Params), l.Outcome, string(l.Reason), l.Request, string(l.Plan), l.Decided, l.Previous[:], l.Hash[:])
	if err == nil {
		_, err = tx.Exec(ctx, `UPDATE event_heads SET hash = $1 WHERE chain = $2`, l.Hash[:], l.Chain)
	}
	if err != nil {
		return fmt.Errorf("event log: entry %d of %s: %w", l.Number, l.Chain, err)
	}
	return nil
}

// ofDevice fills in what the device knows. A device that has ended still gets entries: results that were on their way.
func (l *Logged) ofDevice(ctx context.Context, tx *store.Tx) error {
	var org string
	var plan policy.Plan
	var epoch, validUntil, standardUntil int64
	err := tx.QueryRow(ctx, `SELECT org, epoch, plan, valid_until, standard_until FROM devices WHERE id = $1`, l.Device).
		Scan(&org, &epoch, &plan, &validUntil, &standardUntil)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return &FieldError{l.Action, "device", "was never registered"}
	case err != nil:
		return fmt.Errorf("event log: device of an entry: %w", err)
	}
	l.Org, l.Epoch = org, uint32(epoch)
	if l.Plan == "" {
		l.Plan = planThen(plan, validUntil, standardUntil, l.At)
	}
	return nil
}

// take raises the head of the chain and sets number and Previous. The row of the head is what two who append at once wait for: behind the
// first one's commit the second runs again (SQLite: one writes at a time).
func (l *Logged) take(ctx context.Context, tx *store.Tx) error {
	var previous []byte
	err := tx.QueryRow(ctx, `INSERT INTO event_heads (chain, epoch, org, n, hash) VALUES ($1, $2, $3, 1, $4)
		ON CONFLICT (chain) DO UPDATE SET n = event_heads.n + 1 RETURNING n, hash`,
		l.Chain, int64(l.Epoch), l.Org, l.Previous[:]).Scan(&l.Number, &previous)
	if err == nil && copy(l.Previous[:], previous) != len(l.Previous) {
		err = fmt.Errorf("the head has a hash of %d bytes", len(previous))
	}
	return err
}
