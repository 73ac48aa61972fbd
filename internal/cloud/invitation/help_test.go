package invitation

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/account"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/limit"
	"upsedge/internal/cloud/mail"
	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/policy"
)

// A world is a service on a database, on a clock that the test moves, with accounts of ada, who owns, and others. Letters stay in their table.
type world struct {
	*Service
	t   testing.TB
	db  *store.DB
	ada cloud.Actor
	bob cloud.Actor
	eve cloud.Actor // has nothing to do with anything

	mu sync.Mutex
	at time.Time
}

func each(t *testing.T, fn func(w *world)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, db *store.DB) { fn(newWorld(t, db)) })
}

func newWorld(t testing.TB, db *store.DB) *world {
	t.Helper()
	w := &world{t: t, db: db, at: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	q, err := mail.New(db, mail.Config{Server: "127.0.0.1:25", TLS: mail.TLSNone, From: "cloud@ups.example"}, mail.Options{Now: w.clock})
	w.must(err)
	w.Service, err = New(Options{
		DB: db, Mail: q, Devices: device.New(device.Config{Now: w.clock}), URL: "https://cloud.example", Pause: -1, Now: w.clock,
	})
	w.must(err)
	w.Devices.OnDeviceEnd(w.DeviceEnded)
	three := w.people("ada", "bob", "eve")
	w.ada, w.bob, w.eve = three[0], three[1], three[2]
	w.exec(`INSERT INTO agent_presence (agent, online, since, state_at) VALUES ('g_1', 1, 1, 1)`)
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at
}

func (w *world) move(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at = w.at.Add(d)
}

func (w *world) write(fn func(ctx context.Context, tx *store.Tx) error) {
	w.t.Helper()
	w.must(w.db.Write(w.t.Context(), fn))
}

func (w *world) read(fn func(ctx context.Context, tx *store.Tx) error) {
	w.t.Helper()
	w.must(w.db.Read(w.t.Context(), fn))
}

func (w *world) exec(query string, args ...any) {
	w.t.Helper()
	w.write(func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.Exec(ctx, query, args...)
		return err
	})
}

// count asks for one number.
func (w *world) count(query string, args ...any) (n int) {
	w.t.Helper()
	w.read(func(ctx context.Context, tx *store.Tx) error { return tx.QueryRow(ctx, query, args...).Scan(&n) })
	return n
}

// insert is a statement with its arguments.
type insert struct {
	query string
	args  []any
}

func (w *world) insert(all ...insert) {
	w.t.Helper()
	w.write(func(ctx context.Context, tx *store.Tx) error {
		for _, q := range all {
			if _, err := tx.Exec(ctx, q.query, q.args...); err != nil {
				return err
			}
		}
		return nil
	})
}

// person makes an account with the address name@example.com.
func (w *world) person(name string) cloud.Actor {
	w.t.Helper()
	return w.people(name)[0]
}

func (w *world) people(names ...string) (out []cloud.Actor) {
	w.t.Helper()
	var all []insert
	for _, name := range names {
		email := name + "@example.com"
		all = append(all,
			insert{`INSERT INTO identities (id, email, email_key, password, verified_at, created_at) VALUES ($1, $2, $3, '', 1, 1)`, []any{"s_" + name, email, email}},
			insert{`INSERT INTO organisations (id, name, created_at) VALUES ($1, $2, 1)`, []any{"o_" + name, name}},
			insert{`INSERT INTO accounts (id, identity, actor, org, name, created_at) VALUES ($1, $2, $3, $4, $5, 1)`, []any{"a_" + name, "s_" + name, "u_" + name, "o_" + name, name}})
		out = append(out, cloud.Actor{Ref: "u_" + name, Account: "a_" + name, Org: "o_" + name, Address: "192.0.2.7", Request: "r_" + name})
	}
	w.insert(all...)
	return out
}

// device makes one of an owner, on the plan standard.
func (w *world) device(owner cloud.Actor, name string) string {
	w.t.Helper()
	serial := "AS0000" + name + "1234"
	w.insert(
		insert{`INSERT INTO devices (id, serial, epoch, agent, owner, org, name, plan, valid_until, grant_version, registered_at)
			VALUES ($1, $2, 1, 'g_1', $3, $4, $5, 'standard', $6, 1, 1)`, []any{"d_" + name, serial, owner.Account, owner.Org, name, device.Forever.UnixMilli()}},
		insert{`INSERT INTO sightings (agent, unit, serial, model, firmware, condition, alarms, unconfirmed, epoch, plan_version, grant_version, first_seen, last_seen)
			VALUES ('g_1', $1, $2, 'Smart-UPS 1500', '', '[]', '[]', '[]', 1, 1, 1, 1, 1)`, []any{name, serial}})
	return "d_" + name
}

