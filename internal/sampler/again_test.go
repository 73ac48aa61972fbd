package sampler

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/ups"
)

// TestATierIsReadBeforeItsTime, once for any number of askings, of the unit that was asked for, and then a period later as always.
func TestATierIsReadBeforeItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(2, Config{})
		for _, u := range r.sampler.units {
			u.Rates = [ups.TierCount]time.Duration{ups.TierWatch: time.Second, ups.TierLive: 10 * time.Minute}
		}
		began := time.Now()
		ctx, cancel := context.WithDeadline(t.Context(), began.Add(30*time.Minute))
		defer cancel()
		go func() {
			time.Sleep(15 * time.Minute)
			for range 3 {
				r.sampler.Again("a", ups.TierLive)
			}
			r.sampler.Again("nobody", ups.TierLive)
		}()
		if err := r.sampler.Run(ctx); err != nil {
			t.Fatal(err)
		}
		at := func(m time.Duration) time.Time { return began.Add(m * time.Minute) }
		a, b := r.sources[0], r.sources[1]
		if n := a.between(ups.TierLive, at(14), at(16)); n != 1 {
			t.Errorf("%d reads of the tier when it was asked for", n)
		}
		if n := a.between(ups.TierLive, at(16), at(30)); n != 1 {
			t.Errorf("%d reads in the 14 minutes behind that", n)
		}
		if n := b.between(ups.TierLive, at(14), at(16)); n != 0 {
			t.Errorf("%d reads of the other unit's", n)
		}
	})
}
