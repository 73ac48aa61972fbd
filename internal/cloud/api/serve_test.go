package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/policy"
)

// withRoutes serves routes of a test beside the others.
func withRoutes(t *testing.T, db *store.DB, routes ...route) *site {
	t.Helper()
	a, err := New(Config{DB: db, Authenticate: known})
	if err != nil {
		t.Fatal(err)
	}
	a.routes = append(a.routes, routes...)
	s := serveSite(t, a)
	s.client = http.DefaultClient // they are not in the document
	return s
}

func TestTheDocumentIsServedToAnybody(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := newSite(t, db, nil)
		if got := s.do("GET", "/api/v1/openapi.json", nil); got.status != 200 || !strings.Contains(string(got.body), `"openapi":"3.1.0"`) {
			t.Errorf("%d %.100s", got.status, got.body)
		}
		if got := s.do("GET", "/api/v1/nothing", nil); got.status != 404 || got.reason() != policy.NotFound {
			t.Errorf("%d %s", got.status, got.body)
		}
	})
}

func TestBodiesAreReadStrictly(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := withRoutes(t, db, route{
			method: "POST", pattern: "/api/v1/test", why: "a test", public: "a test",
			read: func(q *Request) (Answer, error) {
				var in struct {
					Name string         `json:"name"`
					Deep map[string]any `json:"deep"`
				}
				if err := q.Decode(&in); err != nil {
					return Answer{}, err
				}
				return Answer{Body: map[string]string{"name": in.Name}}, nil
			},
		})
		if got := s.do("POST", "/api/v1/test", `{"name":"x","deep":{"a":[{"b":1},{"b":2}]}}`); got.status != 200 {
			t.Errorf("%d %s", got.status, got.body)
		}
		for body, detail := range map[string]string{
			``: "not a JSON object", `[]`: "not a JSON object", `{"name":"x"`: "not a whole", `{"name":"x"}{}`: "behind the object", `{"name":"x"} x`: "behind the object",
			`{"nmae":"x"}`: "no such field", `{"name":1}`: "number", `{"name":"x","Name":"y"}`: "twice", `{"deep":{"a":1,"a":2}}`: "twice",
			`{"name":"a\u0000"}`: "character 0", `{"deep":{"\u0000":1}}`: "character 0",
			`{"deep":` + strings.Repeat(`{"a":`, 30) + `1` + strings.Repeat(`}`, 31): "deeper",
		} {
			if got := s.do("POST", "/api/v1/test", body); got.status != 400 || got.reason() != policy.Malformed || !strings.Contains(string(got.body), detail) {
				t.Errorf("%s: %d %s, want %q", body, got.status, got.body, detail)
			}
		}
		if got := s.do("POST", "/api/v1/test", `{"name":"`+strings.Repeat("x", maxBody)+`"}`); got.status != 413 || got.reason() != policy.TooLarge {
			t.Errorf("large: %d %s", got.status, got.body)
		}
		if got := s.do("POST", "/api/v1/test", `{}`, "Content-Type: text/plain"); got.status != 400 {
			t.Errorf("text/plain: %d %s", got.status, got.body)
		}
		if got := s.do("POST", "/api/v1/test", `{}`, "Origin: https://elsewhere.example", "Sec-Fetch-Site: cross-site"); got.status != 403 {
			t.Errorf("from another site: %d %s", got.status, got.body)
		}
	})
}

