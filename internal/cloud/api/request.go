package api

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

// A Request is one request on its way through a route.
type Request struct {
	*http.Request
	Actor cloud.Actor // the zero value, but for Address and Request, where nobody is signed in on a public route
	Now   time.Time
	W     http.ResponseWriter // for headers beside the Answer: cookies
	// Refused, when a route sets it before it returns a *cloud.Error, writes the Event Log entry of the refusal (LOG-1).
	Refused func(ctx context.Context, tx *store.Tx, refusal *cloud.Error) error

	api  *API
	body []byte
}

// DB returns the store.
func (q *Request) DB() *store.DB { return q.api.cfg.DB }

// Decode reads the body, one JSON object, into dst, a pointer to a struct with json tags: unknown and repeated fields, null and anything
// behind the object are refused by name.
func (q *Request) Decode(dst any) error {
	if ct := q.Header.Get("Content-Type"); !strings.HasPrefix(ct, "application/json") {
		return cloud.Refuse(policy.Malformed, "the body is to be JSON: send it with Content-Type: application/json")
	}
	if err := checkObject(q.body); err != nil {
		return cloud.Refuse(policy.Malformed, "body: %v", err)
	}
	dec := json.NewDecoder(strings.NewReader(string(q.body)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(dst); err != nil {
		return bodyError(err)
	}
	return nil
}

func bodyError(err error) error {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return cloud.RefuseField(policy.Malformed, wrong.Field, "a %s where %s is wanted", wrong.Value, wrong.Type)
	}
	if name, ok := strings.CutPrefix(err.Error(), `json: unknown field `); ok {
		return cloud.RefuseField(policy.Malformed, strings.Trim(name, `"`), "there is no such field here")
	}
	return cloud.Refuse(policy.Malformed, "body: %v", strings.TrimPrefix(err.Error(), "json: "))
}

// checkObject makes sure that b is one JSON object in which no name stands twice on one level, whatever its case: encoding/json would take the last.
func checkObject(b []byte) error {
	dec := json.NewDecoder(strings.NewReader(string(b)))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return errors.New("not a JSON object")
	}
	type level struct {
		names map[string]bool // nil: a list
		key   bool            // a name comes next
	}
	levels := []level{{map[string]bool{}, true}}
	for len(levels) > 0 {
		t, err := dec.Token()
		if err != nil {
			return errors.New("not a whole JSON object")
		}
		if text, isText := t.(string); isText && strings.ContainsRune(text, 0) {
			return errors.New("a text with the character 0")
		}
		top := &levels[len(levels)-1]
		if name, isText := t.(string); isText && top.names != nil && top.key {
			if folded := strings.ToLower(name); top.names[folded] {
				return errors.New("the field " + strconv.Quote(name) + " stands there twice")
			} else {
				top.names[folded] = true
			}
			top.key = false
			continue
		}
		top.key = true
		switch t {
		case json.Delim('{'):
			levels = append(levels, level{map[string]bool{}, true})
		case json.Delim('['):
			levels = append(levels, level{})
		case json.Delim('}'), json.Delim(']'):
			levels = levels[:len(levels)-1]
		}
		if len(levels) > 16 {
			return errors.New("deeper than 16 levels")
		}
	}
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("something stands behind the object")
	}
	return nil
}

// A Page says which part of a list is wanted.
type Page struct {
	Limit  int    // 1 to 500
	cursor string // opaque
}

// Page reads limit (1 to 500, else 100) and cursor from the query.
func (q *Request) Page() (Page, error) {
	p := Page{Limit: 100, cursor: q.URL.Query().Get("cursor")}
	if text := q.URL.Query().Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 500 {
			return p, cloud.RefuseField(policy.Malformed, "limit", "%q is not a number from 1 to 500", text)
		}
		p.Limit = n
	}
	return p, nil
}

// After reads where the page begins into dst, what Next was given for the page before; false: at the beginning.
func (p Page) After(dst any) (bool, error) {
	if p.cursor == "" {
		return false, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(p.cursor)
	// No position has the character 0, and PostgreSQL would fail with it.
	if err != nil || bytes.Contains(b, []byte(`\u0000`)) || json.Unmarshal(b, dst) != nil {
		return false, cloud.RefuseField(policy.Malformed, "cursor", "it is not one that an answer of this list gave")
	}
	return true, nil
}

// A List is the body of an answer with one page.
type List[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty"` // cursor of the next page; absent on the last
}

// Paged returns one page of items, which are one more than the limit where there is another page. position says where an item stands.
func Paged[T any](p Page, items []T, position func(T) any) (List[T], error) {
	if items == nil {
		items = []T{}
	}
	if len(items) <= p.Limit {
		return List[T]{Items: items}, nil
	}
	items = items[:p.Limit]
	b, err := json.Marshal(position(items[len(items)-1]))
	return List[T]{items, base64.RawURLEncoding.EncodeToString(b)}, err
}

// Time is an instant in JSON: RFC 3339, UTC, milliseconds.
type Time time.Time

// MarshalText writes it.
func (t Time) MarshalText() ([]byte, error) {
	return []byte(time.Time(t).UTC().Format("2006-01-02T15:04:05.000Z")), nil
}

// QueryTime reads an instant from the query (RFC 3339); fallback where there is none.
func (q *Request) QueryTime(name string, fallback time.Time) (time.Time, error) {
	text := q.URL.Query().Get(name)
	if text == "" {
		return fallback, nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return t, cloud.RefuseField(policy.Malformed, name, "%.40q is not a time like 2026-03-01T09:30:00Z", text)
	}
	return t, nil
}
