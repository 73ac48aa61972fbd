package device_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/mail"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

// person is an account "a_<name>" with the actor "u_<name>".
func person(name string) cloud.Actor {
	return cloud.Actor{Ref: "u_" + name, Account: "a_" + name, Org: "o_" + name, Request: "r_" + name}
}

func (w *world) share(d *device.Device, name string) (g *device.Grant, err error) {
	w.Helper()
	err = w.write(func(ctx context.Context, tx *store.Tx) error {
		fresh, err := device.Get(ctx, tx, d.ID)
		if err != nil {
			return err
		}
		g, err = w.r.Share(ctx, tx, fresh, "a_"+name, "u_"+name, name+"@example.com")
		return err
	})
	return g, err
}

func (w *world) mustShare(d *device.Device, name string) *device.Grant {
	w.Helper()
	g, err := w.share(d, name)
	must(w, err)
	return g
}

// may asks whether somebody may do something with a device now.
func (w *world) may(actor cloud.Actor, id string, action policy.Action) (right device.Right, err error) {
	w.Helper()
	err = w.db.Read(w.Context(), func(ctx context.Context, tx *store.Tx) error {
		_, right, err = device.May(ctx, tx, actor, id, action, w.now)
		return err
	})
	return right, err
}

func (w *world) shares(id string) (out []string) {
	w.Helper()
	must(w, w.db.Read(w.Context(), func(ctx context.Context, tx *store.Tx) error {
		out = nil
		all, err := device.Shares(ctx, tx, id)
		for _, g := range all {
			out = append(out, g.Account)
		}
		return err
	}))
	return out
}

func (w *world) revoke(actor cloud.Actor, id, share string) error {
	return w.write(func(ctx context.Context, tx *store.Tx) error { return w.r.Revoke(ctx, tx, actor, id, share) })
}

func (w *world) leave(actor cloud.Actor, id string) error {
	return w.write(func(ctx context.Context, tx *store.Tx) error { return w.r.Leave(ctx, tx, actor, id) })
}

func (w *world) refused(err error, want policy.Reason) {
	w.Helper()
	if reason(err) != want {
		w.Errorf("%v, want %s", err, want)
	}
}

// registered is ada's device AS1.
func (w *world) registered() *device.Device {
	w.Helper()
	w.report("g_1", unit("rack", "AS1"))
	return w.mustRegister(w.ada, "AS1")
}

// letters are those that wait in the queue: recipient and text.
func (w *world) letters() (out []string) {
	w.Helper()
	must(w, w.db.Read(w.Context(), func(ctx context.Context, tx *store.Tx) error {
		out = nil
		rows, err := tx.Query(ctx, `SELECT recipient, subject, body FROM mails ORDER BY recipient`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var to, subject, body string
			if err := rows.Scan(&to, &subject, &body); err != nil {
				return err
			}
			out = append(out, to+": "+subject+": "+body)
		}
		return rows.Err()
	}))
	return out
}

// ROLE-1, ROLE-2, ROLE-6.
func TestROLE1TheOwnerIsWhoRegisteredAndOthersAreWhatTheyWereGiven(t *testing.T) {
	each(t, func(w *world) {
		d := w.registered()
		w.mustShare(d, "bob")
		for name, want := range map[string]policy.Role{"ada": policy.Owner, "bob": policy.Shared, "cat": policy.Nobody, "": policy.Nobody} {
			actor := person(name)
			if name == "" {
				actor = cloud.Actor{Ref: cloud.SystemRef}
			}
			right, err := w.may(actor, d.ID, policy.MonitorStatus)
			if right.Role != want {
				t.Errorf("%q is %q, want %q", name, right.Role, want)
			}
			if want == policy.Nobody && !errors.Is(err, device.ErrNone) {
				t.Errorf("ROLE-6: %q is told %v", name, err)
			}
		}
	})
}