func TestFaultsAreToldApartFromRefusals(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		noted := 0
		s := withRoutes(
			t, db,
			route{method: "GET", pattern: "/fault", why: "a test", public: "a test", read: func(*Request) (Answer, error) { panic("secret") }},
			route{method: "GET", pattern: "/error", why: "a test", public: "a test", read: func(*Request) (Answer, error) { return Answer{}, fmt.Errorf("secret") }},
			route{method: "GET", pattern: "/me", why: "a test", read: func(q *Request) (Answer, error) { return Answer{Body: map[string]string{"ref": q.Actor.Ref}}, nil }},
			route{method: "GET", pattern: "/refused", why: "a test", read: func(q *Request) (Answer, error) {
				q.Refused = func(_ context.Context, _ *store.Tx, e *cloud.Error) error {
					if e.Reason == policy.PlanBasic {
						noted++
					}
					return nil
				}
				return Answer{}, cloud.Refuse(policy.PlanBasic, "needs Standard")
			}},
		)
		for _, path := range []string{"/fault", "/error"} {
			if got := s.do("GET", path, nil); got.status != 500 || got.reason() != internalError || strings.Contains(string(got.body), "secret") {
				t.Errorf("%s: %d %s", path, got.status, got.body)
			}
		}
		if got := s.do("GET", "/me", nil); got.status != 401 || got.reason() != policy.Unauthenticated || got.header.Get("WWW-Authenticate") == "" || !strings.Contains(string(got.body), got.header.Get("X-Request-Id")) {
			t.Errorf("nobody: %d %s", got.status, got.body)
		}
		if got := s.do("GET", "/me", nil, "Authorization: Bearer test-x"); got.status != 200 || string(got.body) != "{\"ref\":\"u_x\"}\n" {
			t.Errorf("somebody: %d %s", got.status, got.body)
		}
		if got := s.do("GET", "/refused", nil, "Authorization: Bearer test-x"); got.status != 402 || noted != 1 {
			t.Errorf("refused: %d %s, noted %d times", got.status, got.body, noted)
		}
	})
}

// TestAnIdempotencyKeyActsOnce: fifty requests of one key at once and later, one effect, one answer.
func TestAnIdempotencyKeyActsOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		must(t, db.Write(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Exec(ctx, `CREATE TABLE effects (id TEXT PRIMARY KEY)`)
			return err
		}))
		s := withRoutes(t, db, route{
			method: "POST", pattern: "/act", why: "a test",
			change: func(ctx context.Context, tx *store.Tx, q *Request) (Answer, error) {
				id := cloud.NewID("x_")
				_, err := tx.Exec(ctx, `INSERT INTO effects VALUES ($1)`, id)
				return Answer{Status: 201, Body: map[string]string{"id": id}, Header: map[string]string{"Location": "/act/" + id}}, err
			},
		})
		act := func(key, who, body string) exchange {
			return s.do("POST", "/act", body, "Idempotency-Key: "+key, "Authorization: Bearer test-"+who)
		}
		first := act("k1", "x", `{}`)
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if got := act("k1", "x", `{}`); got.status != 201 || string(got.body) != string(first.body) || got.header.Get("Location") != first.header.Get("Location") {
					t.Errorf("again: %d %s, want %s", got.status, got.body, first.body)
				}
			})
			wg.Go(func() {
				if got := act("k2", "x", `{}`); got.status != 201 {
					t.Errorf("at once: %d %s", got.status, got.body)
				}
			})
		}
		wg.Wait()
		if got := act("k1", "x", `{"a":1}`); got.status != 409 || got.reason() != policy.Conflict {
			t.Errorf("for another request: %d %s", got.status, got.body)
		}
		if got := act("k1", "y", `{}`); got.status != 201 || string(got.body) == string(first.body) {
			t.Errorf("of another actor: %d %s", got.status, got.body)
		}
		if got := act(strings.Repeat("k", 65), "x", `{}`); got.status != 400 {
			t.Errorf("long key: %d %s", got.status, got.body)
		}
		var n int
		must(t, db.Read(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			return tx.QueryRow(ctx, `SELECT COUNT(*) FROM effects`).Scan(&n)
		}))
		if n != 3 {
			t.Errorf("%d effects, want 3: k1 and k2 of x, k1 of y", n)
		}
	})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestPages(t *testing.T) {
	items := []int{1, 2, 3}
	page := Page{Limit: 2}
	l, err := Paged(page, items, func(n int) any { return n })
	if err != nil || len(l.Items) != 2 || l.Next == "" {
		t.Fatalf("%+v, %v", l, err)
	}
	var after int
	if more, err := (Page{cursor: l.Next}).After(&after); err != nil || !more || after != 2 {
		t.Errorf("after %d, %v, %v", after, more, err)
	}
	if _, err := (Page{cursor: "%"}).After(&after); err == nil {
		t.Error("a cursor of somebody's own was taken")
	}
	if l, err := Paged[int](page, nil, nil); err != nil || l.Items == nil || l.Next != "" {
		t.Errorf("none: %+v, %v", l, err)
	}
}
