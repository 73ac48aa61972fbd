package store

import "path/filepath"

// Secrets returns the keys that the records of a state directory are sealed with, for who has to make sure that they are told nowhere. What
// cannot be read has none.
func Secrets(dir string) (keys [][]byte) {
	dir = filepath.Join(dir, keysName)
	ids, _, _ := keyFiles(dir)
	for _, id := range ids {
		if k, err := readKeyFile(keyPath(dir, id)); err == nil {
			keys = append(keys, k.secret[:])
		}
	}
	return keys
}
