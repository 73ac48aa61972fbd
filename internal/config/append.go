package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"go.yaml.in/yaml/v3"
	"golang.org/x/sys/unix"
)

// AppendUnits adds units to the file at path, as [Apply] does.
func AppendUnits(path string, units []Unit) error {
	_, err := Apply(path, Change{Units: units})
	return err
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return b.Bytes(), enc.Close()
}

type writtenSerial struct {
	Device string `yaml:"device"`
	Baud   int    `yaml:"baud,omitempty"`
	Parity string `yaml:"parity,omitempty"`
}

type writtenTCP struct {
	Address string `yaml:"address"`
	Via     string `yaml:"via"`
}

type writtenUnit struct {
	Name   string         `yaml:"name"`
	Serial *writtenSerial `yaml:"serial,omitempty,flow"`
	TCP    *writtenTCP    `yaml:"tcp,omitempty,flow"`
	UnitID uint8          `yaml:"unit_id"`
}

// written returns units as they are written: what is a default is left out.
func written(units []Unit) []writtenUnit {
	var out []writtenUnit
	for _, u := range units {
		w := writtenUnit{Name: u.Name, UnitID: u.UnitID}
		if s := u.Serial; s != nil {
			w.Serial = &writtenSerial{Device: s.Device}
			if s.Baud != 9600 {
				w.Serial.Baud = s.Baud
			}
			if s.Parity != "none" {
				w.Serial.Parity = s.Parity
			}
		}
		if t := u.TCP; t != nil {
			w.TCP = &writtenTCP{Address: t.Address, Via: "unit"}
			if t.Card {
				w.TCP.Via = "card"
			}
		}
		out = append(out, w)
	}
	return out
}

// tempFiles are the files beside a configuration that are to replace it.
const tempFiles = ".agent-*.yaml"

// alone calls do while nobody else changes the configuration at path, which is given without links. What a power cut has left beside it is removed.
func alone(path string, do func(path string) error) error {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target // a link stays a link
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	defer dir.Close() // ends the lock
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("write the configuration: lock %s: %w", dir.Name(), err)
	}
	left, _ := filepath.Glob(filepath.Join(dir.Name(), tempFiles)) // no error: the pattern is a good one
	for _, f := range left {
		_ = os.Remove(f) // what stays is in nobody's way
	}
	return do(path)
}

// replace writes data beside path, syncs it and renames it over path, so that a power cut leaves the old file or the new one.
// The new one belongs to whom the old one belonged; was is nil if there is none. It is called within alone.
func replace(path string, data []byte, was fs.FileInfo) error {
	f, err := os.CreateTemp(filepath.Dir(path), tempFiles)
	if err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	defer os.Remove(f.Name()) // after the rename there is nothing to remove
	_, err = f.Write(data)
	err = errors.Join(err, inherit(f, was), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	if dir, err := os.Open(filepath.Dir(path)); err == nil {
		defer dir.Close()
		return dir.Sync()
	}
	return nil
}

// inherit gives f owner, group and mode of the file it replaces.
func inherit(f *os.File, was fs.FileInfo) error {
	if was == nil {
		return f.Chmod(0o640)
	}
	if st, ok := was.Sys().(*syscall.Stat_t); ok {
		if err := f.Chown(int(st.Uid), int(st.Gid)); err != nil {
			return fmt.Errorf("keep the owner of the file (run as root): %w", err)
		}
	}
	return f.Chmod(was.Mode().Perm()) // after the owner, whose change may clear bits
}
