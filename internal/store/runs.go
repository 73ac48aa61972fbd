package store

import (
	"database/sql"
	"maps"

	"upsedge/internal/wire"
)

// A unitRow is what the table units holds of a unit, but for its alarm state, which is sealed. The name stands in it twice: with the
// checksum, one flipped bit leaves no doubt whose row it is.
type unitRow struct {
	name  string
	named bool       // the name is certain
	sound bool       // so is the rest
	bent  bool       // one of the two names is not what was written
	run   int64      // number of the opening that samples the unit, 0: it ended cleanly
	last  wire.Stamp // end of the last stored samples

	state, seal any // as they are stored
}

func unitCRC(unit string, run int64, last wire.Stamp) int64 {
	return numbersCRC(append([]byte("unit "+unit), last.BootID[:]...), run, int64(last.Mono), wallNanos(last))
}

// units reads the table, whatever came of it.
func (t *tx) units() (list []unitRow) {
	t.each(func(rows *sql.Rows) (bool, error) {
		var u unitRow
		var key, run, boot, mono, wall, name, crc any
		if err := rows.Scan(&key, &run, &boot, &mono, &wall, &u.state, &u.seal, &name, &crc); err != nil {
			return false, err
		}
		var ok bool
		u.run, ok = run.(int64)
		last, stamped := storedStamp(boot, mono, wall)
		u.last = last
		u.name, u.named, u.sound = certain(key, name, func(name string) bool { return ok && stamped && crc == unitCRC(name, u.run, last) })
		u.bent = key != name
		list = append(list, u)
		return true, nil
	}, "SELECT unit, run, boot_id, mono, wall, state, seal, name, crc FROM units ORDER BY unit")
	return list
}

// certain finds out whose row it is that has two names: the one for which the checksum holds, which makes it sound, or else the one in
// which both agree.
func certain(key, name any, holds func(name string) bool) (is string, named, sound bool) {
	for _, v := range []any{key, name} {
		if s, ok := v.(string); ok && holds(s) {
			return s, true, true
		}
	}
	s, ok := key.(string)
	return s, ok && key == name, false
}

// storedStamp returns a stamp from what is stored of it, which may be nothing; false if no stamp is stored like that.
func storedStamp(boot, mono, wall any) (wire.Stamp, bool) {
	b, isBytes := boot.([]byte)
	m, isMono := mono.(int64)
	w, isWall := wall.(int64)
	ok := (boot == nil || isBytes && len(b) == len(wire.ID{})) && (mono == nil || isMono) && (wall == nil || isWall)
	return stampOf(b, m, w), ok
}

// unitRuns notes that the unit is sampled in this run and stored up to last.
func (t *tx) unitRuns(unit string, last wire.Stamp) {
	run := int64(t.s.boot)
	t.exec("INSERT INTO units (unit, run, boot_id, mono, wall, name, crc) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (unit) DO UPDATE "+
		"SET run = excluded.run, boot_id = excluded.boot_id, mono = excluded.mono, wall = excluded.wall, name = excluded.name, crc = excluded.crc",
		unit, run, last.BootID[:], int64(last.Mono), wallNanos(last), unit, unitCRC(unit, run, last))
}

// setRun notes in which run the unit of a sound row is sampled.
func (t *tx) setRun(u unitRow, run int64) {
	t.exec("UPDATE units SET run = ?, crc = ? WHERE unit = ?", run, unitCRC(u.name, run, u.last), u.name)
}

// endRun marks the clean end of every unit that owes nothing.
func (t *tx) endRun() {
	t.s.mu.Lock()
	owed := maps.Clone(t.s.owed)
	t.s.mu.Unlock()
	for _, u := range t.units() {
		switch {
		case !u.sound: // the next opening tells
		case owed[u.name]:
			t.setRun(u, int64(t.s.boot))
		case u.run != 0:
			t.setRun(u, 0)
		}
		delete(owed, u.name)
	}
	for unit := range owed {
		t.unitRuns(unit, wire.Stamp{})
	}
	t.saveMeta("")
}

// interrupt turns the units that an earlier run left running into interruptions. Of a damaged row nobody knows whether and when: the
// interruption then has no beginning.
func (t *tx) interrupt() {
	t.mendInterruptions()
	all := t.units()
	damaged := 0
	for i := range all {
		u := &all[i]
		if !u.sound || u.bent {
			damaged++
		}
		if !u.sound {
			u.last = wire.Stamp{}
		}
		if u.named && u.name != "" && (u.run != 0 || !u.sound) { // the agent itself, "", has no samples
			t.putInterruption(Interrupted{Unit: u.name, Last: u.last})
		}
		if u.sound && u.run != 0 {
			t.setRun(*u, 0)
		}
	}
	if damaged == 0 {
		return
	}
	t.damagedRows("units", damaged)
	// Anew, as a whole: with a flipped name the table is not in its order any more.
	t.exec("DELETE FROM units")
	for _, sound := range []bool{true, false} {
		for _, u := range all {
			if u.named && u.sound == sound {
				t.exec("INSERT OR IGNORE INTO units VALUES (?, 0, ?, ?, ?, ?, ?, ?, ?)", u.name, u.last.BootID[:], int64(u.last.Mono), wallNanos(u.last),
					u.state, u.seal, u.name, unitCRC(u.name, 0, u.last))
			}
		}
	}
}

// damagedRows counts rows beside the lanes that are not what was written.
func (t *tx) damagedRows(table string, n int) {
	if n == 0 {
		return
	}
	t.after = append(t.after, func() {
		t.s.damaged += uint64(n)
		t.s.log.Error("damaged entries of the database are not believed", "table", table, "entries", n)
	})
}
