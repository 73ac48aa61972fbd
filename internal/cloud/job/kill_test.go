package job

import (
	"context"
	"testing"

	"upsedge/internal/cloud/order"
	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/wire"
)

// TestEDGE9AKillAtEachStepOfAJobLeavesEachDeviceOneEnd: the program dies at the first call to the database, at the second, and so on until a
// whole step needs fewer; also where a commit was made and it never learnt. What starts behind it finishes the job.
func TestEDGE9AKillAtEachStepOfAJobLeavesEachDeviceOneEnd(t *testing.T) {
	c := storetest.SQLite(t)
	w := newWorld(t, storetest.Open(t, c), 2, noLimits)
	faults := &storetest.Faults{}
	c.Wrap = faults.Wrap
	dying := storetest.Open(t, c)
	deaths := 0
	for call, unhurt := int64(1), 0; unhurt < 2; call++ {
		unhurt = 0
		for _, late := range []bool{false, true} {
			book, err := order.New(order.Config{DB: dying, Signer: unsigned{}, Now: w.desk.now, Limits: noLimits})
			must(t, err)
			desk, err := New(Config{DB: dying, Orders: book, Now: w.desk.now})
			must(t, err)
			j := w.job(func(r *Request) { one := 1; r.AtOnce = &one })
			faults.Late.Store(late)
			faults.Commits.Store(late) // there it matters what is learnt
			faults.Arm(call, 1<<40)
			if _, err := desk.Pass(context.Background()); err != nil {
				deaths++
			} else {
				unhurt++
			}
			faults.Arm(1, 0)
			w.finish(j.ID)
		}
	}
	t.Logf("%d deaths", deaths)
	if deaths < 30 {
		t.Error("nothing died")
	}
	if n := w.number(`SELECT COUNT(*) FROM orders`) - 2*w.number(`SELECT COUNT(*) FROM jobs`); n != 0 {
		t.Errorf("%d orders more than turns", n)
	}
}

// finish sees a job through, with each order done, and wants one end for each device.
func (w *world) finish(id string) {
	w.t.Helper()
	for range 3 {
		w.pass()
		open := w.open(id)
		if len(open) > 1 {
			w.t.Errorf("%d orders at once", len(open))
		}
		for _, o := range open {
			w.write(func(ctx context.Context, tx *store.Tx) error { return w.report(ctx, tx, o, wire.OrderDone, "") })
		}
	}
	w.want(id, Completed, "done 2")
}
