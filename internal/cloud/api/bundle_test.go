package api

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
)

const someBundle = "\x1f\x8bsomething"

// bundle makes an order of ada's for a support bundle to which one has come, and returns its id.
func (q *quarter) bundle() (id string) {
	q.t.Helper()
	id = q.want(201, "POST", "/api/v1/devices/"+q.device.ID+"/orders", obj{"action": "support.bundle"}, q.who["owner"]).id(q.t)
	sum := sha256.Sum256([]byte(someBundle))
	q.change(func(ctx context.Context, tx *store.Tx) error {
		if _, err := tx.Exec(ctx, `UPDATE orders SET state = 'running', attempts = 1 WHERE id = $1`, id); err != nil {
			return err
		}
		_, _, err := q.bundles.Put(ctx, tx, q.hers[ofAgent], id, hex.EncodeToString(sum[:]), []byte(someBundle))
		return err
	})
	return id
}

// PRIV-8, T-67, T-88: the owner takes it away as a file, and each time stands in the log; a shared user gets nothing, and that does, too.
func TestPRIV8TheOwnerAloneTakesTheBundleAway(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		q := newQuarter(t, db)
		q.share(q.cleo)
		path := "/api/v1/orders/" + q.bundle() + "/bundle"
		got := q.want(200, "GET", path, nil, q.who["owner"])
		sum := sha256.Sum256([]byte(someBundle))
		if string(got.body) != someBundle || got.header.Get("X-Content-SHA256") != hex.EncodeToString(sum[:]) {
			t.Errorf("%q %v", got.body, got.header)
		}
		if d := got.header.Get("Content-Disposition"); !strings.HasPrefix(d, `attachment; filename="support-`) || got.header.Get("X-Content-Type-Options") != "nosniff" ||
			got.header.Get("Content-Type") != gzipType {
			t.Errorf("%v", got.header)
		}
		q.want(403, "GET", path, nil, q.who["shared"])
		q.want(404, "GET", path, nil, q.who["nobody"])
		log := string(q.want(200, "GET", "/api/v1/devices/"+q.device.ID+"/log", nil, q.who["owner"]).body)
		for _, want := range []string{`"bundle.store"`, `"bundle.download"`, `"OWNER_ONLY"`, hex.EncodeToString(sum[:])} {
			if !strings.Contains(log, want) {
				t.Errorf("%s is not in the log: %s", want, log)
			}
		}
		var body string
		must(t, db.Read(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			return tx.QueryRow(ctx, `SELECT body FROM support_bundle_bodies`).Scan(&body)
		}))
		if strings.Contains(body, "something") || strings.Contains(body, base64.RawURLEncoding.EncodeToString([]byte("something"))) {
			t.Errorf("it is kept as it came: %q", body)
		}
		var who accountBodyRead
		q.want(200, "GET", "/api/v1/account", nil, q.who["owner"]).into(t, &who)
		for age, fresh := range map[time.Duration]bool{time.Minute: true, time.Hour: false} { // T-88
			owner := cloud.Actor{Account: who.ID, Ref: who.Actor, Org: who.Organisation.ID, HasFactor: true, FactorAt: time.Now().Add(-age)}
			err := db.Write(t.Context(), func(ctx context.Context, tx *store.Tx) error {
				_, _, err := q.bundles.Take(ctx, tx, owner, strings.Split(path, "/")[4])
				return err
			})
			if (err == nil) != fresh {
				t.Errorf("a second factor of %v ago: %v", age, err)
			}
		}
		// It ends with the device.
		q.change(func(ctx context.Context, tx *store.Tx) error { return q.bundles.DeviceEnded(ctx, tx, q.device) })
		q.want(404, "GET", path, nil, q.who["owner"])
	})
}

func FuzzContentDigest(f *testing.F) {
	sum := sha256.Sum256(nil)
	f.Add("sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":")
	f.Add("sha-256=:" + base64.RawStdEncoding.EncodeToString(sum[:]) + ":")
	f.Add("sha-256=:::")
	f.Add("sha-512=:AA==:, sha-256=:AA==:")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := contentDigest([]string{text})
		raw, hexErr := hex.DecodeString(got)
		if err == nil && (hexErr != nil || "sha-256=:"+base64.StdEncoding.EncodeToString(raw)+":" != text) {
			t.Errorf("%q is taken for %q", text, got)
		}
	})
}

// TestT30ABundleThatComesTooSlowlyIsCut: the whole body has its time, however steadily a byte of it comes.
func TestT30ABundleThatComesTooSlowlyIsCut(t *testing.T) {
	a, err := New(Config{DB: storetest.Open(t, storetest.SQLite(t)), Authenticate: known})
	must(t, err)
	a.bodyWithin = 200 * time.Millisecond
	a.routes = append(a.routes, route{method: "PUT", pattern: "/body", why: "a test", public: "a test", own: true, read: func(q *Request) (Answer, error) {
		_, err := a.readBundle(q, "")
		return Answer{}, err
	}})
	s := serveSite(t, a)
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.server.Listener.Addr().String())
	must(t, err)
	defer c.Close()
	_, err = io.WriteString(c, "PUT /body HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
	must(t, err)
	answered := make(chan string, 1)
	go func() {
		text, _ := io.ReadAll(c) // it is closed, too
		answered <- string(text)
	}()
	late := time.After(20 * time.Second)
	for tick := time.NewTicker(10 * time.Millisecond); ; {
		select {
		case <-tick.C:
			_, _ = io.WriteString(c, "x")
		case text := <-answered:
			if !strings.Contains(text, "400 Bad Request") || !strings.Contains(text, "not in time") {
				t.Errorf("%q", text)
			}
			return
		case <-late:
			t.Fatal("it is still waited for")
		}
	}
}
