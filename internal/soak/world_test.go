package soak

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"upsedge/internal/testenv"
	"upsedge/internal/ups/upssim"
)

// patience is how long something may take that has to come. It is never waited for where it does come.
const patience = 90 * time.Second

// agentID is the agent's name on the broker.
const agentID = "soak"

// A world is one site with everything between its units and the receiver, over many rounds.
type world struct {
	t        testing.TB
	rng      *rand.Rand
	dir      string // of configurations and logs
	state    string // of the agent
	boot     *boot  // of the box; nil: the machine's
	broker   *testenv.Broker
	up, down *proxy // between agent and broker, and between receiver and broker
	units    []*upssim.Unit
	addrs    []string
	book     *book
	agent    *process
	run      *run
	receiver *process
	cloud    receiverRole
	counts   map[string]int // of what was done
	forgot   bool           // the broker was killed: what it had acknowledged may come behind what came later
	held     *holding       // of the last reckoning
	ground   ground
	disk     *testenv.Disk // nil: the agent's state lies where everything does
}

func newWorld(t testing.TB, rng *rand.Rand, on ground, count *tally) *world {
	t.Helper()
	w := &world{t: t, rng: rng, dir: t.TempDir(), book: newBook(), counts: map[string]int{}, ground: on}
	w.state = w.file("state")
	if on.fs != "" {
		w.disk = testenv.NewDisk(t, on.fs)
		w.state = filepath.Join(w.disk.Dir, "state")
	}
	conf, addr := on.brokerConf(), ""
	if on.tls {
		var second string
		addr, second = w.tlsListener()
		conf += "\n" + second
	}
	w.broker = testenv.Mosquitto(t, conf)
	w.up, w.down = newProxy(t, "agent", cmp.Or(addr, w.broker.Addr), count), newProxy(t, "receiver", w.broker.Addr, count)
	w.up.opaque = on.tls
	for i := range max(2, on.units) {
		u := upssim.New(upssim.Options{Seed: uint64(i + 1), AliveWhenEmpty: true})
		w.units, w.addrs = append(w.units, u), append(w.addrs, serve(t, u))
	}
	if !on.alone {
		w.enrol()
	}
	w.configure("agent.yaml", true)
	w.configure("drain.yaml", false)
	w.cloud.Broker, w.cloud.Dir = "tcp://"+w.down.addr, w.file("receiver")
	w.startReceiver()
	select {
	case <-w.receiver.ready: // the broker keeps its session from now on
	case <-time.After(patience):
		t.Fatal("the receiver does not become ready")
	}
	t.Cleanup(func() {
		w.killReceiver()
		if w.agent != nil {
			w.agent.kill()
		}
		if t.Failed() {
			w.keep()
		}
	})
	return w
}

// serve puts a unit on a TCP port of its own.
func serve(t testing.TB, u *upssim.Unit) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() {
		served <- upssim.ServeTCP(ctx, l, map[uint8]*upssim.Unit{1: u}, upssim.TCPOptions{Turnaround: 2 * time.Millisecond})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

func (w *world) configure(name string, units bool) {
	link := fmt.Sprintf("{broker: \"tcp://%s\", insecure: true, agent_id: %s}", w.up.addr, agentID)
	if w.ground.tls {
		link = fmt.Sprintf("{broker: \"tls://%s\", tls: {ca_file: %s, cert_file: %s, key_file: %s}}",
			w.up.addr, w.file("ca.crt"), w.file("agent.crt"), w.file("agent.key"))
	}
	text := fmt.Sprintf(`state_dir: %s
spool: {flush: 100ms}
uplink: %s
metrics: {listen: ""}
local: {listen: "", socket: ""}
`, w.state, link)
	if units {
		text += "units:\n"
		for i, addr := range w.addrs {
			text += fmt.Sprintf("  - {name: rack-%d, tcp: {address: %q}, poll: {watch: %v, status: %v, live: %v}}\n", i+1, addr, w.ground.watch(), 2*w.ground.watch(), 2*w.ground.watch())
		}
	}
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) file(name string) string { return filepath.Join(w.dir, name) }

func (w *world) killBroker() {
	w.forgot = true
	w.broker.Kill()
}

// startAgent starts a run with a configuration; it does not wait until the agent is ready.
func (w *world) startAgent(config string) {
	w.t.Helper()
	w.start(role{Config: w.file(config)})
}

func (w *world) start(r role) {
	w.t.Helper()
	r.MaxBytes, r.Boot = w.ground.maxBytes, w.boot
	page, hear := w.book.begin()
	w.run = page
	w.agent = launch(w.t, r, w.file("agent.log"), hear)
}

func (w *world) killAgent() {
	if w.agent == nil {
		return
	}
	w.agent.kill()
	w.book.end(w.run, false)
	w.agent = nil
}

func (w *world) stopAgent() {
	w.t.Helper()
	w.settle() // before that it may not listen to signals
	code := w.agent.stop()
	w.book.end(w.run, code == 0)
	w.agent = nil
	if code != 0 {
		w.t.Errorf("the agent ended with exit code %d", code)
	}
}

// mend lets everything run undisturbed.
func (w *world) mend() {
	w.t.Helper()
	w.up.lift()
	w.down.lift()
	w.mendAgent()
	if w.receiver != nil && w.receiver.over() {
		w.t.Errorf("the receiver ended by itself: %v", w.receiver.cmd.ProcessState)
		w.killReceiver()
	}
	if w.receiver == nil {
		w.startReceiver()
	}
}

// mendAgent starts the agent where it does not run.
func (w *world) mendAgent() {
	w.t.Helper()
	if w.agent != nil && w.agent.over() {
		if !w.run.unsure {
			w.t.Errorf("the agent ended by itself: %v", w.agent.cmd.ProcessState)
		}
		w.killAgent()
	}
	if w.agent == nil {
		w.startAgent("agent.yaml")
	}
}

func (w *world) pause(most int) { time.Sleep(time.Duration(w.rng.IntN(most+1)) * time.Millisecond) }

// settle waits until the agent is ready.
func (w *world) settle() {
	select {
	case <-w.agent.ready:
	case <-w.agent.gone:
	case <-time.After(patience):
		w.t.Error("the agent does not become ready")
	}
}
