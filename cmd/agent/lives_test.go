package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"upsedge/internal/testenv"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// A simulator is the built upssim, told what happens on its standard input.
type simulator struct {
	t     testing.TB
	stdin io.Writer
	addrs []string // of its units on TCP
}

// simulate starts upssim with one unit on a pseudo terminal at tty and as many on TCP; the first is the same.
func simulate(t testing.TB, tty string, units int) *simulator {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), testenv.Build(t, "./cmd/upssim"), "--pty", tty, "--tcp", "127.0.0.1:0", "--units", fmt.Sprint(units))
	cmd.Env = append(os.Environ(), hasty)
	cmd.Stderr = io.Discard
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() }) // the test's context has ended it
	ready, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("upssim said %q: %v", ready, err)
	}
	s := &simulator{t: t, stdin: in}
	for _, f := range strings.Fields(ready) {
		if addr, ok := strings.CutPrefix(f, "tcp="); ok {
			s.addrs = append(s.addrs, addr)
		}
	}
	if len(s.addrs) != units {
		t.Fatalf("upssim said %q, want %d addresses", ready, units)
	}
	return s
}

// say lets words happen to the n-th unit, from 1.
func (s *simulator) say(n int, words string) {
	for _, w := range strings.Fields(words) {
		if _, err := fmt.Fprintf(s.stdin, "%d:%s\n", n, w); err != nil {
			s.t.Errorf("upssim does not listen: %v", err)
		}
	}
}

// TestLivesOfRealParts plays a handful of lives with nothing in this process but the receiver: upssim on a pseudo terminal and
// on TCP, upsagent, mosquitto. Every life of the catalogue, on a clock of its own, is in internal/agent.
func TestLivesOfRealParts(t *testing.T) {
	t.Parallel()
	type step struct{ words, want string } // what happens, and the events that come of it
	lives := []struct {
		name  string
		steps []step
	}{
		{"an outage, over the serial line", []step{{"mains-fail", "raise 101"}, {"mains-return", "clear 101, event 102"}}},
		{"low battery", []step{{"mains-fail", "raise 101"}, {"low-battery", "raise 201"}, {"mains-return", "clear 201, event 202"}}},
		{"a self-test", []step{{"self-test", "raise 103, raise 502, event 503, clear 502, clear 103"}}},
		{"an overload", []step{{"overload", "raise 301"}, {"load=0.3", "clear 301, event 302"}}},
		{"an outlet group", []step{{"write=1034:0 outlet=off:sog0", "event 602"}, {"outlet=on:sog0", "event 601"}}},
		{"silence", []step{{"deaf", "raise 801"}, {"talk", "clear 801, event 803"}}},
	}
	broker := testenv.Mosquitto(t, keepAll)
	cloud := collect(t, broker, "cloud")
	tty := filepath.Join(t.TempDir(), "tty")
	sim := simulate(t, tty, len(lives))
	config := fmt.Sprintf("uplink: {broker: \"tcp://%s\", insecure: true}\nunits:\n  - {name: unit-1, serial: {device: %s}}\n", broker.Addr, tty)
	for i, addr := range sim.addrs[1:] {
		config += fmt.Sprintf("  - {name: unit-%d, tcp: {address: %q}, poll: {watch: 200ms, status: 1s, live: 500ms}}\n", i+2, addr) // as on a serial line: a third of the work
	}
	agent := newPlace(t, config).start()
	for i := range lives {
		// So many reads that each block was read twice: only what changes after that is told.
		until(t, "reads of every unit", func() bool {
			n, err := strconv.Atoi(agent.series(fmt.Sprintf(`upsagent_modbus_requests_total{line="unit-%d",result="ok"}`, i+1)))
			return err == nil && n >= 60
		}, nil)
	}
	t.Run("lives", func(t *testing.T) {
		for i, l := range lives {
			t.Run(l.name, func(t *testing.T) {
				t.Parallel()
				unit := fmt.Sprintf("unit-%d", i+1)
				for _, s := range l.steps {
					sim.say(i+1, s.words)
					for want := range strings.SplitSeq(s.want, ", ") {
						until(t, want+" of "+unit, func() bool { return cloud.told(unit, want) },
							func() string { return fmt.Sprint(cloud.history().alarms(unit)) })
					}
				}
			})
		}
	})
	h := cloud.history()
	h.unbroken(t)
	raised := map[uint64]*wire.PublishedEvent{}
	for _, e := range h.inOrder() {
		switch {
		case e.Event == nil:
		case e.Event.Kind == ups.Raise:
			raised[e.Record.Seq] = e
		case e.Event.Kind == ups.Clear:
			if r := raised[e.Event.RaisedBy]; r == nil || r.Event.ID != e.Event.ID || r.Event.Unit != e.Event.Unit {
				t.Errorf("%v %d of %s says it was raised as number %d", e.Event.Kind, e.Event.ID, e.Event.Unit, e.Event.RaisedBy)
			}
		}
	}
	if code := agent.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// told reports whether an event, "raise 101", of a unit has come.
func (c *collector) told(unit, event string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.heard == nil {
		c.heard = map[string]bool{}
	}
	for ; c.looked < len(c.seen); c.looked++ { // each message is read once, however often is asked
		if m := c.seen[c.looked]; m.leaf == wire.TopicEvents {
			if e, err := wire.DecodeEventMessage(m.payload); err == nil && e.Event != nil {
				c.heard[fmt.Sprintf("%s %v %d", e.Event.Unit, e.Event.Kind, e.Event.ID)] = true
			}
		}
	}
	return c.heard[unit+" "+event]
}
