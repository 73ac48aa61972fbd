package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"upsedge/internal/wire"
)

// Erased is what an erasure took.
type Erased struct {
	Events, Samples uint64 // records, by lane
	Keys            int
}

// Erase makes everything of the unit that was put in the epochs up to and including through unreadable for ever: records, alarm
// state, open raises and interruptions. The records' places are taken by gap records of reason erasure. The keys go first: when
// they are overwritten and unlinked the data is gone, whatever happens to the rest. Erase can be called again with the same: it
// goes on where a failure left it, and a restart does, too (what it takes then is not in the counts of a later call).
//
// What else is in the directory and may hold the unit's data unsealed, a broken file of version 1 that was set aside, is removed.
func (s *Store) Erase(ctx context.Context, unit string, through uint32) (Erased, error) {
	what := fmt.Sprintf("erase unit %q up to epoch %d", unit, through)
	if unit == "" {
		return Erased{}, errors.New("erase: the agent's own records belong to no unit")
	}
	before := s.Stats()
	var done Erased
	err := s.inTurn(ctx, what, func(ctx context.Context) error {
		for s.tidyWork.sealing() { // whose the records of version 1 are is known when they are sealed
			if err := s.sealPiece(ctx); err != nil {
				return err
			}
		}
		var err error
		done.Keys, err = s.eraseKeys(ctx, what, unit, through)
		return err
	})
	if err != nil {
		return done, fmt.Errorf("%s: %w", what, err)
	}
	erased := slices.DeleteFunc(s.ring.of(unit, through), func(k *sealKey) bool { return k.aead != nil })
	for w := newSweeping(erased); !w.done() && err == nil; {
		err = s.inTurn(ctx, what, func(ctx context.Context) error { return s.sweepPiece(ctx, &w) })
	}
	after := s.Stats()
	count := func(l wire.Lane) uint64 {
		return after.Lane(l).Dropped[wire.GapErasure] - before.Lane(l).Dropped[wire.GapErasure]
	}
	done.Events, done.Samples = count(wire.Events), count(wire.Samples)
	return done, err
}

// eraseKeys notes the erasure, so that a restart finishes it, and destroys the keys.
func (s *Store) eraseKeys(ctx context.Context, what, unit string, through uint32) (n int, err error) {
	var keys []*sealKey
	err = s.commitSomehow(ctx, what, durable, func(t *tx) {
		keys = slices.DeleteFunc(s.ring.of(unit, through), func(k *sealKey) bool { return k.gone == wire.GapErasure })
		for _, k := range keys {
			dead := sealKey{owner: k.owner, id: k.id, gone: wire.GapErasure}
			t.exec("UPDATE keys SET gone = ?, crc = ? WHERE id = ?", string(dead.gone), dead.crc(), k.id)
		}
		t.forgetUnit(unit)
	})
	if err != nil {
		return 0, err
	}
	for _, k := range keys {
		s.ring.lose(k, wire.GapErasure)
	}
	n = len(keys)
	var errs []error
	for _, k := range s.ring.of(unit, through) {
		if k.gone == wire.GapErasure {
			errs = append(errs, destroyFile(keyPath(s.keysDir(), k.id)))
		}
	}
	errs = append(errs, syncDir(s.keysDir()), s.eraseAside(unit, through))
	return n, errors.Join(errs...)
}

// forgetUnit deletes what is kept of a unit beside its records. That it is being sampled, and up to when, stays.
func (t *tx) forgetUnit(unit string) {
	t.exec("UPDATE units SET state = NULL, seal = NULL WHERE unit = ?", unit)
	t.exec("DELETE FROM units WHERE unit = ? AND run = 0", unit)
	t.exec("DELETE FROM raises WHERE unit = ?", unit)
	t.exec("DELETE FROM interruptions WHERE unit = ?", unit)
	t.after = append(t.after, func() {
		t.s.interrupted = slices.DeleteFunc(t.s.interrupted, func(i Interrupted) bool { return i.Unit == unit })
	})
}

// eraseAside destroys the unit's keys of files that were set aside, and removes those files that have no keys.
func (s *Store) eraseAside(unit string, through uint32) error {
	var errs []error
	for n := s.lastAside(); n > 0; n-- {
		path := filepath.Join(s.dir, fmt.Sprintf("%s.broken-%d", fileName, n))
		if _, err := os.Stat(path); err != nil {
			break
		}
		ids, _, err := keyFiles(path + keysSuffix)
		if len(ids) == 0 && err == nil {
			errs = append(errs, removeAside(path))
			continue
		}
		for _, id := range ids {
			key := keyPath(path+keysSuffix, id)
			// One that cannot be read may be the unit's.
			if f, err := readKeyFile(key); err != nil || f.unit == unit && f.epoch <= through {
				errs = append(errs, destroyFile(key))
			}
		}
		errs = append(errs, err, syncDir(path+keysSuffix))
	}
	return errors.Join(append(errs, syncDir(s.dir))...)
}

// keysSuffix ends the name of the directory with the keys of a file that was set aside.
const keysSuffix = "." + keysName

// removeAside removes a file that was set aside, with its log and its keys.
func removeAside(path string) error {
	ids, left, err := keyFiles(path + keysSuffix)
	errs := []error{err}
	for _, id := range ids {
		errs = append(errs, destroyFile(keyPath(path+keysSuffix, id)))
	}
	for _, gone := range append(left, path+keysSuffix, path+"-wal", path) {
		if err := os.Remove(gone); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
