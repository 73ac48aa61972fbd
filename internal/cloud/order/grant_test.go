package order

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/policy"
	"upsedge/internal/trust"
	"upsedge/internal/wire"
)

var bob = cloud.Actor{Ref: "u_bob", Account: "a_bob", Org: "o_two", Request: "r_3"}

// registry is that of the process whose book is w.book.
func (w *world) registry() *device.Registry {
	r := device.New(device.Config{Now: func() time.Time { return w.clock }})
	r.AfterChange(w.book.Refresh)
	r.OnGrantEnd(w.book.GrantEnded)
	r.OnDeviceEnd(w.book.DeviceEnded)
	return r
}

func (w *world) onDevice(fn func(ctx context.Context, tx *store.Tx, r *device.Registry, d *device.Device) error) {
	w.t.Helper()
	r := w.registry()
	w.write(func(ctx context.Context, tx *store.Tx) error {
		d, err := device.Get(ctx, tx, deviceID)
		if err != nil {
			return err
		}
		return fn(ctx, tx, r, d)
	})
}

func (w *world) share(actor cloud.Actor) {
	w.t.Helper()
	w.onDevice(func(ctx context.Context, tx *store.Tx, r *device.Registry, d *device.Device) error {
		_, err := r.Share(ctx, tx, d, actor.Account, actor.Ref, "bob@example.com")
		return err
	})
}

func (w *world) revoke(actor cloud.Actor) {
	w.t.Helper()
	w.onDevice(func(ctx context.Context, tx *store.Tx, r *device.Registry, d *device.Device) error {
		g, err := device.GrantOf(ctx, tx, d.ID, actor.Account)
		if err != nil {
			return err
		}
		return r.Revoke(ctx, tx, owner, d.ID, g.ID)
	})
}

func (w *world) rebootBy(actor cloud.Actor) *Order {
	w.t.Helper()
	c, err := w.create(actor, Request{Device: deviceID, Action: policy.RebootUPS})
	must(w.t, err)
	return c.Order
}

// TIME-1: what waits ends in the transaction that ends the right, whichever process has the agent, and does not revive with another share.
func TestTIME1WhatWaitsIsRefusedWithTheRight(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.share(bob)
		his, hers := w.rebootBy(bob), w.reboot()
		w.revoke(bob)
		w.want(his.ID, wire.OrderRefused, policy.GrantStale)
		w.want(hers.ID, Pending, "")
		w.wantLog("reboot.ups accepted  by cloud in d_1", "reboot.ups accepted  by cloud in d_1", "reboot.ups refused GRANT_STALE by cloud in d_1", "share.revoke done  by cloud in d_1")
		if _, err := w.create(bob, Request{Device: deviceID, Action: policy.RebootUPS}); !errors.Is(err, device.ErrNone) {
			t.Errorf("PERM-10: the next request is answered with %v", err)
		}
		w.share(bob)
		w.connect()
		w.pass()
		w.deliver()
		w.pass()
		w.want(hers.ID, wire.OrderDone, "")
		w.want(his.ID, wire.OrderRefused, policy.GrantStale)
		if n := w.site.effects[his.ID]; n != 0 {
			t.Errorf("it ran %d times", n)
		}
	})
}

// EDGE-5: it was signed before the right ended. The statement with the actor goes out at once, on the session at work.
func TestEDGE5WhatWasSentBeforeTheRightEndedIsRefusedOnSite(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.share(bob)
		w.connect()
		o := w.rebootBy(bob)
		w.pass()
		signed := w.link.out
		w.link.out = nil // held back by whoever is between
		w.revoke(bob)
		w.pass()
		if len(w.link.out) != 1 {
			t.Fatalf("%d messages behind the revocation, want one statement", len(w.link.out))
		}
		w.deliver()
		w.link.out = signed
		w.deliver()
		w.want(o.ID, wire.OrderRefused, policy.GrantStale)
		if len(w.site.effects) != 0 {
			t.Error("it ran")
		}
	})
}

// SHARE-10: an order of a share that has ended is not sent again under the one that came after it.
func TestSHARE10AnOrderOfAnEndedShareIsNotSentUnderTheNext(t *testing.T) {
	onSQLite(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.share(bob)
		w.connect()
		o := w.rebootBy(bob)
		w.pass()
		w.disconnect() // the command is lost
		w.revoke(bob)
		w.share(bob)
		w.connect()
		w.pass()
		w.deliver()
		if len(w.sign.signed) != 1 || len(w.site.effects) != 0 {
			t.Errorf("signed %d times, ran %v", len(w.sign.signed), w.site.effects)
		}
		if got := w.order(o.ID); !got.Withheld {
			t.Errorf("%+v", got)
		}
	})
}

// SHARE-13: with the device everything that waits for it ends, the owner's too.
func TestSHARE13WithTheDeviceEndsWhatWaitsForIt(t *testing.T) {
	onSQLite(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.share(bob)
		his, hers := w.rebootBy(bob), w.reboot()
		w.exec(`INSERT INTO serials (serial, epoch) VALUES ($1, 1) ON CONFLICT (serial) DO NOTHING`, serial)
		w.onDevice(func(ctx context.Context, tx *store.Tx, r *device.Registry, d *device.Device) error {
			return r.End(ctx, tx, owner, policy.Owner, d)
		})
		w.want(his.ID, wire.OrderRefused, policy.NotBound)
		w.want(hers.ID, wire.OrderRefused, policy.NotBound)
		w.connect()
		w.pass()
		if len(w.sign.signed) != 0 {
			t.Errorf("signed %+v", w.sign.signed)
		}
	})
}

