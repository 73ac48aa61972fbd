package uplink

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/wire"
)

// T-29: a hundred agents, ten minutes without a broker.
func TestAHundredAgentsReturnOverMoreThanAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const agents, outage = 100, 10 * time.Minute
		ctx, stop := context.WithCancel(t.Context())
		var all sync.WaitGroup
		brokers, spools := make([]*pipeBroker, agents), make([]*memSpool, agents)
		begin := time.Now()
		for i := range agents {
			spools[i] = newMemSpool()
			brokers[i] = &pipeBroker{cloud: newPipeCloud(), refuse: func(int) error {
				if away := time.Since(begin); away > time.Minute && away < time.Minute+outage {
					return errors.New("connection refused")
				}
				return nil
			}}
			s := pipeSession(brokers[i], spools[i], enrolled(spools[i]))
			all.Go(func() {
				if err := s.Run(ctx); err != nil {
					t.Errorf("Run = %v", err)
				}
			})
		}
		time.Sleep(time.Minute)
		for i := range agents {
			brokers[i].hangUp()
		}
		time.Sleep(outage / 2)
		for i := range agents { // a backlog, and an alarm that comes last
			for range 60 {
				spools[i].put(wire.Samples, 1000)
			}
			spools[i].put(wire.Events, 100)
		}
		time.Sleep(outage/2 + 3*time.Minute)
		var back []time.Duration
		for i, b := range brokers {
			dials := b.dialled()
			at := dials[len(dials)-1]
			back = append(back, at.Sub(begin)-time.Minute-outage)
			alarm := b.records()[0]
			if recordOf(alarm.pub).lane != wire.Events || alarm.at.Sub(at) > 5*time.Second {
				t.Errorf("agent %d: first record of lane %v %v after the connection, want its alarm within 5 s", i, recordOf(alarm.pub).lane, alarm.at.Sub(at))
			}
			if !drained(spools[i], 1, 60)() {
				t.Errorf("agent %d has not delivered everything", i)
			}
		}
		stop()
		all.Wait()
		for _, b := range brokers {
			b.done.Wait()
		}
		slices.Sort(back)
		t.Logf("back after %v (first), %v (median), %v (last)", back[0], back[agents/2], back[agents-1])
		if back[0] < 0 || back[agents-1]-back[0] < time.Minute || back[agents-1] > mostPause {
			t.Errorf("the agents returned %v to %v after the broker, want them over more than a minute", back[0], back[agents-1])
		}
		for i := range agents - 10 { // nowhere a crowd: evenly it would be ten in ten seconds or so
			if back[i+10]-back[i] < time.Second {
				t.Errorf("ten agents return within %v", back[i+10]-back[i])
				break
			}
		}
	})
}
