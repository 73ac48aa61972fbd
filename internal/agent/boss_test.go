package agent

import (
	"crypto/ed25519"
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/trust"
	"upsedge/internal/trust/sign"
	"upsedge/internal/wire"
)

// A boss is a cloud that gives orders to the agent of a bubble, over its broker.
type boss struct {
	*bubble
	actor *actor
	ledger
	root, online ed25519.PrivateKey
	list         trust.Keys
	keys         string
	counter      uint64
	serial       string
	nonce        wire.ID
	through      [len(wire.Lanes) + 1]uint64
	stream       wire.ID
	results      []wire.Result
	entries      []trust.Entry // of its statements; nil: the device, Advanced
}

func key(t *testing.T) (ed25519.PublicKey, ed25519.PrivateKey) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return public, private
}

// newBoss is called inside of synctest.Test. The agent runs, and has its statement.
func newBoss(t *testing.T, clock time.Time) *boss {
	t.Helper()
	return newBossOf(t, "", clock)
}

// newBossOf is newBoss with a unit of some model.
func newBossOf(t *testing.T, sku string, clock time.Time) *boss {
	t.Helper()
	c := &boss{bubble: newBubble(t, "- {name: rack-a, "+onTCP+"}"), ledger: ledger{t: t, events: map[uint64]int{}}}
	c.text += "\norders: {allow: [reboot, diagnostics], min_interval: 1m}\n"
	if !clock.IsZero() {
		c.setClock(clock, false)
	}
	rootKey, root := key(t)
	onlineKey, online := key(t)
	c.root, c.online = root, online
	c.list = trust.Keys{Version: 1, Keys: []trust.Key{{Kid: "online-1", Key: onlineKey, Purposes: []string{trust.ForStatement, trust.ForCommand}}}}
	c.publishKeys()
	if err := errors.Join(os.MkdirAll(c.stateDir(), 0o700), trust.SaveRoot(c.stateDir(), rootKey)); err != nil {
		t.Fatal(err)
	}
	c.cloud.tap = c.take
	c.actor = c.bubble.actor("rack-a", sku, 1)
	c.start()
	c.rest(2 * time.Second)
	c.rest(2 * time.Second)
	c.serial = c.lastState().Full.Units[0].Serial
	c.state(c.nonce)
	c.rest(time.Second)
	return c
}

func (c *boss) publishKeys() {
	var err error
	if c.keys, err = sign.Keys(c.root, c.list); err != nil {
		c.bubble.t.Fatal(err)
	}
}

// take hears everything the agent says. The receiver holds its lock meanwhile.
func (c *boss) take(topic string, payload []byte) {
	c.hear(topic, payload)
	if !strings.HasSuffix(topic, "/results") && !strings.HasSuffix(topic, "/events") {
		return
	}
	p, err := wire.DecodeEventMessage(payload)
	if err != nil {
		c.bubble.t.Errorf("%s: %v", topic, err)
		return
	}
	if c.stream != p.Record.Stream {
		c.stream, c.through = p.Record.Stream, [len(wire.Lanes) + 1]uint64{}
	}
	if p.Record.Seq <= c.through[wire.Events] { // came again
		return
	}
	c.through[wire.Events] = p.Record.Seq
	if p.Result != nil {
		c.results = append(c.results, *p.Result)
	}
}

// rest lets time pass, answers a new nonce with a statement, and acknowledges what came.
func (c *boss) rest(d time.Duration) {
	c.bubble.t.Helper()
	time.Sleep(d)
	synctest.Wait()
	c.cloud.mu.Lock()
	ack := wire.Ack{Stream: c.stream, Lane: wire.Events, Through: c.through[wire.Events]}
	c.cloud.mu.Unlock()
	if msg, err := wire.EncodeAck(ack); err == nil && ack.Stream != (wire.ID{}) {
		c.cloud.client.Publish("upsedge/v1/rack7/acks", 1, false, msg).Wait()
	}
	if s := c.lastState(); s.Nonce != c.nonce {
		c.nonce = s.Nonce
		c.state(s.Nonce)
	}
}

func (c *boss) lastState() *wire.State { return c.cloud.latest(&c.ledger) }

// state sends a statement for a nonce.
func (c *boss) state(nonce wire.ID) {
	entries := c.entries
	if entries == nil && c.serial != "" {
		entries = []trust.Entry{{Device: c.serial, Bind: &trust.Bind{
			Epoch: 4, Plan: "advanced", ValidUntil: time.Date(2199, 1, 1, 0, 0, 0, 0, time.UTC), GrantVersion: 9,
		}}}
	}
	msg, err := sign.Statement(c.online, "online-1", c.keys, "rack7", nonce, trust.Statement{Time: time.Now(), Entries: entries})
	if err != nil {
		c.bubble.t.Fatal(err)
	}
	c.publish(msg, false)
}

func (c *boss) publish(msg string, retained bool) {
	c.cloud.client.Publish("upsedge/v1/rack7/orders", 1, retained, []byte(msg)).Wait()
}

// command is a valid one: a self-test for the owner.
func (c *boss) command() trust.Command {
	c.counter++
	return trust.Command{
		Agent: "rack7", Device: c.serial, Epoch: 4, ID: wire.ID{byte(c.counter), byte(c.counter >> 8), 1}, Counter: c.counter, Nonce: c.nonce,
		MaxAge: time.Hour, Action: "diagnostics.run", Params: map[string]string{"test": "self"}, Actor: "u_1", Role: "owner", Plan: "advanced",
		GrantVersion: 9, IssuedAt: time.Now(),
	}
}

func (c *boss) sign(cmd trust.Command) string {
	msg, err := sign.Command(c.online, "online-1", cmd)
	if err != nil {
		c.bubble.t.Fatal(err)
	}
	return msg
}

// end returns how an order ended: the first final result that is no copy, with its reason.
func (c *boss) end(id wire.ID) string {
	c.cloud.mu.Lock()
	defer c.cloud.mu.Unlock()
	var ends []string
	for _, r := range c.results {
		if r.Order == id && r.State.Final() && !r.Repeated {
			ends = append(ends, strings.TrimSpace(string(r.State)+" "+r.Reason))
		}
	}
	return strings.Join(ends, ", ")
}

// detail is what the end of an order says.
func (c *boss) detail(id wire.ID) (out string) {
	c.cloud.mu.Lock()
	defer c.cloud.mu.Unlock()
	for _, r := range c.results {
		if r.Order == id && r.State.Final() && !r.Repeated {
			out = r.Detail
		}
	}
	return out
}

// refusedEvents returns the details of 622 that are about no order.
func (c *boss) refusedEvents() (out []string) {
	for _, n := range c.cloud.events() {
		if n.ID == 622 && n.Unit == "" {
			out = append(out, n.Detail)
		}
	}
	return out
}
