package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"golang.org/x/sync/errgroup"

	"upsedge/internal/trust"
	"upsedge/internal/trust/sign"
	"upsedge/internal/ups"
	"upsedge/internal/ups/upssim"
	"upsedge/internal/wire"
)

// An orderTime is how long an order takes from its signature until the unit is written to: through mosquitto and the agent as a process, while the
// unit is polled as fast as the line allows.
type orderTime struct {
	Line   string  `json:"line"`
	Orders int     `json:"orders"`
	P50    float64 `json:"p50_ms"`
	P99    float64 `json:"p99_ms"`
	Max    float64 `json:"max_ms"`
}

const (
	orderAgent = "bench-orders"
	orderUnits = 4
	orderHaste = 10 // the clock of the units: their self-tests take 20 s of it; faster, and the agent could miss that they ran
)

// orderLines measures a line at 9600 baud and TCP.
func (b *bench) orderLines(ctx context.Context) (out []orderTime, err error) {
	for _, name := range []string{"9600 baud", "TCP"} {
		t, err := b.orderLine(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out = append(out, t)
	}
	return out, nil
}

func (b *bench) orderLine(ctx context.Context, name string) (out orderTime, err error) {
	dir, err := os.MkdirTemp(b.dir, "orderline-")
	if err != nil {
		return out, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g, ctx := errgroup.WithContext(ctx)
	var units []*upssim.Unit
	var lines strings.Builder
	began := time.Now()
	hasty := func() time.Time { return began.Add(orderHaste * time.Since(began)) }
	for i := range orderUnits {
		unit := upssim.New(upssim.Options{Seed: uint64(1 + i), Now: hasty})
		where, err := serveUnit(ctx, g, filepath.Join(dir, fmt.Sprint("tty", i)), name, unit)
		if err != nil {
			return out, err
		}
		units = append(units, unit)
		fmt.Fprintf(&lines, "  - {name: rack-%d, %s, poll: {watch: 50ms, status: 100ms, live: 100ms}}\n", i, where)
	}
	broker, stop, err := b.plainBroker(ctx, dir)
	if err != nil {
		return out, err
	}
	defer stop()
	c, err := newOrderCloud(filepath.Join(dir, "state"), broker)
	if err != nil {
		return out, err
	}
	defer c.client.Disconnect(0)
	metrics, err := freeAddress()
	if err != nil {
		return out, err
	}
	cmd, err := b.agentOn(context.WithoutCancel(ctx), dir, metrics, fmt.Sprintf(`%suplink: {broker: "tcp://%s", insecure: true, agent_id: %s}
orders: {allow: [diagnostics]}
`, lines.String(), broker, orderAgent))
	if err != nil {
		return out, err
	}
	g.Go(func() error {
		defer cancel()
		proc, err := start(cmd)
		if err != nil {
			return err
		}
		defer proc.stop()
		n := 30
		if b.quick {
			n = 1
		}
		if out, err = c.measure(ctx, units, n); err != nil {
			return fmt.Errorf("%w; the agent said: %s", err, tail(proc.log.String()))
		}
		return nil
	})
	err = g.Wait()
	out.Line = name
	return out, err
}

// serveUnit puts the unit on its line and returns how the agent's configuration names it.
func serveUnit(ctx context.Context, g *errgroup.Group, tty, name string, unit *upssim.Unit) (string, error) {
	units := map[uint8]*upssim.Unit{1: unit}
	if name == "TCP" {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		g.Go(func() error { return upssim.ServeTCP(ctx, l, units, upssim.TCPOptions{Turnaround: turnaround}) })
		return fmt.Sprintf("tcp: {address: %q, via: unit}", l.Addr()), nil
	}
	pty, err := upssim.OpenPTY(tty)
	if err != nil {
		return "", err
	}
	g.Go(func() error {
		defer pty.Close()
		return upssim.ServeSerial(ctx, pty, upssim.SerialOptions{Baud: baud, Turnaround: turnaround, StrictGap: true}, units)
	})
	return fmt.Sprintf("serial: {device: %q}", pty.Path()), nil
}

// plainBroker is mosquitto on loopback without TLS.
func (b *bench) plainBroker(ctx context.Context, dir string) (address string, stop func(), err error) {
	if address, err = freeAddress(); err != nil {
		return "", nil, err
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", nil, err
	}
	file := filepath.Join(dir, "mosquitto.conf")
	conf := fmt.Sprintf("listener %s 127.0.0.1\nallow_anonymous true\nuser root\nset_tcp_nodelay true\n", port)
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		return "", nil, err
	}
	cmd, err := program(context.WithoutCancel(ctx), b.packages, "mosquitto", "-c", file)
	if err != nil {
		return "", nil, err
	}
	p, err := start(cmd)
	if err != nil {
		return "", nil, err
	}
	err = await(ctx, 10*time.Second, func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			err = conn.Close()
		}
		return err == nil || p.alive() != nil
	})
	if err = errors.Join(err, p.alive()); err != nil {
		p.stop()
		return "", nil, err
	}
	return address, func() { p.stop() }, nil
}