func TestROLE7WhoHasSeveralRolesHasTheUnionOfTheirRights(t *testing.T) {
	each(t, func(w *world) {
		d := w.registered()
		w.now = w.now.Add(time.Hour)
		w.mustShare(d, "bob")
		add := func(role policy.Role) {
			w.do(func(ctx context.Context, tx *store.Tx) error {
				_, err := tx.Exec(ctx, `INSERT INTO grants (id, device, account, actor, role, version, began_at) VALUES ($1, $2, 'a_bob', 'u_bob', $3, 2, 1)`,
					cloud.NewID("sh_"), d.ID, string(role))
				return err
			})
		}
		add(policy.PartnerRO)
		bob := person("bob")
		for action, want := range map[policy.Action]policy.Role{policy.ShareLeave: policy.Shared, policy.RebootUPS: policy.Shared} {
			if right, err := w.may(bob, d.ID, action); err != nil || right.Role != want {
				t.Errorf("%s as %s: %v, want as %s", action, right.Role, err, want)
			}
		}
		bob.MFA = true
		if right, err := w.may(bob, d.ID, policy.PartnerLeave); err != nil || right.Role != policy.PartnerRO {
			t.Errorf("partner.leave as %s: %v", right.Role, err)
		}
		if right, err := w.may(bob, d.ID, policy.EventLogRead); err != nil || !right.Since.Equal(w.now) {
			t.Errorf("LOG-7: the log is shown since %v, %v", right.Since, err)
		}
		add(policy.PartnerAdmin)
		if right, err := w.may(bob, d.ID, policy.EventLogRead); err != nil || right.Role != policy.PartnerAdmin || !right.Since.IsZero() {
			t.Errorf("as %s the log is shown since %v, %v", right.Role, right.Since, err)
		}
		bob.MFA = false // which an administrator needs, and a shared user does not
		if right, err := w.may(bob, d.ID, policy.RebootUPS); err != nil || right.Role != policy.Shared {
			t.Errorf("reboot.ups without a second factor as %s: %v", right.Role, err)
		}
		bob.MFA = true
		// What none of the roles may do is refused with the reason that says most.
		w.refused(second(w.may(bob, d.ID, policy.ShareInvite)), policy.OwnerOnly)
		w.do(func(ctx context.Context, tx *store.Tx) error {
			return w.r.SetPlan(ctx, tx, cloud.System(""), "", w.get(d.ID), policy.Basic, device.Forever)
		})
		w.refused(second(w.may(bob, d.ID, policy.RebootUPS)), policy.PlanBasic)
	})
}

func TestROLE7TheOwnerHasNoShare(t *testing.T) {
	each(t, func(w *world) {
		d := w.registered()
		_, err := w.share(d, "ada")
		w.refused(err, policy.SelfShare)
	})
}

func second[T any](_ T, err error) error { return err }

// A role may be had once (ROLE-7), the owner has no share, and there are five (SHARE-2): whoever asks, however many at once.
func TestSHARE2AtMostFiveOthers(t *testing.T) {
	each(t, func(w *world) {
		d := w.registered()
		_, err := w.share(d, "ada")
		w.refused(err, policy.SelfShare)
		w.mustShare(d, "p0")
		_, err = w.share(d, "p0")
		w.refused(err, policy.AlreadyShared)
		var all sync.WaitGroup
		results := make(chan error, 8)
		for i := range 8 {
			all.Go(func() { _, err := w.share(d, fmt.Sprintf("p%d", i+1)); results <- err })
		}
		all.Wait()
		close(results)
		done := 0
		for err := range results {
			if err == nil {
				done++
			} else if reason(err) != policy.ShareLimit {
				t.Errorf("refused with %v", err)
			}
		}
		if done != 4 || len(w.shares(d.ID)) != 5 {
			t.Errorf("%d of 8 at once were taken beside one, and the device has %q", done, w.shares(d.ID))
		}
		// SHARE-10: a place that is free again is free at once.
		var g *device.Grant
		must(t, w.db.Read(t.Context(), func(ctx context.Context, tx *store.Tx) (err error) {
			g, err = device.GrantOf(ctx, tx, d.ID, "a_p0")
			return err
		}))
		must(t, w.revoke(w.ada, d.ID, g.ID))
		w.mustShare(d, "p0")
		w.refused(second(w.share(d, "late")), policy.ShareLimit)
	})
}

// SHARE-1, SHARE-14: no share and no end of one changes owner or epoch; each raises the grant version by one, and the site is told.
func TestSHARE14NoSequenceOfSharesMovesOwnership(t *testing.T) {
	each(t, func(w *world) {
		d := w.registered()
		bob := w.mustShare(d, "bob")
		w.mustShare(d, "cat")
		w.refused(w.revoke(person("bob"), d.ID, bob.ID), policy.OwnerOnly)
		must(t, w.leave(person("cat"), d.ID))
		w.mustShare(d, "cat")
		must(t, w.revoke(w.ada, d.ID, bob.ID))
		w.refused(w.leave(w.ada, d.ID), policy.OwnerOnly)
		got := w.get(d.ID)
		if got.Owner != "a_ada" || got.Epoch != d.Epoch || got.Org != d.Org {
			t.Errorf("owner %s, organisation %s, epoch %d", got.Owner, got.Org, got.Epoch)
		}
		if got.GrantVersion != 6 || len(w.changed) != 6 {
			t.Errorf("SHARE-1: grant version %d, the agent was told %d times", got.GrantVersion, len(w.changed))
		}
	})
}

