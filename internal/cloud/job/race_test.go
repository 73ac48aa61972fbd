package job

import (
	"context"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"upsedge/internal/cloud/order"
	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/policy"
	"upsedge/internal/wire"
)

// TestEDGE9SeveralServersAndKillsOrderNoDeviceTwice: two servers on one PostgreSQL drive one job; each call of theirs to the database may be the
// last before they are killed, also right behind a commit of which they never learn. Sites come and go, and end orders as they like. At every
// moment at most at_once orders are without an end; in the end each device has had one order or none, and one end.
func TestEDGE9SeveralServersAndKillsOrderNoDeviceTwice(t *testing.T) {
	jobOfMany(t, 40)
}

// TestSoakEDGE9AJobOfManyDevicesOnTwoServers is the same with 200 devices, several times.
func TestSoakEDGE9AJobOfManyDevicesOnTwoServers(t *testing.T) {
	if os.Getenv("UPSEDGE_SOAK") == "" {
		t.Skip("takes minutes: make soak")
	}
	for range 5 {
		jobOfMany(t, 200)
	}
}

func jobOfMany(t *testing.T, devices int) {
	c := storetest.Postgres(t)
	w := newWorld(t, storetest.Open(t, c), devices, noLimits)
	w.online(false, w.ids[devices/2:]...)
	j := w.job(func(r *Request) { *r.percent(), *r.after() = 100, MaxDevices })
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var all sync.WaitGroup
	kills := make([]int, 2)
	for n := range kills {
		all.Go(func() { kills[n] = w.server(ctx, t, c, j.ID, uint64(n)) })
	}
	all.Go(func() {
		w.sites(ctx, t, j.ID)
		if t.Failed() {
			cancel()
		}
	})
	all.Wait()
	if t.Failed() {
		return
	}
	w.pass()
	ended, items := w.get(j.ID)
	if ended.State != Completed || ended.EndedAt.IsZero() || len(items) != devices {
		t.Fatalf("the job is %s, ended at %v, with %d devices", ended.State, ended.EndedAt, len(items))
	}
	for _, i := range items {
		if !i.Final {
			t.Errorf("%s has no end: %s", i.Device, i.State)
		}
	}
	for query, want := range map[string]int{
		`SELECT COUNT(*) FROM (SELECT device FROM orders GROUP BY device HAVING COUNT(*) > 1) twice`: 0,
		`SELECT COUNT(*) FROM orders`: devices,
		`SELECT COUNT(*) FROM orders o LEFT JOIN job_devices jd ON jd.order_id = o.id WHERE jd.job IS NULL`:                      0,
		`SELECT COUNT(*) FROM event_log WHERE action = 'job.end'`:                                                                1,
		`SELECT COUNT(*) FROM event_log WHERE action = 'diagnostics.run' AND outcome = 'accepted' AND decided = 'cloud'`:         devices,
		`SELECT COUNT(*) FROM (SELECT order_id FROM order_events WHERE state = 'pending' GROUP BY order_id HAVING COUNT(*)>1) x`: 0,
	} {
		if got := w.number(query); got != want {
			t.Errorf("%s: %d, want %d", query, got, want)
		}
	}
	if kills[0]+kills[1] == 0 {
		t.Error("nobody was killed")
	}
	t.Logf("%d devices, %v kills: %s", devices, kills, text(Count(items).Ended))
}

// percent and after make room for a number.
func (r *Request) percent() *int { r.Percent = new(int); return r.Percent }
func (r *Request) after() *int   { r.After = new(int); return r.After }

func (w *world) number(query string, args ...any) (n int) {
	w.t.Helper()
	must(w.t, w.db.Read(context.Background(), func(ctx context.Context, tx *store.Tx) error { return tx.QueryRow(ctx, query, args...).Scan(&n) }))
	return n
}

// server drives a job until it has ended, and is killed now and then: its connections fail from some call on, and another one takes its place.
func (w *world) server(ctx context.Context, t *testing.T, c store.Config, id string, seed uint64) (kills int) {
	random := rand.New(rand.NewPCG(seed, 7))
	for ctx.Err() == nil {
		faults := &storetest.Faults{}
		c.Wrap = faults.Wrap
		db, err := store.Open(ctx, c)
		if err != nil {
			t.Error(err)
			return kills
		}
		book, err := order.New(order.Config{DB: db, Signer: unsigned{}, Now: func() time.Time { return noon }, Limits: noLimits})
		must(t, err)
		desk, err := New(Config{DB: db, Orders: book, Now: func() time.Time { return noon }})
		must(t, err)
		faults.Late.Store(random.IntN(2) == 0)
		faults.Arm(1+random.Int64N(600), 1<<40)
		for ctx.Err() == nil {
			if _, err = desk.Pass(ctx); err != nil {
				kills++
				break
			}
			if w.number(`SELECT COUNT(*) FROM jobs WHERE id = $1 AND ended_at = 0`, id) == 0 {
				_ = db.Close()
				return kills
			}
		}
		_ = db.Close()
	}
	return kills
}

// sites end orders in some order, and more of them come as time goes by.
func (w *world) sites(ctx context.Context, t *testing.T, id string) {
	random := rand.New(rand.NewPCG(3, 7))
	states := []wire.OrderState{wire.OrderDone, wire.OrderDone, wire.OrderFailed, wire.OrderRefused, wire.OrderUnknown}
	for away := w.ids[len(w.ids)/2:]; ctx.Err() == nil; {
		open := w.open(id)
		if len(open) > DefaultAtOnce {
			t.Errorf("%d orders at once", len(open))
			return
		}
		switch {
		case w.number(`SELECT COUNT(*) FROM jobs WHERE id = $1 AND ended_at = 0`, id) == 0:
			return
		case len(away) > 0 && random.IntN(3) == 0:
			w.online(true, away[0])
			away = away[1:]
		case len(open) > 0:
			w.tell(open[random.IntN(len(open))], states[random.IntN(len(states))], policy.UPSRefused)
		}
	}
}
