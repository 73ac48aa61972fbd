package api

import (
	"net/http"
	"strings"
	"testing"

	"upsedge/internal/cloud/authority"
	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/policy"
)

func agentSite(t *testing.T, db *store.DB) *site {
	t.Helper()
	dir := t.TempDir()
	if _, err := authority.Init(dir, []string{"localhost"}); err != nil {
		t.Fatal(err)
	}
	agents, err := authority.Open(dir, authority.Options{DB: db, Brokers: []string{"tls://localhost:8883"}})
	if err != nil {
		t.Fatal(err)
	}
	return newSite(t, db, func(c *Config) { c.Agents = agents })
}

// TestT61ATokenIsToldOnce: the key that makes a request repeatable brings no secret again, and none is kept.
func TestT61ATokenIsToldOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := agentSite(t, db)
		const by, key = "Authorization: Bearer test-ada", "Idempotency-Key: k"
		var token tokenAnswer
		made := s.do("POST", "/api/v1/agents/tokens", `{"name":"cellar"}`, by, key)
		if made.status != http.StatusCreated {
			t.Fatalf("%d %s", made.status, made.body)
		}
		made.into(t, &struct {
			Token   *string `json:"token"`
			ID      *string `json:"id"`
			Name    *string `json:"name"`
			Expires string  `json:"expires_at"`
		}{&token.Token, &token.ID, &token.Name, ""})
		if !strings.HasPrefix(token.Token, "upsenrol-") {
			t.Errorf("token %q", token.Token)
		}
		again := s.do("POST", "/api/v1/agents/tokens", `{"name":"cellar"}`, by, key)
		if again.reason() != policy.Conflict || strings.Contains(string(again.body), token.Token) {
			t.Errorf("again: %d %s", again.status, again.body)
		}
	})
}

func TestAgentsAreTheirOwnersAffair(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := agentSite(t, db)
		const by = "Authorization: Bearer test-ada"
		for _, row := range []struct {
			method, path, body string
			headers            []string
			reason             policy.Reason
		}{
			{"POST", "/api/v1/agents/tokens", `{}`, nil, policy.Unauthenticated},
			{"GET", "/api/v1/agents", ``, nil, policy.Unauthenticated},
			{"DELETE", "/api/v1/agents/g_1", ``, []string{by}, policy.NotFound},
			{"POST", "/api/v1/enrol", `{"token":"upsenrol-x","csr":""}`, nil, policy.Malformed},
			{"POST", "/api/v1/agents/self/certificate", `{"csr":""}`, nil, policy.Unauthenticated},
			{"POST", "/api/v1/agents/tokens", `{"name":"two\nlines"}`, []string{by}, policy.Malformed},
		} {
			var body any
			if row.body != "" {
				body = row.body
			}
			if e := s.do(row.method, row.path, body, row.headers...); e.reason() != row.reason {
				t.Errorf("%s %s: %d %s, want %s", row.method, row.path, e.status, e.body, row.reason)
			}
		}
		if e := s.do("GET", "/api/v1/agents", nil, by); e.status != 200 {
			t.Errorf("list: %d %s", e.status, e.body)
		}
	})
}

// TestT89ATokenIsSeenAndWithdrawn: by its organisation alone, while nobody has used it; its text is told to nobody again.
func TestT89ATokenIsSeenAndWithdrawn(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := agentSite(t, db)
		const ada, eve = "Authorization: Bearer test-ada", "Authorization: Bearer test-eve"
		var made struct{ ID, Token string }
		s.do("POST", "/api/v1/agents/tokens", `{"name":"cellar"}`, ada).into(t, &made)
		seen := s.do("GET", "/api/v1/agents/tokens", nil, ada)
		if seen.status != 200 || !strings.Contains(string(seen.body), made.ID) || !strings.Contains(string(seen.body), "cellar") || strings.Contains(string(seen.body), made.Token) {
			t.Errorf("list: %d %s", seen.status, seen.body)
		}
		if got := s.do("GET", "/api/v1/agents/tokens", nil, eve); got.status != 200 || strings.Contains(string(got.body), made.ID) {
			t.Errorf("somebody else's list: %d %s", got.status, got.body)
		}
		nobodys := s.do("DELETE", "/api/v1/agents/tokens/t_none", nil, eve)
		if got := s.do("DELETE", "/api/v1/agents/tokens/"+made.ID, nil, eve); got.status != 404 || got.reason() != nobodys.reason() {
			t.Errorf("somebody else withdraws it: %d %s", got.status, got.body)
		}
		if got := s.do("DELETE", "/api/v1/agents/tokens/"+made.ID, nil, ada); got.status != 204 {
			t.Errorf("withdraw: %d %s", got.status, got.body)
		}
		if got := s.do("DELETE", "/api/v1/agents/tokens/"+made.ID, nil, ada); got.status != 404 {
			t.Errorf("once more: %d %s", got.status, got.body)
		}
		if got := s.do("GET", "/api/v1/agents/tokens", nil, ada); strings.Contains(string(got.body), made.ID) {
			t.Errorf("afterwards: %s", got.body)
		}
	})
}
