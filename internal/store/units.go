package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"

	"upsedge/internal/wire"
)

// Begin says that samples of the unit are collected from now on. Without it a run that crashes before its first put leaves no
// interruption behind.
func (s *Store) Begin(ctx context.Context, unit string, at wire.Stamp) error {
	return s.write(ctx, fmt.Sprintf("begin unit %q", unit), durable, func(t *tx) { t.unitRuns(unit, at) })
}

// End says that all samples of the unit were put and no more will come in this run.
func (s *Store) End(ctx context.Context, unit string) error {
	return s.write(ctx, fmt.Sprintf("end unit %q", unit), durable, func(t *tx) {
		t.exec("UPDATE units SET run = 0 WHERE unit = ?", unit)
	})
}

// unitRuns notes that the unit is sampled in this run and stored up to last.
func (t *tx) unitRuns(unit string, last wire.Stamp) {
	t.exec("INSERT INTO units (unit, run, boot_id, mono, wall) VALUES (?, ?, ?, ?, ?) ON CONFLICT (unit) DO UPDATE "+
		"SET run = excluded.run, boot_id = excluded.boot_id, mono = excluded.mono, wall = excluded.wall",
		unit, t.s.boot, last.BootID[:], int64(last.Mono), wallNanos(last))
}

// endRun marks the clean end of every unit that owes nothing.
func (t *tx) endRun() {
	t.s.mu.Lock()
	keep := slices.Sorted(maps.Keys(t.s.owed))
	t.s.mu.Unlock()
	t.exec("UPDATE units SET run = -1 WHERE run <> 0")
	for _, unit := range keep {
		t.exec("INSERT INTO units (unit, run) VALUES (?, ?) ON CONFLICT (unit) DO UPDATE SET run = excluded.run", unit, t.s.boot)
	}
	t.exec("UPDATE units SET run = 0 WHERE run = -1")
	t.saveMeta("")
}

// interrupt turns the units that an earlier run left running into interruptions.
func (t *tx) interrupt() {
	t.exec("INSERT INTO interruptions (unit, boot_id, mono, wall) SELECT unit, boot_id, mono, wall FROM units WHERE run <> 0 ORDER BY unit")
	t.exec("UPDATE units SET run = 0 WHERE run <> 0")
}

// loadInterruptions reads the list of Crashed.
func (t *tx) loadInterruptions() (list []Interrupted) {
	t.each(func(rows *sql.Rows) (bool, error) {
		var i Interrupted
		var from, to []byte
		var mono, wall, toMono, toWall sql.NullInt64
		err := rows.Scan(&i.Unit, &from, &mono, &wall, &to, &toMono, &toWall)
		i.Last = stampOf(from, mono.Int64, wall.Int64)
		i.Resumed = stampOf(to, toMono.Int64, toWall.Int64)
		list = append(list, i)
		return true, err
	}, "SELECT unit, boot_id, mono, wall, to_boot_id, to_mono, to_wall FROM interruptions ORDER BY id")
	return list
}

// resumed notes the first samples of a unit after an interruption.
func (t *tx) resumed(unit string, at wire.Stamp) {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	open := func(i Interrupted) bool { return i.Unit == unit && i.Resumed == wire.Stamp{} }
	if !slices.ContainsFunc(t.s.interrupted, open) {
		return
	}
	t.exec("UPDATE interruptions SET to_boot_id = ?, to_mono = ?, to_wall = ? WHERE unit = ? AND to_boot_id IS NULL",
		at.BootID[:], int64(at.Mono), wallNanos(at), unit)
	t.after = append(t.after, func() {
		for i := range t.s.interrupted {
			if open(t.s.interrupted[i]) {
				t.s.interrupted[i].Resumed = at
			}
		}
	})
}

// closeInterruption deletes the interruption of the unit that begins at from; the wall time may have been completed since.
func (t *tx) closeInterruption(unit string, from wire.Stamp) {
	t.exec("DELETE FROM interruptions WHERE unit = ? AND coalesce(boot_id, zeroblob(16)) = ? AND coalesce(mono, 0) = ?",
		unit, from.BootID[:], int64(from.Mono))
	t.after = append(t.after, func() {
		t.s.interrupted = slices.DeleteFunc(t.s.interrupted, func(i Interrupted) bool {
			return i.Unit == unit && i.Last.BootID == from.BootID && i.Last.Mono == from.Mono
		})
	})
}

// saveState keeps the alarm state of a unit, sealed with the unit's key of epoch 0: it belongs to no epoch, and every erasure of the
// unit takes it.
func (t *tx) saveState(unit string, state []byte) {
	k := t.key(unit, 0)
	if t.err != nil {
		return
	}
	t.exec("INSERT INTO units (unit, run, state, seal) VALUES (?, 0, ?, ?) ON CONFLICT (unit) DO UPDATE "+
		"SET state = excluded.state, seal = excluded.seal", unit, k.seal(nil, state, stateFields(k.id, t.s.stream, unit)), -k.id)
}

// AlarmState returns what PutEvents was given last for the unit, nil without any, and a *CorruptError if it is damaged: the
// unit then begins without a state.
func (s *Store) AlarmState(ctx context.Context, unit string) ([]byte, error) {
	var stored, seal any
	err := s.one(ctx, []any{&stored, &seal}, "SELECT state, seal FROM units WHERE unit = ?", unit)
	if errors.Is(err, sql.ErrNoRows) || err == nil && stored == nil && seal == nil {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the alarm state of %q: %w", unit, err)
	}
	if state, ok := s.openState(unit, stored, seal); ok {
		return state, nil
	}
	return nil, &CorruptError{What: fmt.Sprintf("the alarm state of %q", unit)}
}

// openState returns the alarm state of a row of the table units, false if it is not what was saved.
func (s *Store) openState(unit string, stored, seal any) ([]byte, bool) {
	b, _ := stored.([]byte)
	n, ok := seal.(int64)
	switch {
	case !ok:
		return nil, false
	case n >= 0: // of version 1, not sealed yet
		return append([]byte{}, b...), n == numbersCRC(b)
	}
	if k := s.ring.get(-n); k != nil {
		state, ok := k.open(b, stateFields(k.id, s.stream, unit))
		return append([]byte{}, state...), ok
	}
	return nil, false
}

// one reads a single row on a reading connection.
func (s *Store) one(ctx context.Context, dst []any, query string, args ...any) error {
	if err := s.state(); err != nil {
		return err
	}
	s.reading.RLock()
	defer s.reading.RUnlock()
	if s.readers == nil {
		return errNotOpen
	}
	return s.noteBroken(s.readers.QueryRowContext(ctx, query, args...).Scan(dst...))
}
