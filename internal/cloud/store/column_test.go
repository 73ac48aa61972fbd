package store_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
)

func TestInstantsComeBackAndNoneStaysNone(t *testing.T) {
	for _, at := range []time.Time{{}, time.Date(2026, 3, 1, 12, 0, 0, 5e6, time.UTC), time.Date(1969, 12, 31, 0, 0, 0, 0, time.UTC)} {
		if got := store.Instant(store.Millis(at)); !got.Equal(at) || got.IsZero() != at.IsZero() {
			t.Errorf("%v comes back as %v", at, got)
		}
	}
}

func TestTextsAreThoseOfTheRowsAndAFailureIsTold(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		err := db.Read(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			got, err := tx.Texts(ctx, `SELECT 'b' UNION SELECT 'a' ORDER BY 1`)
			if !slices.Equal(got, []string{"a", "b"}) {
				t.Errorf("texts %q", got)
			}
			if err != nil {
				return err
			}
			_, err = tx.Texts(ctx, `SELECT nothing FROM nowhere`)
			return err
		})
		if err == nil {
			t.Error("a question that fails told nothing")
		}
	})
}
