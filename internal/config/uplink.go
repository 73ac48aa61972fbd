package config

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"reflect"
	"slices"
	"sort"
	"strings"

	"go.yaml.in/yaml/v3"
)

// SetUplink makes the uplink of the file at path lead to broker, with those files of TLS, and keeps every other key and every comment. What
// contradicts a certificate, insecure and agent_id, is set to its default. The result is checked before anything is written, and the file is
// replaced whole or not at all; one that says so already is left alone.
func SetUplink(path string, u Uplink) error {
	return alone(path, func(path string) error {
		next, was, err := uplinked(path, u)
		if err != nil || next == nil {
			return err
		}
		return replace(path, next, was)
	})
}

// CheckSetUplink reports what would keep SetUplink from its work, and changes nothing.
func CheckSetUplink(path string, u Uplink) error {
	if _, _, err := uplinked(path, u); err != nil {
		return err
	}
	was, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	return alone(path, func(path string) error { return writable(path, was) })
}

// uplinked returns the file with another uplink; nil where it has it already.
func uplinked(path string, u Uplink) (next []byte, was fs.FileInfo, err error) {
	old, err := os.ReadFile(path)
	if err == nil {
		was, err = os.Stat(path)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read the configuration: %w", err)
	}
	before, err := Parse(path, old)
	if err != nil {
		return nil, nil, fmt.Errorf("nothing was written, the configuration has errors already: %w", err)
	}
	want := *before
	want.Uplink = &Uplink{Addresses: "tail"}
	if before.Uplink != nil {
		*want.Uplink = *before.Uplink
	}
	want.Uplink.Broker, want.Uplink.CAFile, want.Uplink.CertFile, want.Uplink.KeyFile = u.Broker, u.CAFile, u.CertFile, u.KeyFile
	want.Uplink.Insecure, want.Uplink.AgentID = false, ""
	if reflect.DeepEqual(*before, want) {
		return nil, was, nil
	}
	var root yaml.Node
	if err := yaml.Unmarshal(old, &root); err != nil {
		return nil, nil, fmt.Errorf("nothing was written: %w", err)
	}
	failed := errors.New("the uplink is written in a way that cannot be changed")
	for next := range uplinkProposals(old, &root, u) {
		after, err := Parse(path, next)
		if err == nil && reflect.DeepEqual(*after, want) {
			return next, was, nil
		}
		if err != nil {
			failed = err
		}
	}
	return nil, nil, fmt.Errorf("nothing was written: %w", failed)
}

// scalar is a key below uplink and what it is to say.
type scalar struct {
	path []string
	text string
}

// uplinkProposals are the ways to say it: line by line where the file has room for it, and the whole file written anew, with its comments
// and without its blank lines. The first that reads as what is wanted is taken.
func uplinkProposals(old []byte, root *yaml.Node, u Uplink) iter.Seq[[]byte] {
	block := fmt.Sprintf("uplink:\n  broker: %s\n  tls:\n    ca_file: %s\n    cert_file: %s\n    key_file: %s\n", quote(u.Broker), quote(u.CAFile), quote(u.CertFile), quote(u.KeyFile))
	set := []scalar{
		{[]string{"broker"}, quote(u.Broker)},
		{[]string{"tls", "ca_file"}, quote(u.CAFile)},
		{[]string{"tls", "cert_file"}, quote(u.CertFile)},
		{[]string{"tls", "key_file"}, quote(u.KeyFile)},
		{[]string{"insecure"}, "false"},
		{[]string{"agent_id"}, `""`},
	}
	return func(yield func([]byte) bool) {
		t := newText(old)
		key, value := child(root, "uplink")
		if key == nil {
			yield(t.with(len(t.lines), block))
			return
		}
		if value.Kind != yaml.MappingNode {
			if !yield(t.instead(key.Line, block)) { // "uplink:" or "uplink: null"
				return
			}
		} else if next, ok := t.edited(value, set); ok && !yield(next) {
			return
		}
		if anew, err := sectionAnew(value, root, set); err == nil {
			yield(anew)
		}
	}
}

func quote(s string) string { return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"` }

// child returns a key of a mapping, or of a document that is one, and its value; nil where there is none.
func child(n *yaml.Node, name string) (key, value *yaml.Node) {
	if n.Kind == yaml.DocumentNode && len(n.Content) > 0 {
		n = n.Content[0]
	}
	if n.Kind != yaml.MappingNode {
		return nil, nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return n.Content[i], n.Content[i+1]
		}
	}
	return nil, nil
}

// An edit replaces length bytes of a line, from column on, both from 0; length 0 inserts.
type edit struct {
	line, column, length int
	text                 string
}

