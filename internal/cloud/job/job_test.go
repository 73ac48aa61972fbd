package job

import (
	"slices"
	"testing"

	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/wire"
)

func TestEDGE9EachDeviceOfAJobHasOneEnd(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db, 7, noLimits)
		three := 3
		j := w.job(func(r *Request) { r.AtOnce = &three })
		w.want(j.ID, Running, "waiting 7")
		w.pass()
		w.want(j.ID, Running, "at_work 3 waiting 4")
		for range 7 {
			open := w.open(j.ID)
			if len(open) == 0 || len(open) > 3 {
				t.Fatalf("%d orders at once", len(open))
			}
			w.tell(open[0], wire.OrderDone, "")
			w.pass()
		}
		if j := w.want(j.ID, Completed, "done 7"); j.EndedAt.IsZero() {
			t.Error("it has no end")
		}
		if got := w.log("o_ada"); !slices.Equal(got, []string{"job.begin accepted ", "job.end done "}) {
			t.Errorf("the organisation's log has %q", got)
		}
		if got := w.log("d_003"); !slices.Equal(got, []string{"diagnostics.run accepted ", "diagnostics.run done "}) {
			t.Errorf("the device's log has %q", got)
		}
	})
}
