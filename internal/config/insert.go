package config

import (
	"bytes"
	"errors"
	"iter"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// appendUnits returns old with units behind the last one. YAML can be written in more ways than a program should understand, so
// ways to continue it are tried, the most careful first, and the first is taken that reads as the old configuration and the new
// units, and nothing else.
func appendUnits(name string, before *Config, old []byte, units []Unit) ([]byte, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(old, &root); err != nil {
		return nil, err
	}
	list, err := encode(written(units))
	if err != nil {
		return nil, err
	}
	var failed error
	for next := range proposals(old, &root, string(list)) {
		after, err := Parse(name, next)
		if err == nil && extends(before, after, units) {
			return next, nil
		}
		if failed == nil {
			failed = err // of the most careful way: what is wrong with the units themselves
		}
	}
	if failed == nil {
		failed = errors.New("the list of units is written in a way that cannot be continued")
	}
	return nil, failed
}

// extends reports whether after is before with units behind its own.
func extends(before, after *Config, units []Unit) bool {
	n := len(before.Units)
	if len(after.Units) != n+len(units) {
		return false
	}
	for i, u := range units {
		if got := after.Units[n+i]; got.Name != u.Name || got.LineKey() != u.LineKey() || got.UnitID != u.UnitID {
			return false
		}
	}
	same := *after
	same.Units = before.Units
	return reflect.DeepEqual(*before, same) && (n == 0 || reflect.DeepEqual(before.Units, after.Units[:n]))
}

// noUnits is the line of a list without units, with the comment behind it.
var noUnits = regexp.MustCompile(`^units[ \t]*:[ \t]*(?:\[[ \t]*\]|null|~)?[ \t]*(#.*)?$`)

// proposals are the ways to continue a file, by lines; the last writes it anew and keeps the comments only. list holds the new
// units, a line each or more, beginning with "- ".
func proposals(old []byte, root *yaml.Node, list string) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		t := newText(old)
		key, value, next := unitsOf(root)
		if key == nil {
			yield(t.with(len(t.lines), "units:\n"+indent(list, 2)))
			return
		}
		end := len(t.lines)
		if next != nil {
			end = next.Line - 1
		}
		if value.Kind == yaml.SequenceNode && value.Style&yaml.FlowStyle == 0 {
			for at := lastLine(value); at <= end; at++ {
				if !yield(t.with(at, indent(list, value.Column-1))) {
					return
				}
			}
		} else if m := noUnits.FindStringSubmatch(t.line(key.Line)); m != nil {
			if !yield(t.instead(key.Line, strings.TrimSpace("units: "+m[1])+"\n"+indent(list, 2))) {
				return
			}
		}
		if anew, err := rewritten(root, value, list); err == nil {
			yield(anew)
		}
	}
}

// unitsOf returns the key units, its value and the key behind it; nil where there is none.
func unitsOf(root *yaml.Node) (key, value, next *yaml.Node) {
	if len(root.Content) == 0 || root.Content[0].Kind != yaml.MappingNode {
		return nil, nil, nil
	}
	all := root.Content[0].Content
	for i := 0; i+1 < len(all); i += 2 {
		if all[i].Value != "units" {
			continue
		}
		if i+2 < len(all) {
			next = all[i+2]
		}
		return all[i], all[i+1], next
	}
	return nil, nil, nil
}

// lastLine is the last line on which something of n begins; it may end further down.
func lastLine(n *yaml.Node) int {
	last := n.Line
	for _, c := range n.Content {
		last = max(last, lastLine(c))
	}
	return last
}

// rewritten writes the whole file anew, with its comments and without its blank lines.
func rewritten(root, value *yaml.Node, list string) ([]byte, error) {
	var add yaml.Node
	if err := yaml.Unmarshal([]byte(list), &add); err != nil {
		return nil, err
	}
	if value.Kind != yaml.SequenceNode {
		*value = yaml.Node{Kind: yaml.SequenceNode}
	}
	value.Style = 0 // [a] becomes a block, and has no line for its comment
	if len(value.Content) > 0 && value.LineComment != "" {
		value.Content[0].HeadComment, value.LineComment = value.LineComment, ""
	}
	value.Content = append(value.Content, add.Content[0].Content...)
	return encode(root)
}

func indent(list string, n int) string {
	var b strings.Builder
	for l := range strings.Lines(list) {
		b.WriteString(strings.Repeat(" ", n) + l)
	}
	return b.String()
}

// A text is a file by its lines, with the ends they have.
type text struct {
	lines []string
	eol   string
}

func newText(data []byte) text {
	t := text{eol: "\n"}
	if end := bytes.IndexByte(data, '\n'); end > 0 && data[end-1] == '\r' {
		t.eol = "\r\n"
	}
	for l := range strings.Lines(string(data)) {
		t.lines = append(t.lines, l)
	}
	if n := len(t.lines); n > 0 && !strings.HasSuffix(t.lines[n-1], "\n") {
		t.lines[n-1] += t.eol
	}
	return t
}

// line returns the n-th line, counted from 1, without its end.
func (t text) line(n int) string { return strings.TrimRight(t.lines[n-1], "\r\n") }

// with returns the file with more behind the first n lines.
func (t text) with(n int, more string) []byte {
	more = strings.ReplaceAll(more, "\n", t.eol)
	return []byte(strings.Join(slices.Concat(t.lines[:n], []string{more}, t.lines[n:]), ""))
}

// instead returns the file with other words in place of the n-th line.
func (t text) instead(n int, words string) []byte {
	return text{slices.Concat(t.lines[:n-1], t.lines[n:]), t.eol}.with(n-1, words)
}
