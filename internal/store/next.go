package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"upsedge/internal/wire"
)

// Next returns up to max waiting records of the lane after the given number, ascending, while their payloads fit into
// maxBytes; at least one if there is one. The records are the caller's. A damaged record, and a number whose record has vanished, is
// replaced by a gap record in the events lane on the way and left out.
func (s *Store) Next(ctx context.Context, lane wire.Lane, after uint64, maxRecords, maxBytes int) ([]wire.Record, error) {
	what := fmt.Sprintf("read lane %v after %d", lane, after)
	if err := checkLane(lane); err != nil {
		return nil, err
	}
	var was trouble
	for looked := uint64(0); ; {
		if err := s.state(); err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
		records, bad, err := s.read(ctx, lane, after, looked, maxRecords, maxBytes)
		if err != nil {
			return nil, s.noteBroken(fmt.Errorf("%s: %w", what, err))
		}
		switch {
		case bad == trouble{}:
			return records, nil
		case bad == was:
			return nil, s.noteBroken(fmt.Errorf("%s: %w: record %d is seen and cannot be found", what, ErrBroken, bad.first))
		case bad.missing:
			if looked = bad.last; !s.isTold(lane, bad.first, bad.last) {
				err = s.replaceMissing(ctx, lane, bad.first, bad.last)
			}
		default:
			err = s.replaceDamaged(ctx, lane, bad.first)
		}
		if len(records) > 0 {
			return records, nil
		}
		if err != nil {
			return nil, err
		}
		was = bad
	}
}

// trouble is what keeps read from going on: a damaged record, or numbers without one.
type trouble struct {
	first, last uint64
	missing     bool
}

// read returns records up to the first damaged one or the first missing numbers; up to looked those are known.
func (s *Store) read(ctx context.Context, lane wire.Lane, after, looked uint64, maxRecords, maxBytes int) (out []wire.Record, bad trouble, err error) {
	if after > 1<<63-1 {
		return nil, bad, nil // no number is that high
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
	s.reading.RLock()
	defer s.reading.RUnlock()
	if s.selects[lane] == nil {
		return nil, bad, errNotOpen
	}
	s.mu.Lock()
	row := s.lanes[lane] // before the rows: they may be newer
	s.mu.Unlock()
	before := max(after, looked, row.done)
	rows, err := s.selects[lane].QueryContext(ctx, int64(after), max(maxRecords, 1))
	if err != nil {
		return nil, bad, err
	}
	passed, size, n := after, 0, 0
	for ; rows.Next(); n++ {
		r, ok, err := s.scanRecord(rows, lane)
		if err != nil {
			return nil, bad, errors.Join(err, rows.Close())
		}
		if !ok && r.Seq > passed {
			return out, trouble{first: r.Seq}, rows.Close()
		}
		if r.Seq <= passed {
			return nil, bad, errors.Join(fmt.Errorf("%w: record %d behind %d", ErrBroken, r.Seq, passed), rows.Close())
		}
		passed = r.Seq
		if r.Seq > before+1 && !fills(&r, before+1) {
			return out, trouble{before + 1, r.Seq - 1, true}, rows.Close()
		}
		if size += len(r.Payload); len(out) > 0 && size > maxBytes {
			return out, bad, rows.Close()
		}
		before = max(before, r.Seq)
		out = append(out, r)
	}
	if n < max(maxRecords, 1) && before < row.last && rows.Err() == nil {
		bad = trouble{before + 1, row.last, true}
	}
	return out, bad, errors.Join(rows.Err(), rows.Close())
}

const selectRecords = "SELECT seq, class, epoch, boot, boot_id, mono, wall, seal, payload FROM %s WHERE seq > ? ORDER BY seq LIMIT ?"

// scanRecord reads a row; ok is false when it is not what was put. A flipped bit may even have changed the type of a value.
func (s *Store) scanRecord(rows *sql.Rows, lane wire.Lane) (r wire.Record, ok bool, err error) {
	r, seal, ok, err := scanRow(rows, lane)
	r.Stream = s.stream
	return r, ok && err == nil && s.unseal(&r, seal), err
}

// unseal opens the payload of r as it is stored, and reports whether the record is what was put.
func (s *Store) unseal(r *wire.Record, seal int64) (ok bool) {
	if seal >= 0 { // of version 1, not sealed yet
		return seal == recordCRC(r)
	}
	if k := s.ring.get(-seal); k != nil {
		r.Payload, ok = k.openRecord(r)
	}
	return ok
}

// scanRow reads a row as it is stored; ok is false when it has values that no record has.
func scanRow(rows *sql.Rows, lane wire.Lane) (r wire.Record, seal int64, ok bool, err error) {
	var seq int64
	var class, epoch, boot, bootID, mono, wall, sealed, payload any
	if err := rows.Scan(&seq, &class, &epoch, &boot, &bootID, &mono, &wall, &sealed, &payload); err != nil {
		return r, 0, false, err
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
	return r, number(sealed, 0), ok && len(id) == len(wire.ID{}), nil
}

// replaceDamaged puts a gap record in the place of a damaged one: under its own number in the events lane, under a new one of
// the events lane for samples. Where its key is gone all that follow are looked at, too. Nothing happens if the record is gone
// or fine by now.
func (s *Store) replaceDamaged(ctx context.Context, lane wire.Lane, seq uint64) error {
	what := fmt.Sprintf("replace damaged record %d of lane %v", seq, lane)
	return s.write(ctx, what, durable, func(t *tx) {
		t.hold()
		stillBad, keyGone := false, false
		t.each(func(rows *sql.Rows) (bool, error) {
			r, seal, ok, err := scanRow(rows, lane)
			if r.Stream = s.stream; err == nil && r.Seq == seq {
				keyGone = seal < 0 && s.ring.lost(-seal) != ""
				stillBad = keyGone || !ok || !s.unseal(&r, seal)
			}
			return false, err
		}, fmt.Sprintf(selectRecords, laneTables[lane]), int64(seq-1), 1)
		switch {
		case t.err != nil || !stillBad:
		case keyGone:
			t.sweep(lane, seq)
		case seq <= t.lanes[lane].done:
			t.remove(lane, seq, seq) // it never was one: the key of another is damaged, whose number will be missed
		default:
			t.replace(lane, seq)
		}
	})
}

// replace puts a gap in the place of a damaged record. A damaged gap record that names numbers is made anew: what it said is known.
func (t *tx) replace(lane wire.Lane, seq uint64) {
	g := wire.Gap{Lane: lane, First: seq, Last: seq, Reason: wire.GapDamage}
	var known wire.Gap
	var reason string
	anew := lane == wire.Events && t.get([]any{&known.Lane, &known.First, &known.Last, &reason}, "SELECT lane, first, last, reason FROM gaps WHERE seq = ?", int64(seq))
	t.hold()
	if known.Reason = wire.GapReason(reason); anew && t.plausible(known) {
		g = known
		t.remove(lane, seq, seq)
	} else {
		t.lose(lane, wire.GapDamage, Loss{Records: uint64(t.remove(lane, seq, seq)), First: seq, Last: seq})
	}
	if lane == wire.Events {
		t.placeGap(seq, g, t.s.o.Now())
	} else {
		t.noteHole(lane, seq, seq)
		t.putGap(g, t.s.o.Now())
	}
	t.after = append(t.after, func() { t.s.log.Warn("damaged record replaced by a gap", "lane", lane, "seq", seq) })
}
