package soak

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"upsedge/internal/store"
	"upsedge/internal/wire"
)

// reckon lets everything be delivered and returns what is wrong with what the receiver holds then.
func (w *world) reckon() []string {
	w.t.Helper()
	w.up.disarm()
	w.down.disarm()
	w.mend()
	w.up.leave(false)
	w.stopAgent()
	var stats store.Stats
	var stream wire.ID
	for range 5 { // an agent says that it starts, and that may come behind everything
		stats, stream = w.drain()
		if stats.Events.Records+stats.Samples.Records == 0 || w.book.behind(w.t, w.cloud.Dir) > 0 {
			break
		}
	}
	var c complaints
	held := readHolding(w.t, w.cloud.Dir, &c)
	w.book.compare(held, rules{quota: w.ground.maxBytes > 0, late: w.forgot}, &c)
	holes(held, stream, stats, &c)
	if n := stats.Events.Records + stats.Samples.Records; n > 0 {
		c.add("waiting", "%d records still wait in the store", n)
	}
	w.readLogs(&c)
	w.held = held
	return c.all()
}

// readLogs adds what no process may have said.
func (w *world) readLogs(c *complaints) {
	for _, log := range []string{"agent.log", "receiver.log"} {
		text, err := os.ReadFile(w.file(log))
		if err != nil {
			c.add("log", "%v", err)
		}
		for _, word := range []string{"DATA RACE", "panic: ", "fatal error: "} {
			if bytes.Contains(text, []byte(word)) {
				c.add("log", "%s has %q", log, word)
			}
		}
	}
}

// drain lets an agent without units deliver what waits, ends everything and returns what the agent's store says then.
func (w *world) drain() (store.Stats, wire.ID) {
	w.t.Helper()
	w.killReceiver() // its pauses between attempts have grown long
	w.startReceiver()
	w.startAgent("drain.yaml")
	w.settle()
	for deadline := time.Now().Add(patience); w.book.behind(w.t, w.cloud.Dir) > 0 && time.Now().Before(deadline); {
		time.Sleep(20 * time.Millisecond)
	}
	time.Sleep(1200 * time.Millisecond) // what is acknowledged is deleted within a second; another turn finds what this one left
	w.killAgent()
	w.killReceiver()
	s, err := store.Open(w.t.Context(), w.state, store.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	stats, stream := s.Stats(), s.Stream()
	if err := s.Close(); err != nil {
		w.t.Fatal(err)
	}
	return stats, stream
}

// keep copies what a person needs to look at a failure.
func (w *world) keep() {
	to := filepath.Join(os.TempDir(), "upsedge-soak", fmt.Sprint(time.Now().UnixNano()))
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err == nil {
		err = os.CopyFS(to, os.DirFS(w.dir))
		if w.disk != nil {
			err = errors.Join(err, os.CopyFS(filepath.Join(to, "disk"), os.DirFS(w.state)))
		}
		w.t.Logf("logs and state are kept in %s (%v)", to, err)
	}
}
