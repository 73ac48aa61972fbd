package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// The reserve is a file of allocated, empty blocks. Deleting needs room, too: without it a disk filled by others would refuse the
// acknowledgements that make room, for ever. It is given up when a deletion finds the disk full, and samples are refused until
// it could be made again.

const reserveName = "reserve"

// keepReserve makes the reserve if it is missing. The caller has the turn.
func (s *Store) keepReserve() error {
	if s.reserved {
		return nil
	}
	f, err := os.OpenFile(filepath.Join(s.dir, reserveName), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	size := s.limit.log * pageSize
	err = unix.Fallocate(int(f.Fd()), 0, 0, size)
	if errors.Is(err, unix.EOPNOTSUPP) {
		_, err = f.WriteAt(make([]byte, size), 0)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		_ = os.Remove(f.Name()) // half of it would only be in the way
		return fmt.Errorf("reserve %d bytes for deleting: %w", size, err)
	}
	s.reserved = true
	return nil
}

// useReserve gives the reserve up and writes the log back, which empties it. The caller has the turn.
func (s *Store) useReserve(ctx context.Context) bool {
	if err := os.Remove(filepath.Join(s.dir, reserveName)); err != nil {
		return false
	}
	s.reserved = false
	s.log.Warn("disk full, the reserve is used for deleting")
	return s.w.plain(ctx, "PRAGMA wal_checkpoint(TRUNCATE)") == nil
}

// diskFull reports whether err says that the file system has no room.
func diskFull(err error) bool {
	var se *sqlite.Error
	return errors.As(err, &se) && se.Code()&0xff == sqlite3.SQLITE_FULL
}
