package store

import (
	"context"
	"errors"
	"fmt"
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