// An orderCloud answers one agent: statements, acks, and commands that it signs.
type orderCloud struct {
	client mqtt.Client
	key    ed25519.PrivateKey
	keys   string

	mu     sync.Mutex
	nonce  wire.ID
	serial map[string]string  // of the units by name
	bound  map[string]bool    // serials of which the agent has confirmed whose they are
	ended  map[wire.ID]string // orders with their final state
	count  uint64
}

func newOrderCloud(state, broker string) (*orderCloud, error) {
	rootKey, root, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	public, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(state, 0o700); err != nil {
		return nil, err
	}
	if err := trust.SaveRoot(state, rootKey); err != nil {
		return nil, err
	}
	c := &orderCloud{key: key, serial: map[string]string{}, bound: map[string]bool{}, ended: map[wire.ID]string{}}
	c.keys, err = sign.Keys(root, trust.Keys{Version: 1, Keys: []trust.Key{{Kid: "online", Key: public, Purposes: []string{trust.ForStatement, trust.ForCommand}}}})
	if err != nil {
		return nil, err
	}
	c.client = mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + broker).SetClientID("cloud").SetAutoReconnect(false).SetOrderMatters(false))
	if token := c.client.Connect(); token.Wait() && token.Error() != nil {
		return nil, token.Error()
	}
	token := c.client.Subscribe(wire.Prefix+orderAgent+"/#", wire.QoS, func(_ mqtt.Client, m mqtt.Message) { c.take(m.Topic(), m.Payload()) })
	token.Wait()
	return c, token.Error()
}

func (c *orderCloud) publish(leaf wire.Leaf, payload []byte) {
	c.client.Publish(wire.Topic(orderAgent, leaf), wire.QoS, false, payload)
}

// take hears the agent.
func (c *orderCloud) take(topic string, payload []byte) {
	_, leaf, err := wire.SplitTopic(topic)
	if err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch leaf {
	case wire.TopicState:
		if s, err := wire.DecodeState(payload); err == nil && s.Online {
			c.state(s)
		}
	case wire.TopicEvents, wire.TopicResults:
		if p, err := wire.DecodeEventMessage(payload); err == nil {
			c.ack(p.Record)
			if p.Result != nil && p.Result.State.Final() {
				c.ended[p.Result.Order] = fmt.Sprint(p.Result.State, " ", p.Result.Reason, " ", p.Result.Detail)
			}
		}
	case wire.TopicSamples:
		if p, err := new(wire.Schemas).Decode(payload); p != nil || err == nil {
			c.ack(p.Record)
		}
	}
}

