package job

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/ingest"
	"upsedge/internal/cloud/order"
	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/policy"
	"upsedge/internal/trust"
	"upsedge/internal/wire"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// person is somebody with an account; the first factor is all they have.
func person(name string) cloud.Actor {
	return cloud.Actor{Ref: "u_" + name, Account: "a_" + name, Org: "o_" + name, Request: "r_" + name}
}

var ada = person("ada")

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// unsigned signs nothing: what a command looks like is package order's.
type unsigned struct{}

func (unsigned) Command(context.Context, *store.Tx, trust.Command) (string, error) { return "", nil }

func (unsigned) Statement(context.Context, *store.Tx, string, wire.ID, trust.Statement) (string, error) {
	return "", nil
}
func (unsigned) KeyVersion() (uint64, error) { return 1, nil }

// A world is ada with devices, each behind an agent of its own.
type world struct {
	t       testing.TB
	db      *store.DB
	clock   time.Time
	book    *order.Book
	desk    *Desk
	devices *device.Registry
	ids     []string
}

const enough = 1 << 20

var noLimits = order.Limits{Actor: enough, ActorDay: enough, Device: enough, DeviceDay: enough, Load: enough, LoadDay: enough, Waiting: enough}

// onSQLite is for what the database has no part in.
func onSQLite(t *testing.T, fn func(t *testing.T, db *store.DB)) {
	t.Helper()
	fn(t, storetest.Open(t, storetest.SQLite(t)))
}

