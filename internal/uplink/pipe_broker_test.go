package uplink

import (
	"context"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"upsedge/internal/wire"
)

// A pipeBroker is a broker at the end of in-memory connections, for tests on synctest's clock. It can be deaf in several ways.
type pipeBroker struct {
	mu      sync.Mutex
	dials   []time.Time
	conns   []net.Conn
	refuse  func(dial int) error // of the dial-th attempt, from 1
	noReply func(packets.ControlPacket) bool
	stuck   bool // reads nothing any more
	subCode byte // answers SUBSCRIBE for each topic
	cloud   *pipeCloud
	got     []published
	writing sync.Mutex
	done    sync.WaitGroup
}

type published struct {
	at    time.Time
	conn  int // from 1
	pub   *packets.PublishPacket
	state *wire.State // of a state
}

func (b *pipeBroker) dial(context.Context, string) (net.Conn, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dials = append(b.dials, time.Now())
	if b.refuse != nil {
		if err := b.refuse(len(b.dials)); err != nil {
			return nil, err
		}
	}
	ours, theirs := net.Pipe()
	b.conns = append(b.conns, ours)
	n := len(b.conns)
	b.done.Go(func() { b.serve(n, ours) })
	return theirs, nil
}

func (b *pipeBroker) serve(n int, conn net.Conn) {
	defer conn.Close()
	for {
		pkt, err := packets.ReadPacket(conn)
		if err != nil {
			return
		}
		if !b.write(conn, b.answers(n, pkt)...) {
			return
		}
		b.mu.Lock()
		stuck := b.stuck
		b.mu.Unlock()
		if stuck { // until the agent gives up
			for conn.SetReadDeadline(time.Now()) == nil {
				if _, err := conn.Write(nil); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
			return
		}
	}
}

// write sends packets to the agent and reports whether it took them.
func (b *pipeBroker) write(conn net.Conn, pkts ...packets.ControlPacket) bool {
	b.writing.Lock()
	defer b.writing.Unlock()
	for _, p := range pkts {
		if p.Write(conn) != nil {
			return false
		}
	}
	return true
}

// push sends packets to the agent out of the blue, over the newest connection, and reports whether it took them.
func (b *pipeBroker) push(pkts ...packets.ControlPacket) bool {
	b.mu.Lock()
	conn := b.conns[len(b.conns)-1]
	b.mu.Unlock()
	return b.write(conn, pkts...)
}

// dialled returns when connections were asked for, while the session runs.
func (b *pipeBroker) dialled() []time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.dials)
}

// hangUp ends the newest connection.
func (b *pipeBroker) hangUp() {
	b.mu.Lock()
	defer b.mu.Unlock()
	_ = b.conns[len(b.conns)-1].Close()
}

// answers returns what the broker says to pkt, and the cloud behind it.
func (b *pipeBroker) answers(n int, pkt packets.ControlPacket) (out []packets.ControlPacket) {
	if p := b.answer(n, pkt); p != nil {
		out = append(out, p)
	}
	if pub, ok := pkt.(*packets.PublishPacket); ok && b.cloud != nil {
		out = append(out, b.cloud.answers(n, pub)...)
	}
	return out
}

func (b *pipeBroker) answer(n int, pkt packets.ControlPacket) packets.ControlPacket {
	b.mu.Lock()
	defer b.mu.Unlock()
	if pub, ok := pkt.(*packets.PublishPacket); ok {
		p := published{at: time.Now(), conn: n, pub: pub}
		if st, err := wire.DecodeState(pub.Payload); err == nil {
			p.state = st
		}
		b.got = append(b.got, p)
	}
	if b.noReply != nil && b.noReply(pkt) {
		return nil
	}
	switch pkt := pkt.(type) {
	case *packets.ConnectPacket:
		return packets.NewControlPacket(packets.Connack)
	case *packets.PublishPacket:
		ack := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
		ack.MessageID = pkt.MessageID
		return ack
	case *packets.SubscribePacket:
		ack := packets.NewControlPacket(packets.Suback).(*packets.SubackPacket)
		ack.MessageID = pkt.MessageID
		for range pkt.Topics {
			ack.ReturnCodes = append(ack.ReturnCodes, b.subCode)
		}
		return ack
	case *packets.PingreqPacket:
		return packets.NewControlPacket(packets.Pingresp)
	}
	return nil
}

func (b *pipeBroker) states() []published  { return b.messages(true) }
func (b *pipeBroker) records() []published { return b.messages(false) }

func (b *pipeBroker) messages(states bool) (out []published) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.got {
		if states == (p.state != nil) {
			out = append(out, p)
		}
	}
	return out
}

// pipeSession returns a Session to b with the real times.
func pipeSession(b *pipeBroker, spool Spool, change func(*Config)) *Session {
	cfg := Config{
		AgentID: "rack7", Boot: 3, Insecure: true, Version: "1.2.3", Full: fullState, Log: slog.New(slog.DiscardHandler),
	}
	cfg.Broker = loopback
	if change != nil {
		change(&cfg)
	}
	cfg.Dial = b.dial
	return New(cfg, spool)
}

// inBubble runs s for span of the bubble's time and stops it. It returns how long the stop took.
func inBubble(t *testing.T, s *Session, b *pipeBroker, span time.Duration, during func()) time.Duration {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	if during != nil {
		during()
	}
	time.Sleep(span)
	stopped := time.Now()
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run = %v at the end of its context, want nil", err)
	}
	took := time.Since(stopped)
	b.done.Wait()
	return took
}
