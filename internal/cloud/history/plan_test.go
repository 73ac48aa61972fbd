package history_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/history"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

// TestPLAN4AndPLAN5HistoryIsHiddenOnBasicAndShownAgain (D-15): with what was stored before and meanwhile (PLAN-10).
func TestPLAN4AndPLAN5HistoryIsHiddenOnBasicAndShownAgain(t *testing.T) {
	each(t, func(w *world) {
		r := rand.New(rand.NewPCG(4, 5))
		owner := cloud.Actor{Ref: "u_1", Account: "a_1", Org: "o_1"}
		plan := func(p policy.Plan) {
			w.write(func(ctx context.Context, tx *store.Tx) error {
				_, err := tx.Exec(ctx, `UPDATE devices SET plan = $1 WHERE id = $2`, string(p), dev)
				return err
			})
		}
		w.now = start.Add(5 * time.Hour)
		ask := func() (n int, err error) {
			q := history.Question{Device: dev, Points: asked, From: start, To: start.Add(4 * time.Hour), Step: time.Minute, May: func(ctx context.Context, tx *store.Tx) error {
				_, _, err := device.May(ctx, tx, owner, dev, policy.MonitorHistory, w.now)
				return err
			}}
			got, err := history.NewReader(w.db, func() time.Time { return w.now }).Ask(t.Context(), &q)
			for _, s := range got {
				n += len(s.Cells)
			}
			return n, err
		}
		w.block(rows(r, 0, time.Minute, 5), 1, true)
		w.follow()
		before, err := ask()
		w.must(err)
		plan(policy.Basic)
		w.block(rows(r, time.Hour, time.Minute, 5), 1, true)
		w.follow()
		if n, err := ask(); err == nil || n != 0 {
			t.Errorf("on basic: %d values, %v", n, err)
		}
		plan(policy.Standard)
		after, err := ask()
		w.must(err)
		if before == 0 || after <= before {
			t.Errorf("%d values before the drop, %d behind the upgrade", before, after)
		}
	})
}
