package manual

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// With returns the reference file, keys in comments in force, with another value of a key. The value is written as it is: "[a]" is a list.
func (r *Reference) With(path, value string) string {
	n := find(r.root.Content[0], strings.Split(strings.ReplaceAll(path, "[]", ""), "."))
	lines := append([]string(nil), r.lines...)
	line := lines[n.Line-1]
	old := line[n.Column-1:]
	end := len(old)
	if cut := strings.Index(old, " #"); cut >= 0 {
		end = cut
	}
	if cut := strings.IndexAny(old, ",}"); cut >= 0 && cut < end && strings.Contains(line[:n.Column-1], "{") {
		end = cut
	}
	lines[n.Line-1] = line[:n.Column-1] + value + old[end:]
	return strings.Join(lines, "\n")
}

// find returns the value of a key; of a list of blocks the first that has it.
func find(n *yaml.Node, path []string) *yaml.Node {
	if len(path) == 0 {
		return n
	}
	if n.Kind == yaml.SequenceNode {
		for _, item := range n.Content {
			if found := find(item, path); found != nil {
				return found
			}
		}
		return nil
	}
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == path[0] {
			return find(n.Content[i+1], path[1:])
		}
	}
	return nil
}

// Bounds returns values that the range of a key allows, and some that it does not; none of a key without a range.
func (k Key) Bounds() (in, out []string, err error) {
	if k.Range == "" {
		return nil, nil, nil
	}
	list := func(s string) string {
		if k.Type == "list" {
			return "[" + s + "]"
		}
		return s
	}
	for _, words := range []string{"one of ", "any of "} {
		if names, ok := strings.CutPrefix(k.Range, words); ok {
			for _, name := range strings.Split(names, ", ") {
				in = append(in, list(name))
			}
			other := "nonsense"
			if k.Type == "whole number" {
				other = "7"
			}
			return in, []string{list(other)}, nil
		}
	}
	least, most, both := strings.Cut(k.Range, " to ")
	if !both {
		least = strings.TrimSuffix(k.Range, " or more")
	}
	below, err := k.beside(least, -1)
	if err != nil {
		return nil, nil, err
	}
	if in, out = []string{least}, []string{below}; both {
		above, err := k.beside(most, 1)
		if err != nil {
			return nil, nil, err
		}
		in, out = append(in, most), append(out, above)
	}
	return in, out, nil
}

// beside returns the value next to one, as the file has it.
func (k Key) beside(value string, by int) (string, error) {
	switch k.Type {
	case "duration":
		d, err := time.ParseDuration(value)
		return (d + time.Duration(by)*time.Millisecond).String(), err
	case "size":
		n, ok := strings.CutSuffix(value, "MiB")
		mib, err := strconv.Atoi(n)
		if !ok || err != nil {
			return "", fmt.Errorf("%s: %q is no size in MiB", k.Path, value)
		}
		return strconv.Itoa(mib<<20 + by), nil
	case "number":
		f, err := strconv.ParseFloat(value, 64)
		return strconv.FormatFloat(f+float64(by)/100, 'f', -1, 64), err
	}
	n, err := strconv.Atoi(value)
	return strconv.Itoa(n + by), err
}
