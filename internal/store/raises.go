package store

import (
	"database/sql"
	"sort"

	"upsedge/internal/ups"
)

// raiseKey is the key of an alarm in the table of raises: its id, and above the 16 bits of that the outlet group it is about, so
// that each group has its own and what an earlier version wrote is still found.
func raiseKey(id ups.AlarmID, g ups.Group) int64 { return int64(g)<<16 | int64(id) }

func raiseCRC(unit string, alarm, seq int64) int64 {
	return numbersCRC([]byte("raise "+unit), alarm, seq)
}

const selectRaise = "SELECT seq, crc FROM raises WHERE unit = ? AND alarm = ?"

// soundRaise returns the number in a row of the table raises, false if it is not what was written.
func soundRaise(unit string, alarm int64, seq, crc any) (uint64, bool) {
	n, ok := seq.(int64)
	return uint64(n), ok && crc == raiseCRC(unit, alarm, n)
}

// putRaise keeps the number of a raise until its clear.
func (t *tx) putRaise(unit string, alarm int64, seq uint64) {
	t.exec("INSERT OR REPLACE INTO raises VALUES (?, ?, ?, ?)", unit, alarm, int64(seq), raiseCRC(unit, alarm, int64(seq)))
}

// takeRaise returns the number of the raise that ends, 0 if it is not known or not what was written: nothing is said then.
func (t *tx) takeRaise(unit string, alarm int64) (raisedBy uint64) {
	var seq, crc any
	if t.get([]any{&seq, &crc}, selectRaise, unit, alarm) {
		n, ok := soundRaise(unit, alarm, seq, crc)
		if raisedBy = n; !ok {
			raisedBy = 0
			t.damagedRows("raises", 1)
		}
	}
	t.exec("DELETE FROM raises WHERE unit = ? AND alarm = ?", unit, alarm)
	return raisedBy
}

// mendRaises forgets damaged raises. The table is made anew: with a flipped name it is not in its order any more.
func (t *tx) mendRaises() {
	type raise struct {
		unit  string
		alarm int64
		seq   uint64
	}
	var sound []raise
	damaged := 0
	t.each(func(rows *sql.Rows) (bool, error) {
		var unit, alarm, seq, crc any
		if err := rows.Scan(&unit, &alarm, &seq, &crc); err != nil {
			return false, err
		}
		name, _ := unit.(string)
		id, _ := alarm.(int64)
		if n, ok := soundRaise(name, id, seq, crc); ok {
			sound = append(sound, raise{name, id, n})
		} else {
			damaged++
		}
		return true, nil
	}, "SELECT unit, alarm, seq, crc FROM raises")
	if damaged == 0 {
		return
	}
	t.damagedRows("raises", damaged)
	t.exec("DELETE FROM raises")
	sort.Slice(sound, func(i, j int) bool { return sound[i].seq < sound[j].seq }) // ADR 20
	for _, r := range sound {
		t.putRaise(r.unit, r.alarm, r.seq)
	}
}
