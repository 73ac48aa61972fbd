package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/config"
	"upsedge/internal/ups"
	"upsedge/internal/ups/modbus"
	"upsedge/internal/ups/upssim"
)

// TestADeadUnitOnASerialLineCostsTheOthersOneTimeout: the whole line, from the schedule to the paced bytes of a simulated cable, with
// three units at the default rates. One falls silent for three minutes: the status words of the others get older by one time-out,
// now and then, nobody else becomes stale, and it is found again within a back-off.
func TestADeadUnitOnASerialLineCostsTheOthersOneTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newSerialLine(t, 3)
		units, sims, port := l.units, l.sims, l.port

		// oldest watches the words of rack-2 and rack-3 for a while.
		oldest := func(d time.Duration) (age time.Duration) {
			for until := time.Now().Add(d); time.Now().Before(until); time.Sleep(5 * time.Millisecond) {
				for _, u := range units[1:] {
					u.mu.Lock()
					age = max(age, time.Since(u.state.At(ups.TierWatch)))
					if u.stale(time.Now()) {
						t.Fatalf("%s is stale", u.cfg.Name)
					}
					u.mu.Unlock()
				}
			}
			return age
		}
		time.Sleep(30 * time.Second) // connected, and behind what connecting set off
		usual := oldest(time.Minute)
		port.asked.Store(0)
		sims[1].Faults().For(upssim.Deaf, 3*time.Minute)
		silent := oldest(3 * time.Minute)
		timeouts := port.asked.Swap(0)
		t.Logf("words get %v old while all answer, %v with a dead unit; %v time-outs in three minutes", usual, silent, timeouts)
		const timeout = 2 * time.Second                                    // the longest there is: the first misses double it (design, section 4)
		if most := usual + timeout + 200*time.Millisecond; silent > most { // and the block behind it
			t.Errorf("words got %v old, want at most %v", silent, most)
		}
		if timeouts < 15 || timeouts > 22 { // 1, 2, 4, 8, 10, 10 … s apart
			t.Errorf("%v time-outs in three minutes, want one per back-off", timeouts)
		}
		if u := units[0]; !u.stale(time.Now()) {
			t.Error("the silent unit is not stale")
		}
		oldest(15 * time.Second)
		if u := units[0]; u.stale(time.Now()) {
			t.Error("the unit answers again and is stale 15 s later")
		}
		l.stop()
	})
}

// A serialLine is a line of a site with simulated units on a paced cable, running.
type serialLine struct {
	*world
	site  *site
	units []*unit
	sims  map[uint8]*upssim.Unit
	port  *tallied
	stop  func()
}

func newSerialLine(t *testing.T, n uint8) *serialLine {
	w := newWorld(t)
	l := &serialLine{world: w, site: w.site(), sims: map[uint8]*upssim.Unit{}}
	byName := map[string]*unit{}
	for id := uint8(1); id <= n; id++ {
		u := w.unit(serialUnit(fmt.Sprintf("rack-%d", id), "/dev/ttyUSB0", id))
		u.line, u.stretch = "rack-1", float64(n)
		l.units, byName[u.cfg.Name] = append(l.units, u), u
		l.sims[id] = upssim.New(upssim.Options{Seed: uint64(id)})
	}
	near, far := upssim.NewCable()
	l.port = &tallied{End: near}
	over, end := context.WithCancel(t.Context())
	served, ran, flushed := make(chan error, 1), make(chan error, 1), make(chan error, 1)
	go func() {
		served <- upssim.ServeSerial(over, far, upssim.SerialOptions{Turnaround: 10 * time.Millisecond, SleepUntil: sleepUntil}, l.sims)
	}()
	open := func(config.Unit) func(context.Context) (modbus.Link, error) {
		return func(context.Context) (modbus.Link, error) { return l.port, nil }
	}
	line := newLine(l.units, &sink{units: byName, recorder: l.site.recorder, changed: l.site.notify}, open, l.site.series, w.log)
	go func() { ran <- line.run(over) }()
	go func() {
		flushed <- l.site.flusher.run(over, 10*time.Hour, func() []*unit { return slices.Clone(l.units) })
	}()
	l.stop = func() {
		end()
		if err := errors.Join(<-ran, <-flushed); err != nil {
			t.Error(err)
		}
		near.Close()
		<-served
	}
	return l
}

// tallied is the agent's end of a cable. It counts the requests to unit 1.
type tallied struct {
	*upssim.End
	asked atomic.Int64
}

func (c *tallied) Write(p []byte) (int, error) {
	if p[0] == 1 {
		c.asked.Add(1)
	}
	return c.End.Write(p)
}
