package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

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
		for _, u := range t.units() {
			if u.sound && u.name == unit {
				t.setRun(u, 0)
			}
		}
	})
}

// saveState keeps the alarm state of a unit, sealed with the unit's key of epoch 0: it belongs to no epoch, and every erasure of the
// unit takes it.
func (t *tx) saveState(unit string, state []byte) {
	k := t.key(unit, 0)
	if t.err != nil {
		return
	}
	t.exec("INSERT INTO units (unit, run, state, seal, name, crc) VALUES (?, 0, ?, ?, ?, ?) ON CONFLICT (unit) DO UPDATE "+
		"SET state = excluded.state, seal = excluded.seal", unit, k.seal(nil, state, stateFields(k.id, t.s.stream, unit)), -k.id,
		unit, unitCRC(unit, 0, wire.Stamp{}))
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
