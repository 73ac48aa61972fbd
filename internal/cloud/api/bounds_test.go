package api

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"upsedge/internal/cloud/limit"
	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/policy"
)

// TestT85AnAccountFillsNoTable: of the changes of one account, and the answers that are kept for it, there are so many and no more; what is
// one too many changes nothing; somebody else is not kept from anything.
func TestT85AnAccountFillsNoTable(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		must(t, db.Write(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Exec(ctx, `CREATE TABLE effects (id BIGINT)`)
			return err
		}))
		s := withRoutes(t, db, route{
			method: "POST", pattern: "/act", why: "a test",
			change: func(ctx context.Context, tx *store.Tx, q *Request) (Answer, error) {
				_, err := tx.Exec(ctx, `INSERT INTO effects VALUES (1)`)
				return Answer{}, err
			},
		})
		effects := func() (n int) {
			must(t, db.Read(t.Context(), func(ctx context.Context, tx *store.Tx) error {
				return tx.QueryRow(ctx, `SELECT COUNT(*) FROM effects`).Scan(&n)
			}))
			return n
		}
		for n, l := range []limit.Limit{answersBy, changesBy} {
			must(t, db.Write(t.Context(), func(ctx context.Context, tx *store.Tx) error { // all but one are spent
				for range l.Most - 1 {
					if err := limit.Add(ctx, tx, time.Now(), l.Of(fmt.Sprint("a_", n))); err != nil {
						return err
					}
				}
				return nil
			}))
			before := effects()
			for i, want := range []int{204, 429} {
				got := s.do("POST", "/act", `{}`, fmt.Sprint("Authorization: Bearer test-", n), fmt.Sprint("Idempotency-Key: k", i))
				if got.status != want || want == 429 && (got.reason() != policy.RateLimit || got.header.Get("Retry-After") == "") {
					t.Errorf("%s, %d: %d %s", l.Name, i, got.status, got.body)
				}
			}
			if got := s.do("POST", "/act", `{}`, fmt.Sprint("Authorization: Bearer test-", n), "Idempotency-Key: k0"); got.status != 204 {
				t.Errorf("%s: what is kept: %d %s", l.Name, got.status, got.body)
			}
			if got := s.do("POST", "/act", `{}`, "Authorization: Bearer test-other", fmt.Sprint("Idempotency-Key: k", n)); got.status != 204 {
				t.Errorf("%s: somebody else: %d %s", l.Name, got.status, got.body)
			}
			if n := effects() - before; n != 2 {
				t.Errorf("%s: %d effects, want 2", l.Name, n)
			}
		}
	})
}

// TestT85EveryPostCounts: those that make their own transactions, too; leaving is never refused.
func TestT85EveryPostCounts(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		nothing := func(*Request) (Answer, error) { return Answer{}, nil }
		s := withRoutes(t, db, route{method: "POST", pattern: "/act", why: "a test", read: nothing}, route{method: "DELETE", pattern: "/act", why: "a test", read: nothing})
		must(t, db.Write(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			for range changesBy.Most - 1 {
				if err := limit.Add(ctx, tx, time.Now(), changesBy.Of("a_x")); err != nil {
					return err
				}
			}
			return nil
		}))
		for n, ask := range []string{"POST 204", "POST 429", "DELETE 204"} {
			method, want, _ := strings.Cut(ask, " ")
			if got := s.do(method, "/act", nil, "Authorization: Bearer test-x"); fmt.Sprint(got.status) != want {
				t.Errorf("%d: %s: %d %s", n, ask, got.status, got.body)
			}
		}
	})
}

// TestTheDocumentNamesTheKeyWhereItCounts: a route that does not look at an Idempotency-Key does not say that it takes one.
func TestTheDocumentNamesTheKeyWhereItCounts(t *testing.T) {
	a, err := New(Config{DB: storetest.Open(t, storetest.SQLite(t)), Authenticate: known})
	must(t, err)
	var doc struct {
		Paths map[string]struct {
			Post struct{ Parameters []map[string]any }
		}
	}
	must(t, json.Unmarshal(a.document, &doc))
	takes, not := 0, 0
	for _, r := range a.routes {
		if r.method != "POST" {
			continue
		}
		named := 0
		for _, p := range doc.Paths[r.pattern].Post.Parameters {
			if p["$ref"] == "#/components/parameters/idempotencyKey" {
				named++
			}
		}
		want := r.change != nil && r.public == ""
		if want != (named == 1) || named > 1 {
			t.Errorf("POST %s names it %d times, want it: %v", r.pattern, named, want)
		}
		if want {
			takes++
		} else {
			not++
		}
	}
	if takes < 3 || not < 8 {
		t.Errorf("%d routes take it, %d do not", takes, not)
	}
}
