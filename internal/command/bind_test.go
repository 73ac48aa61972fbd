package command_test

import (
	"testing"
	"time"

	"upsedge/internal/command"
	"upsedge/internal/policy"
)

// TestWhoReadsUnitsWaitsForNoOrder: whose the units are is known while an order waits for a disk that stands still.
func TestWhoReadsUnitsWaitsForNoOrder(t *testing.T) {
	s := newSite(t, t.TempDir())
	s.unit("AS1")
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	defer s.end()
	s.connect()
	s.say(bind("AS1", 4, policy.Advanced, 1))
	release := s.x.Stall()
	answer := make(chan map[string]command.Bind, 1)
	go func() {
		binds, _ := s.x.Binds()
		answer <- binds
	}()
	select {
	case binds := <-answer:
		if binds["AS1"].Epoch != 4 {
			t.Errorf("binds %v, want epoch 4", binds)
		}
	case <-time.After(10 * time.Second):
		t.Error("it waits")
	}
	release()
}
