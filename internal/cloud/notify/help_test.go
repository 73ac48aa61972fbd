package notify

import (
	"context"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/ingest"
	"upsedge/internal/cloud/mail"
	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/mailsink"
	"upsedge/internal/policy"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

const (
	box    = "box-7"
	serial = "AS1"
	dev    = "d_1"
)

// A world is an owner, ada, and a shared user, bob, of one device whose alarms come in through a real receiver; mails go to a real server, and
// webhooks to a real one with TLS. The clock is the test's.
type world struct {
	testing.TB
	db       *store.DB
	mails    *mail.Queue
	sink     *mailsink.Sink
	s        *Service
	devices  *device.Registry
	receiver *ingest.Receiver
	hooks    *receiverOfHooks
	seq      uint64
	ada, bob cloud.Actor

	mu  sync.Mutex
	now time.Time
}

func (w *world) clock() time.Time { w.mu.Lock(); defer w.mu.Unlock(); return w.now }

func (w *world) move(d time.Duration) { w.mu.Lock(); defer w.mu.Unlock(); w.now = w.now.Add(d) }

func each(t *testing.T, fn func(w *world)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, db *store.DB) { fn(newWorld(t, db)) })
}

func newWorld(t testing.TB, db *store.DB) *world {
	w := &world{TB: t, db: db, sink: &mailsink.Sink{}, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	w.must(err)
	w.background(func(ctx context.Context) error { return w.sink.Serve(ctx, ln) })
	w.mails, err = mail.New(db, mail.Config{Server: ln.Addr().String(), TLS: mail.TLSNone, From: "cloud@ups.example"}, mail.Options{Now: w.clock})
	w.must(err)
	w.devices = device.New(device.Config{Now: w.clock})
	w.s, err = New(Options{DB: db, Mail: w.mails, URL: "https://cloud.example", Now: w.clock, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	w.must(err)
	w.devices.OnGrantEnd(w.s.GrantEnded)
	w.devices.OnDeviceEnd(w.s.DeviceEnded)
	w.receiver = ingest.New(db, ingest.Options{Now: w.clock, Sinks: ingest.Sinks{Event: w.s.Event}})
	w.ada, w.bob = w.account("ada"), w.account("bob")
	w.unit(dev, serial, "rack 3")
	w.do(func(ctx context.Context, tx *store.Tx) error {
		d, err := device.Get(ctx, tx, dev)
		if err != nil {
			return err
		}
		_, err = w.devices.Share(ctx, tx, d, w.bob.Account, w.bob.Ref, "")
		return err
	})
	w.hooks = w.newHooks()
	return w
}

func (w *world) background(f func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	w.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			w.Error(err)
		}
	})
}

func (w *world) account(name string) cloud.Actor {
	w.Helper()
	w.do(func(ctx context.Context, tx *store.Tx) error {
		for _, q := range []string{
			`INSERT INTO identities (id, email, email_key, password, verified_at, created_at) VALUES ('s_' || $1, $1 || '@example.com', $1 || '@example.com', '', 1, 1)`,
			`INSERT INTO organisations (id, name, created_at) VALUES ('o_' || $1, $1, 1)`,
			`INSERT INTO accounts (id, identity, actor, org, name, operator, created_at) VALUES ('a_' || $1, 's_' || $1, 'u_' || $1, 'o_' || $1, $1, 0, 1)`,
		} {
			if _, err := tx.Exec(ctx, q, name); err != nil {
				return err
			}
		}
		return nil
	})
	return cloud.Actor{Ref: "u_" + name, Account: "a_" + name, Org: "o_" + name, Request: "r_1"}
}

