package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"sort"

	"upsedge/internal/wire"
)

// A record can vanish without a damaged record to show for it: a flipped bit in a key or in a page above the records is covered by no
// seal, and the structural check does not reach all of a large file. So the numbers are counted: every one above done, which was
// acknowledged or dropped, has a record, or the record behind it is a gap that names it (events), or it is in the table holes
// (samples, whose gaps are in the other lane and may have been acknowledged before). What has none is told as damaged, once.

// fills reports whether r is a gap of its own lane that names the numbers from first on.
func fills(r *wire.Record, first uint64) bool {
	if r.Class != wire.ClassGap {
		return false
	}
	g, err := wire.DecodeGap(r.Payload)
	return err == nil && g.Lane == r.Lane && g.First <= first
}

// finish notes that all numbers of the lane up to through are acknowledged or told as gaps.
func (t *tx) finish(lane wire.Lane, through uint64) {
	row := &t.lanes[lane]
	if through = min(through, row.last); through <= row.done {
		return
	}
	row.done = through
	t.exec("DELETE FROM holes WHERE lane = ? AND last <= ?", lane, int64(through))
}

// noteHole notes that numbers of a lane have no record and that it is told.
func (t *tx) noteHole(lane wire.Lane, first, last uint64) {
	t.exec("INSERT INTO holes VALUES (?, ?, ?, ?)", lane, int64(first), int64(last), holeCRC(lane, first, last))
}

func holeCRC(lane wire.Lane, first, last uint64) int64 {
	return numbersCRC([]byte{byte(lane)}, int64(first), int64(last))
}

// replaceMissing puts gap records in the place of the numbers first to last of a lane that have no record. Nothing happens if they
// are told or acknowledged by now.
func (s *Store) replaceMissing(ctx context.Context, lane wire.Lane, first, last uint64) error {
	what := fmt.Sprintf("look for records %d to %d of lane %v", first, last, lane)
	return s.write(ctx, what, durable, func(t *tx) {
		t.hold()
		t.tellMissing(lane, first, last)
	})
}

// tellMissing does the same in a commit. From done on where first is 0.
func (t *tx) tellMissing(lane wire.Lane, first, last uint64) {
	first, last = max(first, t.lanes[lane].done+1), min(last, t.lanes[lane].last)
	if first > last || t.err != nil {
		return
	}
	var gaps []wire.Gap
	missing := func(from, to uint64) {
		if from <= to {
			gaps = append(gaps, wire.Gap{Lane: lane, First: from, Last: to, Reason: wire.GapDamage})
		}
	}
	told := t.toldHoles(lane)
	t.after = append(t.after, func() { t.s.told[lane] = merged(told) })
	next := first // of which nothing is known
	skip := func(to uint64) {
		for next <= to {
			end := to
			for _, h := range told {
				if h.first <= next && next <= h.last {
					next = min(h.last, to) + 1
					end = 0
				} else if h.first > next && h.first <= end {
					end = h.first - 1
				}
			}
			if end > 0 {
				missing(next, end)
				next = end + 1
			}
		}
	}
	t.each(func(rows *sql.Rows) (bool, error) {
		r, ok, err := t.s.scanRecord(rows, lane)
		if err != nil {
			return false, err
		}
		if ok && fills(&r, next) {
			next = r.Seq + 1
		} else if skip(min(r.Seq-1, last)); r.Seq >= next {
			next = r.Seq + 1
		}
		return next <= last, nil
	}, fmt.Sprintf(selectRecords, laneTables[lane]), int64(first-1), int64(last-first+2))
	skip(last)
	for _, g := range gaps {
		t.lose(lane, g.Reason, Loss{Records: g.Last - g.First + 1, First: g.First, Last: g.Last})
		if lane == wire.Events {
			t.placeGap(g.Last, g, t.s.o.Now())
		} else {
			t.noteHole(lane, g.First, g.Last)
			t.putGap(g, t.s.o.Now())
		}
		t.after = append(t.after, func() {
			t.s.log.Error("records have vanished from the file", "lane", lane, "first", g.First, "last", g.Last)
		})
	}
	if len(gaps) > 0 {
		t.recount(lane)
	}
}

// toldHoles reads the numbers without a record that are told.
func (t *tx) toldHoles(lane wire.Lane) (out []seqRange) {
	t.each(func(rows *sql.Rows) (bool, error) {
		var first, last, crc any
		if err := rows.Scan(&first, &last, &crc); err != nil {
			return false, err
		}
		f, _ := first.(int64)
		l, _ := last.(int64)
		if sum, ok := crc.(int64); ok && sum == holeCRC(lane, uint64(f), uint64(l)) {
			out = append(out, seqRange{uint64(f), uint64(l)})
		}
		return true, nil
	}, "SELECT first, last, crc FROM holes WHERE lane = ?", lane)
	return out
}

// isTold reports whether all numbers first to last were found told before: where the records of one unit in ten were erased, every
// tenth number is a hole, and looking in the table for each would take the square of their number.
func (s *Store) isTold(lane wire.Lane, first, last uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.told[lane]
	i := sort.Search(len(list), func(i int) bool { return list[i].last >= first })
	return i < len(list) && list[i].first <= first && last <= list[i].last
}

// merged sorts ranges and joins those that touch.
func merged(list []seqRange) (out []seqRange) {
	slices.SortFunc(list, func(a, b seqRange) int { return cmp.Compare(a.first, b.first) })
	for _, r := range list {
		if n := len(out); n > 0 && r.first <= out[n-1].last+1 {
			out[n-1].last = max(out[n-1].last, r.last)
		} else {
			out = append(out, r)
		}
	}
	return out
}

// recount brings the counters of a lane in line with its records, after some have vanished. It looks at each.
func (t *tx) recount(lane wire.Lane) {
	row := &t.lanes[lane]
	t.get([]any{&row.records, &row.bytes}, fmt.Sprintf("SELECT count(*), coalesce(sum(length(payload) - %d * (seal < 0)), 0) FROM %s",
		sealBytes, laneTables[lane]))
	t.oldest[lane] = true
}
