package authority

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Backup copies the files of a directory to another one, for their owner's eyes, but for the root key: that one is kept elsewhere. What belongs
// together was not changed meanwhile. It returns the names of what it copied.
func Backup(dir, to string) (names []string, err error) {
	l, err := lock(dir)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	lists, err := filepath.Glob(filepath.Join(dir, "keys-*.jws"))
	if err != nil {
		return nil, err
	}
	for _, list := range lists {
		names = append(names, filepath.Base(list))
	}
	names = append(names, caKeyFile, caFile, rootFile, onlineFile, serverFile, secretsFile)
	var copied []string
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) && (name == serverFile || name == secretsFile) { // made when they are needed first
			continue
		}
		if err != nil {
			return nil, err
		}
		if err := writeFile(filepath.Join(to, name), data); err != nil {
			return nil, err
		}
		copied = append(copied, name)
	}
	return copied, nil
}
