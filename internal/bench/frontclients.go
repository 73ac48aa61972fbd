package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"upsedge/internal/store"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// clientsArgument makes this program agents that publish, or do nothing.
const clientsArgument = "be-many-agents"

// A clientsOrder is what agents are to do.
type clientsOrder struct {
	Address  string `json:"address"`
	Dir      string `json:"dir"` // of the issuer
	Name     string `json:"name"`
	Agents   int    `json:"agents"`
	Messages int    `json:"messages"` // of each: events and sample blocks in turns
	Window   int    `json:"window"`   // in flight
	Stay     bool   `json:"stay"`     // then be connected until the end of what is read
}

// A clientsSay is what came of it.
type clientsSay struct {
	Seconds float64 `json:"seconds"` // from the first message to the last acknowledgement
	Bytes   int64   `json:"bytes"`   // of the payloads
	P50     float64 `json:"p50_ms"`  // from the write to PUBACK
	P99     float64 `json:"p99_ms"`
	Max     float64 `json:"max_ms"`
}

func runClients(text string) error {
	var o clientsOrder
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return err
	}
	ctx := context.Background()
	bodies, err := (&bench{quick: true}).bodies(ctx, "noisy")
	if err != nil {
		return err
	}
	i, err := readIssuer(o.Dir)
	if err != nil {
		return err
	}
	clients := make([]*frontClient, o.Agents)
	var g errgroup.Group
	g.SetLimit(8)
	for n := range clients {
		c := &frontClient{name: fmt.Sprintf("%s-%04d", o.Name, n), order: o}
		clients[n] = c
		g.Go(func() error { return c.prepare(i, bodies) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	began := time.Now()
	var all errgroup.Group
	for _, c := range clients {
		all.Go(c.publish)
	}
	err = all.Wait()
	say := clientsSay{Seconds: time.Since(began).Seconds()}
	say.sum(clients)
	if err = errors.Join(err, json.NewEncoder(os.Stdout).Encode(say)); err != nil || !o.Stay {
		return err
	}
	var wg sync.WaitGroup
	for _, c := range clients {
		wg.Go(func() { c.stay() })
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	for _, c := range clients {
		err = errors.Join(err, c.conn.Close())
	}
	wg.Wait()
	return err
}

func (s *clientsSay) sum(clients []*frontClient) {
	var took []time.Duration
	for _, c := range clients {
		took = append(took, c.took...)
		for _, m := range c.messages {
			s.Bytes += int64(len(m))
		}
	}
	slices.Sort(took)
	if n := len(took); n > 0 {
		ms := func(d time.Duration) float64 { return d.Seconds() * 1000 }
		s.P50, s.P99, s.Max = ms(took[n/2]), ms(took[n*99/100]), ms(took[n-1])
	}
}

// A frontClient is an agent that does little but keep its window full: it must cost less than what it measures.
type frontClient struct {
	name     string
	order    clientsOrder
	conn     *tls.Conn
	in       *bufio.Reader
	messages [][]byte // packets
	took     []time.Duration
}

// prepare connects as an agent does, and makes its messages.
func (c *frontClient) prepare(i *issuer, bodies []store.Samples) error {
	cfg, err := i.agent(c.name)
	if err != nil {
		return err
	}
	if c.conn, err = tls.Dial("tcp", c.order.Address, cfg); err != nil {
		return err
	}
	c.in = bufio.NewReaderSize(c.conn, 1<<10)
	connect := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket)
	connect.ProtocolName, connect.ProtocolVersion, connect.CleanSession, connect.Keepalive, connect.ClientIdentifier = "MQTT", 4, true, 60, c.name
	connect.WillFlag, connect.WillQos, connect.WillTopic = true, 1, wire.Topic(c.name, wire.TopicState)
	if connect.WillMessage, err = wire.EncodeState(&wire.State{Session: 1}); err != nil {
		return err
	}
	subscribe := packets.NewControlPacket(packets.Subscribe).(*packets.SubscribePacket)
	subscribe.MessageID, subscribe.Qoss = 1, []byte{1, 1}
	subscribe.Topics = []string{wire.Topic(c.name, wire.TopicOrders), wire.Topic(c.name, wire.TopicAcks)}
	var b bytes.Buffer
	if err := errors.Join(connect.Write(&b), subscribe.Write(&b)); err != nil {
		return err
	}
	if _, err := c.conn.Write(b.Bytes()); err != nil {
		return err
	}
	for range 2 {
		if _, err := packets.ReadPacket(c.in); err != nil {
			return err
		}
	}
	return c.make(bodies)
}

// make encodes the messages: what a session begins with, then records of both lanes in turns.
func (c *frontClient) make(bodies []store.Samples) error {
	stream := wire.ID{1, 2, 3}
	stamp := func(n int) wire.Stamp {
		return wire.Stamp{BootID: wire.ID{4}, Mono: time.Duration(n) * time.Second, Wall: time.Date(2026, 3, 1, 0, 0, n, 0, time.UTC)}
	}
	state := wire.State{Session: 1, Online: true, Nonce: wire.ID{5}, Version: "bench"}
	first, err := wire.EncodeState(&state)
	if err != nil {
		return err
	}
	state.Full = &wire.FullState{Agent: c.name, Stream: stream, Boot: 1, Now: stamp(0)}
	full, err := wire.EncodeState(&state)
	if err != nil {
		return err
	}
	c.add(wire.TopicState, first)
	c.add(wire.TopicState, full)
	event, err := wire.EncodeEvent(ups.Event{ID: 102, Kind: ups.Moment, Severity: ups.Informational, Unit: "rack-a", Text: "utility power is back"})
	if err != nil {
		return err
	}
	for n := range c.order.Messages {
		r := wire.Record{Stream: stream, Lane: wire.Events, Class: wire.ClassAlarm, Seq: uint64(n/2 + 1), Boot: 1, Stamp: stamp(n), Payload: event}
		encode := wire.EventMessage
		if n%2 == 1 {
			r.Lane, r.Class, r.Payload, encode = wire.Samples, wire.ClassSamples, bodies[n/2%len(bodies)].Payload, wire.SampleMessage
		}
		msg, err := encode(nil, c.name, r)
		if err != nil {
			return err
		}
		c.add(r.Class.Leaf(), msg)
	}
	c.took = make([]time.Duration, 0, len(c.messages))
	return nil
}

// add makes a PUBLISH of a message.
func (c *frontClient) add(leaf wire.Leaf, payload []byte) {
	topic := wire.Topic(c.name, leaf)
	p := binary.AppendUvarint([]byte{0x32}, uint64(2+len(topic)+2+len(payload)))
	p = append(binary.BigEndian.AppendUint16(p, uint16(len(topic))), topic...)
	p = binary.BigEndian.AppendUint16(p, uint16(len(c.messages)%65535+1))
	c.messages = append(c.messages, append(p, payload...))
}

// publish sends the messages, at most a window of them in flight, and returns when all are acknowledged.
func (c *frontClient) publish() error {
	began := make([]time.Time, len(c.messages))
	var out []byte
	for sent, acked := 0, 0; acked < len(c.messages); {
		out = out[:0]
		for now := time.Now(); sent < len(c.messages) && sent-acked < c.order.Window; sent++ {
			began[sent] = now
			out = append(out, c.messages[sent]...)
		}
		if _, err := c.conn.Write(out); err != nil {
			return err
		}
		for {
			ack, err := c.receive()
			if err != nil {
				return fmt.Errorf("%s, %d of %d acknowledged: %w", c.name, acked, len(c.messages), err)
			}
			if ack {
				c.took = append(c.took, time.Since(began[acked]))
				acked++
			}
			if c.in.Buffered() == 0 {
				break
			}
		}
	}
	return nil
}

// receive takes one packet, and reports whether it was PUBACK. What is published to us is acknowledged.
func (c *frontClient) receive() (ack bool, err error) {
	x, err := packets.ReadPacket(c.in)
	if err != nil {
		return false, err
	}
	if m, ok := x.(*packets.PublishPacket); ok {
		_, err = c.conn.Write([]byte{0x40, 2, byte(m.MessageID >> 8), byte(m.MessageID)})
	}
	_, ack = x.(*packets.PubackPacket)
	return ack, err
}

// stay reads what comes until the connection is closed, and says every 20 s that it is there.
func (c *frontClient) stay() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			if _, err := c.receive(); err != nil {
				return
			}
		}
	}()
	tick := time.NewTicker(20 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			if _, err := c.conn.Write([]byte{0xc0, 0}); err != nil {
				return
			}
		}
	}
}

// keeper leaves a session at a broker that gets everything and is away, so that it has something to keep.
func keeper(dir, address string) error {
	i, err := readIssuer(dir)
	if err != nil {
		return err
	}
	cfg, err := i.agent("keeper")
	if err != nil {
		return err
	}
	conn, err := tls.Dial("tcp", address, cfg)
	if err != nil {
		return err
	}
	defer conn.Close()
	connect := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket)
	connect.ProtocolName, connect.ProtocolVersion, connect.Keepalive, connect.ClientIdentifier = "MQTT", 4, 60, "keeper"
	subscribe := packets.NewControlPacket(packets.Subscribe).(*packets.SubscribePacket)
	subscribe.MessageID, subscribe.Qoss, subscribe.Topics = 1, []byte{1}, []string{wire.Prefix + "#"}
	if err := errors.Join(connect.Write(conn), subscribe.Write(conn)); err != nil {
		return err
	}
	for range 2 {
		if _, err := packets.ReadPacket(conn); err != nil {
			return err
		}
	}
	return packets.NewControlPacket(packets.Disconnect).Write(conn)
}
