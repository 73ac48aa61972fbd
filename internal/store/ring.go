package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"upsedge/internal/wire"
)

// A ring holds the keys of the database. Each is a file, written and synced before the commit that first needs it; the table
// names those that were committed. Numbers of keys are never given twice.
type ring struct {
	mu   sync.RWMutex
	keys map[int64]*sealKey
	live map[owner]*sealKey // what new records are sealed with

	// The rest is guarded by turn.
	next    int64
	unnamed bool // files were made whose names are not durable yet
}

// get returns a key by its number, nil if there is none.
func (r *ring) get(id int64) *sealKey {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.keys[id]
}

// lost returns why no record of the key can be read, "" if they can.
func (r *ring) lost(id int64) wire.GapReason {
	switch k := r.get(id); {
	case k == nil:
		return wire.GapDamage
	case k.aead == nil:
		return k.gone
	}
	return ""
}

func (r *ring) add(k *sealKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys[k.id] = k
	if k.aead != nil {
		r.live[k.owner] = k
	}
}

// lose makes a key unusable from now on.
func (r *ring) lose(k *sealKey, why wire.GapReason) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys[k.id] = &sealKey{owner: k.owner, id: k.id, gone: why, committed: k.committed}
	if r.live[k.owner] == k {
		delete(r.live, k.owner)
	}
}

func (r *ring) forget(id int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.keys, id)
}

func (r *ring) liveOf(o owner) *sealKey {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.live[o]
}

// gone returns the keys that are lost or erased and still in the table.
func (r *ring) gone() (out []*sealKey) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, k := range r.keys {
		if k.aead == nil {
			out = append(out, k)
		}
	}
	return out
}

// usable returns the keys that are neither lost nor erased.
func (r *ring) usable() (out []*sealKey) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, k := range r.keys {
		if k.aead != nil {
			out = append(out, k)
		}
	}
	return out
}

// of returns the keys of a unit up to an epoch.
func (r *ring) of(unit string, through uint32) (out []*sealKey) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, k := range r.keys {
		if k.unit == unit && k.epoch <= through {
			out = append(out, k)
		}
	}
	return out
}

// key returns the key of an owner, and makes it if there is none. A key made for a commit that fails stays for the next one.
func (t *tx) key(unit string, epoch uint32) *sealKey {
	s := t.s
	o := owner{unit, epoch}
	k := s.ring.liveOf(o)
	if k != nil && k.committed || t.err != nil {
		return k
	}
	if k == nil {
		file := newKeyFile(s.stream, s.ring.next, o)
		s.ring.next++ // also when the file cannot be made
		if err := s.writeKey(keyPath(s.keysDir(), file.id), string(file.encode())); err != nil {
			t.fail(fmt.Errorf("make a key: %w", err))
			return nil
		}
		s.ring.unnamed = true
		k = file.key()
		s.ring.add(k)
	}
	t.exec("INSERT OR REPLACE INTO keys VALUES (?, ?, ?, ?, ?)", k.id, k.unit, k.epoch, "", k.crc())
	t.saveRing()
	t.after = append(t.after, func() { k.committed = true })
	return k
}

// nameKeys makes the names of new key files durable.
func (t *tx) nameKeys() {
	if t.err != nil || !t.s.ring.unnamed {
		return
	}
	if err := t.s.syncKeys(); err != nil {
		t.fail(fmt.Errorf("make a key: %w", err))
		return
	}
	t.s.ring.unnamed = false
}

func (t *tx) saveRing() {
	next := t.s.ring.next
	t.exec("INSERT OR REPLACE INTO keyring VALUES (1, ?, ?)", next, numbersCRC(nil, next))
}

func (k *sealKey) crc() int64 {
	return numbersCRC([]byte(k.unit+"\x00"+string(k.gone)), k.id, int64(k.epoch))
}

func (s *Store) keysDir() string { return filepath.Join(s.dir, keysName) }

// openKeys reads the keys. One whose file is missing or damaged is lost, and a new one begins with the next record of its
// owner. A damaged row of the table costs nothing, the files say the same.
func (s *Store) openKeys(ctx context.Context) error {
	s.ring = ring{keys: make(map[int64]*sealKey), live: make(map[owner]*sealKey), next: 1, unnamed: true}
	dir := s.keysDir()
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	} else if err == nil {
		if err := syncDir(s.dir); err != nil {
			return err
		}
	} else if err := os.Chmod(dir, 0o700); err != nil {
		return err
	}
	t := &tx{ctx: context.WithoutCancel(ctx), s: s}
	m, ok := t.loadMeta()
	if !ok {
		return t.errOr(fmt.Errorf("%w: the identity of the database does not match its checksum", ErrBroken))
	}
	s.stream = wire.ID(m.stream)
	rows, whole := t.loadKeyRows()
	s.keyRowsDamaged = !whole
	ids, left, err := keyFiles(dir)
	if err := errors.Join(t.err, err); err != nil {
		return err
	}
	for _, k := range rows {
		if err := s.fit(k); err != nil {
			return err
		}
	}
	for _, id := range ids {
		s.ring.next = max(s.ring.next, id+1)
		path := keyPath(dir, id)
		if k := s.ring.get(id); k != nil && k.aead != nil {
			continue
		}
		if f, err := readKeyFile(path); err == nil && !whole && f.id == id && f.stream == s.stream {
			k := f.key() // its row is one of the damaged ones
			s.ring.add(k)
			continue
		}
		left = append(left, path) // of a commit that never came, or of an erasure cut short
	}
	s.leftKeys = left
	return nil
}

