package order

import (
	"context"
	"strings"
	"testing"

	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/policy"
)

// TestT85ARefusalSaysNothingOfAnotherOrder: parameters that the log has for orders that there are, named in a request that is refused.
func TestT85ARefusalSaysNothingOfAnotherOrder(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.setPlan(policy.Basic)
		r := Request{Device: deviceID, Action: policy.RebootUPS, Params: map[string]string{"order": "forged", "device": "forged", "more": "forged", "delay": "none"}}
		_, err := w.create(owner, r)
		w.refused(owner, r, err)
		w.refused(alien, r, err)
		n := 0
		w.write(func(ctx context.Context, tx *store.Tx) error {
			rows, err := tx.Query(ctx, `SELECT params FROM event_log`)
			if err != nil {
				return err
			}
			defer rows.Close()
			for n = 0; rows.Next(); n++ {
				var params string
				if err := rows.Scan(&params); err != nil {
					return err
				}
				if strings.Contains(params, "forged") || !strings.Contains(params, "none") {
					t.Errorf("an entry with %s", params)
				}
			}
			return rows.Err()
		})
		if n != 2 {
			t.Errorf("%d entries, want 2", n)
		}
	})
}
