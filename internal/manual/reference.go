package manual

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"upsedge/internal/config/strict"
)

// A Key is one key that a configuration file may have, by what its reference file says of it.
type Key struct {
	Path    string // units[].poll.live
	Type    string // for people: text, duration, …; "keys" of a block
	Default string // as it is written, or why there is none; "" of a block
	Range   string // "10ms or more", "1 to 223", "one of a, b", "any of a, b"; "" where nothing was said
	Text    string // what it is, and why
}

// A Reference is a configuration file that has every key, with its default, under a comment that says what it is. That is the one place where
// it is said: the document of the keys is made from it, and a key that it lacks is a mistake.
type Reference struct {
	Keys  []Key
	lines []string  // with the keys in comments in force
	root  yaml.Node // of these lines
}

// What is said where there is no default.
const (
	notSet = "not set"
	needed = "needed"
)

// A key in a comment has no blank behind the #, words have one.
var commented = regexp.MustCompile(`^(\s*)#(\w+:.*)$`)

// ReadReference reads a reference file of a file of this shape, a struct with yaml tags. Its error names every key that has no place in the
// file or no words.
func ReadReference(data []byte, shape reflect.Type) (*Reference, error) {
	r := &Reference{}
	off := map[int]bool{}
	for i, line := range strings.Split(string(data), "\n") {
		if m := commented.FindStringSubmatch(line); m != nil {
			off[i+1], line = true, m[1]+m[2]
		}
		r.lines = append(r.lines, line)
	}
	if err := yaml.Unmarshal([]byte(strings.Join(r.lines, "\n")), &r.root); err != nil {
		return nil, err
	}
	r.visit(r.root.Content[0], shape, "", off)
	var lost []string
	for _, k := range paths(shape, "") {
		i := slices.IndexFunc(r.Keys, func(have Key) bool { return have.Path == k })
		switch {
		case i < 0:
			lost = append(lost, k+" is missing")
		case r.Keys[i].Text == "" && r.Keys[i].Range == "":
			lost = append(lost, k+" has no words")
		}
	}
	if len(lost) > 0 {
		return nil, fmt.Errorf("of the reference file: %s", strings.Join(lost, "; "))
	}
	return r, nil
}

// paths returns every key of a shape, blocks and what is in them.
func paths(t reflect.Type, above string) (out []string) {
	t = plain(t)
	if !block(t) {
		return nil
	}
	for i := range t.NumField() {
		f := t.Field(i)
		path := join(above, f)
		out = append(append(out, strings.TrimSuffix(path, "[]")), paths(f.Type, path)...)
	}
	return out
}

// join is the path of a field; a list of blocks has brackets, for what is below it.
func join(above string, f reflect.StructField) string {
	path := strings.TrimPrefix(above+"."+f.Tag.Get("yaml"), ".")
	if f.Type.Kind() == reflect.Slice && block(plain(f.Type)) {
		path += "[]"
	}
	return path
}

func plain(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	return t
}

func block(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && !reflect.PointerTo(t).Implements(reflect.TypeFor[yaml.Unmarshaler]())
}

// visit notes every key of a block. A key that comes again, in a second unit, only adds its other default.
func (r *Reference) visit(n *yaml.Node, t reflect.Type, above string, off map[int]bool) {
	if n.Kind == yaml.SequenceNode {
		for _, item := range n.Content {
			r.visit(item, t, above, off)
		}
		return
	}
	t = plain(t)
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		f, ok := field(t, n.Content[i].Value)
		if !ok {
			continue // the parser says so, in a test of its own
		}
		path := join(above, f)
		k := Key{Path: strings.TrimSuffix(path, "[]"), Type: typeName(f.Type)}
		k.Text, k.Range = r.words(n.Content[i])
		if !block(plain(f.Type)) {
			k.Default = r.written(n.Content[i+1])
			if off[n.Content[i].Line] {
				k.Default = notSet
			}
			if words, ok := strings.CutPrefix(k.Text, "Needed. "); ok {
				k.Default, k.Text = needed, words
			}
		}
		r.note(k)
		if block(plain(f.Type)) {
			r.visit(n.Content[i+1], f.Type, path, off)
		}
	}
}

func (r *Reference) note(k Key) {
	i := slices.IndexFunc(r.Keys, func(have Key) bool { return have.Path == k.Path })
	switch {
	case i < 0:
		r.Keys = append(r.Keys, k)
	case k.Text != "" && k.Text != r.Keys[i].Text:
		r.Keys[i].Text = strings.TrimSpace(r.Keys[i].Text + " " + k.Text)
	}
}

func field(t reflect.Type, key string) (reflect.StructField, bool) {
	for i := range t.NumField() {
		if t.Field(i).Tag.Get("yaml") == key {
			return t.Field(i), true
		}
	}
	return reflect.StructField{}, false
}

var rangeForm = regexp.MustCompile(`^(Range|One of|Any of): (.*)\.$`)

// words returns the comment above a key that stands first on its line, and the range that its last line may be.
func (r *Reference) words(key *yaml.Node) (text, bounds string) {
	before := strings.TrimSpace(r.lines[key.Line-1][:key.Column-1])
	if before != "" && before != "-" {
		return "", ""
	}
	var above []string
	for i := key.Line - 2; i >= 0; i-- {
		words, ok := strings.CutPrefix(strings.TrimSpace(r.lines[i]), "# ")
		if !ok {
			break
		}
		if m := rangeForm.FindStringSubmatch(words); m != nil {
			bounds = m[2]
			if m[1] != "Range" {
				bounds = strings.ToLower(m[1]) + " " + m[2]
			}
			continue
		}
		above = append(above, words)
	}
	slices.Reverse(above)
	return strings.Join(above, " "), bounds
}

// written is a value as the file has it.
func (r *Reference) written(v *yaml.Node) string {
	if v.Kind == yaml.SequenceNode {
		return "[]"
	}
	if v.Value == "" {
		return `""`
	}
	return v.Value
}

func typeName(t reflect.Type) string {
	if t.Kind() == reflect.Slice || t.Kind() == reflect.Pointer && t.Elem().Kind() == reflect.Slice {
		return "list"
	}
	switch t = plain(t); t {
	case reflect.TypeFor[strict.Duration]():
		return "duration"
	case reflect.TypeFor[strict.ByteSize]():
		return "size"
	}
	return map[reflect.Kind]string{
		reflect.Struct: "keys", reflect.String: "text", reflect.Int: "whole number", reflect.Bool: "true, false", reflect.Float64: "number",
	}[t.Kind()]
}
