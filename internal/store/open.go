package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"upsedge/internal/wire"
)

const (
	fileName = "store.db"

	// checkTime bounds the structural check of the whole file at Open; what it does not reach in this time shows when it is used.
	// It is enough for some 300 MiB that are in memory and for 10 MiB on a slow card.
	checkTime = 500 * time.Millisecond
)

// Open opens the store in dir, or makes it: the directory with mode 0700, files with 0600. It returns ErrInUse while another
// process has it open, and ErrNewer, having changed nothing, for the file of a newer program. A structurally broken file is
// renamed to store.db.broken-<n> and a new stream begins; see SetAside. A full disk is no error as long as the log or the reserve
// have room for a few pages. Where the disk refuses the error is an ErrDisk: a later attempt may succeed.
func Open(ctx context.Context, dir string, o Options) (*Store, error) {
	s, err := open(ctx, dir, o)
	if diskFull(err) {
		err = fmt.Errorf("the disk is full and the store has no room left to begin: %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("open the store in %s: %w", dir, asDisk(err))
	}
	return s, nil
}

func open(ctx context.Context, dir string, o Options) (*Store, error) {
	if o.MaxBytes == 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	if o.MaxBytes < MinBytes {
		return nil, fmt.Errorf("a quota of %d bytes is below the least of %d", o.MaxBytes, MinBytes)
	}
	if o.Now == nil {
		o.Now = bootClock(o.BootID)
	}
	if o.driver == "" {
		o.driver = "sqlite"
	}
	s := &Store{dir: dir, o: o, limit: budgetOf(o.MaxBytes), log: o.Log, turn: make(chan struct{}, 1), owed: make(map[string]bool)}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	for _, l := range wire.Lanes {
		s.changed[l] = make(chan struct{})
		s.lost[l] = make(map[wire.GapReason]Loss)
	}
	if err := refuseNewer(dir); err != nil { // before anything is written
		return nil, err
	}
	if err := s.openDir(); err != nil {
		return nil, errors.Join(err, s.release())
	}
	if err := s.openDatabase(ctx); err != nil {
		return nil, errors.Join(err, s.release())
	}
	s.tidyAtOpen(ctx)
	return s, nil
}

func (s *Store) openDir() (err error) {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	if s.lock, err = lockDir(s.dir); err != nil {
		return err
	}
	s.mark, err = openMark(s.dir)
	return err
}

// openDatabase opens the file, and a new one in its place if it is broken.
func (s *Store) openDatabase(ctx context.Context) error {
	name, cause := s.suspected()
	if cause == nil {
		cause = s.openSomehow(ctx, name)
	}
	if cause == nil && name != "" {
		return s.trust()
	}
	if cause == nil || !structural(cause) {
		return cause
	}
	if err := s.closeFile(); err != nil {
		s.log.Warn("broken database not closed cleanly", "err", err)
	}
	name, err := s.putAside()
	if err != nil {
		return errors.Join(cause, err)
	}
	s.log.Error("broken database set aside, a new stream begins", "file", name, "err", cause)
	if err := s.openSomehow(ctx, name); err != nil {
		return err
	}
	return s.trust()
}

// openSomehow is openFile, on a full disk with the reserve.
func (s *Store) openSomehow(ctx context.Context, setAside string) error {
	defer s.refill()
	err := s.openFile(ctx, setAside)
	if !diskFull(err) || !s.giveUpReserve() {
		return err
	}
	if err := s.closeFile(); err != nil {
		s.log.Debug("database closed on a full disk", "err", err)
	}
	return s.openFile(ctx, setAside)
}

// closeFile makes ready for another openFile.
func (s *Store) closeFile() error {
	err := s.disconnect()
	s.readers, s.selects, s.w = nil, [len(laneTables)]*sql.Stmt{}, writer{}
	return err
}

func (s *Store) openFile(ctx context.Context, setAside string) error {
	path := filepath.Join(s.dir, fileName)
	fresh, err := prepareFile(path)
	if err != nil {
		return err
	}
	if s.file, err = os.Stat(path); err != nil {
		return err
	}
	if err := s.openWriter(ctx, path, fresh); err != nil {
		return err
	}
	if err := s.check(ctx); err != nil {
		return err
	}
	if err := s.makeTables(ctx); err != nil {
		return err
	}
	if err := s.openKeys(ctx); err != nil {
		return err
	}
	if err := s.commitSomehow(context.WithoutCancel(ctx), "begin a run", durable, func(t *tx) { t.beginRun(setAside) }); err != nil {
		return err
	}
	s.removeLeftKeys()
	return s.openReaders(ctx, path)
}

func (s *Store) openWriter(ctx context.Context, path string, fresh bool) (err error) {
	pragmas := []string{
		"journal_mode(WAL)", "synchronous(FULL)", "temp_store(2)",
		"wal_autocheckpoint(0)", fmt.Sprintf("journal_size_limit(%d)", s.limit.log*pageSize),
	}
	if fresh {
		pragmas = append([]string{"auto_vacuum(2)"}, pragmas...) // it would write to an old file
	}
	if s.w.db, err = s.connect(path, 1, pragmas...); err != nil {
		return err
	}
	s.w.stmts = make(map[string]*sql.Stmt)
	s.w.conn, err = s.w.db.Conn(ctx)
	return err
}

func (s *Store) openReaders(ctx context.Context, path string) (err error) {
	if s.readers, err = s.connect(path, 2, "query_only(1)"); err != nil {
		return err
	}
	for _, l := range wire.Lanes {
		if s.selects[l], err = s.readers.PrepareContext(ctx, fmt.Sprintf(selectRecords, laneTables[l])); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) connect(path string, conns int, pragmas ...string) (*sql.DB, error) {
	// busy_timeout in ms: only a checkpoint and the recovery of a log can be in the way. cache_size is in KiB when
	// negative: more than this makes nothing faster, and the pages lie beside Go's heap, three times.
	q := url.Values{"_pragma": append([]string{"busy_timeout(10000)", "cache_size(-500)"}, pragmas...)}
	db, err := sql.Open(s.o.driver, "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+q.Encode())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db, nil
}

// prepareFile makes an empty file that nobody else can read, SQLite gives its companions the same mode. It reports whether the
// file is empty.
func prepareFile(path string) (fresh bool, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return false, err
	}
	defer f.Close()
	if err := f.Chmod(0o600); err != nil {
		return false, err
	}
	if err := emptyBlank(f); err != nil {
		return false, err
	}
	if err := checkHeader(f); err != nil {
		return false, err
	}
	fi, err := f.Stat()
	if err != nil {
		return false, err
	}
	return fi.Size() == 0, syncDir(filepath.Dir(path))
}

// mostBlank is how long a file may be that was never more than begun: its first pages.
const mostBlank = 64 << 10

// emptyBlank empties a short file of nothing but zeros, without a log beside it: its first page was on the way to the disk when the power went,
// and no commit can have come behind it. To set it aside as broken would alarm people about nothing.
func emptyBlank(f *os.File) error {
	b := make([]byte, mostBlank+1)
	n, err := f.ReadAt(b, 0)
	if n == 0 || n > mostBlank || !errors.Is(err, io.EOF) || len(bytes.Trim(b[:n], "\x00")) > 0 {
		return nil // empty, or what the check of the header judges
	}
	if log, err := os.Stat(f.Name() + "-wal"); err == nil && log.Size() > 0 {
		return nil
	}
	if err := os.Remove(f.Name() + "-journal"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return f.Truncate(0)
}

// checkHeader tells a foreign or broken first page, which SQLite in part answers with "read only" or takes for its own.
// Source: sqlite.org/fileformat2.html, section 1.3.
func checkHeader(f *os.File) error {
	h := make([]byte, 100)
	n, err := f.ReadAt(h, 0)
	if n == 0 {
		return nil
	}
	switch {
	case n < len(h):
		return fmt.Errorf("%w: header of %d bytes: %w", ErrBroken, n, err)
	case string(h[:16]) != "SQLite format 3\x00":
		return fmt.Errorf("%w: not a SQLite file", ErrBroken)
	case h[18] < 1 || h[18] > 2 || h[19] < 1 || h[19] > 2:
		return fmt.Errorf("%w: file format versions %d and %d", ErrBroken, h[18], h[19])
	}
	return nil
}

// check asks SQLite whether the structure is sound: of the small tables always, then of the whole file for as long as checkTime.
func (s *Store) check(ctx context.Context) error {
	for _, table := range []string{"meta", "lanes", "gaps", "raises", "units", "interruptions", "keys", "keyring"} {
		err := s.quickCheck(ctx, "'"+table+"'")
		if err != nil && !strings.Contains(err.Error(), "no such table") { // a new file, or one of an earlier version
			return err
		}
	}
	if s.o.unchecked {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	err := s.quickCheck(limited, "1")
	if err != nil && errors.Is(limited.Err(), context.DeadlineExceeded) && !structural(err) {
		s.log.Debug("the database is too large to check all of it at the start")
		return nil
	}
	return err
}

func (s *Store) quickCheck(ctx context.Context, what string) error {
	var answer string
	err := s.w.conn.QueryRowContext(ctx, "PRAGMA quick_check("+what+")").Scan(&answer)
	if err == nil && answer != "ok" {
		err = fmt.Errorf("%w: %s", ErrBroken, answer)
	}
	return err
}

// makeTables makes the tables of a new file and compares those of an old one.
func (s *Store) makeTables(ctx context.Context) error {
	var found []string
	rows, err := s.w.conn.QueryContext(ctx, "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid")
	if err != nil {
		return err
	}
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return errors.Join(err, rows.Close())
		}
		found = append(found, text)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	if len(found) == 0 {
		return s.create(ctx)
	}
	if slices.Equal(found, schema) {
		return nil
	}
	return s.migrate(ctx, found)
}
