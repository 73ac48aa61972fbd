package store

import (
	"database/sql"
	"slices"

	"upsedge/internal/wire"
)

// An interruptionRow is a row of the table interruptions, which like those of units has its name twice and a checksum.
type interruptionRow struct {
	Interrupted
	id    int64
	named bool // the name is certain
	sound bool // so is the rest
	bent  bool // one of the two names is not what was written
}

func interruptionCRC(i Interrupted) int64 {
	b := append([]byte("interruption "+i.Unit), i.Last.BootID[:]...)
	b = append(b, i.Resumed.BootID[:]...)
	return numbersCRC(b, int64(i.Last.Mono), wallNanos(i.Last), int64(i.Resumed.Mono), wallNanos(i.Resumed))
}

// interruptions reads the table, whatever came of it.
func (t *tx) interruptions() (list []interruptionRow) {
	t.each(func(rows *sql.Rows) (bool, error) {
		var i interruptionRow
		var unit, from, mono, wall, to, toMono, toWall, name, crc any
		if err := rows.Scan(&i.id, &unit, &from, &mono, &wall, &to, &toMono, &toWall, &name, &crc); err != nil {
			return false, err
		}
		last, ok := storedStamp(from, mono, wall)
		resumed, alsoOK := storedStamp(to, toMono, toWall)
		i.Unit, i.named, i.sound = certain(unit, name, func(name string) bool {
			return ok && alsoOK && crc == interruptionCRC(Interrupted{name, last, resumed})
		})
		i.Last, i.Resumed, i.bent = last, resumed, unit != name
		list = append(list, i)
		return true, nil
	}, "SELECT id, unit, boot_id, mono, wall, to_boot_id, to_mono, to_wall, name, crc FROM interruptions ORDER BY id")
	return list
}

// loadInterruptions reads the list of Crashed.
func (t *tx) loadInterruptions() (list []Interrupted) {
	for _, i := range t.interruptions() {
		list = append(list, i.Interrupted)
	}
	return list
}

// mendInterruptions takes the times from damaged interruptions: since when is not known any more.
func (t *tx) mendInterruptions() {
	all := t.interruptions()
	damaged := 0
	for _, i := range all {
		if !i.sound || i.bent {
			damaged++
		}
	}
	if damaged == 0 {
		return
	}
	t.damagedRows("interruptions", damaged)
	t.exec("DELETE FROM interruptions")
	for _, i := range all {
		if !i.sound {
			i.Last, i.Resumed = wire.Stamp{}, wire.Stamp{}
		}
		if i.named {
			t.putInterruption(i.Interrupted)
		}
	}
}

func (t *tx) putInterruption(i Interrupted) {
	var to, toMono, toWall any
	if i.Resumed != (wire.Stamp{}) {
		to, toMono, toWall = i.Resumed.BootID[:], int64(i.Resumed.Mono), wallNanos(i.Resumed)
	}
	t.exec("INSERT INTO interruptions (unit, boot_id, mono, wall, to_boot_id, to_mono, to_wall, name, crc) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
		i.Unit, i.Last.BootID[:], int64(i.Last.Mono), wallNanos(i.Last), to, toMono, toWall, i.Unit, interruptionCRC(i))
}

// resumed notes the first samples of a unit after an interruption.
func (t *tx) resumed(unit string, at wire.Stamp) {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	open := func(i Interrupted) bool { return i.Unit == unit && i.Resumed == wire.Stamp{} }
	if !slices.ContainsFunc(t.s.interrupted, open) {
		return
	}
	for _, i := range t.interruptions() {
		if i.sound && open(i.Interrupted) {
			i.Resumed = at
			t.exec("UPDATE interruptions SET to_boot_id = ?, to_mono = ?, to_wall = ?, crc = ? WHERE id = ?",
				at.BootID[:], int64(at.Mono), wallNanos(at), interruptionCRC(i.Interrupted), i.id)
		}
	}
	t.after = append(t.after, func() {
		for i := range t.s.interrupted {
			if open(t.s.interrupted[i]) {
				t.s.interrupted[i].Resumed = at
			}
		}
	})
}

// closeInterruption deletes the interruption of the unit that begins at from; the wall time may have been completed since.
func (t *tx) closeInterruption(unit string, from wire.Stamp) {
	t.exec("DELETE FROM interruptions WHERE unit = ? AND coalesce(boot_id, zeroblob(16)) = ? AND coalesce(mono, 0) = ?",
		unit, from.BootID[:], int64(from.Mono))
	t.after = append(t.after, func() {
		t.s.interrupted = slices.DeleteFunc(t.s.interrupted, func(i Interrupted) bool {
			return i.Unit == unit && i.Last.BootID == from.BootID && i.Last.Mono == from.Mono
		})
	})
}
