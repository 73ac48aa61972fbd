package soak

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"upsedge/internal/testenv"
	"upsedge/internal/trust"
	"upsedge/internal/trust/sign"
	"upsedge/internal/ups/upssim"
	"upsedge/internal/wire"
)

// A chief is a cloud that gives orders over mosquitto: it answers each nonce with a statement, acknowledges what comes, and sends an
// order that has no end again with each nonce, with the same id.
type chief struct {
	t      testing.TB
	client mqtt.Client
	online ed25519.PrivateKey
	keys   string

	mu      sync.Mutex
	nonce   wire.ID
	counter uint64
	open    map[wire.ID]string // orders without an end, by their device
	serials map[string]string  // by unit
	seen    map[string]bool    // records
	ends    map[wire.ID][]wire.Result
	told    bool // a full state came for the nonce
}

func newChief(t testing.TB, broker, state string) *chief {
	rootKey, root, err := ed25519.GenerateKey(nil)
	onlineKey, online, err2 := ed25519.GenerateKey(nil)
	keys, err3 := sign.Keys(root, trust.Keys{Version: 1, Keys: []trust.Key{{Kid: "online", Key: onlineKey, Purposes: []string{trust.ForStatement, trust.ForCommand}}}})
	if err := errors.Join(err, err2, err3, os.MkdirAll(state, 0o700), trust.SaveRoot(state, rootKey)); err != nil {
		t.Fatal(err)
	}
	c := &chief{t: t, online: online, keys: keys, open: map[wire.ID]string{}, serials: map[string]string{}, seen: map[string]bool{}, ends: map[wire.ID][]wire.Result{}}
	c.client = mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + broker).SetClientID("chief").SetOrderMatters(false))
	for _, tok := range []func() mqtt.Token{c.client.Connect, func() mqtt.Token { return c.client.Subscribe("upsedge/v1/"+agentID+"/#", 1, c.hear) }} {
		if tok := tok(); tok.Wait() && tok.Error() != nil {
			t.Fatal(tok.Error())
		}
	}
	t.Cleanup(func() { c.client.Disconnect(100) })
	return c
}

func (c *chief) hear(_ mqtt.Client, m mqtt.Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch leaf := m.Topic()[strings.LastIndexByte(m.Topic(), '/')+1:]; leaf {
	case "state":
		s, err := wire.DecodeState(m.Payload())
		if err != nil || !s.Online || m.Retained() {
			return
		}
		if s.Nonce != c.nonce {
			c.nonce, c.told = s.Nonce, false
			c.state()
		}
		if s.Full != nil {
			c.full(s.Full)
		}
	case "events", "results":
		p, err := wire.DecodeEventMessage(m.Payload())
		if err != nil {
			c.t.Errorf("%s: %v", leaf, err)
			return
		}
		c.record(p)
	}
}

// full notes which units there are, and gives them to their owner with the next statement.
func (c *chief) full(f *wire.FullState) {
	before := len(c.serials)
	for _, u := range f.Units {
		if u.Serial != "" {
			c.serials[u.Unit] = u.Serial
		}
	}
	if len(c.serials) != before {
		c.state()
	}
	if c.told || len(c.serials) == 0 {
		return
	}
	c.told = true
	for id, device := range c.open { // it is not known whether they came
		c.order(id, device)
	}
}

func (c *chief) record(p *wire.PublishedEvent) {
	r := p.Record
	if msg, err := wire.EncodeAck(wire.Ack{Stream: r.Stream, Lane: wire.Events, Through: r.Seq}); err == nil {
		c.client.Publish("upsedge/v1/"+agentID+"/acks", 1, false, msg)
	}
	key := fmt.Sprint(r.Stream, r.Seq)
	if p.Result == nil || c.seen[key] {
		return
	}
	c.seen[key] = true
	if p.Result.State.Final() && !p.Result.Repeated {
		c.ends[p.Result.Order] = append(c.ends[p.Result.Order], *p.Result)
		delete(c.open, p.Result.Order)
	}
}

// state sends the statement for the nonce. The caller holds mu.
func (c *chief) state() {
	var entries []trust.Entry
	for _, serial := range c.serials {
		entries = append(entries, trust.Entry{Device: serial, Bind: &trust.Bind{Epoch: 1, Plan: "advanced", ValidUntil: time.Now().AddDate(1, 0, 0), GrantVersion: 1}})
	}
	msg, err := sign.Statement(c.online, "online", c.keys, agentID, c.nonce, trust.Statement{Time: time.Now(), Entries: entries})
	if err != nil {
		c.t.Error(err)
	}
	c.client.Publish("upsedge/v1/"+agentID+"/orders", 1, false, msg)
}

// order signs an order anew and sends it. The caller holds mu.
func (c *chief) order(id wire.ID, device string) {
	c.counter++
	msg, err := sign.Command(c.online, "online", trust.Command{
		Agent: agentID, Device: device, Epoch: 1, ID: id, Counter: c.counter, Nonce: c.nonce, MaxAge: time.Hour, Action: "diagnostics.run",
		Params: map[string]string{"test": "self"}, Actor: "u_1", Role: "owner", Plan: "advanced", GrantVersion: 1, IssuedAt: time.Now(),
	})
	if err != nil {
		c.t.Error(err)
	}
	c.client.Publish("upsedge/v1/"+agentID+"/orders", 1, false, msg)
}

