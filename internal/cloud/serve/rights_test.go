package serve

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/order"
	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/policy"
)

// TIME-1: a share is revoked in one process; in the other a feed ends and an order that waits is refused, long before 5 s are over.
func TestTIME1ARevocationInOneProcessHoldsInTheOther(t *testing.T) {
	db := storetest.Postgres(t)
	here := live(t, db)
	there := serving(t, here.cfg)
	ada, bob := actorOf("ada"), actorOf("bob")
	here.write(func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO devices (id, serial, epoch, agent, owner, org, name, plan, valid_until, grant_version, registered_at)
			VALUES ('d_1', 'AS1', 1, 'g_1', $1, $2, 'rack', 'advanced', $3, 1, 1)`, ada.Account, ada.Org, device.Forever.UnixMilli())
		return err
	})
	var share *device.Grant
	here.write(func(ctx context.Context, tx *store.Tx) error {
		d, err := device.Get(ctx, tx, "d_1")
		if err != nil {
			return err
		}
		share, err = here.devices.Share(ctx, tx, d, bob.Account, bob.Ref, "bob@example.com")
		return err
	})
	feed, err := there.orders.Subscribe(t.Context(), bob, "d_1", "", 0, nil)
	must(t, err)
	ended := make(chan error, 1)
	go func() { ended <- feed.Run(t.Context(), func([]order.Event) error { return nil }) }()
	there.write(func(ctx context.Context, tx *store.Tx) error {
		_, err := there.orders.Create(ctx, tx, bob, order.Request{Device: "d_1", Action: policy.RebootUPS})
		return err
	})
	here.write(func(ctx context.Context, tx *store.Tx) error {
		return here.devices.Revoke(ctx, tx, ada, "d_1", share.ID)
	})
	err = there.db.Write(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		_, err := there.orders.Create(ctx, tx, bob, order.Request{Device: "d_1", Action: policy.RebootUPS})
		return err
	})
	var refusal *cloud.Error
	if !errors.As(err, &refusal) || refusal.Reason != policy.NotFound {
		t.Errorf("the next request is answered with %v", err)
	}
	if n := there.count(`SELECT COUNT(*) FROM orders WHERE actor = $1 AND state = 'refused' AND reason = 'GRANT_STALE'`, bob.Ref); n != 1 {
		t.Errorf("%d orders that waited were refused", n)
	}
	select {
	case err := <-ended:
		if !errors.Is(err, device.ErrNone) {
			t.Errorf("the feed ended with %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Error("the feed goes on")
	}
	if n := here.count(`SELECT COUNT(*) FROM mails WHERE recipient = 'bob@example.com'`); n != 1 {
		t.Errorf("SHARE-7: %d letters to who lost it", n)
	}
	must(t, errors.Join(here.end(), there.end()))
}

// SHARE-13, INV-18: a device that ends takes its open invitations and what waits for it with it, as the parts are put together here.
func TestSHARE13TheEndOfADeviceReachesEveryPart(t *testing.T) {
	l := live(t, storetest.SQLite(t))
	ada := actorOf("ada")
	l.write(func(ctx context.Context, tx *store.Tx) error {
		for _, q := range strings.Split(`INSERT INTO serials (serial, epoch) VALUES ('AS1', 1);
			INSERT INTO devices (id, serial, epoch, agent, owner, org, name, plan, valid_until, grant_version, registered_at) VALUES ('d_1', 'AS1', 1, 'g_1', 'a_ada', 'o_ada', 'rack', 'advanced', 7226582400000, 1, 1);
			INSERT INTO device_invitations (id, owner, inviter, email, email_key, sealed, state, created_at, sent_at, expires_at) VALUES ('si_1', 'a_ada', 'u_ada', 'c@example.com', 'c@example.com', x'00', 'open', 1, 1, 7226582400000);
			INSERT INTO device_invitation_devices (invitation, device, number, epoch, email_key, state) VALUES ('si_1', 'd_1', 1, 1, 'c@example.com', 'open')`, ";") {
			if _, err := tx.Exec(ctx, q); err != nil {
				return err
			}
		}
		_, err := l.orders.Create(ctx, tx, ada, order.Request{Device: "d_1", Action: policy.RebootUPS})
		return err
	})
	l.write(func(ctx context.Context, tx *store.Tx) error {
		d, err := device.Get(ctx, tx, "d_1")
		if err != nil {
			return err
		}
		return l.devices.End(ctx, tx, ada, policy.Owner, d)
	})
	for query, want := range map[string]int{
		`SELECT COUNT(*) FROM device_invitations WHERE state = 'cancelled'`:                  1,
		`SELECT COUNT(*) FROM orders WHERE state = 'refused' AND reason = 'NOT_BOUND'`:       1,
		`SELECT COUNT(*) FROM devices WHERE ended_at IS NULL`:                                0,
		`SELECT COUNT(*) FROM event_log WHERE action = 'device.delete' AND outcome = 'done'`: 1,
	} {
		if got := l.count(query); got != want {
			t.Errorf("%s: %d, want %d", query, got, want)
		}
	}
	must(t, l.end())
}
