package store

import (
	"database/sql"
	"fmt"

	"upsedge/internal/wire"
)

// budget divides Options.MaxBytes, in pages.
type budget struct {
	pages int64 // in use in the database, at most
	log   int64 // length of the write-ahead log that starts a checkpoint
}

// budgetOf keeps three eighths, at most 12 MiB, for what is not the database: the write-ahead log is written back at an eighth,
// what a commit or a reader adds on top fits in the second, and the reserve is the third.
func budgetOf(maxBytes int64) budget {
	pages := maxBytes / pageSize
	log := min(pages/8, 1024)
	return budget{pages: pages - 3*log, log: log}
}

// over returns by how many pages the database is beyond its budget.
func (t *tx) over() int64 {
	var all, free int64
	t.get([]any{&all}, "PRAGMA page_count")
	t.get([]any{&free}, "PRAGMA freelist_count")
	return all - free - t.s.limit.pages
}

// makeRoom drops what is oldest until the database is within its budget: samples first, and for the sake of an event pictures and
// then events, too. It never drops what this commit puts, which begins after through in the lane. The stamp is that of the gap records.
func (t *tx) makeRoom(lane wire.Lane, through uint64, stamp wire.Stamp) {
	keep := t.before[wire.Samples].last
	for over := t.over(); over > 0 && t.err == nil; over = t.over() {
		if t.dropSamples(keep, over, stamp) {
			continue
		}
		if lane != wire.Events || !t.dropEvents(wire.ClassPicture, through, over, stamp) && !t.dropEvents(wire.ClassAlarm, through, over, stamp) {
			t.fail(ErrFull)
		}
	}
}

// dropSamples deletes the oldest samples up to the number through, about as much as fills the given pages, and reports
// whether there were any.
func (t *tx) dropSamples(through uint64, pages int64, stamp wire.Stamp) bool {
	first, last := t.oldestRun("SELECT seq, length(payload), class FROM samples WHERE seq <= ? ORDER BY seq LIMIT 256", 0, pages, int64(through))
	if last == 0 || t.err != nil {
		return false
	}
	t.tellMissing(wire.Samples, 0, first-1)
	t.drop(wire.Samples, wire.GapQuota, first, last)
	t.finish(wire.Samples, last)
	t.gapOfSamples(wire.Gap{Lane: wire.Samples, First: first, Last: last, Reason: wire.GapQuota}, stamp)
	return true
}

// drop removes the records first to last of a lane and counts them as lost.
func (t *tx) drop(lane wire.Lane, why wire.GapReason, first, last uint64) {
	from, to := t.stampAt(lane, first), t.stampAt(lane, last)
	records := uint64(t.remove(lane, first, last))
	t.lose(lane, why, Loss{Records: records, First: first, Last: last, From: from, To: to})
}

// gapOfSamples puts a gap of the samples lane, or lets the newest one of the same reason grow: when it ends before this one with no
// record between, and nobody has seen it yet. What lies between the two is gone or has a gap of its own.
func (t *tx) gapOfSamples(g wire.Gap, stamp wire.Stamp) {
	var seq, between int64
	handed := t.hold()
	if t.get([]any{&seq}, "SELECT seq FROM gaps WHERE lane = ? AND reason = ? ORDER BY seq DESC LIMIT 1", g.Lane, string(g.Reason)) &&
		uint64(seq) > handed && uint64(seq) >= t.s.firstEvent {
		old, ok := t.gapAt(uint64(seq))
		if ok && old.Lane == g.Lane && old.Reason == g.Reason && old.Last < g.First &&
			!t.get([]any{&between}, "SELECT seq FROM samples WHERE seq > ? AND seq < ? LIMIT 1", int64(old.Last), int64(g.First)) {
			g.First = old.First
			t.remove(wire.Events, uint64(seq), uint64(seq))
			t.placeGap(uint64(seq), g, stamp)
			return
		}
	}
	t.putGap(g, stamp)
}

// dropEvents replaces the oldest run of records of a class, alarms or pictures, up to the number through by one gap record, which
// stands under the last number of the run: so the lane keeps no hole in front of what waits behind it. Gap records stay, but
// for those of the quota directly before the run, which the new one takes in.
func (t *tx) dropEvents(class wire.Class, through uint64, pages int64, stamp wire.Stamp) bool {
	from := t.s.dropFrom[class] // what was looked through before
	first, last := t.oldestRun("SELECT seq, length(payload), class FROM events WHERE seq BETWEEN ? AND ? AND class = ? ORDER BY seq LIMIT 256",
		1, pages, int64(from), int64(through), class)
	if last == 0 || t.err != nil {
		if t.err == nil {
			t.s.dropFrom[class] = max(from, through+1)
		}
		return false
	}
	t.s.dropFrom[class] = first
	t.hold()
	t.drop(wire.Events, wire.GapQuota, first, last)
	t.gapOfEvents(wire.Gap{Lane: wire.Events, First: first, Last: last, Reason: wire.GapQuota}, stamp)
	return true
}

// gapOfEvents puts a gap under the last number of a run of the events lane that was removed. It takes in those of the same reason
// directly before it.
func (t *tx) gapOfEvents(g wire.Gap, stamp wire.Stamp) {
	t.hold()
	for {
		old, ok := t.gapAt(g.First - 1)
		if !ok || old.Lane != wire.Events || old.Reason != g.Reason || old.Last != g.First-1 {
			break
		}
		t.remove(wire.Events, g.First-1, g.First-1)
		g.First = old.First
	}
	t.placeGap(g.Last, g, stamp)
}

// gapAt reads the gap record under a number of the events lane, false if there is none that can be read. The table gaps, which has no
// checksum, is only where to look.
func (t *tx) gapAt(seq uint64) (g wire.Gap, ok bool) {
	t.each(func(rows *sql.Rows) (bool, error) {
		r, whole, err := t.s.scanRecord(rows, wire.Events)
		if err == nil && whole && r.Seq == seq && r.Class == wire.ClassGap {
			var bad error
			g, bad = wire.DecodeGap(r.Payload)
			ok = bad == nil
		}
		return false, err
	}, fmt.Sprintf(selectRecords, laneTables[wire.Events]), int64(seq-1), 1)
	return g, ok
}

// oldestRun returns the range of the first rows of a query that together fill the given pages. With step 1 it ends before the
// first hole.
func (t *tx) oldestRun(query string, step uint64, pages int64, args ...any) (first, last uint64) {
	want := pages * pageSize
	t.each(func(rows *sql.Rows) (bool, error) {
		var seq, size, class any
		if err := rows.Scan(&seq, &size, &class); err != nil {
			return false, err
		}
		n, _ := seq.(int64)
		if first == 0 {
			first = uint64(n)
		} else if step != 0 && uint64(n) != last+step {
			return false, nil
		}
		last = uint64(n)
		bytes, _ := size.(int64)
		want -= bytes
		return want > 0, nil
	}, query, args...)
	return first, last
}
