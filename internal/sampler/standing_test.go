package sampler

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// TestT65AReadThatNeverEndsIsSeen: the watchdog asks for how long a read has been in hand, which is never long, but where it hangs.
func TestT65AReadThatNeverEndsIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(1, Config{})
		hang := make(chan struct{})
		after := time.Now().Add(time.Hour)
		r.sources[0].fail = func() error {
			if time.Now().After(after) {
				<-hang
			}
			return nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- r.sampler.Run(ctx) }()
		for range 3600 {
			time.Sleep(time.Second)
			if d := r.sampler.Standing(); d > time.Second {
				t.Fatalf("a read of a unit that answers has been in hand for %v", d)
			}
		}
		time.Sleep(5 * time.Minute)
		if d := r.sampler.Standing(); d < 4*time.Minute {
			t.Errorf("a read that hangs has been in hand for %v", d)
		}
		cancel()
		close(hang)
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if d := r.sampler.Standing(); d != 0 {
			t.Errorf("nothing runs, and a read has been in hand for %v", d)
		}
	})
}
