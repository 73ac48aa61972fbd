package serve

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"upsedge/internal/cloud/bundle"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/order"
	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/policy"
	"upsedge/internal/wire"
)

// A sender is an agent with its certificate.
type sender struct {
	*life
	agent  string
	client *http.Client
}

func (l *life) sender() *sender {
	agent, cert := l.enrol()
	return &sender{l, agent, &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{
		Certificates: []tls.Certificate{cert}, InsecureSkipVerify: true, //nolint:gosec // whom we talk to is not what is tested
	}}}}
}

// order writes an order to the agent's device down as if it had been sent.
func (s *sender) order(action policy.Action) wire.ID {
	s.Helper()
	var c *order.Created
	s.write(func(ctx context.Context, tx *store.Tx) (err error) {
		_, err = tx.Exec(ctx, `INSERT INTO devices (id, serial, epoch, agent, owner, org, name, plan, valid_until, grant_version, registered_at)
			VALUES ($1, $2, 1, $3, $4, $5, 'rack', 'advanced', $6, 1, 1) ON CONFLICT DO NOTHING`, "d_"+s.agent, "AS"+s.agent, s.agent, owner.Account, owner.Org, device.Forever.UnixMilli())
		if err != nil {
			return err
		}
		r := order.Request{Device: "d_" + s.agent, Action: action}
		if action == policy.DiagnosticsRun {
			r.Params = map[string]string{"test": "self"}
		}
		if c, err = s.orders.Create(ctx, tx, owner, r); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE orders SET state = 'running', attempts = 1 WHERE id = $1`, c.ID.String())
		return err
	})
	return c.ID
}

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
}

// put sends a body; alter changes the request.
func (s *sender) put(id string, body []byte, alter ...func(*http.Request)) (status int, text string) {
	s.Helper()
	https, _, _ := s.Addresses()
	r, err := http.NewRequestWithContext(s.Context(), http.MethodPut, "https://"+https+"/api/v1/agents/self/bundles/"+id, bytes.NewReader(body))
	must(s, err)
	r.Header.Set("Content-Type", "application/gzip")
	r.Header.Set("Content-Digest", digestOf(body))
	for _, f := range alter {
		f(r)
	}
	return s.do(r)
}

func (s *sender) do(r *http.Request) (int, string) {
	s.Helper()
	res, err := s.client.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(text)
}

func (s *sender) get(id string) (int, string) {
	s.Helper()
	https, _, _ := s.Addresses()
	r, err := http.NewRequestWithContext(s.Context(), http.MethodGet, "https://"+https+"/api/v1/agents/self/bundles/"+id, nil)
	must(s, err)
	return s.do(r)
}

func tgz(text string) []byte { return append([]byte("\x1f\x8b"), text...) }

// TestT67AnAgentSendsTheBundlesOfItsOwnOrdersAlone: once, while the order is open, of at most the size there is; another agent learns not even
// that there is such an order.
func TestT67AnAgentSendsTheBundlesOfItsOwnOrdersAlone(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		l := live(t, c)
		box, other := l.sender(), l.sender()
		id, test := box.order(policy.SupportBundle).String(), box.order(policy.DiagnosticsRun).String()
		one := tgz("one")
		none := strings.Repeat("7", 32)
		for _, row := range []struct {
			what   string
			from   *sender
			id     string
			body   []byte
			alter  func(*http.Request)
			status int
			says   string
		}{
			{"of another agent", other, id, one, nil, 404, "NOT_FOUND"},
			{"of no order", box, none, one, nil, 404, "NOT_FOUND"},
			{"of a test", box, test, one, nil, 404, "NOT_FOUND"},
			{"something else", box, id, one, func(r *http.Request) { r.Header.Set("Content-Type", "text/html") }, 400, "MALFORMED"},
			{"without a digest", box, id, one, func(r *http.Request) { r.Header.Del("Content-Digest") }, 400, "MALFORMED"},
			{"another digest", box, id, one, func(r *http.Request) { r.Header.Set("Content-Digest", digestOf(tgz("two"))) }, 400, "not that of the body"},
			{"two digests", box, id, one, func(r *http.Request) { r.Header.Add("Content-Digest", digestOf(tgz("two"))) }, 400, "MALFORMED"},
			{"no gzip", box, id, []byte("<html>"), nil, 400, "MALFORMED"},
			{"too big", box, id, tgz(strings.Repeat("x", bundle.MaxBytes)), nil, 413, "TOO_LARGE"},
			{"too big, and does not say so", box, id, tgz(strings.Repeat("x", bundle.MaxBytes)), func(r *http.Request) { r.ContentLength = -1 }, 413, "TOO_LARGE"},
			{"the bundle", box, id, one, nil, 201, `"size":5`},
			{"once more", box, id, one, nil, 200, `"size":5`},
			{"another one", box, id, tgz("two"), nil, 409, "CONFLICT"},
		} {
			var alter []func(*http.Request)
			if row.alter != nil {
				alter = append(alter, row.alter)
			}
			if status, text := row.from.put(row.id, row.body, alter...); status != row.status || !strings.Contains(text, row.says) {
				t.Errorf("%s: %d %.200s, want %d %s", row.what, status, text, row.status, row.says)
			}
		}
		sum := sha256.Sum256(one)
		if status, text := box.get(id); status != 200 || !strings.Contains(text, hex.EncodeToString(sum[:])) {
			t.Errorf("its agent asks: %d %s", status, text)
		}
		a, b := "", ""
		_, a = other.get(id)
		_, b = other.get(none)
		if cut := strings.Index(a, "request_id"); cut < 0 || a[:cut] != b[:cut] {
			t.Errorf("another agent is told %s, of none %s", a, b)
		}
		plain := &sender{l, "", &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}} //nolint:gosec // as above
		if status, _ := plain.put(id, one); status != 401 {
			t.Errorf("without a certificate: %d", status)
		}
		if n := l.count(`SELECT COUNT(*) FROM event_log WHERE action = 'bundle.store'`); n != 1 {
			t.Errorf("%d entries", n)
		}
	})
}

// TestT67ABundleOfAnOrderThatHasEndedIsNotTaken, nor of a device that has, nor of one that was never sent.
func TestT67ABundleOfAnOrderThatHasEndedIsNotTaken(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		l := live(t, c)
		box := l.sender()
		set := func(change string, args ...any) string {
			id := box.order(policy.SupportBundle).String()
			l.write(func(ctx context.Context, tx *store.Tx) error {
				_, err := tx.Exec(ctx, fmt.Sprintf(`UPDATE orders SET %s WHERE id = '%s'`, change, id), args...)
				return err
			})
			return id
		}
		now := time.Now().UnixMilli()
		for what, row := range map[string]struct {
			id     string
			status int
		}{
			"it has ended":             {set(`state = 'failed', decided = 'agent', final_at = $1`, now), 409},
			"it was never sent":        {set(`state = 'pending', attempts = 0`), 409},
			"its right has ended":      {set(`withheld = 1`), 409},
			"nobody knows, lately":     {set(`state = 'unknown', decided = 'cloud', final_at = $1`, now), 201},
			"nobody knows, for long":   {set(`state = 'unknown', decided = 'cloud', final_at = $1`, now-2*3600_000), 409},
			"the agent does not know":  {set(`state = 'unknown', decided = 'agent', final_at = $1`, now), 409},
			"it runs, and was sent":    {set(`state = 'running'`), 201},
			"it was sent, no word yet": {set(`state = 'sent'`), 201},
		} {
			if status, text := box.put(row.id, tgz(what)); status != row.status {
				t.Errorf("%s: %d %s", what, status, text)
			}
		}
		open := box.order(policy.SupportBundle).String()
		var d *device.Device
		l.write(func(ctx context.Context, tx *store.Tx) (err error) {
			if d, err = device.Get(ctx, tx, "d_"+box.agent); err != nil {
				return err
			}
			return l.devices.End(ctx, tx, owner, policy.Owner, d)
		})
		if n := l.count(`SELECT COUNT(*) FROM support_bundles`) + l.count(`SELECT COUNT(*) FROM support_bundle_bodies`); n != 0 {
			t.Errorf("%d rows are left of a device that has ended", n)
		}
		if status, text := box.put(open, tgz("late")); status != 409 {
			t.Errorf("of a device that has ended: %d %s", status, text)
		}
	})
}

// TestT67BundlesAreKeptForThirtyDaysAndTenOfADevice.
func TestT67BundlesAreKeptForThirtyDaysAndTenOfADevice(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		l := live(t, c)
		box := l.sender()
		var ids []string
		for i := range 12 {
			ids = append(ids, box.order(policy.SupportBundle).String())
			if status, text := box.put(ids[i], tgz(ids[i])); status != 201 {
				t.Fatalf("%d %s", status, text)
			}
			l.write(func(ctx context.Context, tx *store.Tx) error { // the cloud's own limits are others' tests
				_, err := tx.Exec(ctx, `UPDATE orders SET requested_at = requested_at - 86400000, final_at = 1`)
				return err
			})
		}
		if n := l.count(`SELECT COUNT(*) FROM support_bundle_bodies`); n != 10 {
			t.Errorf("%d are kept, want 10", n)
		}
		l.write(func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Exec(ctx, `UPDATE support_bundles SET ends_at = ends_at - $1`, bundle.Kept.Milliseconds())
			return err
		})
		if status, _ := box.get(ids[11]); status != 404 {
			t.Errorf("one whose time is over: %d", status)
		}
		must(t, l.bundles.Sweep(t.Context()))
		if n := l.count(`SELECT COUNT(*) FROM support_bundles`) + l.count(`SELECT COUNT(*) FROM support_bundle_bodies`); n != 0 {
			t.Errorf("%d rows are left behind 30 days", n)
		}
	})
}
