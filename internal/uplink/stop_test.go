package uplink

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/wire"
)

// What was put while the agent stopped is on disk; most often it can still be delivered.
func TestACleanStopDeliversWhatWasPutLast(t *testing.T) {
	for _, cloud := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b, spool := &pipeBroker{}, newMemSpool()
			change := func(*Config) {}
			if cloud {
				b.cloud, change = newPipeCloud(), enrolled(spool)
			}
			s := pipeSession(b, spool, change)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- s.Run(ctx) }()
			time.Sleep(time.Minute)
			for range 20 {
				spool.put(wire.Samples, 100)
				spool.put(wire.Events, 100)
			}
			cancel() // before the session has seen any of it, or at the same instant
			stopped := time.Now()
			if err := <-done; err != nil {
				t.Error(err)
			}
			b.done.Wait()
			if took := time.Since(stopped); took > time.Second || !drained(spool, 20, 20)() {
				t.Errorf("cloud %v: the stop took %v and freed through %d and %d, want 20 each", cloud, took,
					spool.ackedThrough(wire.Events), spool.ackedThrough(wire.Samples))
			}
			if got := b.got[len(b.got)-1]; got.state == nil || form(*got.state) != "offline" {
				t.Errorf("cloud %v: the last message is no goodbye", cloud)
			}
		})
	}
}

// A cloud that acknowledges nothing, and a backlog without end, hold a stop up for no longer than lastDrain.
func TestAStopWaitsForNobody(t *testing.T) {
	for name, silent := range map[string]bool{"silent cloud": true, "backlog on a slow link": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, spool := &pipeBroker{cloud: newPipeCloud()}, newMemSpool()
				b.cloud.silent = silent
				for range 1000 {
					spool.put(wire.Samples, 1000)
				}
				s := pipeSession(b, spool, func(c *Config) {
					enrolled(spool)(c)
					if !silent {
						c.MaxRate = 10_000
					}
				})
				if took := inBubble(t, s, b, 5*time.Second, nil); took > 2*time.Second {
					t.Errorf("the stop took %v", took)
				}
				if got := b.got[len(b.got)-1]; got.state == nil || form(*got.state) != "offline" {
					t.Error("the last message is no goodbye")
				}
			})
		})
	}
}
