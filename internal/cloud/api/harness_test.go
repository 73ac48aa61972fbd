package api

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

// A site is the interface served, and clients that hold every exchange against the document.
type site struct {
	t      testing.TB
	server *httptest.Server
	client *http.Client
}

// known is who is signed in by a bearer token "test-" and a name, where a test needs somebody and no sign-in.
func known(r *http.Request) (cloud.Actor, error) {
	name, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer test-")
	if !ok {
		return cloud.Actor{}, cloud.Refuse(policy.Unauthenticated, "sign in first")
	}
	return cloud.Actor{Ref: "u_" + name, Account: "a_" + name, Org: "o_" + name}, nil
}

// newSite serves the interface over a database. with changes its configuration.
func newSite(t testing.TB, db *store.DB, with func(*Config)) *site {
	t.Helper()
	cfg := Config{DB: db, Authenticate: known}
	if with != nil {
		with(&cfg)
	}
	a, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return serveSite(t, a)
}

func serveSite(t testing.TB, a *API) *site {
	s := &site{t: t, server: httptest.NewServer(a.Handler())}
	t.Cleanup(s.server.Close)
	s.client = &http.Client{Transport: newConformer(t, a.document)}
	return s
}

// An exchange is what was answered.
type exchange struct {
	status int
	header http.Header
	body   []byte
}

// do sends a request. body is JSON as text, or a value, or nil; headers are "Name: value".
func (s *site) do(method, path string, body any, headers ...string) exchange {
	s.t.Helper()
	var in io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		in = strings.NewReader(b)
	default:
		text, err := json.Marshal(b)
		if err != nil {
			s.t.Fatal(err)
		}
		in = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.server.URL+path, in)
	if err != nil {
		s.t.Fatal(err)
	}
	if in != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	res, err := s.client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return exchange{res.StatusCode, res.Header, text}
}

// into reads the answer.
func (e exchange) into(t testing.TB, dst any) {
	t.Helper()
	if err := json.Unmarshal(e.body, dst); err != nil {
		t.Fatalf("%d %s: %v", e.status, e.body, err)
	}
}

// reason is the code of a problem.
func (e exchange) reason() policy.Reason {
	var p problem
	_ = json.Unmarshal(e.body, &p)
	return p.Reason
}
