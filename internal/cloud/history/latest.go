package history

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"upsedge/internal/cloud/store"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// Latest is the last that samples said of each point. A value that the unit did not have in its last row is not there.
type Latest struct {
	At      int64                // of the newest row, Unix ms
	Certain bool                 // whether the times are known, and not only those of arrival
	Values  map[ups.Point]*Value // absent ones are kept without a raw value, so that older rows do not bring them back
}

// A Value is one point at one instant: Raw / Divisor in the point's unit.
type Value struct {
	Raw     *int64
	Divisor uint16
	At      int64 // Unix ms
}

// Time returns when the newest row was read; zero when there is none.
func (l *Latest) Time() time.Time {
	if l == nil || l.At == 0 {
		return time.Time{}
	}
	return time.UnixMilli(l.At).UTC()
}

// ReadLatest returns the last values of a device; none yet is no error.
func ReadLatest(ctx context.Context, tx *store.Tx, device string) (*Latest, error) {
	var body []byte
	err := tx.QueryRow(ctx, `SELECT body FROM latest WHERE device = $1`, device).Scan(&body)
	l := &Latest{Values: map[ups.Point]*Value{}}
	if errors.Is(err, sql.ErrNoRows) {
		return l, nil
	} else if err != nil {
		return nil, err
	}
	return l, json.Unmarshal(body, l)
}

// noteLatest takes the last rows of a block where they are newer than what is known.
func (in *indexer) noteLatest(ctx context.Context, device string, b *wire.Block, offset, arrived int64, certain bool) error {
	l := in.latest[device]
	if l == nil {
		var err error
		if l, err = ReadLatest(ctx, in.tx, device); err != nil {
			return err
		}
		in.latest[device] = l
	}
	for _, s := range b.Sections {
		n, cols := len(s.At), len(s.Layout.Columns)
		if n == 0 {
			continue
		}
		// Nothing was read after it came here: a clock on site that is ahead, and put right later, must not keep its value on top until then.
		at := min(s.At[n-1]+offset, arrived)
		if at >= l.At {
			l.At, l.Certain = at, certain && s.At[n-1]+offset-arrived < time.Minute.Milliseconds()
		}
		for i, c := range s.Layout.Columns {
			if had := l.Values[c.Point]; had != nil && had.At > at {
				continue
			}
			v := &Value{Divisor: c.Divisor, At: at}
			if raw := s.Raw[(n-1)*cols+i]; raw != ups.Absent {
				v.Raw = &raw
			}
			l.Values[c.Point] = v
		}
	}
	return nil
}

func (in *indexer) saveLatest(ctx context.Context) error {
	for device, l := range in.latest {
		body, err := json.Marshal(l)
		if err != nil {
			return err
		}
		if _, err := in.tx.Exec(ctx, `INSERT INTO latest (device, body) VALUES ($1, $2) ON CONFLICT (device) DO UPDATE SET body = excluded.body`, device, body); err != nil {
			return err
		}
	}
	return nil
}