func TestSHARE6OnlyTheOwnerRevokes(t *testing.T) {
	each(t, func(w *world) {
		d := w.registered()
		bob, cat := w.mustShare(d, "bob"), w.mustShare(d, "cat")
		w.refused(w.revoke(person("bob"), d.ID, cat.ID), policy.OwnerOnly)
		w.refused(w.revoke(person("bob"), d.ID, bob.ID), policy.OwnerOnly)
		w.refused(w.revoke(person("dan"), d.ID, cat.ID), policy.NotFound)
		w.report("g_1", unit("rack", "AS1"), unit("hall", "AS2"))
		other := w.mustRegister(w.ada, "AS2")
		w.refused(w.revoke(w.ada, other.ID, cat.ID), policy.NotFound) // the share of another device
		w.refused(w.revoke(w.ada, d.ID, cloud.NewID("sh_")), policy.NotFound)
		if got := w.shares(d.ID); !slices.Equal(got, []string{"a_bob", "a_cat"}) && !slices.Equal(got, []string{"a_cat", "a_bob"}) {
			t.Errorf("shares %q", got)
		}
	})
}

// SHARE-7, PERM-10: on any plan, and nothing is left of the right with the commit.
func TestSHARE7TheOwnerRevokesOnAnyPlanAtOnce(t *testing.T) {
	for _, plan := range []policy.Plan{policy.Basic, policy.Standard, policy.Advanced} {
		t.Run(string(plan), func(t *testing.T) {
			each(t, func(w *world) {
				d := w.registered()
				g := w.mustShare(d, "bob")
				w.do(func(ctx context.Context, tx *store.Tx) error {
					return w.r.SetPlan(ctx, tx, cloud.System(""), "", d, plan, device.Forever)
				})
				if _, err := w.may(person("bob"), d.ID, policy.MonitorStatus); err != nil {
					t.Errorf("PLAN-3: on %s the share gives %v", plan, err)
				}
				must(t, w.revoke(w.ada, d.ID, g.ID))
				if _, err := w.may(person("bob"), d.ID, policy.MonitorStatus); !errors.Is(err, device.ErrNone) {
					t.Errorf("PERM-10: who lost the right is told %v", err)
				}
				w.refused(w.revoke(w.ada, d.ID, g.ID), policy.NotFound)
				w.wantEnded(d, "u_bob 4")
				if got := w.actions(d.ID); got[len(got)-1] != "share.revoke done" {
					t.Errorf("LOG-3: the log ends with %q", got)
				}
			})
		})
	}
}

func (w *world) wantEnded(d *device.Device, want ...string) {
	w.Helper()
	must(w, w.db.Read(w.Context(), func(ctx context.Context, tx *store.Tx) error {
		all, err := device.Ended(ctx, tx, d.ID)
		var got []string
		for _, e := range all {
			got = append(got, fmt.Sprint(e.Actor, " ", e.GrantVersion))
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			w.Errorf("EDGE-5: ended are %q, want %q", got, want)
		}
		return err
	}))
}

// SHARE-8: leaving ends the own share and nothing else.
func TestSHARE8LeavingEndsTheOwnShareAlone(t *testing.T) {
	each(t, func(w *world) {
		d := w.registered()
		w.mustShare(d, "bob")
		w.mustShare(d, "cat")
		var ended []string
		w.r.OnGrantEnd(func(_ context.Context, _ *store.Tx, _ *device.Device, g *device.Grant) error {
			ended = append(ended, g.Account+" "+g.Why)
			return nil
		})
		must(t, w.leave(person("bob"), d.ID))
		if got := w.shares(d.ID); !slices.Equal(got, []string{"a_cat"}) {
			t.Errorf("shares %q", got)
		}
		if got := w.get(d.ID); !got.EndedAt.IsZero() || got.Owner != "a_ada" || got.Plan != policy.Advanced {
			t.Errorf("the device is %+v", got)
		}
		if !slices.Equal(ended, []string{"a_bob left"}) {
			t.Errorf("NOTE-2: what rests on shares was told %q", ended)
		}
		w.refused(w.leave(person("bob"), d.ID), policy.NotFound)
		w.refused(w.leave(person("dan"), d.ID), policy.NotFound)
		if got := w.actions(d.ID); got[len(got)-1] != "share.leave done" {
			t.Errorf("LOG-3: the log ends with %q", got)
		}
		if n := len(w.letters()); n != 0 {
			t.Errorf("%d letters to who knows it", n)
		}
	})
}

