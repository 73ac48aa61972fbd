package api

import (
	"bufio"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/order"
	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/policy"
	"upsedge/internal/trust"
	"upsedge/internal/wire"
)

// unsigned is for tests in which nothing is delivered.
type unsigned struct{}

func (unsigned) Command(context.Context, *store.Tx, trust.Command) (string, error) { return "", nil }

func (unsigned) KeyVersion() (uint64, error) { return 1, nil }

func (unsigned) Statement(context.Context, *store.Tx, string, wire.ID, trust.Statement) (string, error) {
	return "", nil
}

func orderSite(t *testing.T, db *store.DB) *site {
	t.Helper()
	book, err := order.New(order.Config{DB: db, Signer: unsigned{}})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Write(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO devices (id, serial, epoch, agent, owner, org, name, plan, valid_until, grant_version, registered_at)
			VALUES ('d_1', 'AS1', 1, 'box-7', 'a_ada', 'o_ada', 'rack', 'advanced', $1, 1, 1)`,
			device.Forever.UnixMilli())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return newSite(t, db, func(c *Config) { c.Orders = book })
}

// orderRead is what a test reads of an order.
type orderRead struct {
	ID, State string
	Final     bool
	Params    map[string]string
	Warnings  []any
}

const ada, bob = "Authorization: Bearer test-ada", "Authorization: Bearer test-bob"

func TestAnOrderIsMadeShownAndCancelled(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := orderSite(t, db)
		var made, again, read, gone orderRead
		e := s.do("POST", "/api/v1/devices/d_1/orders", `{"action":"reboot.ups"}`, ada, "Idempotency-Key: k1")
		e.into(t, &made)
		if e.status != 201 || made.State != "pending" || made.Params["delay"] != "configured" || len(made.Warnings) != 1 || e.header.Get("Location") != "/api/v1/orders/"+made.ID {
			t.Errorf("made: %d %s", e.status, e.body)
		}
		s.do("POST", "/api/v1/devices/d_1/orders", `{"action":"reboot.ups"}`, ada, "Idempotency-Key: k1").into(t, &again)
		if again.ID != made.ID {
			t.Errorf("the same key made another order")
		}
		s.do("GET", "/api/v1/orders/"+made.ID, nil, ada).into(t, &read)
		e = s.do("POST", "/api/v1/orders/"+made.ID+"/cancel", nil, ada)
		e.into(t, &gone)
		if e.status != 200 || gone.State != "cancelled" || !gone.Final || read.State != "pending" {
			t.Errorf("cancelled: %d %s", e.status, e.body)
		}
		if e := s.do("POST", "/api/v1/orders/"+made.ID+"/cancel", nil, ada); e.status != 409 || e.reason() != policy.Conflict {
			t.Errorf("cancelled again: %d %s", e.status, e.body)
		}
		var first, second List[orderRead] // the order and its cancellation
		s.do("GET", "/api/v1/devices/d_1/orders?limit=1", nil, ada).into(t, &first)
		s.do("GET", "/api/v1/devices/d_1/orders?limit=1&cursor="+first.Next, nil, ada).into(t, &second)
		if len(second.Items) != 1 || second.Items[0].ID == first.Items[0].ID || second.Next != "" {
			t.Errorf("the second page has %+v", second)
		}
	})
}

func TestPERM9WhoHasNoRightLearnsNothingOfOrders(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := orderSite(t, db)
		var made orderRead
		s.do("POST", "/api/v1/devices/d_1/orders", `{"action":"reboot.ups"}`, ada).into(t, &made)
		for _, row := range [][2]string{
			{"POST /api/v1/devices/d_1/orders", "POST /api/v1/devices/d_2/orders"},
			{"GET /api/v1/devices/d_1/orders", "GET /api/v1/devices/d_2/orders"},
			{"GET /api/v1/devices/d_1/events", "GET /api/v1/devices/d_2/events"},
			{"GET /api/v1/orders/" + made.ID, "GET /api/v1/orders/" + strings.Repeat("0", 32)},
			{"POST /api/v1/orders/" + made.ID + "/cancel", "POST /api/v1/orders/x/cancel"},
			{"GET /api/v1/orders/" + made.ID + "/events", "GET /api/v1/orders/x/events"},
		} {
			var bodies [2]string
			for i, what := range row {
				method, path, _ := strings.Cut(what, " ")
				var body any
				if strings.HasSuffix(what, "/orders") && method == "POST" {
					body = `{"action":"reboot.ups"}`
				}
				e := s.do(method, path, body, bob)
				if e.status != 404 || e.reason() != policy.NotFound {
					t.Errorf("%s: %d %s", what, e.status, e.body)
				}
				bodies[i] = strings.ReplaceAll(string(e.body), e.header.Get("X-Request-Id"), "")
			}
			if bodies[0] != bodies[1] {
				t.Errorf("%s: %s, of nothing: %s", row[0], bodies[0], bodies[1])
			}
		}
	})
}

func TestRefusalsOfOrdersHaveTheirStatus(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := orderSite(t, db)
		for _, row := range []struct {
			body   string
			status int
			reason policy.Reason
		}{
			{`{"action":"reboot.ups","params":{"delay":"30"}}`, 400, policy.Malformed},
			{`{"action":"reboot.ups","delay":"none"}`, 400, policy.Malformed},
			{`{"action":"reboot.ups","params":{"delay":1}}`, 400, policy.Malformed},
			{`{"action":"reboot.planet"}`, 422, policy.UnknownAction},
			{`{"action":"firmware.upgrade"}`, 422, policy.Unsupported},
			{`{}`, 422, policy.UnknownAction},
		} {
			if e := s.do("POST", "/api/v1/devices/d_1/orders", row.body, ada); e.status != row.status || e.reason() != row.reason {
				t.Errorf("%s: %d %s", row.body, e.status, e.body)
			}
		}
	})
}

func TestAFeedTellsWhatBecomesOfAnOrderAndEnds(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := orderSite(t, db)
		var made orderRead
		s.do("POST", "/api/v1/devices/d_1/orders", `{"action":"reboot.ups"}`, ada).into(t, &made)
		ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
		defer stop()
		lines := openFeed(ctx, t, s, "/api/v1/orders/"+made.ID+"/events", "")
		wantLine(t, lines, "id: 1")
		wantLine(t, lines, `"state":"pending"`)
		s.do("POST", "/api/v1/orders/"+made.ID+"/cancel", nil, ada)
		wantLine(t, lines, `"state":"cancelled"`)
		wantLine(t, lines, "event: end")
		// Behind a number, of the whole device.
		lines = openFeed(ctx, t, s, "/api/v1/devices/d_1/events", "2")
		wantLine(t, lines, "id: 3")
		wantLine(t, lines, `"state":"cancelled"`)
	})
}

func openFeed(ctx context.Context, t *testing.T, s *site, path, after string) *bufio.Scanner {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.server.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer test-ada")
	if after != "" {
		r.Header.Set("Last-Event-ID", after)
	}
	res, err := s.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	if res.StatusCode != 200 {
		t.Fatalf("feed: %d", res.StatusCode)
	}
	return bufio.NewScanner(res.Body)
}

// wantLine reads on to a line that has a text.
func wantLine(t *testing.T, lines *bufio.Scanner, want string) {
	t.Helper()
	for lines.Scan() {
		if strings.Contains(lines.Text(), want) {
			return
		}
	}
	t.Fatalf("the feed ended without %q: %v", want, lines.Err())
}

// TestT07AnOrderIsPreviewed over HTTP: what cloud and site would say of it, and for a stranger there is no such device.
func TestT07AnOrderIsPreviewed(t *testing.T) {
	s := orderSite(t, storetest.Open(t, storetest.SQLite(t)))
	const path = "/api/v1/devices/d_1/orders/preview"
	e := s.do("POST", path, `{"action":"reboot.ups","params":{"delay":"none"}}`, ada)
	var said struct {
		Would   string
		Reasons []struct{ Reason, Detail, By string }
	}
	e.into(t, &said)
	if e.status != 200 || said.Would != "refused" || len(said.Reasons) != 1 || said.Reasons[0].Reason != "EXPIRED" || said.Reasons[0].By != "site" || said.Reasons[0].Detail == "" {
		t.Errorf("%d %s", e.status, e.body)
	}
	e = s.do("POST", path, `{"action":"reboot.ups","params":{"delay":"7"},"on_offline":"reject"}`, ada)
	if e.into(t, &said); e.status != 200 || said.Would != "refused" || len(said.Reasons) != 1 || said.Reasons[0].Reason != "MALFORMED" || said.Reasons[0].By != "cloud" {
		t.Errorf("%d %s", e.status, e.body)
	}
	for body, want := range map[string]policy.Reason{`{"action":"order.cancel","params":{"order":"7"}}`: policy.Unsupported, `{"action":"reboot.ups","on_offline":"x"}`: policy.Malformed, `{}x`: policy.Malformed} {
		if e := s.do("POST", path, body, ada); e.status != 422 && e.status != 400 || e.reason() != want {
			t.Errorf("%s: %d %s", body, e.status, e.body)
		}
	}
	if e := s.do("POST", path, `{"action":"reboot.ups"}`, bob); e.status != 404 || e.reason() != policy.NotFound {
		t.Errorf("to a stranger: %d %s", e.status, e.body)
	}
	if e := s.do("GET", "/api/v1/devices/d_1/orders", nil, ada); strings.Contains(string(e.body), "reboot") {
		t.Errorf("a preview was an order: %s", e.body)
	}
}