func (w *world) plan(id string, plan policy.Plan) {
	w.t.Helper()
	w.write(func(ctx context.Context, tx *store.Tx) error {
		d, err := device.Get(ctx, tx, id)
		if err != nil {
			return err
		}
		return w.Devices.SetPlan(ctx, tx, cloud.System(""), "", d, plan, device.Forever)
	})
}

// spend counts something n times.
func (w *world) spend(c limit.Count, n int) {
	w.t.Helper()
	w.write(func(ctx context.Context, tx *store.Tx) error {
		for range n {
			if err := limit.Add(ctx, tx, w.clock(), c); err != nil {
				return err
			}
		}
		return nil
	})
}

// get returns a device.
func (w *world) get(id string) (d *device.Device) {
	w.t.Helper()
	w.read(func(ctx context.Context, tx *store.Tx) (err error) {
		d, err = device.Get(ctx, tx, id)
		return err
	})
	return d
}

// role is what an actor is to a device.
func (w *world) role(who cloud.Actor, id string) (role policy.Role) {
	w.t.Helper()
	w.read(func(ctx context.Context, tx *store.Tx) error {
		d, err := device.Get(ctx, tx, id)
		if err != nil {
			return err
		}
		role, err = device.Role(ctx, tx, who, d)
		return err
	})
	return role
}

// free is how many places a device has.
func (w *world) free(id string) (n int) {
	w.t.Helper()
	w.read(func(ctx context.Context, tx *store.Tx) (err error) {
		n, err = Free(ctx, tx, id, w.clock())
		return err
	})
	return n
}

// invite is what the HTTP interface does: the change, or the entries of its refusal.
func (w *world) invite(who cloud.Actor, email string, devices ...string) (i *Invitation, outcomes []Outcome, err error) {
	w.t.Helper()
	err = w.db.Write(w.t.Context(), func(ctx context.Context, tx *store.Tx) (err error) {
		i, outcomes, err = w.Invite(ctx, tx, who, devices, email)
		return err
	})
	if err != nil {
		w.write(func(ctx context.Context, tx *store.Tx) error { return LogRefused(ctx, tx, who, devices, err) })
	}
	return i, outcomes, err
}

// invited sends an invitation that has to succeed, and returns it with its code.
func (w *world) invited(who cloud.Actor, email string, devices ...string) (*Invitation, string) {
	w.t.Helper()
	i, _, err := w.invite(who, email, devices...)
	w.must(err)
	return i, w.last(i.Email).code
}

// shared makes somebody a shared user, by invitation.
func (w *world) shared(owner, with cloud.Actor, devices ...string) {
	w.t.Helper()
	_, code := w.invited(owner, strings.TrimPrefix(with.Ref, "u_")+"@example.com", devices...)
	_, _, err := w.Accept(w.t.Context(), with, code)
	w.must(err)
}

// revoke ends the share of somebody.
func (w *world) revoke(id string, with cloud.Actor) {
	w.t.Helper()
	w.must(w.tryRevoke(id, with))
}

func (w *world) tryRevoke(id string, with cloud.Actor) error {
	return w.db.Write(w.t.Context(), func(ctx context.Context, tx *store.Tx) error {
		d, err := device.Get(ctx, tx, id)
		if err != nil {
			return err
		}
		g, err := device.GrantOf(ctx, tx, id, with.Account)
		if err != nil || g == nil {
			return err
		}
		return w.Devices.EndGrant(ctx, tx, d, g, device.EndRevoked)
	})
}

// cancel and resend are what the HTTP interface does.
func (w *world) cancel(who cloud.Actor, id string) error {
	w.t.Helper()
	return w.stepped(who, id, false, func(ctx context.Context, tx *store.Tx) error { return w.Cancel(ctx, tx, who, id) })
}

func (w *world) resend(who cloud.Actor, id string) error {
	w.t.Helper()
	return w.stepped(who, id, true, func(ctx context.Context, tx *store.Tx) error {
		_, err := w.Resend(ctx, tx, who, id)
		return err
	})
}

func (w *world) stepped(who cloud.Actor, id string, resend bool, fn func(ctx context.Context, tx *store.Tx) error) error {
	w.t.Helper()
	err := w.db.Write(w.t.Context(), fn)
	if r, _ := refusal(err); r != nil {
		w.write(func(ctx context.Context, tx *store.Tx) error { return w.LogStep(ctx, tx, who, id, resend, r) })
	}
	return err
}

