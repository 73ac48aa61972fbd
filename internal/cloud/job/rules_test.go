package job

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/order"
	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/policy"
	"upsedge/internal/wire"
)

func two() *int { n := 2; return &n }

// share gives bob a share of devices.
func (w *world) share(ids ...string) (grants []*device.Grant) {
	w.t.Helper()
	w.account("bob")
	w.write(func(ctx context.Context, tx *store.Tx) error {
		for _, id := range ids {
			d, err := device.Get(ctx, tx, id)
			if err != nil {
				return err
			}
			g, err := w.devices.Share(ctx, tx, d, "a_bob", "u_bob", "bob@example.com")
			if err != nil {
				return err
			}
			grants = append(grants, g)
		}
		return nil
	})
	return grants
}

func (w *world) plan(id string, p policy.Plan) {
	w.t.Helper()
	w.write(func(ctx context.Context, tx *store.Tx) error {
		d, err := device.Get(ctx, tx, id)
		if err != nil {
			return err
		}
		return w.devices.SetPlan(ctx, tx, cloud.System("test"), "", d, p, device.Forever)
	})
}

// state is that of one device of a job, with its reason, as it is stored.
func (w *world) state(job, id string) string {
	w.t.Helper()
	var found string
	must(w.t, w.db.Read(context.Background(), func(ctx context.Context, tx *store.Tx) error {
		list, err := items(ctx, tx, job)
		for _, i := range list {
			if i.Device == id {
				found = i.State + " " + string(i.Reason)
			}
		}
		return err
	}))
	return found
}

// TestPERM10RightsThatEndWhileAJobRunsEndTheirPartOfIt: of who asked, of the plan, of the device; what waits is refused, where the agent is away,
// too, and the rest goes on.
func TestPERM10RightsThatEndWhileAJobRunsEndTheirPartOfIt(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db, 6, noLimits)
		w.share(w.ids...)
		j, outcomes, err := w.ask(person("bob"), Request{Devices: w.ids, Action: policy.RebootUPS, AtOnce: two()})
		if err != nil || len(outcomes) != 6 {
			t.Fatalf("%v, %v", outcomes, err)
		}
		w.pass()
		w.online(false, w.ids[2])
		w.write(func(ctx context.Context, tx *store.Tx) error {
			for _, id := range w.ids[1:3] { // one has its order, one waits and is away
				if err := w.devices.Leave(ctx, tx, person("bob"), id); err != nil {
					return err
				}
			}
			d, err := device.Get(ctx, tx, w.ids[3])
			if err != nil {
				return err
			}
			return w.devices.End(ctx, tx, ada, policy.Owner, d)
		})
		w.plan(w.ids[4], policy.Basic)
		w.pass()
		for n, want := range []string{"pending ", "refused GRANT_STALE", "refused GRANT_STALE", "refused GRANT_STALE", "refused PLAN_BASIC", "pending "} {
			if got := w.state(j.ID, w.ids[n]); got != want {
				t.Errorf("device %d is %s, want %s", n, got, want)
			}
		}
		if n := w.number(`SELECT COUNT(*) FROM orders`); n != 3 {
			t.Errorf("%d orders were made", n)
		}
		if got := w.log(w.ids[4]); !slices.Equal(got, []string{"reboot.ups refused PLAN_BASIC"}) {
			t.Errorf("the log of what was refused has %q", got)
		}
		if got := w.log("o_bob"); len(got) != 3 { // the beginning, and two refusals of devices that are none of his any more
			t.Errorf("PERM-9: the log of who has no right any more has %q", got)
		}
	})
}

// TestPERM10AJobTellsNothingOfADeviceBehindTheEndOfARight: its reader's right has ended, or is a new one.
func TestPERM10AJobTellsNothingOfADeviceBehindTheEndOfARight(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db, 2, noLimits)
		w.share(w.ids...)
		bob := person("bob")
		j, _, err := w.ask(bob, Request{Devices: w.ids, Action: policy.AlarmMute})
		must(t, err)
		w.pass()
		w.clock = w.clock.Add(time.Minute)
		leave := func(ctx context.Context, tx *store.Tx) error { return w.devices.Leave(ctx, tx, bob, w.ids[0]) }
		again := func(ctx context.Context, tx *store.Tx) error {
			d, err := device.Get(ctx, tx, w.ids[0])
			if err == nil {
				_, err = w.devices.Share(ctx, tx, d, bob.Account, bob.Ref, "bob@example.com")
			}
			return err
		}
		for _, step := range []func(context.Context, *store.Tx) error{leave, again} {
			w.write(step)
			w.write(func(ctx context.Context, tx *store.Tx) error {
				_, items, err := w.desk.Get(ctx, tx, bob, j.ID)
				if err != nil {
					return err
				}
				if i := items[0]; i.State != Withheld || i.Order != "" || i.Reason != "" || items[1].State != "pending" {
					t.Errorf("%+v", items)
				}
				return nil
			})
		}
	})
}

