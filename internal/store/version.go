package store

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrNewer means the database was made by a newer version of the program. Nothing in the directory was touched.
var ErrNewer = errors.New("the database was made by a newer version of this program")

func newer(version int) error {
	return fmt.Errorf("%w: it has version %d, this program knows versions up to %d. Install the newer program again; or, to begin anew without "+
		"what waits in it, move %s*, %s and %s out of the directory", ErrNewer, version, schemaVersion, fileName, keysName, markName)
}

// CheckVersion returns an ErrNewer for a directory that Open would refuse. It changes nothing, and asks for no lock.
func CheckVersion(dir string) error { return refuseNewer(dir) }

// refuseNewer looks at the files without SQLite, which would change them: recover a log, make an index, empty both at the end.
func refuseNewer(dir string) error {
	path := filepath.Join(dir, fileName)
	version, err := versionOfFile(path)
	if err != nil {
		return err
	}
	if n, err := versionInLog(path + "-wal"); err != nil {
		return err
	} else if n >= 0 {
		version = n
	}
	if version > schemaVersion {
		return newer(version)
	}
	return nil
}

// userVersion is how a version stands in the header: twice, so that a flipped bit does not make an old file look new.
func userVersion(version int) int { return version<<16 | version ^ 0x5555 }

// versionOf is the opposite of userVersion, 0 for what is damaged or of version 1.
func versionOf(user uint32) int {
	if v := int(user >> 16); user == uint32(userVersion(v)) {
		return v
	}
	return 0
}

// versionAt is where user_version stands in the first page. Source: sqlite.org/fileformat2.html, section 1.3.
const versionAt = 60

// versionOfFile returns the version of the file, 0 if there is none or it is no database.
func versionOfFile(path string) (int, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return headerVersion(f), nil
}

// headerVersion returns 0 for what is no database of ours.
func headerVersion(r io.Reader) int {
	h := make([]byte, 100)
	if _, err := io.ReadFull(r, h); err != nil || string(h[:16]) != "SQLite format 3\x00" || binary.BigEndian.Uint32(h[68:]) != applicationID {
		return 0
	}
	return versionOf(binary.BigEndian.Uint32(h[versionAt:]))
}

// versionInLog returns the version in the newest committed first page of a write-ahead log, -1 if the log has none. A log ends
// at the first frame whose salt or checksum does not fit. Source: sqlite.org/fileformat2.html, section 4.
func versionInLog(path string) (int, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return -1, nil
	}
	if err != nil {
		return -1, err
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 64<<10)
	head := make([]byte, 32)
	if _, err := io.ReadFull(r, head); err != nil {
		return -1, nil //nolint:nilerr // no header, no log
	}
	var order binary.ByteOrder = binary.LittleEndian
	switch binary.BigEndian.Uint32(head) {
	case 0x377f0682:
	case 0x377f0683:
		order = binary.BigEndian
	default:
		return -1, nil
	}
	size := binary.BigEndian.Uint32(head[8:])
	sum := logSum{order: order}
	if sum.add(head[:24]); size < 512 || size > 65536 || !sum.is(head[24:]) {
		return -1, nil
	}
	found, open := -1, -1 // of committed frames; of those since
	frame := make([]byte, 24+size)
	for {
		if _, err := io.ReadFull(r, frame); err != nil || string(frame[8:16]) != string(head[16:24]) {
			return found, nil
		}
		sum.add(frame[:8])
		if sum.add(frame[24:]); !sum.is(frame[16:]) {
			return found, nil
		}
		if binary.BigEndian.Uint32(frame) == 1 {
			open = versionOf(binary.BigEndian.Uint32(frame[24+versionAt:]))
		}
		if binary.BigEndian.Uint32(frame[4:]) != 0 { // ends a commit
			if open >= 0 {
				found = open
			}
		}
	}
}

// logSum is the running checksum of a write-ahead log.
type logSum struct {
	order  binary.ByteOrder
	s0, s1 uint32
}

func (c *logSum) add(b []byte) {
	for ; len(b) >= 8; b = b[8:] {
		c.s0 += c.order.Uint32(b) + c.s1
		c.s1 += c.order.Uint32(b[4:]) + c.s0
	}
}

func (c *logSum) is(b []byte) bool {
	return binary.BigEndian.Uint32(b) == c.s0 && binary.BigEndian.Uint32(b[4:]) == c.s1
}
