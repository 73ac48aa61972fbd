package agent

import (
	"testing"
	"time"

	"upsedge/internal/clock"
	"upsedge/internal/store"
	"upsedge/internal/wire"
)

// TestWhatWasErasedOnPurposeIsNotLost: samples of a unit that nobody owned go when it gets an owner; a fresh enrolment is no trouble.
func TestWhatWasErasedOnPurposeIsNotLost(t *testing.T) {
	c, err := clock.New()
	if err != nil {
		t.Fatal(err)
	}
	a := &agent{clock: c}
	s := store.LaneStats{Dropped: map[wire.GapReason]uint64{wire.GapErasure: 3, wire.GapQuota: 2}}
	if got := a.waiting(wire.Samples, s, time.Now()).Dropped; got != 2 {
		t.Errorf("%d records are lost, want the 2 for which there was no room", got)
	}
}