// newWorld makes n devices, whose agents are connected.
func newWorld(t testing.TB, db *store.DB, n int, limits order.Limits) *world {
	t.Helper()
	w := &world{t: t, db: db, clock: noon}
	now := func() time.Time { return w.clock }
	var err error
	w.book, err = order.New(order.Config{DB: db, Signer: unsigned{}, Now: now, Limits: limits})
	must(t, err)
	w.desk, err = New(Config{DB: db, Orders: w.book, Now: now})
	must(t, err)
	w.devices = device.New(device.Config{Now: now})
	w.devices.OnGrantEnd(w.book.GrantEnded)
	w.devices.OnGrantEnd(w.desk.GrantEnded)
	w.devices.OnDeviceEnd(w.book.DeviceEnded)
	w.devices.OnDeviceEnd(w.desk.DeviceEnded)
	w.account("ada")
	w.write(func(ctx context.Context, tx *store.Tx) error {
		for i := range n {
			id := fmt.Sprintf("d_%03d", i)
			w.ids = append(w.ids, id)
			_, err := tx.Exec(ctx, `INSERT INTO devices (id, serial, epoch, agent, owner, org, name, plan, valid_until, grant_version, registered_at)
				VALUES ($1, $2, 1, $3, $4, $5, 'rack', 'advanced', $6, 1, $7)`, id, "S"+id, "g_"+id, ada.Account, ada.Org, device.Forever.UnixMilli(), noon.UnixMilli())
			if err == nil {
				_, err = tx.Exec(ctx, `INSERT INTO serials (serial, epoch) VALUES ($1, 1)`, "S"+id)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	w.online(true, w.ids...)
	return w
}

func (w *world) account(name string) {
	w.t.Helper()
	w.exec(`INSERT INTO organisations (id, name, created_at) VALUES ($1, $2, 1)`, "o_"+name, name)
	w.exec(`INSERT INTO identities (id, email, email_key, password, verified_at, created_at) VALUES ($1, $2, $2, '', 1, 1)`, "s_"+name, name+"@example.com")
	w.exec(`INSERT INTO accounts (id, identity, actor, org, name, created_at) VALUES ($1, $2, $3, $4, $5, 1)`, "a_"+name, "s_"+name, "u_"+name, "o_"+name, name)
}

// online has the agents of devices connected, or away.
func (w *world) online(there bool, ids ...string) {
	w.t.Helper()
	stated := 0
	if there {
		stated = 1
	}
	w.write(func(ctx context.Context, tx *store.Tx) error {
		for _, id := range ids {
			_, err := tx.Exec(ctx, `INSERT INTO order_agents (agent, counter, session, nonce, stated, allow) VALUES ($1, 0, 1, $2, $3, '')
				ON CONFLICT (agent) DO UPDATE SET stated = excluded.stated`, "g_"+id, make([]byte, 16), stated)
			if err != nil {
				return err
			}
		}
		return nil
	})
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

// ask asks for a job.
func (w *world) ask(actor cloud.Actor, r Request) (j *Job, outcomes []Outcome, err error) {
	w.t.Helper()
	err = w.db.Write(context.Background(), func(ctx context.Context, tx *store.Tx) (err error) {
		j, outcomes, err = w.desk.Create(ctx, tx, actor, r)
		return err
	})
	return j, outcomes, err
}

// job is one of self-tests that must be taken whole.
func (w *world) job(change func(*Request)) *Job {
	w.t.Helper()
	r := Request{Devices: w.ids, Action: policy.DiagnosticsRun, Params: map[string]string{"test": "self"}}
	if change != nil {
		change(&r)
	}
	j, _, err := w.ask(ada, r)
	must(w.t, err)
	return j
}

func (w *world) pass() {
	w.t.Helper()
	_, err := w.desk.Pass(context.Background())
	must(w.t, err)
}

func (w *world) get(id string) (j *Job, items []Item) {
	w.t.Helper()
	must(w.t, w.db.Read(context.Background(), func(ctx context.Context, tx *store.Tx) (err error) {
		j, items, err = w.desk.Get(ctx, tx, ada, id)
		return err
	}))
	return j, items
}

func text(counts map[string]int) (out string) {
	var names []string
	for name := range counts {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		out += fmt.Sprintf(" %s %d", name, counts[name])
	}
	return out[min(1, len(out)):]
}

// open returns the orders of a job that have no end, in the order of its devices.
func (w *world) open(id string) (out []string) {
	w.t.Helper()
	_, items := w.get(id)
	for _, i := range items {
		if i.Order != "" && !i.Final {
			out = append(out, i.Order)
		}
	}
	return out
}

// tell has the agent of an order say how it stands, as if it had been sent.
func (w *world) tell(id string, state wire.OrderState, reason policy.Reason) {
	w.t.Helper()
	w.write(func(ctx context.Context, tx *store.Tx) error { return w.report(ctx, tx, id, state, reason) })
}

func (w *world) report(ctx context.Context, tx *store.Tx, id string, state wire.OrderState, reason policy.Reason) error {
	var r wire.Result
	var agent string
	if _, err := tx.Exec(ctx, `UPDATE orders SET state = 'sent', attempts = 1 WHERE id = $1 AND state = 'pending'`, id); err != nil {
		return err
	}
	err := tx.QueryRow(ctx, `SELECT agent, serial, action, actor FROM orders WHERE id = $1`, id).Scan(&agent, &r.Device, &r.Action, &r.Actor)
	if err != nil {
		return err
	}
	if err := r.Order.UnmarshalText([]byte(id)); err != nil {
		return err
	}
	r.State, r.Reason = state, string(reason)
	return w.book.Result(ctx, tx, agent, ingest.Stored{Arrived: w.clock}, &wire.PublishedEvent{Result: &r})
}

// reasonOf is the code of a refusal.
func reasonOf(t testing.TB, err error) policy.Reason {
	t.Helper()
	var refusal *cloud.Error
	if !errors.As(err, &refusal) {
		t.Fatalf("%v is no refusal", err)
	}
	return refusal.Reason
}

func (w *world) want(id, state, counts string) *Job {
	w.t.Helper()
	j, items := w.get(id)
	if got := text(Count(items).Ended); j.State != state || got != counts {
		w.t.Errorf("the job is %s (%s) with %s; want %s with %s", j.State, j.Detail, got, state, counts)
	}
	return j
}

func (w *world) cancel(actor cloud.Actor, id string) error {
	return w.db.Write(context.Background(), func(ctx context.Context, tx *store.Tx) error {
		_, err := w.desk.Cancel(ctx, tx, actor, id)
		return err
	})
}

// log returns action, outcome and reason of the entries that name a job, by chain.
func (w *world) log(chain string) (out []string) {
	w.t.Helper()
	must(w.t, w.db.Read(context.Background(), func(ctx context.Context, tx *store.Tx) error {
		out = nil
		rows, err := tx.Query(ctx, `SELECT action, outcome, reason FROM event_log WHERE chain = $1 AND params LIKE '%"job":"j_%' ORDER BY n`, chain)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var a, o, r string
			if err := rows.Scan(&a, &o, &r); err != nil {
				return err
			}
			out = append(out, a+" "+o+" "+r)
		}
		return rows.Err()
	}))
	return out
}
