package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"upsedge/internal/wire"
)

// schemaVersion is the version of the tables. It stands in the table meta, and since version 2 as user_version in the header of the
// file, where a program that must not touch a newer file finds it. meta keeps its columns and its checksum in every version: by them
// programs of version 1 know that a file is too new for them.
const schemaVersion = 2

// A step takes the tables from one version to the next in one commit, so that a crash leaves the one or the other. It is short whatever
// the file holds: what takes long (sealing what waits) is left for afterwards, in pieces, with rows of both kinds readable meanwhile.
type step struct {
	from   int
	tables []string // of the version from
	do     func(*tx)
}

// steps in their order. The last one ends at schemaVersion.
var steps = []step{{1, schema1, (*tx).toVersion2}}

// schema1 are the tables of version 1.
var schema1 = []string{
	schema[0],
	`CREATE TABLE lanes (lane INTEGER PRIMARY KEY, last INTEGER, records INTEGER, bytes INTEGER, crc INTEGER)`,
	`CREATE TABLE events (seq INTEGER PRIMARY KEY, class INTEGER, epoch INTEGER, boot INTEGER, boot_id BLOB, mono INTEGER, wall INTEGER, crc INTEGER, payload BLOB)`,
	`CREATE TABLE samples (seq INTEGER PRIMARY KEY, class INTEGER, epoch INTEGER, boot INTEGER, boot_id BLOB, mono INTEGER, wall INTEGER, crc INTEGER, payload BLOB)`,
	schema[4],
	`CREATE TABLE raises (unit TEXT, alarm INTEGER, seq INTEGER, PRIMARY KEY (unit, alarm)) WITHOUT ROWID`,
	`CREATE TABLE units (unit TEXT PRIMARY KEY, run INTEGER, boot_id BLOB, mono INTEGER, wall INTEGER, state BLOB, crc INTEGER) WITHOUT ROWID`,
	`CREATE TABLE interruptions (id INTEGER PRIMARY KEY, unit TEXT, boot_id BLOB, mono INTEGER, wall INTEGER, to_boot_id BLOB, to_mono INTEGER, to_wall INTEGER)`,
}

// toVersion2 names the checksum what it becomes, and notes what is to be sealed and where a lane begins. Which numbers are missing in
// between it takes as told: version 1 did not note it.
func (t *tx) toVersion2() {
	for _, table := range []string{"events", "samples", "units"} {
		t.plain("ALTER TABLE " + table + " RENAME COLUMN crc TO seal")
	}
	for _, table := range schema[8:12] {
		t.plain(table)
	}
	for _, l := range wire.Lanes {
		// Apart: asked for both at once SQLite reads the whole table.
		t.plain(fmt.Sprintf("INSERT INTO unsealed SELECT %d, coalesce((SELECT min(seq) FROM %s), 1), coalesce((SELECT max(seq) FROM %s), 0)",
			l, laneTables[l], laneTables[l]))
	}
	t.plain("ALTER TABLE lanes ADD COLUMN done INTEGER")
	for _, l := range wire.Lanes {
		var first, crc int64
		var row laneRow
		t.get([]any{&row.last, &row.records, &row.bytes, &crc}, "SELECT last, records, bytes, crc FROM lanes WHERE lane = ?", l)
		if t.err == nil && crc != numbersCRC([]byte{byte(l)}, int64(row.last), row.records, row.bytes) {
			t.fail(fmt.Errorf("%w: the counters of lane %v do not match their checksum", ErrBroken, l))
		}
		row.done = row.last
		if t.get([]any{&first}, "SELECT seq FROM "+laneTables[l]+" ORDER BY seq LIMIT 1") {
			row.done = uint64(first - 1)
			t.noteHole(l, row.done+1, row.last)
		}
		t.saveLane(l, row)
	}
	t.sumRows()
}

// sumRows gives checksums to the rows beside the lanes, as they are: version 1 had none.
func (t *tx) sumRows() {
	t.plain("ALTER TABLE raises ADD COLUMN crc INTEGER")
	for _, table := range []string{"units", "interruptions"} {
		t.plain("ALTER TABLE " + table + " ADD COLUMN name TEXT")
		t.plain("ALTER TABLE " + table + " ADD COLUMN crc INTEGER")
		t.plain("UPDATE " + table + " SET name = unit")
	}
	var sums []func()
	t.each(func(rows *sql.Rows) (bool, error) {
		var unit string
		var alarm, seq int64
		err := rows.Scan(&unit, &alarm, &seq)
		sums = append(sums, func() { t.putRaise(unit, alarm, uint64(seq)) })
		return true, err
	}, "SELECT unit, alarm, seq FROM raises")
	for _, u := range t.units() {
		sums = append(sums, func() { t.setRun(u, u.run) })
	}
	for _, i := range t.interruptions() {
		sums = append(sums, func() {
			t.exec("UPDATE interruptions SET crc = ? WHERE id = ?", interruptionCRC(i.Interrupted), i.id)
		})
	}
	for _, sum := range sums {
		sum()
	}
}

// migrate takes the tables that were found to those of this program.
func (s *Store) migrate(ctx context.Context, found []string) error {
	t := &tx{ctx: ctx, s: s}
	m, ok := t.loadMeta()
	if se := (*sqlite.Error)(nil); errors.As(t.err, &se) && se.Code() == sqlite3.SQLITE_ERROR {
		// A column that every version has is not there: its name came to harm in the file.
		return fmt.Errorf("%w: unexpected tables: %w", ErrBroken, t.err)
	}
	switch {
	case t.err != nil && structural(t.err):
		return t.err
	case ok && m.version > schemaVersion:
		return newer(int(m.version))
	}
	i := slices.IndexFunc(steps, func(st step) bool { return slices.Equal(found, st.tables) })
	if i < 0 || !ok || m.version != int64(steps[i].from) {
		return t.errOr(fmt.Errorf("%w: unexpected tables", ErrBroken))
	}
	for _, st := range steps[i:] {
		s.log.Info("the database is taken to a newer version", "from", st.from, "to", st.from+1)
		err := s.alone(context.WithoutCancel(ctx), func(t *tx) {
			st.do(t)
			m.version = int64(st.from + 1)
			t.plain(fmt.Sprintf("PRAGMA user_version = %d", userVersion(st.from+1)))
			t.exec("UPDATE meta SET version = ?, crc = ? WHERE id = 1", m.version, m.crc())
		})
		if err != nil {
			return fmt.Errorf("take the database to version %d: %w", st.from+1, err)
		}
	}
	return nil
}

// alone runs fn as one commit while there are no lanes yet, or none of this version.
func (s *Store) alone(ctx context.Context, fn func(*tx)) error {
	t := &tx{ctx: ctx, s: s}
	if t.err = s.w.begin(ctx, durable); t.err != nil {
		return t.err
	}
	fn(t)
	t.plain("COMMIT")
	if t.err != nil {
		_ = s.w.plain(ctx, "ROLLBACK")
	}
	return t.err
}
