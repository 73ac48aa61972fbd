package soak

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"upsedge/internal/testenv"
	"upsedge/internal/trust"
	"upsedge/internal/trust/sign"
	"upsedge/internal/ups"
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
	open    map[wire.ID]given // orders without an end
	serials map[string]string // by unit
	seen    map[string]bool   // records
	ends    map[wire.ID][]wire.Result
	told    bool // a full state came for the nonce
}

// A given is an order to a device.
type given struct {
	device string
	deed   deed
}

func newChief(t testing.TB, broker, state string) *chief {
	rootKey, root, err := ed25519.GenerateKey(nil)
	onlineKey, online, err2 := ed25519.GenerateKey(nil)
	keys, err3 := sign.Keys(root, trust.Keys{Version: 1, Keys: []trust.Key{{Kid: "online", Key: onlineKey, Purposes: []string{trust.ForStatement, trust.ForCommand}}}})
	if err := errors.Join(err, err2, err3, os.MkdirAll(state, 0o700), trust.SaveRoot(state, rootKey)); err != nil {
		t.Fatal(err)
	}
	c := &chief{t: t, online: online, keys: keys, open: map[wire.ID]given{}, serials: map[string]string{}, seen: map[string]bool{}, ends: map[wire.ID][]wire.Result{}}
	// The broker may hang on the outlet: it is looked for again, and forgets what was subscribed to.
	subscribed := make(chan struct{}, 100)
	c.client = mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + broker).SetClientID("chief").SetOrderMatters(false).
		SetConnectRetry(true).SetConnectRetryInterval(100 * time.Millisecond).SetMaxReconnectInterval(300 * time.Millisecond).
		SetOnConnectHandler(func(m mqtt.Client) {
			m.Subscribe("upsedge/v1/"+agentID+"/#", 1, c.hear).Wait()
			subscribed <- struct{}{}
		}))
	c.client.Connect()
	select {
	case <-subscribed:
	case <-time.After(patience):
		t.Fatal("no connection to the broker")
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
	for id, g := range c.open { // it is not known whether they came
		c.order(id, g)
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
func (c *chief) order(id wire.ID, g given) {
	c.counter++
	msg, err := sign.Command(c.online, "online", trust.Command{
		Agent: agentID, Device: g.device, Epoch: 1, ID: id, Counter: c.counter, Nonce: c.nonce, MaxAge: time.Hour, Action: g.deed.action,
		Params: g.deed.params, Actor: "u_1", Role: "owner", Plan: "advanced", GrantVersion: 1, IssuedAt: time.Now(),
	})
	if err != nil {
		c.t.Error(err)
	}
	c.client.Publish("upsedge/v1/"+agentID+"/orders", 1, false, msg)
}

// give orders something of every unit.
func (c *chief) give(round int, deeds map[string]deed) (ids map[string]wire.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ids = map[string]wire.ID{}
	for unit, serial := range c.serials {
		id := wire.ID{byte(round), byte(round >> 8), unit[len(unit)-1], 5}
		ids[unit], c.open[id] = id, given{serial, deeds[unit]}
		c.order(id, c.open[id])
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

// TestAKilledAgentCarriesOutNoOrderTwice is T-13 with the real program: it is killed at random instants while orders of every kind come, are
// written to the units and told of. Each order is written at most once, has exactly one end, and that is true.
func TestAKilledAgentCarriesOutNoOrderTwice(t *testing.T) {
	t.Parallel()
	killedWithOrders(t, 2)
}

// TestSoakKilledWithOrders is the long form, 300 kills with those of TestSoakTheBoxOnItsOutlet.
func TestSoakKilledWithOrders(t *testing.T) {
	if os.Getenv("UPSEDGE_SOAK") == "" {
		t.Skip("the long form of TestAKilledAgentCarriesOutNoOrderTwice; UPSEDGE_SOAK is not set")
	}
	kills := 240
	if n, err := strconv.Atoi(os.Getenv("UPSEDGE_SOAK_KILLS")); err == nil {
		kills = n
	}
	const sites = 4
	for i := range sites {
		t.Run(fmt.Sprint("site ", i+1), func(t *testing.T) {
			t.Parallel()
			killedWithOrders(t, kills/sites)
		})
	}
}

func killedWithOrders(t *testing.T, kills int) {
	program := testenv.Build(t, "./cmd/agent")
	broker := testenv.Mosquitto(t, "")
	dir := t.TempDir()
	state := filepath.Join(dir, "state")
	units := map[string]*rig{}
	text := fmt.Sprintf("state_dir: %s\nspool: {flush: 10s}\nuplink: {broker: \"tcp://%s\", insecure: true, agent_id: %s}\nmetrics: {listen: \"\"}\nlocal: {listen: \"\", socket: \"\"}\n"+
		"orders: {allow: [diagnostics, alarms, settings, reboot, outlets], min_interval: 1ms, daily_max: 100000}\nunits:\n", state, broker.Addr, agentID)
	for i, sku := range []string{"SMT1500RM2UC", "SMT1500RM2UC", "SMX1500RM2U", "SRT10KXLI"} {
		name := fmt.Sprintf("rack-%d", i+1)
		units[name] = newRig(t, upssim.Options{Seed: uint64(i + 1), SKU: sku, AliveWhenEmpty: true, Speed: 300, Now: hurries(fourfold)})
		text += fmt.Sprintf("  - {name: %s, tcp: {address: %q}, poll: {watch: 200ms, status: 500ms, live: 1s}}\n", name, serve(t, units[name].Unit))
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
	var count reckoning
	written := 0
	for n := range kills {
		until("the agent connects", func() bool { return c.ready(len(units)) })
		next, since, cuts := map[string]deed{}, map[string]int{}, map[string]int{}
		for name, u := range units {
			tell(t, u.Unit, settled...)
			until("the unit is as it was", u.calm)
			next[name] = anyDeed()
			tell(t, u.Unit, next[name].before...)
			if next[name].params[ups.ParamTo] == ups.ToOn {
				until("the outlet is off", func() bool { return u.Registers(7, 1)[0]&uint16(ups.OStateOff) != 0 || !hasGroup(u, "sog0") })
			}
			since[name], cuts[name] = len(u.Writes()), u.cuts()
		}
		ids := c.give(n, next)
		time.Sleep(time.Duration(rand.IntN(2000)) * time.Millisecond)
		kill()
		c.mu.Lock()
		c.told = false
		c.mu.Unlock()
		time.Sleep(time.Duration(rand.IntN(3)) * time.Second / 2)
		kill = begin()
		until(fmt.Sprintf("every order has an end: %v", next), func() bool { return c.waiting() == 0 })
		c.mu.Lock()
		for name, id := range ids {
			got := c.ends[id]
			taken, all := units[name].taken(since[name])
			if lie := truth(next[name], got, taken, all, units[name].cuts()-cuts[name]); lie != "" {
				t.Errorf("kill %d: %s of %s: %s; it ended %+v, written %v", n, next[name], name, lie, got, units[name].Writes()[since[name]:])
			} else {
				count.add(next[name], got[0], taken)
			}
			written += taken
		}
		c.mu.Unlock()
	}
	t.Logf("%d kills", kills)
	count.log(t)
	if written < kills {
		t.Errorf("only %d of %d orders were carried out: the test tries little", written, count.orders)
	}
}

func hasGroup(u *rig, group string) bool { return slices.Contains(u.Outlets(), group) }
