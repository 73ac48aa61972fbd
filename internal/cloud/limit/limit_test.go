package limit_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/limit"
	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/policy"
)

var threeAnHour = limit.Limit{Name: "test", Most: 3, Per: time.Hour}

// TestALimitHoldsForItsTimeAndForEachAlone: the hour begins with the first, who is refused is told how long to wait, and what is refused does
// not count.
func TestALimitHoldsForItsTimeAndForEachAlone(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		begun := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		spend := func(behind time.Duration, of ...string) error {
			var list []limit.Count
			for _, o := range of {
				list = append(list, threeAnHour.Of(o))
			}
			return db.Write(t.Context(), func(ctx context.Context, tx *store.Tx) error { return limit.Spend(ctx, tx, begun.Add(behind), list...) })
		}
		for i := range 3 {
			if err := spend(time.Duration(i)*time.Minute, "ann"); err != nil {
				t.Fatalf("spending %d of 3: %v", i+1, err)
			}
		}
		var refused *cloud.Error
		if err := spend(59*time.Minute, "ann"); !errors.As(err, &refused) || refused.Reason != policy.RateLimit || refused.Retry != time.Minute {
			t.Errorf("the fourth: %v, want RATE_LIMIT for a minute", err)
		}
		if err := spend(59*time.Minute, "bob", "ann"); !errors.As(err, &refused) {
			t.Errorf("bob together with ann: %v", err)
		}
		for range 3 {
			if err := spend(59*time.Minute, "bob"); err != nil {
				t.Fatalf("bob, for whom nothing has counted yet: %v", err)
			}
		}
		if err := spend(time.Hour, "ann"); err != nil {
			t.Errorf("when the hour is over: %v", err)
		}
	})
}
