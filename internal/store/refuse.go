package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"upsedge/internal/wire"
)

// errNotOpen is said while the database is closed after an error of the disk.
var errNotOpen = fmt.Errorf("%w: the database is closed after an error", ErrDisk)

// refusals are what a disk answers that is full, read only, failing, or that was taken away.
var refusals = []error{
	unix.ENOSPC, unix.EDQUOT, unix.EFBIG, unix.EROFS, unix.EIO, unix.EUCLEAN, unix.ENXIO, unix.ENODEV, unix.ESTALE, unix.ENOTCONN,
	unix.ESHUTDOWN, unix.ETIMEDOUT, unix.ENOMEM, unix.EMFILE, unix.ENFILE,
}

// refuses reports whether err is the disk's and not about what is on it.
func refuses(err error) bool {
	if diskFull(err) || slices.ContainsFunc(refusals, func(r error) bool { return errors.Is(err, r) }) {
		return true
	}
	var se *sqlite.Error
	if !errors.As(err, &se) {
		return false
	}
	switch se.Code() & 0xff {
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_NOMEM:
		return true
	}
	return false
}

// asDisk returns err, as ErrDisk where the disk refuses.
func asDisk(err error) error {
	if err == nil || errors.Is(err, ErrDisk) || !refuses(err) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrDisk, err)
}

// stillThere finds out whether the database is the file of its name. One that was deleted or moved takes commits on as if nothing
// had happened, and nobody would ever see them. What stands there in its place is not suspected of anything.
func (s *Store) stillThere() error {
	fi, err := os.Stat(filepath.Join(s.dir, fileName))
	if err == nil && os.SameFile(fi, s.file) || err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil // or the disk will say itself what is wrong with it
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken == nil {
		s.broken = fmt.Errorf("%w: it was deleted, moved or replaced while it was in use", ErrBroken)
		s.log.Error("the database is not in its place any more", "err", s.broken)
		for _, l := range wire.Lanes {
			s.wake(l)
		}
	}
	return s.broken
}

// PutLost gives the next n numbers of the events lane to events that had to be given up before they could be stored, and covers
// them by a gap record under the last of them.
func (s *Store) PutLost(ctx context.Context, n uint64, stamp wire.Stamp) error {
	if n == 0 {
		return nil
	}
	return s.write(ctx, fmt.Sprintf("put a gap of %d events", n), durable, func(t *tx) {
		through := t.lanes[wire.Events].last
		t.skip(n, stamp)
		t.makeRoom(wire.Events, through, stamp)
		t.leaveRoom()
	})
}

// skip numbers n events that will never come.
func (t *tx) skip(n uint64, stamp wire.Stamp) {
	row := &t.lanes[wire.Events]
	g := wire.Gap{Lane: wire.Events, First: row.last + 1, Last: row.last + n, Reason: wire.GapStorage}
	row.last += n
	t.placeGap(row.last, g, stamp)
}
