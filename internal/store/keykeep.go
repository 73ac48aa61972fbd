package store

import (
	"errors"
	"io/fs"
	"os"
	"time"
)

// keepEvery bounds how often the key files are looked at: a file that is deleted or overwritten under a running agent is missed at the
// next start only, and everything sealed until then is lost with it.
const keepEvery = time.Minute

// keepKeys writes key files again that are not what they were, from memory. The caller has the turn, so no erasure is under way; an
// erased key is not in memory any more.
func (s *Store) keepKeys() {
	now := time.Now()
	if !s.keysKept.IsZero() && now.Sub(s.keysKept) < keepEvery {
		return
	}
	s.keysKept = now
	for _, k := range s.ring.usable() {
		path := keyPath(s.keysDir(), k.id)
		b, err := os.ReadFile(path)
		if err == nil && string(b) == k.text || err != nil && !errors.Is(err, fs.ErrNotExist) {
			continue // it is whole, or the disk does not let it be read at the moment
		}
		if err := errors.Join(s.writeKey(path, k.text), s.syncKeys()); err != nil {
			s.log.Debug("a key file is gone or damaged and cannot be written again yet", "unit", k.unit, "epoch", k.epoch, "key", k.id, "err", err)
			continue
		}
		s.log.Error("a key file was gone or damaged; it was written again from memory", "unit", k.unit, "epoch", k.epoch, "key", k.id)
	}
}

// writeKey writes a key file, and makes its directory if that is gone. The names are durable after syncKeys.
func (s *Store) writeKey(path, text string) error {
	err := writeUnnamed(path, text)
	if errors.Is(err, fs.ErrNotExist) && os.Mkdir(s.keysDir(), 0o700) == nil {
		err = writeUnnamed(path, text)
	}
	return err
}

func (s *Store) syncKeys() error { return errors.Join(syncDir(s.keysDir()), syncDir(s.dir)) }
