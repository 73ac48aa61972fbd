package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"upsedge/internal/wire"
)

// writer is the one connection that writes, with its prepared statements.
type writer struct {
	db    *sql.DB
	conn  *sql.Conn
	stmts map[string]*sql.Stmt
	lazy  bool     // the connection is at synchronous=NORMAL
	index *os.File // of the log, nil before the first commit
	room  []byte
}

// keepRoom is the greatest buffer for sealing that is kept.
const keepRoom = 64 << 10

// seal returns what is stored of the payload of r, until the next call: SQLite copies what it is given.
func (w *writer) seal(k *sealKey, r *wire.Record) []byte {
	sealed := k.sealRecord(w.room, r)
	if cap(sealed) <= keepRoom {
		w.room = sealed
	}
	return sealed
}

func (w *writer) close() error {
	var errs []error
	for _, st := range w.stmts {
		errs = append(errs, st.Close())
	}
	if w.conn != nil {
		errs = append(errs, w.conn.Close())
	}
	if w.db != nil {
		errs = append(errs, w.db.Close())
	}
	if w.index != nil {
		errs = append(errs, w.index.Close())
	}
	return errors.Join(errs...)
}

// openIndex opens the index of the log to read it. Closing it would take away SQLite's locks, so it stays open as long as they do.
func (w *writer) openIndex(dir string) {
	if w.index == nil {
		w.index, _ = os.Open(filepath.Join(dir, fileName+"-shm")) // nil: a log that is written back more often
	}
}

func (w *writer) prepare(ctx context.Context, query string) (*sql.Stmt, error) {
	if st := w.stmts[query]; st != nil {
		return st, nil
	}
	st, err := w.conn.PrepareContext(ctx, query)
	if err == nil {
		w.stmts[query] = st
	}
	return st, err
}

func (w *writer) plain(ctx context.Context, query string) error {
	_, err := w.conn.ExecContext(ctx, query)
	return err
}

// begin starts a transaction. A transaction that an earlier failure left open is ended first.
func (w *writer) begin(ctx context.Context, d durability) error {
	if lazy := d == eventually; lazy != w.lazy {
		level := map[bool]string{true: "NORMAL", false: "FULL"}[lazy]
		_ = w.plain(ctx, "ROLLBACK") // inside a transaction the level could not be changed
		if err := w.plain(ctx, "PRAGMA synchronous="+level); err != nil {
			return err
		}
		w.lazy = lazy
	}
	err := w.plain(ctx, "BEGIN IMMEDIATE")
	if err != nil && strings.Contains(err.Error(), "within a transaction") {
		if err = w.plain(ctx, "ROLLBACK"); err == nil {
			err = w.plain(ctx, "BEGIN IMMEDIATE")
		}
	}
	return err
}

// durability says when a commit has reached the disk.
type durability bool

const (
	durable    durability = true  // before the call returns
	eventually durability = false // with the next durable one. Losing it only repeats what the other side de-duplicates
)

// A tx is one commit in the making. The first error sticks: later statements do nothing, and nothing is committed.
type tx struct {
	ctx      context.Context
	s        *Store
	err      error
	lanes    [len(laneTables)]laneRow
	before   [len(laneTables)]laneRow
	oldest   [len(laneTables)]bool // the oldest record may be another one now
	gaps     bool                  // the gap records that wait may be others now
	losses   []loss
	used     int64         // pages
	holding  bool          // hand is held
	accepted []wire.Record // for Options.Accepted
	after    []func()      // run under mu once it is committed: memory follows the disk
}

// write runs fn as one commit, when its turn has come; on a full disk with the help of the reserve. ctx ends the waiting,
// never a transaction half way.
func (s *Store) write(ctx context.Context, what string, d durability, fn func(*tx)) error {
	return s.inTurn(ctx, what, func(ctx context.Context) error { return s.commitSomehow(ctx, what, d, fn) })
}

