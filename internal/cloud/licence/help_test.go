package licence_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/licence"
	"upsedge/internal/cloud/mail"
	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/policy"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const day = 24 * time.Hour

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// A world is a database with a clock that stands still, the owner ada with agent g_1, bob, with whom she shares, and eve.
type world struct {
	*testing.T
	db            *store.DB
	now           time.Time
	devices       *device.Registry
	s             *licence.Service
	told          int // times that an agent was to be told
	ada, bob, eve cloud.Actor
}

func each(t *testing.T, fn func(w *world)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, db *store.DB) { fn(newWorld(t, db)) })
}

func newWorld(t *testing.T, db *store.DB) *world {
	w := &world{T: t, db: db, now: noon}
	w.devices = device.New(device.Config{Trial: -1, Now: w.clock})
	w.devices.AfterChange(func(string) { w.told++ })
	q, err := mail.New(db, mail.Config{}, mail.Options{Now: w.clock})
	must(t, err)
	w.s, err = licence.New(licence.Config{Devices: w.devices, Mail: q, URL: "https://cloud.example", Now: w.clock})
	must(t, err)
	w.ada, w.bob, w.eve = w.person("ada"), w.person("bob"), w.person("eve")
	w.exec(`INSERT INTO enrolled_agents (agent, org, name, public_key, enrolled_at) VALUES ('g_1', 'o_ada', 'site', $1, 1)`, []byte("g_1"))
	return w
}

func (w *world) clock() time.Time { return w.now }

func (w *world) write(fn func(ctx context.Context, tx *store.Tx) error) error {
	return w.db.Write(context.WithoutCancel(w.Context()), fn)
}

func (w *world) do(fn func(ctx context.Context, tx *store.Tx) error) {
	w.Helper()
	must(w, w.write(fn))
}

func (w *world) exec(query string, args ...any) {
	w.Helper()
	w.do(func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.Exec(ctx, query, args...)
		return err
	})
}

func (w *world) person(name string) cloud.Actor {
	w.Helper()
	w.exec(`INSERT INTO organisations (id, name, created_at) VALUES ($1, $2, 1)`, "o_"+name, name)
	w.exec(`INSERT INTO identities (id, email, email_key, password, verified_at, created_at) VALUES ($1, $2, $2, '', 1, 1)`, "s_"+name, name+"@example.com")
	w.exec(`INSERT INTO accounts (id, identity, actor, org, name, created_at) VALUES ($1, $2, $3, $4, $5, 1)`, "a_"+name, "s_"+name, "u_"+name, "o_"+name, strings.ToUpper(name))
	return cloud.Actor{Ref: "u_" + name, Account: "a_" + name, Org: "o_" + name, Address: "192.0.2.1", Request: "r_" + name}
}

// device is a new one of ada's, on Basic, which she has shared with bob.
func (w *world) device(serial string) (d *device.Device) {
	w.Helper()
	w.do(func(ctx context.Context, tx *store.Tx) (err error) {
		full := &wire.FullState{Agent: "g_1", Units: []wire.UnitState{{Unit: "rack-" + strings.ToLower(serial), Serial: serial, Condition: ups.Online}}}
		if err = w.devices.State(ctx, tx, "g_1", full, w.now); err != nil {
			return err
		}
		d, err = w.devices.Register(ctx, tx, w.ada, device.Registration{Serial: serial, Label: device.Label{Name: "Hall https://evil.example"}})
		if err != nil {
			return err
		}
		_, err = w.devices.Share(ctx, tx, d, w.bob.Account, w.bob.Ref, "bob@example.com")
		return err
	})
	w.told = 0
	return d
}

func (w *world) get(id string) (d *device.Device) {
	w.Helper()
	must(w, w.db.Read(w.Context(), func(ctx context.Context, tx *store.Tx) (err error) {
		d, err = device.Get(ctx, tx, id)
		return err
	}))
	return d
}

func (w *world) issue(i licence.Issue) (l *licence.Licence, code string) {
	w.Helper()
	w.do(func(ctx context.Context, tx *store.Tx) (err error) {
		l, code, err = w.s.Issue(ctx, tx, i)
		return err
	})
	return l, code
}

// advanced is a code for 30 days of Advanced on some devices.
func (w *world) advanced(uses int) (l *licence.Licence, code string) {
	w.Helper()
	return w.issue(licence.Issue{Plan: policy.Advanced, Days: 30, Uses: uses})
}

// apply is what the HTTP interface does: the change, or what its refusal writes.
func (w *world) apply(who cloud.Actor, d *device.Device, code string) (use licence.Use, err error) {
	err = w.write(func(ctx context.Context, tx *store.Tx) (err error) {
		_, use, err = w.s.Apply(ctx, tx, who, d.ID, code)
		return err
	})
	var refusal *cloud.Error
	if errors.As(err, &refusal) {
		if err := w.write(func(ctx context.Context, tx *store.Tx) error { return w.s.Refused(ctx, tx, who, d.ID, use, refusal) }); err != nil {
			w.Error(err)
		}
	}
	return use, err
}

func (w *world) want(who cloud.Actor, d *device.Device, code string, want policy.Reason) {
	w.Helper()
	if _, err := w.apply(who, d, code); reason(err) != want || want == "" && err != nil {
		w.Errorf("%v, want %q", err, want)
	}
}

func reason(err error) policy.Reason {
	var e *cloud.Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return ""
}

// rows is what a query of one text column tells.
func (w *world) rows(query string, args ...any) (out []string) {
	w.Helper()
	must(w, w.db.Read(w.Context(), func(ctx context.Context, tx *store.Tx) error {
		out = nil
		rows, err := tx.Query(ctx, query, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var text string
			if err := rows.Scan(&text); err != nil {
				return err
			}
			out = append(out, text)
		}
		return rows.Err()
	}))
	return out
}

// log is what a device's log tells.
func (w *world) log(d *device.Device) []string {
	w.Helper()
	return w.rows(`SELECT action || ' ' || outcome || ' ' || reason || ' ' || actor || ' ' || params FROM event_log WHERE chain = $1 ORDER BY n`, d.ID)
}

func (w *world) letters() []string {
	w.Helper()
	return w.rows(`SELECT recipient || ': ' || subject FROM mails ORDER BY written_at, recipient`)
}
