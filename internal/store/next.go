package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"upsedge/internal/wire"
)

// Next returns up to max waiting records of the lane after the given number, ascending, while their payloads fit into
// maxBytes; at least one if there is one. The records are the caller's. A damaged record is replaced by a gap record in the
// events lane on the way and left out.
func (s *Store) Next(ctx context.Context, lane wire.Lane, after uint64, maxRecords, maxBytes int) ([]wire.Record, error) {
	what := fmt.Sprintf("read lane %v after %d", lane, after)
	if err := checkLane(lane); err != nil {
		return nil, err
	}
	for {
		if err := s.state(); err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
		records, bad, err := s.read(ctx, lane, after, maxRecords, maxBytes)
		if err != nil {
			return nil, s.noteBroken(fmt.Errorf("%s: %w", what, err))
		}
		if bad == 0 {
			return records, nil
		}
		if err := s.replaceDamaged(ctx, lane, bad); err != nil && len(records) == 0 {
			return nil, err
		}
		if len(records) > 0 {
			return records, nil
		}
	}
}

// read returns records up to the first damaged one, whose number is bad.
func (s *Store) read(ctx context.Context, lane wire.Lane, after uint64, maxRecords, maxBytes int) (out []wire.Record, bad uint64, err error) {
	if after > 1<<63-1 {
		return nil, 0, nil // no number is that high
	}
	if lane == wire.Events {
		s.hand.Lock()
		defer s.hand.Unlock()
		defer func() {
			if err == nil && len(out) > 0 {
				s.handed = max(s.handed, out[len(out)-1].Seq)
			}
		}()
	}
	rows, err := s.selects[lane].QueryContext(ctx, int64(after), max(maxRecords, 1))
	if err != nil {
		return nil, 0, err
	}
	size := 0
	for rows.Next() {
		r, ok, err := scanRecord(rows, lane)
		if err != nil {
			return nil, 0, errors.Join(err, rows.Close())
		}
		if !ok {
			return out, r.Seq, rows.Close()
		}
		if size += len(r.Payload); len(out) > 0 && size > maxBytes {
			break
		}
		r.Stream = s.stream
		out = append(out, r)
	}
	return out, 0, errors.Join(rows.Err(), rows.Close())
}

const selectRecords = "SELECT seq, class, epoch, boot, boot_id, mono, wall, crc, payload FROM %s WHERE seq > ? ORDER BY seq LIMIT ?"

// scanRecord reads a row; ok is false when it is not what was put. A flipped bit may even have changed the type of a value.
func scanRecord(rows *sql.Rows, lane wire.Lane) (r wire.Record, ok bool, err error) {
	var seq int64
	var class, epoch, boot, bootID, mono, wall, crc, payload any
	if err := rows.Scan(&seq, &class, &epoch, &boot, &bootID, &mono, &wall, &crc, &payload); err != nil {
		return r, false, err
	}
	r.Lane, r.Seq = lane, uint64(seq)
	ok = true
	number := func(v any, top int64) int64 {
		n, is := v.(int64)
		ok = ok && is && (top == 0 || 0 <= n && n <= top)
		return n
	}
	bytes := func(v any) []byte {
		b, is := v.([]byte)
		ok = ok && (is || v == nil) // the driver gives an empty blob as nil
		return b
	}
	r.Class = wire.Class(number(class, 1<<8-1))
	r.Epoch = uint32(number(epoch, 1<<32-1))
	r.Boot = uint32(number(boot, 1<<32-1))
	id := bytes(bootID)
	r.Stamp = stampOf(id, number(mono, 0), number(wall, 0))
	r.Payload = bytes(payload)
	sum := number(crc, 1<<32-1)
	ok = ok && len(id) == len(wire.ID{}) && sum == recordCRC(&r)
	return r, ok, nil
}

// replaceDamaged puts a gap record in the place of a damaged one: under its own number in the events lane, under a new one of
// the events lane for samples. Nothing happens if the record is gone or fine by now.
func (s *Store) replaceDamaged(ctx context.Context, lane wire.Lane, seq uint64) error {
	what := fmt.Sprintf("replace damaged record %d of lane %v", seq, lane)
	return s.write(ctx, what, durable, func(t *tx) {
		t.reason = wire.GapDamage
		t.hold()
		stillBad := false
		t.each(func(rows *sql.Rows) (bool, error) {
			r, ok, err := scanRecord(rows, lane)
			stillBad = err == nil && !ok && r.Seq == seq
			return false, err
		}, fmt.Sprintf(selectRecords, laneTables[lane]), int64(seq-1), 1)
		if !stillBad || t.err != nil {
			return
		}
		t.dropped[lane] = uint64(t.remove(lane, seq, seq))
		g := wire.Gap{Lane: lane, First: seq, Last: seq, Reason: wire.GapDamage}
		if lane == wire.Events {
			t.placeGap(seq, g, s.o.Now())
		} else {
			t.putGap(g, s.o.Now())
		}
		t.after = append(t.after, func() { s.log.Warn("damaged record replaced by a gap", "lane", lane, "seq", seq) })
	})
}
