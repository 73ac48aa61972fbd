package store

import (
	"context"
	"time"
)

// Millis is how tables keep an instant that may be none: milliseconds since 1970 in UTC, 0 for the zero time.
func Millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// Instant reads what Millis has written.
func Instant(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// Flag is how tables keep a yes or no: 1 or 0.
func Flag(yes bool) int64 {
	if yes {
		return 1
	}
	return 0
}

// Texts asks for the texts of one column.
func (tx *Tx) Texts(ctx context.Context, query string, args ...any) (out []string, err error) {
	rows, err := tx.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		out = append(out, text)
	}
	return out, rows.Err()
}