// inTurn runs do, which has the turn and a context that does not end.
func (s *Store) inTurn(ctx context.Context, what string, do func(context.Context) error) error {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", what, context.Cause(ctx))
	}
	defer func() { <-s.turn }()
	if err := s.state(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if err := s.stillThere(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	ctx = context.WithoutCancel(ctx)
	if s.hurt {
		if err := s.heal(ctx); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	s.keepKeys()
	return do(ctx)
}

// commit runs fn as one commit, for a caller that has the turn.
func (s *Store) commit(ctx context.Context, what string, d durability, fn func(*tx)) error {
	t := &tx{ctx: ctx, s: s}
	defer t.letGo()
	if t.err = s.w.begin(ctx, d); t.err == nil {
		s.w.openIndex(s.dir)
		t.loadLanes()
		fn(t)
		t.saveLanes()
		t.nameKeys()
		if t.err == nil {
			t.err = s.w.plain(ctx, "COMMIT")
		}
		if t.err != nil {
			_ = s.w.plain(ctx, "ROLLBACK") // SQLite may have done it already
		}
	}
	if t.err != nil {
		s.hurt = s.hurt || hurts(t.err)
		return s.noteBroken(fmt.Errorf("%s: %w", what, asDisk(t.err)))
	}
	t.publish()
	s.writeBackSometimes(ctx)
	if len(t.accepted) > 0 {
		s.o.Accepted(t.accepted)
	}
	return nil
}

// noteBroken remembers a structural damage and returns err, as ErrBroken if it is one.
func (s *Store) noteBroken(err error) error {
	if !structural(err) {
		return err
	}
	err = fmt.Errorf("%w: %w", ErrBroken, err)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken == nil {
		s.broken = err
		s.log.Error("database broken, it will be set aside at the next opening", "err", err)
		s.suspect()
		for _, l := range wire.Lanes {
			s.wake(l) // whoever waits shall learn of it
		}
	}
	return err
}

// structural reports whether err says that the file no longer is a proper database.
func structural(err error) bool {
	if errors.Is(err, ErrBroken) {
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
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return true
	case sqlite3.SQLITE_CONSTRAINT: // of keys alone: a number that is free is there, where the order of a table is broken
		return true
	}
	return false
}

// exec runs one statement.
func (t *tx) exec(query string, args ...any) {
	if t.err != nil {
		return
	}
	st, err := t.s.w.prepare(t.ctx, query)
	if err == nil {
		_, err = st.ExecContext(t.ctx, args...)
	}
	t.err = err
}

// get reads one row into dst and reports whether there is one.
func (t *tx) get(dst []any, query string, args ...any) bool {
	if t.err != nil {
		return false
	}
	st, err := t.s.w.prepare(t.ctx, query)
	if err == nil {
		err = st.QueryRowContext(t.ctx, args...).Scan(dst...)
	}
	if errors.Is(err, sql.ErrNoRows) {
		return false
	}
	t.err = err
	return err == nil
}

// each calls fn for every row until it returns false. fn scans.
func (t *tx) each(fn func(*sql.Rows) (bool, error), query string, args ...any) {
	if t.err != nil {
		return
	}
	st, err := t.s.w.prepare(t.ctx, query)
	if err != nil {
		t.err = err
		return
	}
	rows, err := st.QueryContext(t.ctx, args...)
	if err != nil {
		t.err = err
		return
	}
	for more := true; more && err == nil && rows.Next(); {
		more, err = fn(rows)
	}
	t.err = errors.Join(err, rows.Err(), rows.Close())
}

// hold keeps Next out of the events lane until the commit is over and returns the highest number handed out.
func (t *tx) hold() uint64 {
	if !t.holding {
		t.s.hand.Lock()
		t.holding = true
	}
	return t.s.handed
}

func (t *tx) letGo() {
	if t.holding {
		t.s.hand.Unlock()
		t.holding = false
	}
}
