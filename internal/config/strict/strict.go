// Package strict reads YAML configuration so that a mistake is told with its line, its key and the reason, and all mistakes at once:
// unknown keys, keys twice, wrong kinds, values that do not parse. Agent and cloud read their files with it.
package strict

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A Problem is a mistake in the file.
type Problem struct {
	File   string
	Line   int
	Key    string // units[1].poll.live
	Reason string // may quote what the file says
}

// Error names file, line, key and reason.
func (p *Problem) Error() string {
	return fmt.Sprintf("%s:%d: %s: %s", p.File, p.Line, p.Key, p.Reason)
}

// A Checker collects problems, so that who wrote the file sees all of them at once. Use New.
type Checker struct {
	file     string // in problems
	problems []error
	lines    map[string]int // line of each key that is in the file
	visited  int            // nodes, aliases followed: a file of a few lines can stand for millions
}

// New returns a Checker of a file of that name.
func New(file string) *Checker { return &Checker{file: file, lines: map[string]int{"": 1}} }

// Err returns the problems found so far, each a *Problem, in the order in which they were found; nil if there are none.
func (c *Checker) Err() error { return errors.Join(c.problems...) }

// Read decodes data into dst, a pointer to a struct with yaml tags whose fields are pointers where the key may be absent. Problems of
// the structure leave dst as it is. An error is of text that is no YAML at all.
func (c *Checker) Read(data []byte, dst any) error {
	var root yaml.Node
	dec := yaml.NewDecoder(strings.NewReader(string(data)))
	if err := dec.Decode(&root); errors.Is(err, io.EOF) {
		return nil
	} else if err != nil {
		return err
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return errors.New("holds more than one YAML document")
	}
	if root.Kind == yaml.DocumentNode && len(root.Content) == 1 {
		c.walk(root.Content[0], reflect.TypeOf(dst).Elem(), "")
	}
	if len(c.problems) > 0 {
		return nil
	}
	return root.Decode(dst)
}

// maxNodes is far above any real file: 1000 units with every key written are 40 000.
const maxNodes = 200_000

func (c *Checker) add(line int, key, format string, args ...any) {
	c.problems = append(c.problems, &Problem{c.file, line, key, fmt.Sprintf(format, args...)})
}

// At adds a problem with a key, on the line of that key or of the nearest key above it that is in the file.
func (c *Checker) At(key, format string, args ...any) {
	line, ok := 0, false
	for k := key; ; {
		if line, ok = c.lines[k]; ok || k == "" {
			break
		}
		k = k[:max(strings.LastIndexAny(k, ".["), 0)]
	}
	c.add(line, key, format, args...)
}

// walk compares a node with the type it will be decoded into: unknown keys, wrong kinds and values that do not parse become
// problems with key, line and reason. The decoder of the library names neither the key nor the neighbours it might be.
func (c *Checker) walk(n *yaml.Node, t reflect.Type, key string) {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if c.visited++; c.visited >= maxNodes {
		if c.visited == maxNodes {
			c.add(n.Line, key, "more than %d values, aliases followed", maxNodes)
		}
		return
	}
	c.lines[key] = n.Line
	if n.Tag == "!!null" {
		return // "units:" with nothing behind it is an absent key
	}
	_, custom := reflect.New(t).Interface().(yaml.Unmarshaler)
	switch {
	case t.Kind() == reflect.Struct && !custom:
		c.mapping(n, t, key)
	case t.Kind() == reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			c.add(n.Line, key, "is %s, want a list", kindOf(n))
			return
		}
		for i, item := range n.Content {
			c.walk(item, t.Elem(), fmt.Sprintf("%s[%d]", key, i))
		}
	default:
		c.scalar(n, t, key)
	}
}

func (c *Checker) mapping(n *yaml.Node, t reflect.Type, key string) {
	if n.Kind != yaml.MappingNode {
		c.add(n.Line, key, "is %s, want keys: %s", kindOf(n), strings.Join(Keys(t), ", "))
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name := n.Content[i].Value
		full := strings.TrimPrefix(key+"."+name, ".")
		if seen[name] {
			c.add(n.Content[i].Line, full, "is there twice")
			continue
		}
		seen[name] = true
		f, ok := fieldOf(t, name)
		if !ok {
			c.add(n.Content[i].Line, full, "unknown key; known here: %s", strings.Join(Keys(t), ", "))
			continue
		}
		c.walk(n.Content[i+1], f.Type, full)
	}
}

func (c *Checker) scalar(n *yaml.Node, t reflect.Type, key string) {
	if n.Kind != yaml.ScalarNode {
		c.add(n.Line, key, "is %s, want one value", kindOf(n))
		return
	}
	v := reflect.New(t)
	err := n.Decode(v.Interface())
	switch {
	case err == nil:
	case v.Type().Implements(reflect.TypeFor[yaml.Unmarshaler]()):
		c.add(n.Line, key, "%v", err)
	default:
		want := map[reflect.Kind]string{
			reflect.Bool: "true or false", reflect.Int: "a whole number", reflect.Float64: "a number", reflect.String: "text",
		}[t.Kind()]
		c.add(n.Line, key, "%q is not %s", n.Value, want)
	}
}

func fieldOf(t reflect.Type, name string) (reflect.StructField, bool) {
	for i := range t.NumField() {
		if t.Field(i).Tag.Get("yaml") == name {
			return t.Field(i), true
		}
	}
	return reflect.StructField{}, false
}

// Keys returns the keys of a block, sorted.
func Keys(t reflect.Type) []string {
	var out []string
	for i := range t.NumField() {
		out = append(out, t.Field(i).Tag.Get("yaml"))
	}
	slices.Sort(out)
	return out
}

func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.SequenceNode:
		return "a list"
	case yaml.MappingNode:
		return "a block of keys"
	}
	return fmt.Sprintf("%q", n.Value)
}
