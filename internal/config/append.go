package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v3"
)

// AppendUnits adds units to the file at path, keeping what is written there, comments included. A file that does not exist is
// made. The result is checked before anything is written, and the file is replaced whole or not at all.
func AppendUnits(path string, units []Unit) error {
	old, err := os.ReadFile(path)
	mode := fs.FileMode(0o640)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		old = []byte("# Every key with default and reason: agent.reference.yaml\n")
	case err != nil:
		return fmt.Errorf("read the configuration: %w", err)
	default:
		if st, err := os.Stat(path); err == nil {
			mode = st.Mode().Perm()
		}
	}
	if _, err := Parse(path, old); err != nil {
		return fmt.Errorf("nothing was written, the configuration has errors already: %w", err)
	}
	next, err := appendUnits(old, units)
	if err != nil {
		return err
	}
	if _, err := Parse(path, next); err != nil {
		return fmt.Errorf("nothing was written: %w", err)
	}
	return replace(path, next, mode)
}

func appendUnits(old []byte, units []Unit) ([]byte, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(old, &root); err != nil {
		return nil, err
	}
	var add yaml.Node
	if err := add.Encode(written(units)); err != nil {
		return nil, err
	}
	if root.Kind == 0 || len(root.Content) == 0 || root.Content[0].Kind != yaml.MappingNode {
		list, err := encode(map[string]any{"units": &add})
		return append(bytes.TrimRight(old, "\n"), append([]byte("\n"), list...)...), err
	}
	top := root.Content[0]
	for i := 0; i+1 < len(top.Content); i += 2 {
		if top.Content[i].Value != "units" {
			continue
		}
		if top.Content[i+1].Kind != yaml.SequenceNode {
			top.Content[i+1] = &yaml.Node{Kind: yaml.SequenceNode}
		}
		top.Content[i+1].Style = 0 // "units: []" becomes a block
		top.Content[i+1].Content = append(top.Content[i+1].Content, add.Content...)
		return encode(&root)
	}
	top.Content = append(top.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: "units"}, &add)
	return encode(&root)
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

// replace writes data beside path, syncs it and renames it over path, so that a power cut leaves the old file or the new one.
func replace(path string, data []byte, mode fs.FileMode) error {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target // a link stays a link
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".agent-*.yaml")
	if err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	defer os.Remove(f.Name()) // after the rename there is nothing to remove
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
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
