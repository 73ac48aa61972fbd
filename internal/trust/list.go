package trust

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// ListFile keeps the newest list of keys in a file of the state directory, as the root signed it: its signature tells a flipped bit.
type ListFile string

// InState returns the file of a state directory.
func InState(stateDir string) ListFile { return ListFile(filepath.Join(stateDir, "cloud_keys")) }

// Load is for Lists.
func (f ListFile) Load() (string, error) {
	b, err := os.ReadFile(string(f))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil:
		return "", err
	case len(b) == 0: // never written so: a file system that lost it
		return "", errors.New(string(f) + " is empty")
	}
	return strings.TrimSuffix(string(b), "\n"), nil
}

// Save is for Lists.
func (f ListFile) Save(list string) error { return writeFile(string(f), list+"\n") }

// writeFile makes a file whole or not at all, for its owner's eyes.
func writeFile(path, text string) error {
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
