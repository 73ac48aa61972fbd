package api

import (
	"net/http"
	"strings"
	"testing"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/policy"
)

// TestT85EveryAnswerTellsBrowsersToKeepOut: whatever is asked and however it ends, nobody stores an answer, guesses what it is, frames it, runs
// anything in it, reads it from another site or asks for it without TLS again.
func TestT85EveryAnswerTellsBrowsersToKeepOut(t *testing.T) {
	s := withRoutes(
		t, storetest.Open(t, storetest.SQLite(t)),
		route{method: "GET", pattern: "/fault", why: "a test", public: "a test", read: func(*Request) (Answer, error) { panic("secret") }},
		route{method: "GET", pattern: "/refused", why: "a test", public: "a test", read: func(*Request) (Answer, error) { return Answer{}, cloud.Refuse(policy.NotFound, "") }},
		route{method: "GET", pattern: "/done", why: "a test", public: "a test", read: func(*Request) (Answer, error) { return Answer{Body: map[string]string{"a": "<script>"}}, nil }},
		route{method: "DELETE", pattern: "/empty", why: "a test", public: "a test", read: func(*Request) (Answer, error) { return Answer{}, nil }},
	)
	for _, ask := range []string{
		"GET /done", "GET /fault", "GET /refused", "DELETE /empty", "GET /api/v1/openapi.json", "GET /api/v1/account", "GET /", "POST /done", "TRACE /done", "OPTIONS /api/v1/account",
		"GET /api/v1/../../etc/passwd", "GET /.git/config", "CONNECT /done", "PUT /api/v1/devices", "HEAD /done",
	} {
		method, path, _ := strings.Cut(ask, " ")
		got := s.do(method, path, nil, "Origin: https://elsewhere.example")
		for name, want := range map[string]string{
			"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
			"Content-Security-Policy":   "default-src 'none'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'; sandbox",
			"Strict-Transport-Security": "max-age=63072000; includeSubDomains", "Access-Control-Allow-Origin": "", "Server": "", "X-Powered-By": "",
		} {
			if got.header.Get(name) != want {
				t.Errorf("%s: %d: %s is %q, want %q", ask, got.status, name, got.header.Get(name), want)
			}
		}
		if ct := got.header.Get("Content-Type"); len(got.body) > 0 && ct != "application/json" && ct != "application/problem+json" {
			t.Errorf("%s: %d: what it is: %q", ask, got.status, ct)
		}
		if path != "/api/v1/openapi.json" && (strings.Contains(string(got.body), "<script>") || strings.Contains(string(got.body), "secret")) {
			t.Errorf("%s: %.200s", ask, got.body)
		}
		if method == "TRACE" && got.status < 400 {
			t.Errorf("%s: %d", ask, got.status)
		}
	}
}

// TestT85NoSafeMethodChangesAnything: what a browser sends by itself, or on a link, has routes that read alone.
func TestT85NoSafeMethodChangesAnything(t *testing.T) {
	for _, r := range (&API{}).table() {
		switch r.method {
		case http.MethodGet:
			if r.read == nil || r.change != nil {
				t.Errorf("%s %s changes something", r.method, r.pattern)
			}
		case http.MethodPost, http.MethodPatch, http.MethodPut, http.MethodDelete:
		default:
			t.Errorf("%s %s", r.method, r.pattern)
		}
	}
}

// TestT85AParameterThatComesTwiceIsRefused: a parameter that comes twice is refused, not chosen from.
func TestT85AParameterThatComesTwiceIsRefused(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := newSite(t, db, nil)
		for _, query := range []string{"limit=1&limit=2", "limit=2&limit=2", "cursor=a&cursor=b", "nonsense=1&nonsense=2"} {
			if got := s.do("GET", "/api/v1/devices?"+query, nil, "Authorization: Bearer test-x"); got.status != 400 || got.reason() != policy.Malformed {
				t.Errorf("%s: %d %s", query, got.status, got.body)
			}
		}
		if got := s.do("GET", "/api/v1/devices?a=%zz;b", nil, "Authorization: Bearer test-x"); got.status != 400 {
			t.Errorf("what is no query: %d %s", got.status, got.body)
		}
	})
}