// loadKeyRows reads the table; whole is false if some of it is not what was written.
func (t *tx) loadKeyRows() (keys []*sealKey, whole bool) {
	whole = true
	t.each(func(rows *sql.Rows) (bool, error) {
		var id int64
		var unit, epoch, gone, crc any
		if err := rows.Scan(&id, &unit, &epoch, &gone, &crc); err != nil {
			return false, err
		}
		k := &sealKey{id: id, committed: true}
		k.unit, _ = unit.(string)
		n, _ := epoch.(int64)
		k.epoch = uint32(n)
		why, _ := gone.(string)
		k.gone = wire.GapReason(why)
		if sum, ok := crc.(int64); !ok || sum != k.crc() {
			whole = false
			return true, nil
		}
		keys = append(keys, k)
		return true, nil
	}, "SELECT id, unit, epoch, gone, crc FROM keys ORDER BY id")
	var next, crc any
	if t.get([]any{&next, &crc}, "SELECT next, crc FROM keyring WHERE id = 1") {
		n, _ := next.(int64)
		if sum, ok := crc.(int64); ok && sum == numbersCRC(nil, n) {
			t.s.ring.next = max(t.s.ring.next, n)
		}
	}
	return keys, whole
}

// fit finds the file of a key of the table. A key is not lost because the system is short of something or denies a right: that
// is an error, and a later opening may find it.
func (s *Store) fit(k *sealKey) error {
	s.ring.next = max(s.ring.next, k.id+1)
	if k.gone == "" {
		f, err := readKeyAgain(keyPath(s.keysDir(), k.id))
		if refuses(err) && !errors.Is(err, unix.EIO) || errors.Is(err, fs.ErrPermission) {
			return fmt.Errorf("read a key: %w", err)
		}
		if err == nil && (f.id != k.id || f.owner != k.owner || f.stream != s.stream) {
			err = errors.New("the key file is that of another key")
		}
		if err == nil {
			whole := f.key()
			k.aead, k.text = whole.aead, whole.text
		} else {
			k.gone = wire.GapDamage
			s.log.Error("a key is lost: what it sealed becomes gaps, a new key begins", "unit", k.unit, "epoch", k.epoch, "key", k.id, "err", err)
		}
	}
	s.ring.add(k)
	return nil
}

// readKeyAgain reads a key file, three times where the disk does not let it.
func readKeyAgain(path string) (f *keyFile, err error) {
	for range 3 {
		if f, err = readKeyFile(path); !errors.Is(err, unix.EIO) {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	return f, err
}

// saveKeys brings the table in line with the files. Numbers seen in files are counted as given.
func (t *tx) saveKeys() {
	t.s.ring.mu.RLock()
	keys := make([]*sealKey, 0, len(t.s.ring.keys))
	for _, k := range t.s.ring.keys {
		keys = append(keys, k)
	}
	t.s.ring.mu.RUnlock()
	if t.s.keyRowsDamaged {
		t.exec("DELETE FROM keys")
		t.after = append(t.after, func() { t.s.keyRowsDamaged = false })
	}
	slices.SortFunc(keys, func(a, b *sealKey) int { return int(a.id - b.id) })
	for _, k := range keys {
		var crc any
		if t.get([]any{&crc}, "SELECT crc FROM keys WHERE id = ?", k.id) && crc == k.crc() {
			continue
		}
		t.exec("INSERT OR REPLACE INTO keys VALUES (?, ?, ?, ?, ?)", k.id, k.unit, k.epoch, string(k.gone), k.crc())
		t.after = append(t.after, func() { k.committed = true })
	}
	t.saveRing()
}

// removeLeftKeys destroys files that no row names. It comes after the commit that counted their numbers.
func (s *Store) removeLeftKeys() {
	for _, path := range s.leftKeys {
		if err := destroyFile(path); err != nil {
			s.log.Warn("a key file that nothing needs is not removed", "err", err)
		}
	}
	if len(s.leftKeys) > 0 {
		if err := syncDir(s.keysDir()); err != nil {
			s.log.Warn("the directory of the keys is not synced", "err", err)
		}
	}
	s.leftKeys = nil
}

// errOr returns the error of t, err without any.
func (t *tx) errOr(err error) error {
	if t.err != nil {
		return t.err
	}
	return err
}