// accept returns the outcomes, also of what was refused.
func (w *world) accept(who cloud.Actor, code string) ([]Outcome, error) {
	w.t.Helper()
	_, outcomes, err := w.Accept(w.t.Context(), who, code)
	return outcomes, err
}

const wrong = "2222-2222-2222"

type letter struct{ to, subject, text, code string }

var codeForm = regexp.MustCompile(`(?m)^    ([2-9A-HJ-NP-Z]{4}-[2-9A-HJ-NP-Z]{4}-[2-9A-HJ-NP-Z]{4})$`)

// letters returns the mails that wait for an address, "" for all, and clears them.
func (w *world) letters(to string) (list []letter) {
	w.t.Helper()
	w.write(func(ctx context.Context, tx *store.Tx) error {
		list = nil
		found, err := tx.Query(ctx, `SELECT recipient, subject, body FROM mails WHERE recipient = $1 OR '' = $2 ORDER BY written_at, id`, to, to)
		if err != nil {
			return err
		}
		for found.Next() {
			var l letter
			if err := found.Scan(&l.to, &l.subject, &l.text); err != nil {
				return err
			}
			if m := codeForm.FindStringSubmatch(l.text); m != nil {
				l.code = m[1]
			}
			list = append(list, l)
		}
		if err := errors.Join(found.Close(), found.Err()); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `DELETE FROM mails WHERE recipient = $1 OR '' = $2`, to, to)
		return err
	})
	return list
}

// last is the one mail that waits for an address.
func (w *world) last(to string) letter {
	w.t.Helper()
	list := w.letters(to)
	if len(list) != 1 {
		w.t.Fatalf("%d mails wait for %s, want one: %+v", len(list), to, list)
	}
	return list[0]
}

// log lists what a chain of the Event Log tells of sharing, in order: actor, role, action, and why not.
func (w *world) log(chain string) (out []string) {
	w.t.Helper()
	w.read(func(ctx context.Context, tx *store.Tx) error {
		out = nil
		rows, err := tx.Query(ctx, `SELECT actor, role, action, outcome, reason FROM event_log WHERE chain = $1 AND action LIKE 'share.%' ORDER BY n`, chain)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var actor, role, action, outcome, reason string
			if err := rows.Scan(&actor, &role, &action, &outcome, &reason); err != nil {
				return err
			}
			out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", actor, role, action, strings.TrimPrefix(outcome, "done")+" "+reason)))
		}
		return rows.Err()
	})
	for n := range out {
		out[n] = strings.Join(strings.Fields(out[n]), " ")
	}
	return out
}

func (w *world) wantLog(chain string, want ...string) {
	w.t.Helper()
	if got := w.log(chain); !slices.Equal(got, want) {
		w.t.Errorf("the log of %s tells\n  %s\nwant\n  %s", chain, strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func reason(err error) policy.Reason {
	var e *cloud.Error
	if errors.As(err, &e) {
		return e.Reason
	}
	if err != nil {
		return policy.Reason("FAULT: " + err.Error())
	}
	return ""
}

// reasons are those of each device: "" where it was done.
func reasons(outcomes []Outcome) (out []policy.Reason) {
	for _, o := range outcomes {
		r := policy.Reason("")
		if o.Refused != nil {
			r = o.Refused.Reason
		}
		out = append(out, r)
	}
	return out
}

// refusedOf are the reasons of each device in an error.
func refusedOf(err error) []policy.Reason {
	var each *RefusedError
	if !errors.As(err, &each) {
		return nil
	}
	return reasons(each.Outcomes)
}

// atOnce runs f n times at once and counts the reasons.
func atOnce(n int, f func(i int) error) map[policy.Reason]int {
	errs := make([]error, n)
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() { <-start; errs[i] = f(i) })
	}
	close(start)
	wg.Wait()
	out := map[policy.Reason]int{}
	for _, err := range errs {
		out[reason(err)]++
	}
	return out
}

// closed closes an account as far as this package is concerned: what its end calls, then the mark.
func (w *world) closed(who cloud.Actor) {
	w.t.Helper()
	w.write(func(ctx context.Context, tx *store.Tx) error {
		a, err := account.ByID(ctx, tx, who.Account)
		if err != nil {
			return err
		}
		if err := w.AccountEnded(ctx, tx, a); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE accounts SET closed_at = 1 WHERE id = $1`, who.Account)
		return err
	})
}
