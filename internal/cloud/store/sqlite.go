package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sync/semaphore"
	"golang.org/x/sys/unix"
	"modernc.org/sqlite"
)

// mostReaders look at the same time; more wait.
const (
	mostReaders = 32
	idleReaders = 4
)

// sqliteDB is a file with one connection that writes and several that read.
type sqliteDB struct {
	path    string
	file    os.FileInfo // what stood there when it was opened
	writers *sql.DB
	readers *sql.DB

	turn   *semaphore.Weighted // of the writers, in the order of asking
	writer *session            // whose turn it is
	seats  *semaphore.Weighted // of the readers

	mu   sync.Mutex
	idle []*session
}

func openSQLite(ctx context.Context, c Config) (_ *sqliteDB, err error) {
	s := &sqliteDB{turn: semaphore.NewWeighted(1), seats: semaphore.NewWeighted(mostReaders)}
	if s.path, err = filepath.Abs(c.DSN); err != nil {
		return nil, err
	}
	if err := s.open(ctx, c); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", s.path, err), s.close())
	}
	return s, nil
}

func (s *sqliteDB) open(ctx context.Context, c Config) error {
	dir, how := filepath.Dir(s.path), os.O_RDWR
	if !c.Existing {
		how |= os.O_CREATE
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	// SQLite would give the file, and those beside it, the rights that others have by default.
	f, err := os.OpenFile(s.path, how, 0o600)
	if c.Existing && errors.Is(err, os.ErrNotExist) {
		return ErrNone
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if err := lockFor(f, func() error { return s.begin(ctx, c) }); err != nil {
		return err
	}
	if s.file, err = f.Stat(); err != nil {
		return err
	}
	return SyncDir(dir) // the file's name is on disk before anything is told to be
}

// begin connects and brings the tables up to date.
func (s *sqliteDB) begin(ctx context.Context, c Config) error {
	s.writers = sql.OpenDB(c.Wrap(connector{dsn(s.path, "journal_mode(WAL)", "synchronous(FULL)")}))
	s.writers.SetMaxOpenConns(1)
	if err := migrate(ctx, SQLite, s.writers, migrations, c.Existing); err != nil {
		return err
	}
	s.readers = sql.OpenDB(c.Wrap(connector{dsn(s.path, "query_only(1)")}))
	return nil
}

// lockFor keeps other processes from bringing the tables up to date meanwhile. The lock is another one than SQLite's own.
func lockFor(f *os.File, fn func() error) error {
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		return err
	}
	return errors.Join(fn(), unix.Flock(int(f.Fd()), unix.LOCK_UN))
}

// dsn names the file. It is opened, never made: one that was deleted is to be missed. busy_timeout in ms: only other processes, and
// the recovery of a log, can be in the way. cache_size in KiB when negative. Keys to other tables are held, as PostgreSQL does.
func dsn(path string, pragmas ...string) string {
	q := url.Values{"mode": {"rw"}, "_pragma": append([]string{"busy_timeout(10000)", "cache_size(-16000)", "foreign_keys(1)"}, pragmas...)}
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode()
}

type connector struct{ dsn string }

func (c connector) Connect(context.Context) (driver.Conn, error) { return c.Driver().Open(c.dsn) }
func (connector) Driver() driver.Driver                          { return &sqlite.Driver{} }

func (s *sqliteDB) write(ctx context.Context, fn func(context.Context, *Tx) error) ([]func(), error) {
	if err := s.turn.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer s.turn.Release(1)
	if s.writer == nil {
		var err error
		if s.writer, err = newSession(ctx, s.writers); err != nil {
			return nil, err
		}
	}
	sound := false
	defer func() {
		if !sound { // after a panic of fn, too
			s.writer.drop()
			s.writer = nil
		}
	}()
	tx := &Tx{on: s.writer, dialect: SQLite}
	err := s.transact(ctx, s.writer, "BEGIN IMMEDIATE", tx, fn, &sound)
	if err == nil {
		err = s.stillThere()
	}
	return tx.after, err
}

func (s *sqliteDB) read(ctx context.Context, fn func(context.Context, *Tx) error) ([]func(), error) {
	if err := s.seats.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer s.seats.Release(1)
	r, err := s.takeReader(ctx)
	if err != nil {
		return nil, err
	}
	sound := false
	defer func() { s.giveReader(r, sound) }()
	tx := &Tx{on: r, dialect: SQLite}
	err = s.transact(ctx, r, "BEGIN", tx, fn, &sound)
	return tx.after, err
}

// transact runs fn between begin and the commit. sound says afterwards that the connection has no transaction and no fault.
func (s *sqliteDB) transact(ctx context.Context, on *session, begin string, tx *Tx, fn func(context.Context, *Tx) error, sound *bool) error {
	if _, err := on.ExecContext(ctx, begin); err != nil {
		return err
	}
	whole := context.WithoutCancel(ctx) // never half way
	on.failed = nil
	err := tx.run(ctx, fn)
	if on.failed != nil {
		err = errors.Join(err, on.failed)
	}
	if err == nil {
		if _, err = on.ExecContext(whole, "COMMIT"); err == nil {
			*sound = true
			return nil
		}
		return fmt.Errorf("commit: %w", err)
	}
	if _, undone := on.ExecContext(whole, "ROLLBACK"); undone == nil {
		*sound = tx.failed == nil || refused(tx.failed)
	}
	return err
}

// refused reports whether a statement failed by what the tables allow, and not by what the disk does.
func refused(err error) bool {
	var e *sqlite.Error
	const primary, constraint = 0xff, 19 // of extended result codes; SQLITE_CONSTRAINT
	return errors.As(err, &e) && e.Code()&primary == constraint
}

func (s *sqliteDB) takeReader(ctx context.Context) (*session, error) {
	s.mu.Lock()
	if n := len(s.idle); n > 0 {
		r := s.idle[n-1]
		s.idle = s.idle[:n-1]
		s.mu.Unlock()
		return r, nil
	}
	s.mu.Unlock()
	return newSession(ctx, s.readers)
}

func (s *sqliteDB) giveReader(r *session, sound bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !sound || len(s.idle) >= idleReaders {
		r.drop()
		return
	}
	s.idle = append(s.idle, r)
}

// stillThere looks whether the file is where it was. Of anything else that is wrong with it the disk will say so itself.
func (s *sqliteDB) stillThere() error {
	fi, err := os.Stat(s.path)
	if err == nil && os.SameFile(fi, s.file) || err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return ErrGone
}

func (s *sqliteDB) close() error {
	ctx := context.Background()
	_ = s.turn.Acquire(ctx, 1) // fails with its context only
	_ = s.seats.Acquire(ctx, mostReaders)
	defer s.turn.Release(1)
	defer s.seats.Release(mostReaders)
	if s.writer != nil {
		s.writer.drop()
		s.writer = nil
	}
	for _, r := range s.idle {
		r.drop()
	}
	s.idle = nil
	var errs []error
	for _, db := range []*sql.DB{s.readers, s.writers} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

// SyncDir puts the names in a directory on disk.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
