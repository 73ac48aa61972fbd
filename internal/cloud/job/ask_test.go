package job

import (
	"context"
	"slices"
	"testing"

	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/policy"
	"upsedge/internal/wire"
)

func TestPERM9AJobOfStrangeDevicesIsNone(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db, 2, noLimits)
		_, _, err := w.ask(person("bob"), Request{Devices: w.ids, Action: policy.AlarmMute})
		if reasonOf(t, err) != policy.NotFound {
			t.Errorf("%v", err)
		}
		j := w.job(nil)
		if err := w.cancel(person("bob"), j.ID); reasonOf(t, err) != policy.NotFound {
			t.Errorf("%v", err)
		}
	})
}

func TestACancelledJobBeginsNothingMore(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db, 5, noLimits)
		three := 3
		j := w.job(func(r *Request) { r.AtOnce = &three })
		w.pass()
		runs := w.open(j.ID)[1]
		w.tell(runs, wire.OrderRunning, "")
		must(t, w.cancel(ada, j.ID))
		w.want(j.ID, Cancelled, "at_work 1 cancelled 4")
		w.tell(runs, wire.OrderDone, "")
		w.pass()
		if j := w.want(j.ID, Cancelled, "cancelled 4 done 1"); j.EndedAt.IsZero() {
			t.Error("it has no end")
		}
		if err := w.cancel(ada, j.ID); reasonOf(t, err) != policy.Conflict {
			t.Errorf("cancelled twice: %v", err)
		}
	})
}

// TestT07AJobThatDropsLoadsIsTold once, when it is asked for, of the devices it is of; one that drops nothing is not.
func TestT07AJobThatDropsLoadsIsTold(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db, 3, noLimits)
		var told [][]string
		w.desk.drops = func(_ context.Context, _ *store.Tx, _ *Job, devices []string) error {
			told = append(told, devices)
			return nil
		}
		w.job(func(r *Request) { r.Action, r.Params = policy.AlarmMute, nil })
		w.job(func(r *Request) { r.Action, r.Params = policy.RebootUPS, nil })
		w.pass()
		if len(told) != 1 || !slices.Equal(told[0], w.ids) {
			t.Errorf("told of %v", told)
		}
	})
}
