package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A Change is what a setup adds to a file, all of it or nothing.
type Change struct {
	Units []Unit    // behind those that are there
	Move  []Unit    // units that are there, by their names, and where they are now
	Allow *[]string // orders.allow; nil: as it is
	FedBy *FedBy    // orders.fed_by; nil: as it is; a zero FedBy says that no unit feeds this box
}

// Apply changes the file at path and keeps every other byte of it, its owner and its mode; a file that does not exist is made. The result is
// checked before anything is written, and the file is replaced whole or not at all, once: a crash leaves the old one or the new one. One that
// says so already is left alone.
func Apply(path string, ch Change) (changed bool, err error) {
	err = alone(path, func(path string) error {
		old, was, err := readOld(path)
		if err != nil {
			return err
		}
		next, err := ch.on(path, old)
		if err != nil || string(next) == string(old) {
			return err
		}
		changed = true
		return replace(path, next, was)
	})
	return changed, err
}

// CheckApply reports what would keep Apply from its work, and changes nothing.
func CheckApply(path string, ch Change) error {
	old, was, err := readOld(path)
	if err == nil {
		_, err = ch.on(path, old)
	}
	if err != nil {
		return err
	}
	return alone(path, func(path string) error { return writable(path, was) })
}

// Says reports whether the file at path has a key below a section: orders.fed_by, and be it empty, is an answer that was given.
func Says(path, section, key string) bool {
	data, err := os.ReadFile(path)
	var root yaml.Node
	if err != nil || yaml.Unmarshal(data, &root) != nil {
		return false
	}
	_, in := child(&root, section)
	if in == nil {
		return false
	}
	k, _ := child(in, key)
	return k != nil
}

// readOld returns what is in the file at path, and of a file that does not exist what it is to begin with; was is nil then.
func readOld(path string) (old []byte, was fs.FileInfo, err error) {
	old, err = os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return []byte("# Every key with default and reason: agent.reference.yaml\n"), nil, nil
	}
	if err == nil {
		was, err = os.Stat(path)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read the configuration: %w", err)
	}
	return old, was, nil
}

// writable tries the only thing that replacing a file needs and may not get: another file beside it, with its owner. It is called within alone.
func writable(path string, was fs.FileInfo) error {
	f, err := os.CreateTemp(filepath.Dir(path), tempFiles)
	if err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	return errors.Join(inherit(f, was), f.Close(), os.Remove(f.Name()))
}

// on returns the file with the change.
func (ch Change) on(name string, data []byte) (_ []byte, err error) {
	if _, err = Parse(name, data); err != nil {
		return nil, fmt.Errorf("nothing was written, the configuration has errors already: %w", err)
	}
	for _, u := range ch.Move {
		if data, err = moved(name, data, u); err != nil {
			return nil, fmt.Errorf("nothing was written: %w", err)
		}
	}
	if len(ch.Units) > 0 {
		before, err := Parse(name, data)
		if err != nil {
			return nil, fmt.Errorf("nothing was written: %w", err)
		}
		if data, err = appendUnits(name, before, data, ch.Units); err != nil {
			return nil, fmt.Errorf("nothing was written: %w", err)
		}
	}
	if ch.Allow != nil {
		words := "[" + strings.Join(*ch.Allow, ", ") + "]"
		data, err = setOrder(name, data, "allow", words, func(o *Orders) { o.Allow = *ch.Allow })
	}
	if ch.FedBy != nil && err == nil {
		words := "{}"
		if by := *ch.FedBy; by != (FedBy{}) {
			words = fmt.Sprintf("{unit: %s, group: %v}", by.Unit, by.Group)
		}
		data, err = setOrder(name, data, "fed_by", words, func(o *Orders) { o.FedBy = *ch.FedBy })
	}
	if err != nil {
		return nil, fmt.Errorf("nothing was written: %w", err)
	}
	return data, nil
}

// setOrder returns the file with a key of orders set to words, which is what set does. The first way to write it is taken that reads so.
func setOrder(name string, old []byte, key, words string, set func(*Orders)) ([]byte, error) {
	before, err := Parse(name, old)
	if err != nil {
		return nil, err
	}
	var root yaml.Node
	if err := yaml.Unmarshal(old, &root); err != nil {
		return nil, err
	}
	want := *before
	set(&want.Orders)
	_, section := child(&root, "orders")
	if section != nil {
		if k, _ := child(section, key); k != nil && sameConfig(before, &want) {
			return old, nil // it says so
		}
	}
	failed := errors.New("orders is written in a way that cannot be changed")
	for _, next := range orderProposals(old, &root, section, key, words) {
		after, err := Parse(name, next)
		if err == nil && sameConfig(after, &want) {
			return next, nil
		}
		if err != nil {
			failed = err
		}
	}
	return nil, failed
}

// sameConfig compares what two files say; an empty list of groups is none.
func sameConfig(a, b *Config) bool {
	x, y := *a, *b
	if !slices.Equal(x.Orders.Allow, y.Orders.Allow) {
		return false
	}
	x.Orders.Allow, y.Orders.Allow = nil, nil
	return reflect.DeepEqual(x, y)
}

// orderProposals are the ways to write a key of orders: where its value stands, before the first key, behind the last line of the file, and
// the whole file anew, with its comments and without its blank lines.
func orderProposals(old []byte, root, section *yaml.Node, key, words string) (all [][]byte) {
	t := newText(old)
	block := "orders:\n  " + key + ": " + words + "\n"
	at, _ := child(root, "orders")
	switch {
	case at == nil:
		return [][]byte{t.with(len(t.lines), block)}
	case section.Kind != yaml.MappingNode: // "orders:" or "orders: null"
		return [][]byte{t.instead(at.Line, block)}
	}
	if k, v := child(section, key); k == nil {
		all = append(all, t.apply([]edit{t.missing(section, key+": "+words)}))
	} else {
		all = append(all, t.value(k, v, words))
	}
	if anew, err := sectionAnew(section, root, []scalar{{[]string{key}, words}}); err == nil {
		all = append(all, anew)
	}
	return all
}

// value replaces what stands behind the colon of a key.
func (t text) value(k, v *yaml.Node, words string) []byte { return t.entry(k, v, k.Value+": "+words) }

// entry replaces a key and its value, on the line of the key and on those below that the value goes on to. A comment behind the key stays.
func (t text) entry(k, v *yaml.Node, words string) []byte {
	line := t.line(k.Line)
	head := line[:min(len(line), k.Column-1)]
	tail := ""
	if i := strings.Index(line, " #"); i >= 0 {
		tail = " " + strings.TrimSpace(line[i:])
	}
	more := text{slices.Concat(t.lines[:k.Line-1], t.lines[max(k.Line, lastLine(v)):]), t.eol}
	return more.with(k.Line-1, head+words+tail+"\n")
}
