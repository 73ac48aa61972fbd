package history

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/eventlog"
	"upsedge/internal/cloud/store"
	"upsedge/internal/wire"
)

// An Inventory is what a device is.
type Inventory struct {
	Unit, Model, Firmware, Agent string    // Agent is the version of the program on site
	Since                        time.Time // of the last change
}

// A Change of the inventory.
type Change struct {
	Number   int64 // 1, 2, 3 …
	At       time.Time
	Field    string // unit, model, firmware, agent
	Old, New string
}

// TakeState is for ingest.Sinks.State: it notes what changed of the devices of an agent. Texts are cut and cleaned as everywhere (T-54).
func TakeState(ctx context.Context, tx *store.Tx, agent string, full *wire.FullState, at time.Time) error {
	devices, err := device.OfAgent(ctx, tx, agent)
	if err != nil || len(devices) == 0 {
		return err
	}
	var version string // ingest has it from the first message of the session
	if err := tx.QueryRow(ctx, `SELECT version FROM agents WHERE name = $1`, agent).Scan(&version); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	for _, d := range devices {
		for i := range full.Units {
			if u := &full.Units[i]; u.Serial == d.Serial {
				if err := note(ctx, tx, d.ID, Inventory{eventlog.Clean(u.Unit), eventlog.Clean(u.Model), eventlog.Clean(u.Firmware), version, at}, at); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func note(ctx context.Context, tx *store.Tx, dev string, now Inventory, at time.Time) error {
	had, err := ReadInventory(ctx, tx, dev)
	if err != nil {
		return err
	}
	first, changed := had.Since.IsZero(), false
	for _, f := range [...]struct{ name, old, new string }{
		{"unit", had.Unit, now.Unit}, {"model", had.Model, now.Model}, {"firmware", had.Firmware, now.Firmware}, {"agent", had.Agent, now.Agent},
	} {
		if f.old == f.new || f.new == "" { // what is not known yet is no change
			continue
		}
		if changed = true; first {
			continue
		}
		if _, err := tx.Exec(ctx, `INSERT INTO inventory_changes (device, number, at, field, old, new)
			SELECT $1, COALESCE(MAX(number), 0) + 1, CAST($2 AS BIGINT), CAST($3 AS TEXT), CAST($4 AS TEXT), CAST($5 AS TEXT) FROM inventory_changes WHERE device = $1`,
			dev, at.UnixMilli(), f.name, f.old, f.new); err != nil {
			return err
		}
	}
	if !changed {
		return nil
	}
	keep := func(now, old string) string {
		if now == "" {
			return old
		}
		return now
	}
	_, err = tx.Exec(ctx, `INSERT INTO inventory (device, unit, model, firmware, agent, since) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (device) DO UPDATE SET unit = excluded.unit, model = excluded.model, firmware = excluded.firmware, agent = excluded.agent, since = excluded.since`,
		dev, keep(now.Unit, had.Unit), keep(now.Model, had.Model), keep(now.Firmware, had.Firmware), keep(now.Agent, had.Agent), at.UnixMilli())
	return err
}

// ReadInventory returns what is known of a device; the zero Inventory while nothing is.
func ReadInventory(ctx context.Context, tx *store.Tx, dev string) (i Inventory, err error) {
	var since int64
	err = tx.QueryRow(ctx, `SELECT unit, model, firmware, agent, since FROM inventory WHERE device = $1`, dev).Scan(&i.Unit, &i.Model, &i.Firmware, &i.Agent, &since)
	if errors.Is(err, sql.ErrNoRows) {
		return Inventory{}, nil
	}
	i.Since = time.UnixMilli(since).UTC()
	return i, err
}

// Changes returns up to limit changes of a device with numbers below before (0: from the newest), newest first.
func Changes(ctx context.Context, tx *store.Tx, dev string, before int64, limit int) (out []Change, err error) {
	if before == 0 {
		before = 1<<62 - 1
	}
	rows, err := tx.Query(ctx, `SELECT number, at, field, old, new FROM inventory_changes WHERE device = $1 AND number < $2 ORDER BY number DESC LIMIT $3`, dev, before, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var c Change
		var at int64
		if err := rows.Scan(&c.Number, &at, &c.Field, &c.Old, &c.New); err != nil {
			return nil, err
		}
		c.At = time.UnixMilli(at).UTC()
		out = append(out, c)
	}
	return out, rows.Err()
}
