package ingest

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"upsedge/internal/cloud/store"
	"upsedge/internal/wire"
)

// Schemas returns the schemas that an agent has announced so far, for who reads its blocks behind the batch.
func Schemas(ctx context.Context, tx *store.Tx, agent string) (*wire.Schemas, error) {
	rows, err := tx.Query(ctx, `SELECT layout FROM schemas WHERE agent = $1`, agent)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	known := &wire.Schemas{}
	for rows.Next() {
		var text []byte
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		l, err := parseLayout(text)
		if err != nil {
			return nil, err
		}
		if _, err := known.Add(l); err != nil {
			return nil, err
		}
	}
	return known, rows.Err()
}

// PlaceAt returns the wall time of an instant of an agent's boot, by the stamp nearest to it that has both times; false while there is none
// (FORMAT.md, section 3).
func PlaceAt(ctx context.Context, tx *store.Tx, agent string, boot wire.ID, mono time.Duration) (time.Time, bool, error) {
	var best wire.Stamp
	for _, query := range [...]string{
		`SELECT mono, wall FROM anchors WHERE agent = $1 AND boot_id = $2 AND mono <= $3 ORDER BY mono DESC LIMIT 1`,
		`SELECT mono, wall FROM anchors WHERE agent = $1 AND boot_id = $2 AND mono > $3 ORDER BY mono LIMIT 1`,
	} {
		var at, wall int64
		err := tx.QueryRow(ctx, query, agent, boot[:], mono.Microseconds()).Scan(&at, &wall)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		} else if err != nil {
			return time.Time{}, false, err
		}
		s := wire.Stamp{Mono: time.Duration(at) * time.Microsecond, Wall: time.UnixMilli(wall).UTC()}
		if best.Wall.IsZero() || (s.Mono-mono).Abs() < (best.Mono-mono).Abs() {
			best = s
		}
	}
	if best.Wall.IsZero() {
		return time.Time{}, false, nil
	}
	return best.Wall.Add(mono - best.Mono), true, nil
}