// TestT07AJobIsNoWayAroundLimits: those of a device hold for orders of jobs and beside them; those of an actor are for single orders alone, and
// of jobs an account has so many at work and so many devices in a day.
func TestT07AJobIsNoWayAroundLimits(t *testing.T) {
	onSQLite(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db, 12, order.DefaultLimits())
		fifty := 50
		reboot := Request{Devices: w.ids, Action: policy.RebootUPS, AtOnce: &fifty}
		for range 3 { // 36 orders in a minute: 12 devices, three each
			j, _, err := w.ask(ada, reboot)
			must(t, err)
			w.pass()
			for _, id := range w.open(j.ID) {
				w.tell(id, wire.OrderDone, "")
			}
			w.pass()
			w.want(j.ID, Completed, "done 12")
		}
		_, _, err := w.ask(ada, reboot)
		var refused *RefusedError
		if !errors.As(err, &refused) || refused.First.Reason != policy.RateLimit || refused.First.Retry == 0 {
			t.Errorf("a fourth reboot of each: %v", err)
		}
		w.write(func(ctx context.Context, tx *store.Tx) error {
			_, err := w.book.Create(ctx, tx, ada, order.Request{Device: w.ids[0], Action: policy.AlarmMute})
			if err != nil {
				t.Errorf("jobs have used up the limit of single orders: %v", err)
			}
			if _, err = w.book.Create(ctx, tx, ada, order.Request{Device: w.ids[0], Action: policy.RebootUPS}); reasonOf(t, err) != policy.RateLimit {
				t.Errorf("a single order beside jobs: %v", err)
			}
			return nil
		})
		// What a device may is asked again when its turn comes.
		w.clock = w.clock.Add(time.Hour)
		j, _, err := w.ask(ada, reboot)
		must(t, err)
		w.write(func(ctx context.Context, tx *store.Tx) error {
			for range 3 {
				if _, err := w.book.Create(ctx, tx, ada, order.Request{Device: w.ids[7], Action: policy.RebootUPS}); err != nil {
					return err
				}
			}
			return nil
		})
		w.write(func(ctx context.Context, tx *store.Tx) error {
			for n := range 17 { // with the three, all that an actor may in a minute
				if _, err := w.book.Create(ctx, tx, ada, order.Request{Device: w.ids[8+n%4], Action: policy.AlarmMute}); err != nil {
					return err
				}
			}
			return nil
		})
		w.pass()
		if got := w.state(j.ID, w.ids[7]); got != "refused RATE_LIMIT" {
			t.Errorf("the device that had its reboots is %s", got)
		}
		w.want(j.ID, Running, "at_work 11 refused 1")
	})
}

func TestT07AnAccountHasSoManyJobsAndDevices(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db, 4, noLimits)
		w.desk.limits = Limits{Open: 2, Day: 14, LoadDay: 4}
		test := Request{Devices: w.ids, Action: policy.DiagnosticsRun, Params: map[string]string{"test": "self"}}
		reboot := Request{Devices: w.ids[:3], Action: policy.RebootUPS}
		first, _, err := w.ask(ada, reboot)
		must(t, err)
		if _, _, err := w.ask(ada, Request{Devices: w.ids[:2], Action: policy.RebootUPS}); reasonOf(t, err) != policy.RateLimit {
			t.Errorf("five devices that may lose their load in a day of four: %v", err)
		}
		_, _, err = w.ask(ada, test)
		must(t, err)
		if _, _, err := w.ask(ada, test); reasonOf(t, err) != policy.RateLimit {
			t.Errorf("a third job at work: %v", err)
		}
		must(t, w.cancel(ada, first.ID))
		w.pass()
		_, _, err = w.ask(ada, test)
		must(t, err)
		w.exec(`UPDATE jobs SET ended_at = 1`)
		if _, _, err := w.ask(ada, test); reasonOf(t, err) != policy.RateLimit {
			t.Errorf("fifteen devices in a day of fourteen: %v", err)
		}
		w.clock = w.clock.Add(day)
		_, _, err = w.ask(ada, test)
		must(t, err)
	})
}

// TestT07AJobAsksForAFreshSecondFactorOnce, where its action is one that does.
func TestT07AJobAsksForAFreshSecondFactorOnce(t *testing.T) {
	onSQLite(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db, 3, noLimits)
		stale, fresh := ada, ada
		stale.HasFactor, fresh.HasFactor, fresh.MFA, fresh.FactorAt = true, true, true, w.clock
		reboot := Request{Devices: w.ids, Action: policy.RebootUPS, AtOnce: two()}
		if _, _, err := w.ask(stale, reboot); reasonOf(t, err) != policy.StepUpRequired {
			t.Errorf("%v", err)
		}
		if _, _, err := w.ask(stale, Request{Devices: w.ids, Action: policy.AlarmMute}); err != nil {
			t.Errorf("nothing of this asks for it: %v", err)
		}
		j, _, err := w.ask(fresh, reboot)
		must(t, err)
		w.pass()
		w.clock = w.clock.Add(30 * time.Minute) // it is not fresh any more, and was given
		for _, id := range w.open(j.ID) {
			w.tell(id, wire.OrderDone, "")
		}
		w.pass()
		w.want(j.ID, Running, "at_work 1 done 2")
	})
}

// TestT07TheJobsOfAnAccountEndWithItsSessions: whoever ends them all, or closes the account, does not trust what was begun.
func TestT07TheJobsOfAnAccountEndWithItsSessions(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db, 4, noLimits)
		j, more := w.job(func(r *Request) { r.AtOnce = two() }), w.job(func(r *Request) { r.AtOnce = two() })
		w.pass()
		w.write(func(ctx context.Context, tx *store.Tx) error { return w.desk.SignedOut(ctx, tx, "a_nobody") })
		w.want(j.ID, Running, "at_work 2 waiting 2")
		w.write(func(ctx context.Context, tx *store.Tx) error { return w.desk.SignedOut(ctx, tx, ada.Account) })
		w.pass()
		for _, id := range []string{j.ID, more.ID} {
			w.want(id, Cancelled, "cancelled 4")
		}
		j = w.job(func(r *Request) { r.AtOnce = two() })
		w.pass()
		w.exec(`DELETE FROM accounts`)
		w.pass()
		w.want(j.ID, Cancelled, "cancelled 4")
		if got := w.log("o_ada"); !slices.Contains(got, "job.cancel done ") {
			t.Errorf("the log has %q", got)
		}
	})
}
