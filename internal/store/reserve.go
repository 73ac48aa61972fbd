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

// The reserve is a file of allocated, empty blocks. Beginning a run and deleting need room, too: without it a disk filled by
// others would keep the agent from starting, and refuse the acknowledgements that make room, for ever. It is given up when a
// commit other than one of samples finds the disk full, and what is left of it is taken back at once. Samples are refused until
// it is whole again.

const reserveName = "reserve"

// errNoRoom is what a full disk is called where SQLite has not met it yet.
var errNoRoom = errors.New("the disk is full")

func (s *Store) wholeReserve() int64 { return s.limit.log * pageSize }

// keepReserve makes the reserve whole. The caller has the turn.
func (s *Store) keepReserve() error {
	if s.reserved {
		return nil
	}
	if err := s.growReserve(s.wholeReserve()); err != nil {
		return fmt.Errorf("reserve %d bytes for deleting: %w", s.wholeReserve(), err)
	}
	s.reserved = true
	return nil
}

// growReserve makes the reserve at least size bytes long, or leaves it as it was.
func (s *Store) growReserve(size int64) error {
	f, err := os.OpenFile(filepath.Join(s.dir, reserveName), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	was := s.spare()
	err = unix.Fallocate(int(f.Fd()), 0, 0, size)
	if errors.Is(err, unix.EOPNOTSUPP) {
		if err = nil; was < size {
			_, err = f.WriteAt(make([]byte, size-was), was)
		}
	}
	if err != nil {
		_ = f.Truncate(was) // a part of the rest would only be in the way
	}
	return errors.Join(err, f.Close())
}

// refill takes what can be had of the reserve, to the last page: others would take it. The caller has the turn.
func (s *Store) refill() {
	whole, was := s.wholeReserve(), s.spare()
	for size := min(whole, was+freeBytes(s.dir)) / pageSize * pageSize; size > was; size -= whole / 16 {
		if s.growReserve(size) == nil {
			break
		}
	}
	s.reserved = s.spare() >= whole
}

// spare is the length of the reserve in bytes.
func (s *Store) spare() int64 { return sizeOf(filepath.Join(s.dir, reserveName)) }

func sizeOf(path string) int64 {
	fi, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return fi.Size()
}

// giveUpReserve reports whether there was something to give up.
func (s *Store) giveUpReserve() bool {
	some := s.spare() > 0
	s.reserved = false
	if os.Remove(filepath.Join(s.dir, reserveName)) != nil || !some {
		return false
	}
	s.log.Debug("disk full, the reserve is used")
	return true
}

// commitSomehow is commit, on a full disk with all room there is: first that of the log, which stays ours when it is written
// back and begun anew, then the reserve. The caller has the turn.
func (s *Store) commitSomehow(ctx context.Context, what string, d durability, fn func(*tx)) error {
	err := s.commit(ctx, what, d, fn)
	if !diskFull(err) {
		return err
	}
	if s.writeBack(ctx) {
		if err = s.commit(ctx, what, d, fn); !diskFull(err) {
			return err
		}
	}
	if s.giveUpReserve() {
		defer s.refill()
		_ = s.writeBack(ctx) // if not, the log may still grow
		err = s.commit(ctx, what, d, fn)
	}
	return err
}

// writeBack copies the log into the database, so that the next commit begins it anew. It is not truncated: others would take
// its blocks. It reports whether all of it was copied.
func (s *Store) writeBack(ctx context.Context) bool {
	var busy, frames, copied int64
	err := s.w.conn.QueryRowContext(ctx, "PRAGMA wal_checkpoint(RESTART)").Scan(&busy, &frames, &copied)
	s.hurt = s.hurt || hurts(err)
	return err == nil && busy == 0
}

// leaveRoom refuses a commit after which the disk could be too full for an acknowledgement. What is ours or free must hold the
// pages by which the database has yet to grow when the log is written back, and what is left then, with the blocks of the log,
// half a reserve: the log of deleting. A sixteenth is for the next runs to begin.
func (t *tx) leaveRoom() {
	s := t.s
	if s.reserved || t.err != nil {
		return
	}
	var pages int64
	t.get([]any{&pages}, "PRAGMA page_count")
	path := filepath.Join(s.dir, fileName)
	left := s.spare() + freeBytes(s.dir) - (pages*pageSize - sizeOf(path))
	if left < s.wholeReserve()/16 || left+sizeOf(path+"-wal") < s.wholeReserve()/2 {
		t.fail(fmt.Errorf("%w: what is left is for acknowledgements", errNoRoom))
	}
}

// freeBytes is the room of the file system. One that does not tell has none.
func freeBytes(dir string) int64 {
	var fs unix.Statfs_t
	if unix.Statfs(dir, &fs) != nil {
		return 0
	}
	return int64(fs.Bavail) * int64(fs.Bsize)
}

// diskFull reports whether err says that the file system has no room.
func diskFull(err error) bool {
	var se *sqlite.Error
	if errors.As(err, &se) {
		// The second is the index of the log: SQLite allocates it in advance, since a write to mapped memory cannot fail.
		return se.Code()&0xff == sqlite3.SQLITE_FULL || se.Code() == sqlite3.SQLITE_IOERR_SHMSIZE
	}
	return errors.Is(err, errNoRoom) || errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
}