// TIME-1: a feed ends with the right, in the process that ended it at once, in another by its own look.
func TestTIME1AFeedEndsWithTheRight(t *testing.T) {
	for name, another := range map[string]bool{"this process": false, "another process": true} {
		t.Run(name, func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, db *store.DB) {
				w := newWorld(t, db)
				w.share(bob)
				if !another {
					w.book.feedLook = time.Hour
				}
				f, err := w.book.Subscribe(t.Context(), bob, deviceID, "", 0, nil)
				must(t, err)
				events, end := w.follow(t, f)
				o := w.reboot()
				if e := <-events; e.Order != o.ID.String() {
					t.Errorf("first %+v", e)
				}
				if another {
					w.start()
				}
				w.revoke(bob)
				w.rebootAgain()
				for e := range events {
					t.Errorf("SHARE-12: behind the end it tells %+v", e)
				}
				if err := <-end; !errors.Is(err, device.ErrNone) {
					t.Errorf("ended with %v", err)
				}
			})
		})
	}
}

// rebootAgain makes something that a feed would tell.
func (w *world) rebootAgain() {
	w.t.Helper()
	_, err := w.create(owner, Request{Device: deviceID, Action: policy.DiagnosticsRun, Params: map[string]string{"test": "self"}})
	must(w.t, err)
}

// LOG-7, SHARE-12: of what was done before the own share a shared user sees nothing, whatever it is asked by.
func TestLOG7OrdersBeforeTheOwnShareAreNotThere(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		before := w.reboot()
		w.clock = w.clock.Add(time.Second)
		w.share(bob)
		seen := func(actor cloud.Actor) (orders, events []string) {
			must(t, db.Read(t.Context(), func(ctx context.Context, tx *store.Tx) error {
				orders, events = nil, nil
				list, err := w.book.List(ctx, tx, actor, deviceID, nil, 10)
				for _, o := range list {
					orders = append(orders, o.ID.String())
				}
				return err
			}))
			f, err := w.book.Subscribe(t.Context(), actor, deviceID, "", 0, nil)
			must(t, err)
			defer f.Close()
			got, _, err := f.read(t.Context())
			must(t, err)
			for _, e := range got {
				events = append(events, e.Order)
			}
			return orders, events
		}
		if orders, events := seen(bob); len(orders)+len(events) != 0 {
			t.Errorf("the shared user sees orders %q and events %q", orders, events)
		}
		must(t, db.Read(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			if _, err := w.book.Get(ctx, tx, bob, before.ID.String()); !errors.Is(err, errNoOrder) {
				t.Errorf("the order of before: %v", err)
			}
			list, err := w.book.List(ctx, tx, bob, deviceID, &Position{At: w.clock.Add(time.Hour), ID: "~"}, 10)
			if len(list) != 0 {
				t.Errorf("the second page has %d", len(list))
			}
			return err
		}))
		if _, err := w.book.Subscribe(t.Context(), bob, "", before.ID.String(), 0, nil); !errors.Is(err, errNoOrder) {
			t.Errorf("the feed of the order of before: %v", err)
		}
		w.clock = w.clock.Add(time.Second)
		after := w.rebootBy(bob)
		if orders, events := seen(bob); !slices.Equal(orders, []string{after.ID.String()}) || !slices.Equal(events, orders) {
			t.Errorf("the shared user sees orders %q and events %q", orders, events)
		}
		if orders, events := seen(owner); len(orders) != 2 || len(events) != 2 {
			t.Errorf("the owner sees orders %q and events %q", orders, events)
		}
	})
}

// EDGE-5: of more ended grants than a statement holds none that the agent does not know is left out, however many end between two of them.
func TestEDGE5MoreEndedGrantsThanAStatementHoldsAreToldInParts(t *testing.T) {
	onSQLite(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.share(bob)
		w.connect()
		o := w.rebootBy(bob)
		w.pass()
		signed := w.link.out
		w.link.out = nil
		w.revoke(bob)
		w.onDevice(func(ctx context.Context, tx *store.Tx, r *device.Registry, d *device.Device) error {
			for i := range 2*trust.MaxEnded + 10 {
				g, err := r.Share(ctx, tx, d, fmt.Sprintf("a_%d", i), fmt.Sprintf("u_%d", i), "")
				if err == nil {
					err = r.EndGrant(ctx, tx, d, g, device.EndLeft)
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
		parts := 0
		for ; parts < 10; parts++ {
			w.clock = w.clock.Add(mostRenew / 30)
			n, _ := w.renewed()
			if n == 0 {
				break
			}
			w.deliver()
		}
		if parts != 3 || w.site.bind.GrantVersion != w.device1().GrantVersion {
			t.Errorf("in %d parts the site has version %d of %d", parts, w.site.bind.GrantVersion, w.device1().GrantVersion)
		}
		w.link.out = signed
		w.deliver()
		w.want(o.ID, wire.OrderRefused, policy.GrantStale)
		if len(w.site.effects) != 0 {
			t.Error("it ran")
		}
		w.connect() // a new session is told all that fits in one statement: what is left out has no nonce
		if got := len(w.site.bind.Ended); got < 2*trust.MaxEnded+11 {
			t.Errorf("the site knows %d ended grants", got)
		}
	})
}

func (w *world) device1() (d *device.Device) {
	w.t.Helper()
	must(w.t, w.db.Read(context.Background(), func(ctx context.Context, tx *store.Tx) (err error) {
		d, err = device.Get(ctx, tx, deviceID)
		return err
	}))
	return d
}
