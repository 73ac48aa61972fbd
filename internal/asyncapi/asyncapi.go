// Package asyncapi checks messages against docs/asyncapi.yaml, so that the document other people build from says what is really
// sent. It reads that document and JSON, and nothing of the code that makes the messages: what the two shared, both could have
// wrong. For tests of every package that publishes; no program has it.
package asyncapi

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// A Document is an AsyncAPI 3 document, ready to check messages. It is safe for concurrent use.
type Document struct {
	channels []channel
}

// A channel has the messages of one topic.
type channel struct {
	prefix, suffix string // of the address, around its parameter
	messages       map[string]message
}

type message struct {
	json   bool
	schema *jsonschema.Schema
}

// Load reads the document. References that lead nowhere and schemas that are none are errors. Every object may have only the
// properties that the document names: a reader must ignore others, but what we send ourselves stands in the document.
func Load(path string) (*Document, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var root map[string]any
	if err := yaml.Unmarshal(text, &root); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	d := &Document{}
	if err := d.read(root); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return d, nil
}

func (d *Document) read(root map[string]any) error {
	if err := resolveAll(root, root, ""); err != nil {
		return err
	}
	closeObjects(root)
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft7) // that of AsyncAPI's own schema objects
	compiler.AssertFormat()
	const url = "file:///asyncapi"
	if err := compiler.AddResource(url, plain(root)); err != nil {
		return err
	}
	channels, _ := root["channels"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(channels)) {
		ch, _ := channels[name].(map[string]any)
		address, _ := ch["address"].(string)
		before, rest, one := strings.Cut(address, "{")
		_, after, two := strings.Cut(rest, "}")
		if !one || !two {
			return fmt.Errorf("channel %s: address %q has no parameter", name, address)
		}
		c := channel{before, after, map[string]message{}}
		messages, _ := ch["messages"].(map[string]any)
		for key, ref := range messages {
			target := ref.(map[string]any)["$ref"].(string)
			m, _ := resolve(root, target)
			kind, other := m.(map[string]any)["contentType"]
			schema, err := compiler.Compile(url + target + "/payload")
			if err != nil {
				return fmt.Errorf("channel %s, message %s: %w", name, key, err)
			}
			c.messages[key] = message{!other || kind == "application/json", schema}
		}
		d.channels = append(d.channels, c)
	}
	return nil
}

// Check reports what is wrong with a message. It returns the name of the one message of the topic's channel that it is; one
// that could be two is an error of the document.
func (d *Document) Check(topic string, payload []byte) (name string, err error) {
	i := slices.IndexFunc(d.channels, func(c channel) bool {
		rest, ok := strings.CutPrefix(topic, c.prefix)
		agent, is := strings.CutSuffix(rest, c.suffix)
		return ok && is && agent != "" && !strings.Contains(agent, "/")
	})
	if i < 0 {
		return "", fmt.Errorf("topic %s is none of the document", topic)
	}
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(d.channels[i].messages)) {
		switch err := d.channels[i].messages[key].check(payload); {
		case err != nil:
			errs = append(errs, fmt.Errorf("not %s: %w", key, err))
		case name != "":
			return "", fmt.Errorf("%s: both %s and %s: %.300q", topic, name, key, payload)
		default:
			name = key
		}
	}
	if name == "" {
		return "", fmt.Errorf("%s: %.300q: %w", topic, payload, errors.Join(errs...))
	}
	return name, nil
}

func (m message) check(payload []byte) error {
	var v any = string(payload)
	if m.json {
		var err error
		if v, err = jsonschema.UnmarshalJSON(bytes.NewReader(payload)); err != nil {
			return err
		}
	}
	return m.schema.Validate(v)
}

// resolveAll checks that every reference below v leads somewhere.
func resolveAll(root map[string]any, v any, at string) error {
	switch v := v.(type) {
	case map[string]any:
		if ref, ok := v["$ref"].(string); ok {
			if _, found := resolve(root, ref); !found {
				return fmt.Errorf("%s: %s leads nowhere", at, ref)
			}
		}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if err := resolveAll(root, v[key], at+"/"+key); err != nil {
				return err
			}
		}
	case []any:
		for i, e := range v {
			if err := resolveAll(root, e, fmt.Sprintf("%s/%d", at, i)); err != nil {
				return err
			}
		}
	}
	return nil
}

// resolve follows a reference within the document, "#/components/…".
func resolve(root map[string]any, ref string) (any, bool) {
	path, ok := strings.CutPrefix(ref, "#/")
	if !ok {
		return nil, false
	}
	var v any = root
	for key := range strings.SplitSeq(path, "/") {
		m, is := v.(map[string]any)
		if !is {
			return nil, false
		}
		if v, ok = m[key]; !ok {
			return nil, false
		}
	}
	return v, true
}

// closeObjects forbids what a schema of an object does not name.
func closeObjects(v any) {
	switch v := v.(type) {
	case map[string]any:
		_, named := v["properties"]
		if _, said := v["additionalProperties"]; v["type"] == "object" && named && !said {
			v["additionalProperties"] = false
		}
		for _, e := range v {
			closeObjects(e)
		}
	case []any:
		for _, e := range v {
			closeObjects(e)
		}
	}
}

// plain turns what YAML has read into what JSON would have been read to.
func plain(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = plain(e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = plain(e)
		}
		return out
	case int:
		return float64(v)
	default:
		return v
	}
}
