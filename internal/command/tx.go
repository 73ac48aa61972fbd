package command

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"upsedge/internal/wire"
)

// A tx is one commit of the journal in the making. The first error sticks: later statements do nothing, and nothing is committed.
type tx struct {
	ctx   context.Context
	conn  *sql.Conn
	err   error
	meta  meta          // as it will be
	most  int64         // orders
	told  []wire.Result // by this commit
	drops []string      // devices whose load it says is dropped
}

// meta is the one row of the table meta.
type meta struct {
	journal wire.ID       // drawn with the file: numbers of results mean nothing in another one
	counter uint64        // highest of an order
	number  uint64        // last of a result
	age     time.Duration // how long agents with this journal have run
	boot    wire.ID       // in which age was told ...
	mono    time.Duration // ... and when
	lost    time.Duration // age at which the file took the place of one that broke, below 0: never
}

func (m *meta) crc() int64 {
	return sum("meta", []int64{int64(m.counter), int64(m.number), int64(m.age), int64(m.mono), int64(m.lost)}, m.journal[:], m.boot[:])
}

func (t *tx) saveMeta() {
	m := &t.meta
	t.exec("INSERT OR REPLACE INTO meta VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?)", m.journal[:], int64(m.counter), int64(m.number), int64(m.age),
		m.boot[:], int64(m.mono), int64(m.lost), m.crc())
}

func (t *tx) loadMeta() {
	var journal, boot []byte
	var counter, number, age, mono, lost, crc int64
	if !t.get([]any{&journal, &counter, &number, &age, &boot, &mono, &lost, &crc}, "SELECT journal, counter, number, age, boot, mono, lost, crc FROM meta WHERE id = 1") {
		t.fail(damaged("meta"))
		return
	}
	m := meta{counter: uint64(counter), number: uint64(number), age: time.Duration(age), mono: time.Duration(mono), lost: time.Duration(lost)}
	copy(m.journal[:], journal)
	copy(m.boot[:], boot)
	if m.crc() != crc {
		t.fail(damaged("meta"))
		return
	}
	t.meta = m
}

func (t *tx) fail(err error) {
	if t.err == nil {
		t.err = err
	}
}

// exec runs one statement.
func (t *tx) exec(query string, args ...any) (changed int64) {
	if t.err != nil {
		return 0
	}
	r, err := t.conn.ExecContext(t.ctx, query, args...)
	if t.err = err; err == nil {
		changed, _ = r.RowsAffected() // SQLite always knows
	}
	return changed
}

// get reads one row into dst and reports whether there is one.
func (t *tx) get(dst []any, query string, args ...any) bool {
	if t.err != nil {
		return false
	}
	err := t.conn.QueryRowContext(t.ctx, query, args...).Scan(dst...)
	if errors.Is(err, sql.ErrNoRows) {
		return false
	}
	t.err = err
	return err == nil
}

// each calls fn for every row. fn scans.
func (t *tx) each(fn func(*sql.Rows) error, query string, args ...any) {
	if t.err != nil {
		return
	}
	rows, err := t.conn.QueryContext(t.ctx, query, args...)
	if err != nil {
		t.err = err
		return
	}
	for err == nil && rows.Next() {
		err = fn(rows)
	}
	t.err = errors.Join(err, rows.Err(), rows.Close())
}

// structural reports whether err says that the file no longer is a proper database of ours.
func structural(err error) bool {
	if errors.Is(err, errBroken) {
		return true
	}
	var se *sqlite.Error
	if !errors.As(err, &se) {
		return false
	}
	if se.Code() == sqlite3.SQLITE_IOERR_SHORT_READ { // the file ends within a page
		return true
	}
	switch se.Code() & 0xff {
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CONSTRAINT:
		return true
	case sqlite3.SQLITE_ERROR: // a table or column that is not there
		return true
	}
	return false
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("journal of orders: %s: %w", what, err)
}
