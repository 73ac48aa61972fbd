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
	var seq int64
	err := s.one(ctx, []any{&seq}, "SELECT seq FROM raises WHERE unit = ? AND alarm = ?", unit, raiseKey(id, g))
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("read the raise of alarm %d of %q: %w", id, unit, err)
	}
	return uint64(seq), nil
}
