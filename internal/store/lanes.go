package store

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"upsedge/internal/wire"
)

// laneRow is what the lanes table holds of one lane.
type laneRow struct {
	last    uint64 // highest number given, also when its record is long gone
	records int64  // waiting
	bytes   int64  // of their payloads
	done    uint64 // every number up to here was acknowledged, or is told as a gap
}

func (t *tx) loadLanes() {
	for _, l := range wire.Lanes {
		row, err := t.readLane(l)
		if t.err = err; err != nil {
			return
		}
		t.lanes[l], t.before[l] = row, row
	}
}

func (t *tx) readLane(l wire.Lane) (row laneRow, err error) {
	var crc int64
	found := t.get([]any{&row.last, &row.records, &row.bytes, &crc, &row.done},
		"SELECT last, records, bytes, crc, done FROM lanes WHERE lane = ?", l)
	if t.err != nil {
		return row, t.err
	}
	if !found || crc != row.crc(l) {
		return row, fmt.Errorf("%w: the counters of lane %v do not match their checksum", ErrBroken, l)
	}
	return row, nil
}

func (r laneRow) crc(l wire.Lane) int64 {
	return numbersCRC([]byte{byte(l)}, int64(r.last), r.records, r.bytes, int64(r.done))
}

func (t *tx) saveLanes() {
	for _, l := range wire.Lanes {
		r := t.lanes[l]
		if r == t.before[l] {
			continue
		}
		t.saveLane(l, r)
	}
	t.used = t.over() + t.s.limit.pages
	for _, l := range wire.Lanes {
		if t.oldest[l] || t.before[l].records == 0 {
			stamp := t.oldestStamp(l)
			t.after = append(t.after, func() { t.s.oldest[l] = stamp })
		}
	}
	if t.gaps {
		untold := t.firstUntold()
		t.after = append(t.after, func() { t.s.firstUntold = untold })
	}
}

// firstUntold returns the lowest number of the samples lane that a gap record names which still waits, 0 for none.
func (t *tx) firstUntold() uint64 {
	var first any // NULL without any; the table has no checksum
	t.get([]any{&first}, "SELECT min(first) FROM gaps WHERE lane = ?", wire.Samples)
	n, _ := first.(int64)
	return uint64(max(n, 0))
}

func (t *tx) saveLane(l wire.Lane, r laneRow) {
	t.exec("UPDATE lanes SET last = ?, records = ?, bytes = ?, crc = ?, done = ? WHERE lane = ?", r.last, r.records, r.bytes, r.crc(l), r.done, l)
}

func (t *tx) oldestStamp(l wire.Lane) wire.Stamp {
	return t.stamp("SELECT boot_id, mono, wall FROM " + laneTables[l] + " ORDER BY seq LIMIT 1")
}

// stamp reads a stamp, the zero one if there is none.
func (t *tx) stamp(query string, args ...any) wire.Stamp {
	var boot, mono, wall any // one damaged record must not stop a commit
	if !t.get([]any{&boot, &mono, &wall}, query, args...) {
		return wire.Stamp{}
	}
	b, _ := boot.([]byte)
	m, _ := mono.(int64)
	w, _ := wall.(int64)
	return stampOf(b, m, w)
}

// publish makes memory follow what was committed and wakes the waiting.
func (t *tx) publish() {
	s := t.s
	size := s.sizeOnDisk()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fileBytes, s.usedPages = size, t.used
	for _, l := range wire.Lanes {
		s.lanes[l] = t.lanes[l]
		if t.lanes[l].last > t.before[l].last {
			s.wake(l)
		}
	}
	for _, l := range t.losses {
		s.lost[l.lane][l.reason] = s.lost[l.lane][l.reason].and(l.Loss)
	}
	for _, fn := range t.after {
		fn()
	}
	s.writeMark()
}

// sizeOnDisk is the length of the database with its log and index.
func (s *Store) sizeOnDisk() (n int64) {
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if fi, err := os.Stat(filepath.Join(s.dir, fileName+suffix)); err == nil {
			n += fi.Size()
		}
	}
	return n
}

// put numbers a record, stores it and returns the number.
func (t *tx) put(lane wire.Lane, class wire.Class, o owner, stamp wire.Stamp, payload []byte) uint64 {
	t.lanes[lane].last++
	seq := t.lanes[lane].last
	t.place(lane, o.unit, &wire.Record{Seq: seq, Class: class, Epoch: o.epoch, Stamp: stamp, Payload: payload})
	return seq
}

// place seals a record of a unit and stores it under a number that is free.
func (t *tx) place(lane wire.Lane, unit string, r *wire.Record) {
	r.Stream, r.Lane, r.Boot = t.s.stream, lane, t.s.boot
	t.lanes[lane].records++
	t.lanes[lane].bytes += int64(len(r.Payload))
	k := t.key(unit, r.Epoch)
	if t.err != nil {
		return
	}
	sealed := t.s.w.seal(k, r)
	t.exec("INSERT INTO "+laneTables[lane]+" VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", int64(r.Seq), r.Class, r.Epoch, r.Boot,
		r.Stamp.BootID[:], int64(r.Stamp.Mono), wallNanos(r.Stamp), -k.id, sealed)
	if t.s.o.Accepted != nil {
		kept := *r
		kept.Payload = append([]byte(nil), r.Payload...) // an empty one as a reader gets it
		t.accepted = append(t.accepted, kept)
	}
}

// remove deletes the records first to last of a lane, both included, and what is known of gaps among them.
func (t *tx) remove(lane wire.Lane, first, last uint64) (records int64) {
	var bytes int64
	t.get([]any{&records, &bytes}, fmt.Sprintf("SELECT count(*), coalesce(sum(length(payload) - %d * (seal < 0)), 0) FROM %s WHERE seq BETWEEN ? AND ?",
		sealBytes, laneTables[lane]), int64(first), int64(last))
	if records == 0 {
		return 0
	}
	t.exec("DELETE FROM "+laneTables[lane]+" WHERE seq BETWEEN ? AND ?", int64(first), int64(last))
	t.accepted = slices.DeleteFunc(t.accepted, func(r wire.Record) bool { return r.Lane == lane && first <= r.Seq && r.Seq <= last })
	if lane == wire.Events {
		t.gaps = true
		t.exec("DELETE FROM gaps WHERE seq BETWEEN ? AND ?", int64(first), int64(last))
	}
	t.lanes[lane].records -= records
	if t.lanes[lane].bytes -= bytes; t.lanes[lane].records == 0 || t.lanes[lane].bytes < 0 {
		t.lanes[lane].bytes = 0 // damaged records do not have the length they came with
	}
	t.oldest[lane] = true
	return records
}
