package store

import (
	"bytes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"upsedge/internal/wire"
)

const (
	keysName = "keys" // directory of the key files, each named by the number of its key
	keyMagic = "UPSKEY1\n"
)

// An owner is what has a key of its own: a unit in an epoch. Agent-level records are those of the unit "" in epoch 0.
type owner struct {
	unit  string
	epoch uint32
}

// A sealKey seals the records of one owner.
type sealKey struct {
	owner
	id        int64
	aead      cipher.AEAD    // nil: the key is gone
	text      string         // of its file; "" with no aead
	gone      wire.GapReason // why: GapDamage, its file is missing or damaged; GapErasure
	committed bool           // the table has it; guarded by turn
}

// A keyFile says on its own whose key it is, so that a damaged row of the table costs nothing. Its text stands in the file
// twice, each with its checksum, so that one damaged bit costs nothing either.
type keyFile struct {
	owner
	id     int64
	stream wire.ID
	secret [keyBytes]byte
}

func (k *keyFile) encode() []byte {
	b := append([]byte(keyMagic), k.stream[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(k.id))
	b = binary.LittleEndian.AppendUint32(b, k.epoch)
	b = append(b, k.secret[:]...)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(k.unit)))
	b = append(b, k.unit...)
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	return append(b, b...)
}

const keyFixed = len(keyMagic) + 16 + 8 + 4 + keyBytes + 2 // bytes before the unit's name

func decodeKeyFile(b []byte) (*keyFile, error) {
	if len(b)%2 == 0 {
		for _, half := range [][]byte{b[:len(b)/2], b[len(b)/2:]} {
			if k := decodeKeyHalf(half); k != nil {
				return k, nil
			}
		}
	}
	return nil, errors.New("the key file is damaged")
}

func decodeKeyHalf(b []byte) *keyFile {
	n := len(b) - 4
	if n < keyFixed || binary.LittleEndian.Uint32(b[n:]) != crc32.Checksum(b[:n], castagnoli) || !bytes.HasPrefix(b, []byte(keyMagic)) ||
		int(binary.LittleEndian.Uint16(b[keyFixed-2:])) != n-keyFixed {
		return nil
	}
	k := &keyFile{}
	b = b[len(keyMagic):n]
	k.stream = wire.ID(b[:16])
	k.id = int64(binary.LittleEndian.Uint64(b[16:]))
	k.epoch = binary.LittleEndian.Uint32(b[24:])
	k.secret = [keyBytes]byte(b[28:60])
	k.unit = string(b[62:])
	return k
}

func newKeyFile(stream wire.ID, id int64, o owner) *keyFile {
	k := &keyFile{owner: o, id: id, stream: stream}
	_, _ = rand.Read(k.secret[:]) // never fails
	return k
}

func (k *keyFile) key() *sealKey {
	return &sealKey{owner: k.owner, id: k.id, aead: newAEAD(&k.secret), text: string(k.encode())}
}

func keyPath(dir string, id int64) string { return filepath.Join(dir, strconv.FormatInt(id, 10)) }

func readKeyFile(path string) (*keyFile, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return decodeKeyFile(b)
}

// keyFiles returns the numbers of the key files in dir, and the names of files that are none of ours to keep: left by a crash
// while one was written.
func keyFiles(dir string) (ids []int64, left []string, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	for _, e := range entries {
		if id, err := strconv.ParseInt(e.Name(), 10, 64); err == nil && id > 0 && strconv.FormatInt(id, 10) == e.Name() {
			ids = append(ids, id)
		} else if filepath.Ext(e.Name()) == newSuffix {
			left = append(left, filepath.Join(dir, e.Name()))
		}
	}
	return ids, left, err
}

// destroyFile overwrites a key file, so that an ordinary disk holds nothing of it, and removes it. What a flash disk does beneath is
// told in DESIGN.md. The caller syncs the directory.
func destroyFile(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		fi, e := f.Stat()
		if e == nil {
			noise := make([]byte, fi.Size())
			_, _ = rand.Read(noise) // never fails
			_, e = f.WriteAt(noise, 0)
		}
		err = errors.Join(e, f.Sync(), f.Close())
	}
	// It goes all the same: what cannot be written can often be unlinked.
	if e := os.Remove(path); e != nil {
		return errors.Join(err, e)
	}
	if err != nil {
		return fmt.Errorf("overwrite %s: %w", path, err)
	}
	return nil
}