// SHARE-10: invited again, the user has to accept again, and what ended before stays ended for orders of then.
func TestSHARE10AShareGivenAgainIsAnotherOne(t *testing.T) {
	each(t, func(w *world) {
		d := w.registered()
		first := w.mustShare(d, "bob")
		must(t, w.revoke(w.ada, d.ID, first.ID))
		w.now = w.now.Add(time.Hour)
		again := w.mustShare(d, "bob")
		if again.ID == first.ID || again.Version <= 3 {
			t.Errorf("the same share again: %+v", again)
		}
		w.wantEnded(d, "u_bob 3")
		if right, err := w.may(person("bob"), d.ID, policy.EventLogRead); err != nil || !right.Since.Equal(w.now) {
			t.Errorf("LOG-7: since %v, %v", right.Since, err)
		}
		w.refused(w.revoke(w.ada, d.ID, first.ID), policy.NotFound)
	})
}

// SHARE-13, INV-18, DEL-8: with the device everything that was given on it ends, and who had it is told without a reason.
func TestSHARE13WithTheDeviceItsSharesEndAndTheirUsersAreTold(t *testing.T) {
	each(t, func(w *world) {
		q, err := mail.New(w.db, mail.Config{From: "Cloud <cloud@example.com>"}, mail.Options{Now: func() time.Time { return w.now }})
		must(t, err)
		w.r = device.New(device.Config{Now: func() time.Time { return w.now }, Mail: q, URL: "https://cloud.example"})
		d := w.registered()
		w.do(func(ctx context.Context, tx *store.Tx) error {
			return w.r.Rename(ctx, tx, w.ada, policy.Owner, d, device.Label{Name: "rack https://evil.example\nx"[:24]})
		})
		w.mustShare(d, "bob")
		gone := w.mustShare(d, "cat")
		must(t, w.revoke(w.ada, d.ID, gone.ID))
		var order []string
		w.r.OnDeviceEnd(func(ctx context.Context, tx *store.Tx, d *device.Device) error {
			all, err := device.Shares(ctx, tx, d.ID)
			order = append(order, fmt.Sprintf("%s with %d shares", d.Serial, len(all)))
			return err
		})
		w.r.OnGrantEnd(func(_ context.Context, _ *store.Tx, _ *device.Device, g *device.Grant) error {
			order = append(order, g.Account+" "+g.Why)
			return nil
		})
		w.do(func(ctx context.Context, tx *store.Tx) error {
			d, err := device.Get(ctx, tx, d.ID)
			if err != nil {
				return err
			}
			return w.r.End(ctx, tx, w.ada, policy.Owner, d)
		})
		if want := []string{"AS1 with 1 shares", "a_bob device"}; !slices.Equal(order, want) {
			t.Errorf("hooks were called with %q, want %q", order, want)
		}
		for _, who := range []cloud.Actor{w.ada, person("bob"), person("cat")} {
			if _, err := w.may(who, d.ID, policy.InventoryRead); !errors.Is(err, device.ErrNone) {
				t.Errorf("%s is told %v", who.Ref, err)
			}
		}
		letters := w.letters()
		if len(letters) != 2 || !strings.HasPrefix(letters[0], "bob@example.com: A device is no longer available:") ||
			!strings.HasPrefix(letters[1], "cat@example.com: A device is not shared with you any more:") {
			t.Errorf("letters %q", letters)
		}
		for _, l := range letters {
			if strings.Contains(l, "evil.example") || !strings.Contains(l, "ending in AS1") {
				t.Errorf("the letter quotes %q", l)
			}
		}
		w.do(func(ctx context.Context, tx *store.Tx) error {
			var addresses int
			err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM grants WHERE address <> ''`).Scan(&addresses)
			if addresses != 0 {
				t.Errorf("%d addresses are kept of shares that ended", addresses)
			}
			return err
		})
		// Registered anew, it is another device, and nobody's but the new owner's; its epoch is above that of the end.
		again := w.mustRegister(w.ada, "AS1")
		if again.Epoch != d.Epoch+2 || len(w.shares(again.ID)) != 0 {
			t.Errorf("epoch %d behind %d, shares %q", again.Epoch, d.Epoch, w.shares(again.ID))
		}
	})
}
