package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"upsedge/internal/wire"
)

// create makes the tables and the identity of a new database in one commit.
func (s *Store) create(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	t := &tx{ctx: ctx, s: s}
	if t.err = s.w.begin(ctx, durable); t.err != nil {
		return fmt.Errorf("make the tables: %w", t.err)
	}
	for _, table := range schema {
		t.plain(table)
	}
	t.plain(fmt.Sprintf("PRAGMA application_id = %d", applicationID))
	t.plain(fmt.Sprintf("PRAGMA user_version = %d", userVersion(schemaVersion)))
	_, _ = rand.Read(s.stream[:]) // never fails
	t.exec("INSERT INTO meta (id) VALUES (1)")
	t.saveMeta("")
	for _, l := range wire.Lanes {
		t.exec("INSERT INTO lanes VALUES (?, 0, 0, 0, ?, 0)", l, laneRow{}.crc(l))
	}
	t.plain("COMMIT")
	if t.err != nil {
		_ = s.w.plain(ctx, "ROLLBACK")
		return fmt.Errorf("make the tables: %w", t.err)
	}
	return nil
}

// plain runs a statement that is not prepared.
func (t *tx) plain(query string) {
	if t.err == nil {
		t.err = t.s.w.plain(t.ctx, query)
	}
}

type metaRow struct {
	version  int64
	stream   []byte
	boot     int64
	setAside string
}

func (m metaRow) crc() int64 {
	return numbersCRC(append(slices.Clone(m.stream), m.setAside...), m.version, m.boot)
}

// loadMeta reads the row about the database, false if it is not what was written.
func (t *tx) loadMeta() (m metaRow, ok bool) {
	var crc int64
	found := t.get([]any{&m.version, &m.stream, &m.boot, &m.setAside, &crc}, "SELECT version, stream, boot, set_aside, crc FROM meta WHERE id = 1")
	return m, found && len(m.stream) == len(wire.ID{}) && crc == m.crc()
}

// saveMeta writes the row about the database.
func (t *tx) saveMeta(setAside string) {
	m := metaRow{schemaVersion, t.s.stream[:], int64(t.s.boot), setAside}
	t.exec("UPDATE meta SET version = ?, stream = ?, boot = ?, set_aside = ?, crc = ? WHERE id = 1", m.version, m.stream, m.boot, m.setAside, m.crc())
}

// beginRun counts the opening, and turns what the last run left, or a stream that was lost, into the list of Crashed and into gap records.
func (t *tx) beginRun(setAside string) {
	s := t.s
	m, ok := t.loadMeta()
	if !ok {
		if t.err == nil {
			t.err = fmt.Errorf("%w: the identity of the database does not match its checksum", ErrBroken)
		}
		return
	}
	mark, marked := s.readMark()
	s.stream, s.first = wire.ID(m.stream), m.boot == 0
	s.boot = uint32(m.boot) + 1
	if marked && mark.stream != s.stream {
		s.boot = max(s.boot, mark.boot+1)
	}
	if setAside == "" {
		setAside = m.setAside
	}
	t.saveMeta(setAside)
	t.checkNumbers()
	t.saveKeys()
	if marked && mark.stream == s.stream {
		t.catchUp(mark.last)
	}
	t.missExpected()
	t.mendRaises()
	t.interrupt()
	if s.first && (setAside != "" || s.o.Before != wire.ID{} && s.o.Before != s.stream) {
		for _, unit := range s.o.Units {
			t.putInterruption(Interrupted{Unit: unit})
		}
	}
	list := t.loadInterruptions()
	for _, l := range wire.Lanes {
		t.oldest[l] = true
	}
	t.gaps = true
	t.after = append(t.after, func() {
		s.setAside, s.interrupted = setAside, list
		s.firstEvent = t.lanes[wire.Events].last + 1
	})
}

// checkNumbers makes sure that no number can be given twice.
func (t *tx) checkNumbers() {
	for _, l := range wire.Lanes {
		var highest int64
		if t.get([]any{&highest}, "SELECT coalesce(max(seq), 0) FROM "+laneTables[l]) && uint64(highest) > t.lanes[l].last {
			t.fail(fmt.Errorf("%w: record %d in lane %v, whose last is %d", ErrBroken, highest, l, t.lanes[l].last))
		}
	}
}