// give orders a test of every unit.
func (c *chief) give(round int) (ids map[string]wire.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ids = map[string]wire.ID{}
	for unit, serial := range c.serials {
		id := wire.ID{byte(round), byte(round >> 8), unit[len(unit)-1], 5}
		ids[unit], c.open[id] = id, serial
		c.order(id, serial)
	}
	return ids
}

func (c *chief) waiting() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.open)
}

func (c *chief) ready(units int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.serials) == units && c.told
}

// hasty is a clock on which a unit's self-test takes half a second.
func hasty() func() time.Time {
	began := time.Now()
	return func() time.Time { return began.Add(time.Since(began) * 20) }
}

// TestAKilledAgentCarriesOutNoOrderTwice is T-13 with the real program: it is killed at random instants while orders come, are written to the
// units and told of. Each order is written at most once, has exactly one end, and that is true.
func TestAKilledAgentCarriesOutNoOrderTwice(t *testing.T) {
	t.Parallel()
	killedWithOrders(t, 3)
}

// TestSoakKilledWithOrders is the long form, 300 kills.
func TestSoakKilledWithOrders(t *testing.T) {
	if os.Getenv("UPSEDGE_SOAK") == "" {
		t.Skip("the long form of TestAKilledAgentCarriesOutNoOrderTwice; UPSEDGE_SOAK is not set")
	}
	kills := 300
	if n, err := strconv.Atoi(os.Getenv("UPSEDGE_SOAK_KILLS")); err == nil {
		kills = n
	}
	killedWithOrders(t, kills)
}

func killedWithOrders(t *testing.T, kills int) {
	program := testenv.Build(t, "./cmd/agent")
	broker := testenv.Mosquitto(t, "")
	dir := t.TempDir()
	state := filepath.Join(dir, "state")
	units := map[string]*upssim.Unit{}
	text := fmt.Sprintf("state_dir: %s\nspool: {flush: 10s}\nuplink: {broker: \"tcp://%s\", insecure: true, agent_id: %s}\nmetrics: {listen: \"\"}\nlocal: {listen: \"\", socket: \"\"}\norders: {allow: [diagnostics]}\nunits:\n",
		state, broker.Addr, agentID)
	for i := range 4 {
		name := fmt.Sprintf("rack-%d", i+1)
		units[name] = upssim.New(upssim.Options{Seed: uint64(i + 1), AliveWhenEmpty: true, Now: hasty()})
		text += fmt.Sprintf("  - {name: %s, tcp: {address: %q}, poll: {watch: 200ms, status: 500ms, live: 1s}}\n", name, serve(t, units[name]))
	}
	config := filepath.Join(dir, "agent.yaml")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c := newChief(t, broker.Addr, state)
	log, err := os.Create(filepath.Join(dir, "agent.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	begin := func() (kill func()) {
		cmd := exec.Command(program, "run", "--config", config)
		cmd.Stdout, cmd.Stderr = log, log
		done, err := testenv.Bound(cmd)
		if err != nil {
			t.Fatal(err)
		}
		return func() {
			_ = cmd.Process.Kill()
			<-done
		}
	}
	until := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(patience); !ok(); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) || t.Context().Err() != nil {
				said, _ := os.ReadFile(log.Name())
				t.Fatalf("not within %v: %s\n%s", patience, what, said[max(0, len(said)-4000):])
			}
		}
	}
	kill := begin()
	defer func() { kill() }()
	ends := map[string]int{} // by state, and whether it was written
	why := map[string]int{}  // by what the agent said of those that are not done
	for n := range kills {
		until("the agent connects", func() bool { return c.ready(len(units)) })
		before := map[string]uint64{}
		for name, u := range units {
			before[name] = u.Written()
		}
		ids := c.give(n)
		time.Sleep(time.Duration(rand.IntN(900)) * time.Millisecond)
		kill()
		c.mu.Lock()
		c.told = false
		c.mu.Unlock()
		kill = begin()
		until("every order has an end", func() bool { return c.waiting() == 0 })
		c.mu.Lock()
		for name, id := range ids {
			got, wrote := c.ends[id], units[name].Written()-before[name]
			ok := len(got) == 1 && wrote <= 1
			if ok {
				ends[fmt.Sprintf("%s, %d written", got[0].State, wrote)]++
				if got[0].State != wire.OrderDone {
					why[fmt.Sprintf("%s, %d written: %s %s", got[0].State, wrote, got[0].Reason, got[0].Detail)]++
				}
				switch got[0].State {
				case wire.OrderDone:
					ok = wrote == 1
				case wire.OrderRefused, wire.OrderExpired:
					ok = wrote == 0
				}
			}
			if !ok {
				t.Errorf("kill %d: %s was written %d times, and its order ended as %+v", n, name, wrote, got)
			}
		}
		c.mu.Unlock()
		time.Sleep(100 * time.Millisecond)
	}
	t.Logf("%d kills, orders ended as %v", kills, ends)
	for said, n := range why {
		t.Logf("%4d %s", n, said)
	}
	if n := ends["done, 1 written"] + ends["unknown, 1 written"]; n < kills {
		t.Errorf("only %d of %d orders were carried out: the test tries little", n, 4*kills)
	}
}