func (w *world) unit(id, serial, name string) {
	w.Helper()
	w.do(func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO devices (id, serial, epoch, agent, owner, org, name, plan, valid_until, grant_version, registered_at)
			VALUES ($1, $2, 1, $3, 'a_ada', 'o_ada', $4, 'advanced', $5, 1, 1)`, id, serial, box, name, device.Forever.UnixMilli())
		return err
	})
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) do(fn func(ctx context.Context, tx *store.Tx) error) {
	w.Helper()
	w.must(w.db.Write(w.Context(), fn))
}

// refused runs what must be refused and returns the reason.
func (w *world) refused(fn func(ctx context.Context, tx *store.Tx) error) policy.Reason {
	w.Helper()
	return reason(w.db.Write(w.Context(), fn))
}

func (w *world) count(query string, args ...any) (n int) {
	w.Helper()
	w.must(w.db.Read(w.Context(), func(ctx context.Context, tx *store.Tx) error { return tx.QueryRow(ctx, query, args...).Scan(&n) }))
	return n
}

// policy makes one of warnings with the device in it.
func (w *world) policy(who cloud.Actor) (p *Policy) {
	w.Helper()
	w.do(func(ctx context.Context, tx *store.Tx) (err error) {
		p, err = w.s.Create(ctx, tx, who, Policy{Name: "nights", Enabled: true, Selection: Selection{Least: ups.Warning, Raised: true, Cleared: true, Silence: true}})
		if err != nil {
			return err
		}
		return w.s.AddDevice(ctx, tx, who, p.ID, dev)
	})
	w.move(time.Second)
	return p
}

func (w *world) recipient(who cloud.Actor, p *Policy, kind, address string) (r *Recipient) {
	w.Helper()
	w.do(func(ctx context.Context, tx *store.Tx) (err error) {
		r, err = w.s.AddRecipient(ctx, tx, who, p.ID, kind, address)
		return err
	})
	return r
}

// hook makes the policy of somebody with a webhook alone.
func (w *world) hook(who cloud.Actor) (*Policy, *Recipient) {
	w.Helper()
	p := w.policy(who)
	w.do(func(ctx context.Context, tx *store.Tx) error {
		own, err := w.s.Recipients(ctx, tx, p)
		if err != nil {
			return err
		}
		return w.s.RemoveRecipient(ctx, tx, who, p.ID, own[0].ID)
	})
	return p, w.recipient(who, p, KindWebhook, w.hooks.URL+"/"+who.Ref)
}

// alarm sends an event of the unit that happened so long ago.
func (w *world) alarm(kind ups.EventKind, ago time.Duration) {
	w.Helper()
	_, err := w.receiver.Take(w.Context(), []ingest.Message{w.message(kind, w.clock().Add(-ago))})
	w.must(err)
}

func (w *world) message(kind ups.EventKind, at time.Time) ingest.Message {
	w.Helper()
	e := ups.Event{ID: 101, Kind: kind, Severity: ups.Warning, Unit: "a", Device: serial, Text: "UPS on battery", Detail: "mains gone, see http://evil.example"}
	if kind == ups.Clear {
		e.RaisedBy = w.seq
	}
	body, err := wire.EncodeEvent(e)
	w.must(err)
	w.seq++
	r := wire.Record{Lane: wire.Events, Seq: w.seq, Class: wire.ClassAlarm, Payload: body, Stream: wire.ID{9}, Epoch: 1, Boot: 1}
	r.Stamp = wire.Stamp{BootID: wire.ID{7}, Mono: time.Duration(w.seq) * time.Second, Wall: at}
	msg, err := wire.EventMessage(nil, box, r)
	w.must(err)
	return ingest.Message{Topic: wire.Topic(box, r.Class.Leaf()), Payload: msg}
}

// spread spreads, and makes the attempts of webhooks that are due.
func (w *world) spread() {
	w.Helper()
	w.must(w.s.Spread(w.Context()))
	w.must(w.s.startDue(w.Context()))
	w.s.out.wait()
}

// mailing sends mails until the test ends.
func (w *world) mailing() { w.background(w.mails.Run) }

// left waits until no mail is in the queue.
func (w *world) left() {
	w.Helper()
	for end := time.Now().Add(30 * time.Second); w.count(`SELECT COUNT(*) FROM mails`) > 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			w.Fatal("mails wait for 30 s")
		}
	}
}

// states lists what became of the deliveries of a policy, newest first.
func (w *world) states(p *Policy) (out []string) {
	w.Helper()
	w.must(w.db.Read(w.Context(), func(ctx context.Context, tx *store.Tx) error {
		list, err := w.s.Deliveries(ctx, tx, p, nil, 100)
		out = nil
		for _, d := range list {
			text := d.Kind + " " + d.State
			if d.Why != "" {
				text += " " + d.Why
			}
			out = append(out, text)
		}
		return err
	}))
	return out
}

// receiverOfHooks takes webhooks with TLS.
type receiverOfHooks struct {
	*httptest.Server
	mu     sync.Mutex
	got    []hookTaken
	status int // 0: 200
	header http.Header
}

type hookTaken struct {
	path, body string
	header     http.Header
}

func (w *world) newHooks() *receiverOfHooks {
	h := &receiverOfHooks{}
	h.Server = httptest.NewTLSServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		h.mu.Lock()
		defer h.mu.Unlock()
		h.got = append(h.got, hookTaken{r.URL.Path, string(body), r.Header})
		for k, v := range h.header {
			out.Header()[k] = v
		}
		if h.status != 0 {
			out.WriteHeader(h.status)
		}
	}))
	w.Cleanup(h.Close)
	roots := x509.NewCertPool()
	roots.AddCert(h.Certificate())
	w.s.out.client.Transport.(byScheme).https.TLSClientConfig.RootCAs = roots
	return h
}

func (h *receiverOfHooks) answer(status int) { h.mu.Lock(); defer h.mu.Unlock(); h.status = status }

func (h *receiverOfHooks) taken() []hookTaken {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]hookTaken(nil), h.got...)
}

// setPlan is the database's word on a device's plan.
func (w *world) setPlan(plan policy.Plan, since time.Time) {
	w.Helper()
	w.do(func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE devices SET plan = $1, paid_since = $2 WHERE id = $3`, string(plan), since.UnixMilli(), dev)
		return err
	})
}

// revoke ends bob's grant.
func (w *world) revoke() {
	w.Helper()
	w.do(func(ctx context.Context, tx *store.Tx) error {
		d, err := device.Get(ctx, tx, dev)
		if err != nil {
			return err
		}
		g, err := device.GrantOf(ctx, tx, dev, w.bob.Account)
		if err != nil {
			return err
		}
		return w.devices.EndGrant(ctx, tx, d, g, device.EndRevoked)
	})
}

// sqlite is a SQLite database, for tests with many worlds.
func sqlite(t *testing.T) *store.DB { return storetest.Open(t, storetest.SQLite(t)) }

func (w *world) deviceNow(ctx context.Context, tx *store.Tx) (*device.Device, error) {
	return device.Get(ctx, tx, dev)
}