const (
	suspectName = "store.db.suspect"
	keptAside   = 2 // broken files kept: a dying disk shall not be filled with them
)

// suspect makes the next Open set the file aside. Where even that cannot be written, Open finds out on its own.
func (s *Store) suspect() {
	if f, err := os.OpenFile(filepath.Join(s.dir, suspectName), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600); err == nil {
		_ = f.Close()
	}
}

// suspected returns the name of a file that was set aside and that no database knows of yet, and ErrBroken where one is to be
// set aside.
func (s *Store) suspected() (setAside string, err error) {
	b, err := os.ReadFile(filepath.Join(s.dir, suspectName))
	if err != nil {
		return "", nil //nolint:nilerr // what cannot be read Open finds out on its own
	}
	if name := strings.TrimSpace(string(b)); strings.HasPrefix(name, fileName+".broken-") {
		return name, nil
	}
	return "", fmt.Errorf("%w: found in an earlier run", ErrBroken)
}

// trust ends the suspicion: the new database is there, and has the name of the one set aside.
func (s *Store) trust() error {
	if err := os.Remove(filepath.Join(s.dir, suspectName)); err != nil {
		return err
	}
	return syncDir(s.dir)
}

// putAside renames the broken file and its log, and returns the new name.
func (s *Store) putAside() (string, error) {
	s.suspect() // so that a crash in between is continued
	n := s.lastAside() + 1
	if _, err := os.Stat(filepath.Join(s.dir, fileName)); errors.Is(err, os.ErrNotExist) {
		n = max(n-1, 1) // that was as far as an earlier attempt got
	}
	name := fmt.Sprintf("%s.broken-%d", fileName, n)
	from, to := filepath.Join(s.dir, fileName), filepath.Join(s.dir, name)
	// The log first: it must never be found beside a new file.
	if err := os.Rename(from+"-wal", to+"-wal"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	// Then the keys, which open it. What is left of an earlier attempt has the same name.
	if err := os.Rename(s.keysDir(), to+keysSuffix); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	if err := os.Rename(from, to); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	if err := os.Remove(from + "-shm"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	s.forgetAside(n - keptAside)
	if err := syncDir(s.dir); err != nil {
		return "", err
	}
	// Until the new database has the name the suspicion does: a power cut in between would leave nobody who tells of it.
	if err := writeFile(filepath.Join(s.dir, suspectName), name+"\n"); err != nil {
		s.log.Warn("what was set aside is not noted", "file", name, "err", err)
	}
	return name, nil
}

// lastAside returns the highest number of a file set aside, 0 without any.
func (s *Store) lastAside() (last int) {
	names, _ := filepath.Glob(filepath.Join(s.dir, fileName+".broken-*"))
	for _, name := range names {
		n, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(name), fileName+".broken-"))
		if err == nil {
			last = max(last, n)
		}
	}
	return last
}

// forgetAside removes what was set aside up to number n.
func (s *Store) forgetAside(n int) {
	for ; n > 0; n-- {
		old := filepath.Join(s.dir, fmt.Sprintf("%s.broken-%d", fileName, n))
		if _, err := os.Stat(old); err != nil {
			return
		}
		if err := removeAside(old); err != nil {
			s.log.Warn("a broken file of long ago is not removed", "err", err)
			return
		}
	}
}

// newSuffix ends the name of a file that is not whole yet.
const newSuffix = ".new"

// writeFile makes a file whole or not at all.
func writeFile(path, text string) error {
	if err := writeUnnamed(path, text); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncFile waits until a file is on the disk. Tests take the waiting out, to see that it matters.
var syncFile = (*os.File).Sync

// writeUnnamed is writeFile without the last step: a power cut may yet take the name.
func writeUnnamed(path, text string) error {
	f, err := os.OpenFile(path+newSuffix, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err := errors.Join(err, syncFile(f), f.Close()); err != nil {
		return err
	}
	return os.Rename(path+newSuffix, path)
}
