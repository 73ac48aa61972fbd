package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// A conformer lets requests pass and holds each one, and its answer, against the OpenAPI document: what other people build from is what
// is really said. OpenAPI 3.1 has the schemas of JSON Schema 2020-12.
type conformer struct {
	t     testing.TB
	next  http.RoundTripper
	doc   map[string]any
	ready map[string]*jsonschema.Schema
	c     *jsonschema.Compiler
}

func newConformer(t testing.TB, document []byte) *conformer {
	t.Helper()
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	if err := c.AddResource("api.json", parsed); err != nil {
		t.Fatal(err)
	}
	return &conformer{t: t, next: http.DefaultTransport, doc: parsed.(map[string]any), ready: map[string]*jsonschema.Schema{}, c: c}
}

// at follows names down the document.
func at(v any, names ...string) any {
	for _, name := range names {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	return v
}

// pattern finds the path of the document that a path is one of.
func (c *conformer) pattern(path string) string {
	paths, _ := at(c.doc, "paths").(map[string]any)
	if paths[path] != nil {
		return path
	}
	parts := strings.Split(path, "/")
	for p := range paths {
		want := strings.Split(p, "/")
		if len(want) == len(parts) && !slices.ContainsFunc(want, func(s string) bool {
			i := slices.Index(want, s)
			return !strings.HasPrefix(s, "{") && s != parts[i]
		}) {
			return p
		}
	}
	return ""
}

// RoundTrip sends a request and complains where it or its answer is not in the document.
func (c *conformer) RoundTrip(r *http.Request) (*http.Response, error) {
	var sent []byte
	if r.Body != nil {
		sent, _ = io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(sent))
	}
	res, err := c.next.RoundTrip(r)
	if err != nil || !strings.HasPrefix(r.URL.Path, "/api/") {
		return res, err
	}
	what := r.Method + " " + r.URL.Path
	p := c.pattern(r.URL.Path)
	op := at(c.doc, "paths", p, strings.ToLower(r.Method))
	if op == nil {
		if res.StatusCode != http.StatusNotFound && res.StatusCode != http.StatusMethodNotAllowed {
			c.t.Errorf("%s: answered %d, and is not in the document", what, res.StatusCode)
		}
		return res, nil
	}
	ref := "#/paths/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(p) + "/" + strings.ToLower(r.Method)
	if len(sent) > 0 && res.StatusCode < 300 { // what was refused may be anything
		c.check(what+", request", ref+"/requestBody", sent, "application/json")
	}
	c.answer(what, ref, op, res)
	return res, nil
}

func (c *conformer) answer(what, ref string, op any, res *http.Response) {
	status := fmt.Sprint(res.StatusCode)
	ref += "/responses/" + status
	if at(op, "responses", status) == nil {
		if status = "default"; at(op, "responses", status) == nil || res.StatusCode < 400 {
			c.t.Errorf("%s: status %d is not in the document", what, res.StatusCode)
			return
		}
		ref = strings.TrimSuffix(ref, fmt.Sprint(res.StatusCode)) + "default"
	}
	ct, _, _ := strings.Cut(res.Header.Get("Content-Type"), ";")
	if ct == "text/event-stream" {
		return // it does not end
	}
	body, err := io.ReadAll(res.Body)
	res.Body.Close()
	res.Body = io.NopCloser(bytes.NewReader(body))
	if err != nil || len(body) == 0 {
		return
	}
	c.check(fmt.Sprintf("%s, answer %d", what, res.StatusCode), ref, body, ct)
}

// check holds a body against the schema of its media type below ref.
func (c *conformer) check(what, ref string, body []byte, ct string) {
	holder := c.resolve(ref)
	media := at(holder.value, "content", ct)
	if media == nil {
		c.t.Errorf("%s: %s is not in the document", what, ct)
		return
	}
	if at(media, "schema") == nil || !strings.HasSuffix(ct, "json") {
		return
	}
	where := holder.ref + "/content/" + strings.ReplaceAll(ct, "/", "~1") + "/schema"
	schema := c.ready[where]
	if schema == nil {
		var err error
		if schema, err = c.c.Compile("api.json" + where); err != nil {
			c.t.Errorf("%s: %v", where, err)
			return
		}
		c.ready[where] = schema
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err == nil {
		err = schema.Validate(v)
	}
	if err != nil {
		c.t.Errorf("%s: %v\n%s", what, err, body)
	}
}

type found struct {
	ref   string
	value any
}

// resolve follows a reference and those it leads to.
func (c *conformer) resolve(ref string) found {
	for range 8 {
		var names []string
		for _, name := range strings.Split(ref, "/")[1:] {
			names = append(names, strings.NewReplacer("~1", "/", "~0", "~").Replace(name))
		}
		v := at(c.doc, names...)
		next, ok := at(v, "$ref").(string)
		if !ok {
			return found{ref, v}
		}
		ref = next
	}
	return found{ref, nil}
}

// TestDocumentAndRoutesAgree: each route is in the document, and nothing else is; every reference leads somewhere.
func TestDocumentAndRoutesAgree(t *testing.T) {
	doc, err := mergeDocument()
	if err != nil {
		t.Fatal(err)
	}
	var root map[string]any
	if err := json.Unmarshal(doc, &root); err != nil {
		t.Fatal(err)
	}
	var there, wanted []string
	paths, _ := at(root, "paths").(map[string]any)
	for p, ops := range paths {
		for method := range ops.(map[string]any) {
			if method != "parameters" {
				there = append(there, strings.ToUpper(method)+" "+p)
			}
		}
	}
	for _, r := range (&API{}).table() {
		wanted = append(wanted, r.method+" "+r.pattern)
		if err := r.check(); err != nil {
			t.Error(err)
		}
	}
	slices.Sort(there)
	slices.Sort(wanted)
	for _, r := range wanted {
		if !slices.Contains(there, r) {
			t.Errorf("%s is not in the document", r)
		}
	}
	for _, r := range there {
		if !slices.Contains(wanted, r) {
			t.Errorf("the document has %s, which is no route", r)
		}
	}
	c := newConformer(t, doc)
	refs(root, func(ref string) {
		if c.resolve(ref).value == nil {
			t.Errorf("%s leads nowhere", ref)
		}
	})
}

func refs(v any, tell func(string)) {
	switch v := v.(type) {
	case map[string]any:
		for name, inner := range v {
			if ref, ok := inner.(string); ok && name == "$ref" {
				tell(ref)
				continue
			}
			refs(inner, tell)
		}
	case []any:
		for _, inner := range v {
			refs(inner, tell)
		}
	}
}
