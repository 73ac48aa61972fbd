package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A problem is one thing wrong with the file.
type problem struct {
	line   int
	key    string
	reason string
}

// checker collects problems, so that an installer sees all of them at once.
type checker struct {
	problems []problem
	lines    map[string]int // line of each key that is in the file
	visited  int            // nodes, aliases followed: a file of a few lines can stand for millions
}

// maxNodes is far above any real file: 1000 units with every key written are 40 000.
const maxNodes = 200_000

func (c *checker) add(line int, key, format string, args ...any) {
	c.problems = append(c.problems, problem{line, key, fmt.Sprintf(format, args...)})
}

// at adds a problem with a key, on the line of that key or of the nearest key above it that is in the file.
func (c *checker) at(key, format string, args ...any) {
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
func (c *checker) walk(n *yaml.Node, t reflect.Type, key string) {
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

func (c *checker) mapping(n *yaml.Node, t reflect.Type, key string) {
	if n.Kind != yaml.MappingNode {
		c.add(n.Line, key, "is %s, want keys: %s", kindOf(n), strings.Join(keysOf(t), ", "))
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
			c.add(n.Content[i].Line, full, "unknown key; known here: %s", strings.Join(keysOf(t), ", "))
			continue
		}
		c.walk(n.Content[i+1], f.Type, full)
	}
}

func (c *checker) scalar(n *yaml.Node, t reflect.Type, key string) {
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

func keysOf(t reflect.Type) []string {
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
