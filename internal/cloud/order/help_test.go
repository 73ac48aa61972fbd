package order

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/policy"
	"upsedge/internal/trust"
	"upsedge/internal/trust/sign"
	"upsedge/internal/wire"

	"pgregory.net/rapid"
)

var (
	noon  = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	owner = cloud.Actor{Ref: "u_ada", Account: "a_ada", Org: "o_one", Request: "r_1"}
	alien = cloud.Actor{Ref: "u_bob", Account: "a_bob", Org: "o_two", Request: "r_2"}
)

const (
	agentName = "box-7"
	deviceID  = "d_1"
	serial    = "AS1234567890"
)

func must(t rapid.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func key(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

// signer signs, and remembers what.
type signer struct {
	mu     sync.Mutex
	keys   string
	signed []trust.Command

	version uint64
	kid     string                // of the key for commands
	judge   func(c trust.Command) // called for each command; nil: nobody asks
}

func newSigner(t rapid.TB) *signer {
	s := &signer{}
	s.rotate(t)
	return s
}

// rotate puts another key for commands into the next list.
func (s *signer) rotate(t rapid.TB) {
	public := func(name string) ed25519.PublicKey { return key(name).Public().(ed25519.PublicKey) }
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++
	s.kid = fmt.Sprintf("c%d", s.version)
	var err error
	s.keys, err = sign.Keys(key("root"), trust.Keys{Version: s.version, Keys: []trust.Key{
		{Kid: "s1", Key: public("statement"), Purposes: []string{trust.ForStatement}}, {Kid: s.kid, Key: public(s.kid), Purposes: []string{trust.ForCommand}},
	}})
	must(t, err)
}

func (s *signer) Command(_ context.Context, _ *store.Tx, c trust.Command) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.judge != nil {
		s.judge(c)
	}
	s.signed = append(s.signed, c)
	return sign.Command(key(s.kid), s.kid, c)
}

func (s *signer) Statement(_ context.Context, _ *store.Tx, agent string, nonce wire.ID, st trust.Statement) (string, error) {
	return sign.Statement(key("statement"), "s1", s.keys, agent, nonce, st)
}

func (s *signer) KeyVersion() (uint64, error) { return s.version, nil }

// A world is a cloud, its clock, and one site.
type world struct {
	t     rapid.TB
	db    *store.DB
	sign  *signer
	clock time.Time
	book  *Book
	site  *site
	link  *link
}

// onSQLite is for what the database has no part in: making one of PostgreSQL's takes half a second.
func onSQLite(t *testing.T, fn func(t *testing.T, db *store.DB)) {
	t.Helper()
	fn(t, storetest.Open(t, storetest.SQLite(t)))
}

func newWorld(t rapid.TB, db *store.DB) *world {
	t.Helper()
	w := &world{t: t, db: db, sign: newSigner(t), clock: noon, link: &link{}}
	w.site = newSite(t, w)
	w.empty()
	w.device()
	w.start()
	return w
}

// empty forgets the world before.
func (w *world) empty() {
	w.t.Helper()
	for _, table := range []string{"orders", "grants", "grant_plans", "order_events", "order_devices", "order_agents", "order_confirmed", "event_log", "event_heads", "devices", "notices"} {
		w.exec(`DELETE FROM ` + table)
	}
}

// device registers the unit.
func (w *world) device() {
	w.t.Helper()
	w.write(func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO devices (id, serial, epoch, agent, owner, org, name, plan, valid_until, grant_version, registered_at)
			VALUES ($1, $2, 1, $3, $4, $5, 'rack', 'advanced', $6, 1, $7)`,
			deviceID, serial, agentName, owner.Account, owner.Org, device.Forever.UnixMilli(), noon.UnixMilli())
		return err
	})
}

// start begins a process of the cloud: what the one before had in memory is gone.
func (w *world) start() {
	w.t.Helper()
	var err error
	w.book, err = New(Config{
		DB: w.db, Signer: w.sign, Now: func() time.Time { return w.clock }, Limits: Limits{1000, 1000, 1000, 1000, 1000, 1000, 1000},
	})
	must(w.t, err)
	w.book.feedLook = 20 * time.Millisecond
}

func (w *world) write(fn func(ctx context.Context, tx *store.Tx) error) {
	w.t.Helper()
	must(w.t, w.db.Write(context.Background(), fn))
}

func (w *world) exec(query string, args ...any) {
	w.t.Helper()
	w.write(func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.Exec(ctx, query, args...)
		return err
	})
}

// setPlan changes the plan as device does: with the grant version.
func (w *world) setPlan(p policy.Plan) {
	w.t.Helper()
	w.exec(`UPDATE devices SET plan = $1, grant_version = grant_version + 1 WHERE id = $2`, p, deviceID)
}

// create asks for an order, and logs a refusal as the interface does.
func (w *world) create(actor cloud.Actor, r Request) (c *Created, err error) {
	w.t.Helper()
	err = w.db.Write(context.Background(), func(ctx context.Context, tx *store.Tx) (err error) {
		c, err = w.book.Create(ctx, tx, actor, r)
		return err
	})
	return c, err
}

func (w *world) reboot() *Order {
	w.t.Helper()
	c, err := w.create(owner, Request{Device: deviceID, Action: policy.RebootUPS})
	must(w.t, err)
	return c.Order
}

func (w *world) cancel(actor cloud.Actor, id wire.ID) (target, cancel *Order, err error) {
	w.t.Helper()
	err = w.db.Write(context.Background(), func(ctx context.Context, tx *store.Tx) (err error) {
		target, cancel, err = w.book.Cancel(ctx, tx, actor, id.String())
		return err
	})
	return target, cancel, err
}

// order reads an order as it is now.
func (w *world) order(id wire.ID) (o *Order) {
	w.t.Helper()
	must(w.t, w.db.Read(context.Background(), func(ctx context.Context, tx *store.Tx) (err error) {
		o, err = load(ctx, tx, id.String())
		return err
	}))
	return o
}

func (w *world) events(id wire.ID) (out []Event) {
	w.t.Helper()
	must(w.t, w.db.Read(context.Background(), func(ctx context.Context, tx *store.Tx) (err error) {
		out, err = eventsAfter(ctx, tx, deviceID, id.String(), 0, time.Time{}, 1000)
		return err
	}))
	return out
}

// want fails unless the order is in a state, for a reason.
func (w *world) want(id wire.ID, state wire.OrderState, reason policy.Reason) *Order {
	w.t.Helper()
	o := w.order(id)
	if o.State != state || o.Reason != reason || o.State.Final() != !o.FinalAt.IsZero() {
		w.t.Errorf("order is %s (%s) %q, final at %v; want %s (%s)", o.State, o.Reason, o.Detail, o.FinalAt, state, reason)
	}
	return o
}

// log returns action, outcome and reason of the device's entries in the Event Log.
func (w *world) log() (out []string) {
	w.t.Helper()
	must(w.t, w.db.Read(context.Background(), func(ctx context.Context, tx *store.Tx) error {
		out = nil
		rows, err := tx.Query(ctx, `SELECT action, outcome, reason, decided, chain FROM event_log ORDER BY chain, n`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var a, o, r, d, c string
			if err := rows.Scan(&a, &o, &r, &d, &c); err != nil {
				return err
			}
			out = append(out, fmt.Sprintf("%s %s %s by %s in %s", a, o, r, d, c))
		}
		return rows.Err()
	}))
	return out
}

func (w *world) wantLog(want ...string) {
	w.t.Helper()
	if got := w.log(); !slices.Equal(got, want) {
		w.t.Errorf("the Event Log has\n%q, want\n%q", got, want)
	}
}

// told returns what the operator was told, and of which device.
func (w *world) told() (out []string) {
	w.t.Helper()
	must(w.t, w.db.Read(context.Background(), func(ctx context.Context, tx *store.Tx) error {
		out = nil
		rows, err := tx.Query(ctx, `SELECT what, subject FROM notices ORDER BY id`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var what, subject string
			if err := rows.Scan(&what, &subject); err != nil {
				return err
			}
			out = append(out, what+" "+subject)
		}
		return rows.Err()
	}))
	return out
}

// pass has the outbox and the renewals look once.
func (w *world) pass() {
	w.t.Helper()
	_, err := w.book.renew(context.Background(), w.link)
	must(w.t, err)
	_, err = w.book.pass(context.Background(), w.link)
	must(w.t, err)
}

// connect begins a session of the site, with the cloud's statement and the full state that follows.
func (w *world) connect() {
	w.t.Helper()
	w.link.up = true
	w.announce()
	w.deliver()
}

// announce tells the cloud the nonce, which answers with a statement.
func (w *world) announce() {
	w.t.Helper()
	session, nonce := w.site.begin()
	w.write(func(ctx context.Context, tx *store.Tx) error {
		if err := w.book.Session(ctx, tx, agentName, session, nonce, w.clock); err != nil {
			return err
		}
		text, err := w.book.Statement(ctx, tx, agentName, nonce, w.clock)
		if err == nil {
			tx.After(func() { _ = w.link.Publish(agentName, wire.TopicOrders, text) })
		}
		return err
	})
}

// deliver brings what the cloud has sent to the site, and what the site says back to the cloud.
func (w *world) deliver() {
	w.t.Helper()
	for len(w.link.out) > 0 {
		m := w.link.out[0]
		w.link.out = w.link.out[1:]
		w.site.receive(m)
	}
	w.site.tellState()
	w.site.tellResults()
}

// disconnect loses what is on the way.
func (w *world) disconnect() { w.link.up, w.link.out = false, nil }

// A link is the connection to one agent.
type link struct {
	up  bool
	out [][]byte
}

func (l *link) Connected(agent string) bool { return l.up && agent == agentName }

func (l *link) Publish(_ string, _ wire.Leaf, payload []byte) error {
	if !l.up {
		return fmt.Errorf("not connected")
	}
	l.out = append(l.out, payload)
	return nil
}