// edited changes the scalars of a mapping where they stand, and puts those that are missing before its first key. ok is false where they are
// written in a way this does not understand.
func (t text) edited(uplink *yaml.Node, set []scalar) (next []byte, ok bool) {
	var edits []edit
	for _, s := range set {
		in := uplink
		for _, name := range s.path[:len(s.path)-1] {
			_, in = child(in, name)
			if in == nil {
				break
			}
		}
		last := s.path[len(s.path)-1]
		if in == nil || in.Kind != yaml.MappingNode {
			if in != nil {
				return nil, false
			}
			edits = append(edits, t.missing(uplink, s.path[0]+`: {`+last+`: `+s.text+`}`))
			continue
		}
		_, value := child(in, last)
		switch {
		case value == nil && (s.text == "false" || s.text == `""`): // the default
		case value == nil:
			edits = append(edits, t.missing(in, last+": "+s.text))
		default:
			e, ok := t.scalar(value, s.text)
			if !ok {
				return nil, false
			}
			edits = append(edits, e)
		}
	}
	return t.apply(joinTLS(edits)), true
}

// joinTLS makes one mapping of those that were made one key at a time.
func joinTLS(edits []edit) (out []edit) {
	for _, e := range edits {
		rest, isTLS := strings.CutPrefix(strings.TrimLeft(e.text, " "), "tls: {")
		i := slices.IndexFunc(out, func(o edit) bool { return strings.Contains(o.text, "tls: {") })
		if !isTLS || i < 0 {
			out = append(out, e)
			continue
		}
		more, _, _ := strings.Cut(rest, "}")
		out[i].text = strings.Replace(out[i].text, "}", ", "+more+"}", 1)
	}
	return out
}

// missing puts a key before the first one of a mapping.
func (t text) missing(in *yaml.Node, words string) edit {
	if len(in.Content) == 0 { // {}
		return edit{in.Line - 1, in.Column, 0, words}
	}
	first := in.Content[0]
	if in.Style&yaml.FlowStyle != 0 {
		return edit{first.Line - 1, first.Column - 1, 0, words + ", "}
	}
	return edit{first.Line - 1, 0, 0, strings.Repeat(" ", first.Column-1) + words + "\n"}
}

// scalar replaces one that stands on one line, quoted or plain.
func (t text) scalar(n *yaml.Node, words string) (edit, bool) {
	if n.Kind != yaml.ScalarNode || n.Anchor != "" {
		return edit{}, false
	}
	if n.Line == 0 || n.Line > len(t.lines) {
		return edit{}, false
	}
	line, from := t.line(n.Line), n.Column-1
	if from > len(line) {
		return edit{}, false
	}
	length := len(n.Value)
	if n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0 {
		end := strings.IndexByte(line[from+1:], line[from])
		if end < 0 {
			return edit{}, false
		}
		length = end + 2
	} else if !strings.HasPrefix(line[from:], n.Value) {
		return edit{}, false
	}
	return edit{n.Line - 1, from, length, words}, true
}

// apply makes the edits, the last one first.
func (t text) apply(edits []edit) []byte {
	lines := slices.Clone(t.lines)
	sort.SliceStable(edits, func(i, j int) bool { // ADR 20
		a, b := edits[i], edits[j]
		return a.line > b.line || a.line == b.line && a.column > b.column
	})
	for _, e := range edits {
		l := lines[e.line]
		lines[e.line] = l[:e.column] + strings.ReplaceAll(e.text, "\n", t.eol) + l[e.column+e.length:]
	}
	return []byte(strings.Join(lines, ""))
}

// sectionAnew sets the scalars in the tree and writes the whole file from it.
func sectionAnew(section, root *yaml.Node, set []scalar) ([]byte, error) {
	if section.Kind != yaml.MappingNode {
		*section = yaml.Node{Kind: yaml.MappingNode}
	}
	for _, s := range set {
		in := section
		for _, name := range s.path[:len(s.path)-1] {
			in = ensure(in, name, yaml.MappingNode)
		}
		v := ensure(in, s.path[len(s.path)-1], yaml.ScalarNode)
		var scalar yaml.Node
		if err := yaml.Unmarshal([]byte(s.text), &scalar); err != nil {
			return nil, err
		}
		*v = *scalar.Content[0]
	}
	return encode(root)
}

// ensure returns the value of a key, which it makes if need be.
func ensure(in *yaml.Node, name string, kind yaml.Kind) *yaml.Node {
	_, v := child(in, name)
	if v == nil {
		v = &yaml.Node{Kind: kind}
		in.Content = append(in.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: name}, v)
	}
	if v.Kind != kind {
		*v = yaml.Node{Kind: kind}
	}
	return v
}
