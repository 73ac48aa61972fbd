package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"upsedge/internal/ups"
)

// RaisedSeq returns the number of the Raise of an alarm, of the whole unit or of an outlet group, that has no Clear yet; 0 if
// there is none.
func (s *Store) RaisedSeq(ctx context.Context, unit string, id ups.AlarmID, g ups.Group) (uint64, error) {
	var seq, crc any
	err := s.one(ctx, []any{&seq, &crc}, selectRaise, unit, raiseKey(id, g))
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the raise of alarm %d of %q: %w", id, unit, err)
	}
	if n, ok := soundRaise(unit, raiseKey(id, g), seq, crc); ok {
		return n, nil
	}
	return 0, nil
}