// state answers with a statement: without entries until the unit's serial number is known, then with its owner.
func (c *orderCloud) state(s *wire.State) {
	fresh := s.Nonce != c.nonce
	c.nonce = s.Nonce
	if s.Full != nil {
		for _, u := range s.Full.Units {
			if u.Serial != "" {
				fresh = fresh || c.serial[u.Unit] == ""
				c.serial[u.Unit], c.bound[u.Serial] = u.Serial, u.Epoch == 1
			}
		}
	}
	if !fresh {
		return
	}
	st := trust.Statement{Time: time.Now()}
	for _, serial := range c.serial {
		st.Entries = append(st.Entries, trust.Entry{Device: serial, Bind: &trust.Bind{Epoch: 1, Plan: "advanced", ValidUntil: time.Now().AddDate(1, 0, 0), GrantVersion: 1}})
	}
	if text, err := sign.Statement(c.key, "online", c.keys, orderAgent, c.nonce, st); err == nil {
		c.publish(wire.TopicOrders, []byte(text))
	}
}

func (c *orderCloud) ack(r wire.Record) {
	if b, err := wire.EncodeAck(wire.Ack{Stream: r.Stream, Lane: r.Lane, Through: r.Seq}); err == nil {
		c.publish(wire.TopicAcks, b)
	}
}

// await waits for something that the agent says.
func (c *orderCloud) await(ctx context.Context, what string, ok func() bool) error {
	err := await(ctx, 60*time.Second, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return ok()
	})
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// measure gives n orders to each unit, one after the other, at random moments.
func (c *orderCloud) measure(ctx context.Context, units []*upssim.Unit, n int) (out orderTime, err error) {
	if err := c.await(ctx, "units that are bound", func() bool {
		bound := 0
		for _, b := range c.bound {
			if b {
				bound++
			}
		}
		return bound == len(units)
	}); err != nil {
		return out, err
	}
	var mu sync.Mutex
	var all []float64
	g, ctx := errgroup.WithContext(ctx)
	for i, unit := range units {
		g.Go(func() error {
			for range n {
				if err := pause(ctx, 500*time.Millisecond+rand.N(time.Second)); err != nil {
					return err
				}
				took, err := c.order(ctx, fmt.Sprint("rack-", i), unit)
				if err != nil {
					return err
				}
				mu.Lock()
				all = append(all, ms(took))
				mu.Unlock()
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return out, err
	}
	slices.Sort(all)
	return orderTime{Orders: len(all), P50: quantile(all, 0.5), P99: quantile(all, 0.99), Max: all[len(all)-1]}, nil
}

// order gives one order and returns how long it took until the unit was written to. It returns when the order has ended.
func (c *orderCloud) order(ctx context.Context, name string, unit *upssim.Unit) (took time.Duration, err error) {
	before := unit.Written()
	id, began, err := c.send(name)
	if err != nil {
		return 0, err
	}
	for unit.Written() == before {
		c.mu.Lock()
		end := c.ended[id]
		c.mu.Unlock()
		if end != "" && unit.Written() == before {
			return 0, fmt.Errorf("an order ended before it was written: %s", end)
		}
		if time.Since(began) > 30*time.Second {
			return 0, errors.New("an order that was not written within 30 s")
		}
		time.Sleep(200 * time.Microsecond)
	}
	took = time.Since(began)
	return took, c.await(ctx, "end of an order", func() bool { return c.ended[id] != "" })
}

// send signs and publishes; counters go out as they rise.
func (c *orderCloud) send(name string) (id wire.ID, began time.Time, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count++
	id, began = wire.ID{byte(c.count), byte(c.count >> 8), 1}, time.Now()
	msg, err := sign.Command(c.key, "online", trust.Command{
		Agent: orderAgent, Device: c.serial[name], Epoch: 1, ID: id, Counter: c.count, Nonce: c.nonce, MaxAge: time.Hour, IssuedAt: began,
		Action: ups.ActionDiagnostics, Params: map[string]string{ups.ParamTest: ups.TestSelf}, Actor: "u_1", Role: "owner", Plan: "advanced", GrantVersion: 1,
	})
	if err == nil {
		c.publish(wire.TopicOrders, []byte(msg))
	}
	return id, began, err
}

func printOrderTimes(w io.Writer, list []orderTime) {
	for _, t := range list {
		fmt.Fprintf(w, "order signed -> register written, %s, polled as fast as the line allows, %d orders: p50 %.0f ms, p99 %.0f ms, longest %.0f ms\n",
			t.Line, t.Orders, t.P50, t.P99, t.Max)
	}
}
