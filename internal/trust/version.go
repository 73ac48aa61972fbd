package trust

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// VersionFile keeps the version of the keys in a file of the state directory: a number and its CRC-32C, so that a flipped bit
// is not taken for an older list.
type VersionFile string

// InState returns the file of a state directory.
func InState(stateDir string) VersionFile {
	return VersionFile(filepath.Join(stateDir, "cloud_keys_version"))
}

// Load is for Versions.
func (f VersionFile) Load() (uint64, error) {
	b, err := os.ReadFile(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	} else if err != nil {
		return 0, err
	}
	text := string(b)
	number, _, _ := strings.Cut(text, " ")
	version, err := strconv.ParseUint(number, 10, 64)
	if err != nil || text != line(version) {
		return 0, fmt.Errorf("%s is damaged; it is made anew when the agent is enrolled again", f)
	}
	return version, nil
}

// Save is for Versions.
func (f VersionFile) Save(version uint64) error { return writeFile(string(f), line(version)) }

func line(version uint64) string {
	number := strconv.FormatUint(version, 10)
	return fmt.Sprintf("%s %08x\n", number, crc32.Checksum([]byte(number), crc32.MakeTable(crc32.Castagnoli)))
}

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
