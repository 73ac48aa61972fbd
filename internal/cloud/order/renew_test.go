package order

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/policy"
	"upsedge/internal/wire"
)

// renewed has the renewals look once, and returns how many statements went out and when it wants to look again.
func (w *world) renewed() (sent int, next time.Duration) {
	w.t.Helper()
	before := len(w.link.out)
	next, err := w.book.renew(context.Background(), w.link)
	must(w.t, err)
	return len(w.link.out) - before, next
}

func TestTIME2AChangedPlanIsToldUntilItIsConfirmed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.connect()
		if n, _ := w.renewed(); n != 0 {
			t.Fatal("told what is confirmed")
		}
		w.setPlan(policy.Standard)
		w.book.Refresh(agentName)
		for at, want := range map[time.Duration]int{0: 1} {
			if n, next := w.renewed(); n != want || next > leastRenew {
				t.Errorf("after %v: %d statements, next in %v", at, n, next)
			}
		}
		w.link.out = nil // lost
		if n, _ := w.renewed(); n != 0 {
			t.Error("told again at once")
		}
		w.clock = w.clock.Add(leastRenew)
		if n, next := w.renewed(); n != 1 || next > w.book.poll {
			t.Errorf("after the first pause: %d, next in %v", n, next)
		}
		w.deliver()
		if w.site.bind.Plan != "standard" || w.site.bind.GrantVersion != 2 {
			t.Errorf("the site has %+v", w.site.bind)
		}
		w.clock = w.clock.Add(time.Hour)
		if n, _ := w.renewed(); n != 0 {
			t.Error("told once more though it is confirmed")
		}
	})
}

func TestANewDeviceIsToldToTheSessionAtWork(t *testing.T) {
	onSQLite(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.exec(`DELETE FROM devices`)
		w.connect()
		w.device()
		o := w.reboot()
		_, err := w.book.pass(t.Context(), w.link) // no renewal before it
		must(t, err)
		w.deliver()
		w.want(o.ID, wire.OrderDone, "")
	})
}

func TestNothingIsToldOnASessionOfAnotherProcess(t *testing.T) {
	w := newWorld(t, storetest.Open(t, storetest.SQLite(t)))
	w.connect()
	w.start()
	w.setPlan(policy.Standard)
	if n, _ := w.renewed(); n != 0 {
		t.Error("told on a nonce that this process has not heard")
	}
	w.connect()
	w.clock = w.clock.Add(time.Hour)
	if n, _ := w.renewed(); n != 0 || w.site.bind.Plan != "standard" {
		t.Errorf("%d statements beside that of the session, and the site has %+v", n, w.site.bind)
	}
}

func TestAStatementNamesPlanAndEndOfEachDevice(t *testing.T) {
	onSQLite(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.exec(`UPDATE devices SET valid_until = $1`, noon.UnixMilli()) // ends now
		w.connect()
		if b := w.site.bind; b.Plan != "basic" || !b.ValidUntil.Equal(device.Forever) || b.Epoch != 1 || b.GrantVersion != 1 {
			t.Errorf("the site was told %+v", b)
		}
	})
}

// Run wakes for a new order, and ends with its context.
func TestRunDeliversWithoutBeingAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, storetest.Open(t, storetest.SQLite(t)))
		w.connect()
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- w.book.Run(ctx, w.link) }()
		synctest.Wait()
		o := w.reboot()
		synctest.Wait()
		w.want(o.ID, Sent, "")
		w.deliver()
		w.want(o.ID, wire.OrderDone, "")
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
}
