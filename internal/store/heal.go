package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"upsedge/internal/wire"
)

// After an error of a write or a sync the kernel may take pages for clean that never reached the disk, and answer the next sync
// of the same file with success. So nothing is committed on top of what was there (T-22): the connections are closed as a crash
// would close them, the log is cut where the last good commit ends, its frames are read again and checked against their
// checksums, and all of them are written into the database once more, through files opened since.

// maxHealing is how often in a row that may fail, while other files of the directory can be written, before the file is given up.
const maxHealing = 5

// hurts reports whether err leaves open what of the files has reached the disk.
func hurts(err error) bool {
	var se *sqlite.Error
	if !errors.As(err, &se) || diskFull(err) {
		return false
	}
	switch se.Code() & 0xff {
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PROTOCOL:
		return true
	}
	return false
}

// heal makes the store fit for use after an error that hurts. The caller has the turn.
func (s *Store) heal(ctx context.Context) error {
	err := s.reconnect(ctx)
	if err == nil {
		s.hurt, s.healing = false, 0
		s.log.Info("the database was closed and opened again after an error of the disk")
		return nil
	}
	s.healing++
	if s.healing >= maxHealing && !diskFull(err) && s.probe() == nil {
		err = fmt.Errorf("%w: it fails again and again, and other files do not: %w", ErrBroken, err)
	}
	return s.noteBroken(asDisk(fmt.Errorf("open the database again: %w", err)))
}

func (s *Store) reconnect(ctx context.Context) error {
	s.reading.Lock()
	defer s.reading.Unlock()
	s.abandon()
	if err := s.cutLog(); err != nil {
		return err
	}
	path := filepath.Join(s.dir, fileName)
	if _, err := prepareFile(path); err != nil {
		return err
	}
	if err := s.openWriter(ctx, path, false); err != nil {
		return err
	}
	if err := s.check(ctx); err != nil {
		return err
	}
	if err := s.commit(ctx, "go on", durable, (*tx).goOn); err != nil {
		return err
	}
	if err := s.emptyLog(); err != nil {
		return err
	}
	return s.openReaders(ctx, path)
}

// goOn compares what is on the disk with what was committed.
func (t *tx) goOn() {
	t.after = append(t.after, func() { t.s.told = [len(laneTables)][]seqRange{} })
	s := t.s
	m, ok := t.loadMeta()
	if t.err == nil && (!ok || wire.ID(m.stream) != s.stream) {
		t.fail(fmt.Errorf("%w: another database stands in its place", ErrBroken))
		return
	}
	s.mu.Lock()
	var known [len(laneTables)]uint64
	for _, l := range wire.Lanes {
		known[l] = s.lanes[l].last
		t.oldest[l] = true
	}
	s.mu.Unlock()
	t.catchUp(known)
}

// abandon closes the connections without writing the log back, and notes where its last good commit ends.
func (s *Store) abandon() {
	if s.w.db == nil && s.readers == nil {
		return
	}
	if s.w.db != nil {
		s.goodLog = s.endOfLog()
	}
	// A connection that is the last one writes the log back when it is closed; not so while another one holds this lock.
	path := filepath.Join(s.dir, fileName)
	if f, err := os.OpenFile(path, os.O_RDONLY, 0); err == nil {
		defer f.Close()
		lock := unix.Flock_t{Type: unix.F_RDLCK, Start: 0x40000000 + 2, Len: 510} // SHARED, sqlite.org/c3ref, os_unix.c
		_ = unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &lock)
	}
	if err := s.closeFile(); err != nil {
		s.log.Debug("database closed after an error", "err", err)
	}
}

const (
	logHeader = 32            // bytes of the write-ahead log before its first frame
	logFrame  = pageSize + 24 // sqlite.org/fileformat2.html, section 4.1
)

// endOfLog returns the length of the write-ahead log up to the last commit that succeeded, as its index has it, -1 if that cannot be
// read. A commit whose sync failed stands behind it, whole perhaps, and would come to life again.
func (s *Store) endOfLog() int64 {
	n, ok := s.framesInLog()
	switch {
	case !ok:
		return -1
	case n == 0:
		return 0
	}
	return logHeader + n*logFrame
}

// framesInLog reads the index of the log: sqlite.org/walformat.html, section 2.1.
func (s *Store) framesInLog() (frames int64, ok bool) {
	var h [48]byte
	if s.w.index == nil {
		return 0, false
	}
	if n, _ := s.w.index.ReadAt(h[:], 0); n < len(h) || h[12] == 0 {
		return 0, false
	}
	return int64(binary.NativeEndian.Uint32(h[16:])), true
}

// cutLog takes off the log what goodLog says is too much.
func (s *Store) cutLog() error {
	path := filepath.Join(s.dir, fileName+"-wal")
	if s.goodLog < 0 || sizeOf(path) <= s.goodLog {
		return nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(s.goodLog), f.Sync(), f.Close())
}

// probe reports whether another file of the directory can be written and synced.
func (s *Store) probe() error {
	path := filepath.Join(s.dir, "probe")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, 4*pageSize))
	return errors.Join(err, f.Sync(), f.Close(), os.Remove(path))
}

// writeBackSometimes writes the log back once it is long. SQLite's own way of doing that hides what fails.
func (s *Store) writeBackSometimes(ctx context.Context) {
	if n, ok := s.framesInLog(); ok && n < s.limit.log {
		return
	}
	var busy, frames, copied int64
	err := s.w.conn.QueryRowContext(ctx, "PRAGMA wal_checkpoint(PASSIVE)").Scan(&busy, &frames, &copied)
	if hurts(err) {
		s.hurt = true
		s.log.Debug("the log was not written back", "err", err)
	}
}
