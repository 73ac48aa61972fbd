package history

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"upsedge/internal/cloud/ingest"
	"upsedge/internal/cloud/store"
	"upsedge/internal/wire"
)

// mendRounds bounds how long one Mend keeps the follower: what it leaves is for the next.
const mendRounds = 64

// Mend takes blocks whose schema has come since, and gives those their time whose boot's clock is known now.
func (f *Follower) Mend(ctx context.Context) error {
	for _, query := range [...]string{
		`SELECT ` + columns + `, u.agent FROM unread u JOIN schemas s ON s.agent = u.agent AND s.hash = u.schema
			JOIN records r ON r.lane = u.lane AND r.arrival = u.arrival ORDER BY u.lane, u.arrival LIMIT $1`,
		`SELECT ` + columns + `, b.agent FROM blocks b JOIN records r ON r.lane = b.lane AND r.arrival = b.arrival
			WHERE b.certain = 0 AND EXISTS (SELECT 1 FROM anchors a WHERE a.agent = b.agent AND a.boot_id = r.boot_id) ORDER BY b.lane, b.arrival LIMIT $1`,
	} {
		for n, full := 0, true; full && n < mendRounds; n++ { // each leaves fewer of them
			err := f.db.Write(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
				full, err = mend(ctx, tx, query)
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	return f.db.Write(ctx, mendIncidents)
}

// mend indexes once more what a query finds, and reports whether there may be more of it.
func mend(ctx context.Context, tx *store.Tx, query string) (full bool, err error) {
	byAgent, n, err := ofAgents(ctx, tx, query)
	if err != nil {
		return false, err
	}
	for agent, list := range byAgent {
		schemas, err := ingest.Schemas(ctx, tx, agent)
		if err != nil {
			return false, err
		}
		in := indexer{tx: tx, agent: agent, schemas: schemas, latest: map[string]*Latest{}}
		for _, s := range list {
			if err := errors.Join(forget(ctx, tx, s), in.add(ctx, s)); err != nil {
				return false, err
			}
		}
		if err := in.saveLatest(ctx); err != nil {
			return false, err
		}
	}
	return n == atOnce, nil
}

// forget takes a record out of the index, and marks the summaries of where it was: it may get another time now.
func forget(ctx context.Context, tx *store.Tx, s stored) error {
	if _, err := tx.Exec(ctx, `DELETE FROM unread WHERE lane = $1 AND arrival = $2`, s.lane, s.arrival); err != nil {
		return err
	}
	var dev string
	var first, last int64
	err := tx.QueryRow(ctx, `DELETE FROM blocks WHERE lane = $1 AND arrival = $2 RETURNING device, first_at, last_at`, s.lane, s.arrival).Scan(&dev, &first, &last)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	} else if err != nil {
		return err
	}
	return stale(ctx, tx, dev, first, last)
}

// ofAgents reads the records that a query finds, and the agent of each: atOnce of them at most.
func ofAgents(ctx context.Context, tx *store.Tx, query string) (out map[string][]stored, n int, err error) {
	rows, err := tx.Query(ctx, query, atOnce)
	if err != nil {
		return nil, 0, err
	}
	defer rows.Close()
	out = map[string][]stored{}
	for rows.Next() {
		var agent string
		s, err := scanRecord(rows, &agent)
		if err != nil {
			return nil, 0, err
		}
		out[agent], n = append(out[agent], s), n+1
	}
	return out, n, rows.Err()
}

// mendIncidents gives incidents the times that their agent tells of that boot now.
func mendIncidents(ctx context.Context, tx *store.Tx) error {
	for _, q := range [...]struct{ find, set string }{
		{
			`SELECT i.id, l.agent, r.boot_id, r.mono FROM incidents i JOIN devices d ON d.id = i.device
				JOIN lanes l ON l.agent = d.agent AND l.stream = i.stream AND l.lane = $1 JOIN records r ON r.lane = l.id AND r.seq = i.seq
				WHERE i.certain = 0 AND EXISTS (SELECT 1 FROM anchors a WHERE a.agent = l.agent AND a.boot_id = r.boot_id) LIMIT $2`,
			`UPDATE incidents SET raised_at = $1, certain = 1 WHERE id = $2`,
		},
		{ // a clear is of the stream of its raise, but for one that names none
			`SELECT i.id, l.agent, r.boot_id, r.mono FROM incidents i JOIN devices d ON d.id = i.device
				JOIN lanes l ON l.agent = d.agent AND l.stream = i.stream AND l.lane = $1 JOIN records r ON r.lane = l.id AND r.seq = i.cleared_seq
				WHERE i.cleared_certain = 0 AND EXISTS (SELECT 1 FROM anchors a WHERE a.agent = l.agent AND a.boot_id = r.boot_id) LIMIT $2`,
			`UPDATE incidents SET cleared_at = $1, cleared_certain = 1 WHERE id = $2`,
		},
	} {
		found, err := moments(ctx, tx, q.find)
		if err != nil {
			return err
		}
		for _, m := range found {
			at, known, err := ingest.PlaceAt(ctx, tx, m.agent, m.boot, m.mono)
			if err != nil {
				return err
			}
			if !known {
				continue
			}
			if _, err := tx.Exec(ctx, q.set, at.UnixMilli(), m.incident); err != nil {
				return err
			}
		}
	}
	return nil
}

// A moment is when an agent raised or cleared an incident, by the clock of a boot.
type moment struct {
	incident, agent string
	boot            wire.ID
	mono            time.Duration
}

func moments(ctx context.Context, tx *store.Tx, query string) (out []moment, err error) {
	rows, err := tx.Query(ctx, query, int(wire.Events), 8*atOnce)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var m moment
		var boot []byte
		var mono int64
		if err := rows.Scan(&m.incident, &m.agent, &boot, &mono); err != nil {
			return nil, err
		}
		copy(m.boot[:], boot)
		m.mono = time.Duration(mono) * time.Microsecond
		out = append(out, m)
	}
	return out, rows.Err()
}
