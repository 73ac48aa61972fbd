package front

import (
	"bytes"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"upsedge/internal/wire"
)

// T-30: what takes its time is ended, one byte at a time or none, in each phase.
func TestT30WhatIsSlowEnds(t *testing.T) {
	s := newSite(t, nil, func(l *limits) {
		l.handshake, l.connect, l.packet = 200*time.Millisecond, 200*time.Millisecond, 200*time.Millisecond
	})
	drip := func(p net.Conn, b []byte) {
		for _, x := range b {
			if _, err := p.Write([]byte{x}); err != nil {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	raw, err := net.Dial("tcp", s.addr)
	must(t, err)
	defer raw.Close()
	go drip(raw, append([]byte{22, 3, 1, 2, 0}, make([]byte, 512)...)) // a ClientHello
	p := &peer{raw, t}
	must(t, raw.SetReadDeadline(time.Now().Add(20*time.Second)))
	p.gone()
	await(t, "end of the handshake", func() bool { return s.Stats().Ended[Handshake] == 1 })

	p = s.dial("rack7")
	go drip(p, append([]byte{0x10, 100}, make([]byte, 100)...))
	p.gone()
	s.dial("rack7").gone()
	await(t, "end without CONNECT", func() bool { return s.Stats().Ended[NoConnect] == 2 })

	p = s.connect("rack7", nil)
	go drip(p, append([]byte{0x32, 200, 1}, make([]byte, 200)...))
	p.gone()
	p = s.connect("rack7", nil)
	go drip(p, []byte{0x32}) // a header without an end
	p.gone()
	await(t, "end of the slow packets", func() bool { return s.Stats().Ended[TooSlow] == 2 })

	p = s.connect("rack7", func(c *packets.ConnectPacket) { c.Keepalive = 1 })
	p.gone()
	await(t, "end of the silent one", func() bool { return s.Stats().Ended[Silent] == 1 })
}

// T-30: what is too long, or has no business here, is refused by its first bytes.
func TestT30WhatNoAgentMaySendEnds(t *testing.T) {
	s := newSite(t, nil)
	connect := []byte{0x10, 18, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 60, 0, 6, 'r', 'a', 'c', 'k', '-', '7'}
	for _, row := range []struct {
		what   string
		sends  []byte // behind CONNACK; nil: instead of CONNECT
		begins []byte
		want   Reason
	}{
		{"a message before CONNECT", nil, []byte{0x32, 5, 0, 1, 'x', 0, 1}, BadPacket},
		{"a CONNECT of 1 MiB", nil, []byte{0x10, 0x80, 0x80, 0x40}, TooLarge},
		{"a second CONNECT", connect, nil, BadPacket},
		{"a message of quality of service 0", []byte{0x30, 5, 0, 1, 'x', 'y', 'z'}, nil, BadPacket},
		{"a message of quality of service 2", []byte{0x34, 5, 0, 1, 'x', 0, 1}, nil, BadPacket},
		{"a message of quality of service 3", []byte{0x36, 5, 0, 1, 'x', 0, 1}, nil, BadPacket},
		{"a message of 256 MB", []byte{0x32, 0xff, 0xff, 0xff, 0x7f}, nil, TooLarge},
		{"a length without an end", []byte{0x32, 0xff, 0xff, 0xff, 0xff}, nil, BadPacket},
		{"a message without a packet id", []byte{0x32, 3, 0, 1, 'x'}, nil, BadPacket},
		{"a message with packet id 0", []byte("\x32\x1c\x00\x18upsedge/v1/rack-7/events\x00\x00"), nil, BadPacket},
		{"PUBREC", []byte{0x50, 2, 0, 1}, nil, BadPacket},
		{"PUBREL", []byte{0x62, 2, 0, 1}, nil, BadPacket},
		{"PUBACK of nothing", []byte{0x40, 2, 0, 1}, nil, BadPacket},
		{"AUTH", []byte{0xf0, 0}, nil, BadPacket},
		{"a long ping", []byte{0xc0, 2, 0, 0}, nil, TooLarge},
		{"SUBSCRIBE of 2 KiB", []byte{0x82, 0x80, 0x10}, nil, TooLarge},
		{"pings without an end", bytes.Repeat([]byte{0xc0, 0}, 70), nil, BadPacket},
	} {
		before := s.Stats().Ended[row.want]
		p := s.dial("rack-7")
		if row.begins == nil {
			_, err := p.Write(connect)
			must(t, err)
			if ack, ok := p.next().(*packets.ConnackPacket); !ok || ack.ReturnCode != 0 {
				t.Fatalf("%s: %v", row.what, ack)
			}
		}
		_, _ = p.Write(append(row.begins, row.sends...))
		for x, err := packets.ReadPacket(p); err == nil; x, err = packets.ReadPacket(p) {
			if _, pong := x.(*packets.PingrespPacket); !pong {
				t.Errorf("%s: answered with %v", row.what, x)
			}
		}
		await(t, row.what, func() bool { return s.Stats().Ended[row.want] == before+1 })
	}
	if got := s.heap.messages(); len(got) != 0 {
		t.Errorf("kept %v", got)
	}
}

// The longest message passes, and room for large packets is given back.
func TestTheLongestMessagePasses(t *testing.T) {
	s := newSite(t, nil)
	p := s.connect("rack7", nil)
	text := strings.Repeat("x", wire.MaxMessage)
	for id := range uint16(20) { // more than there is room for at a time
		p.send(message(topic("rack7", wire.TopicSamples), id+1, text))
		p.acked(id + 1)
	}
	if got := s.heap.messages(); len(got) != 20 || string(got[0].Payload) != text {
		t.Errorf("%d messages kept", len(got))
	}
	if !s.large.TryAcquire(maxLarge) || !s.waiting.TryAcquire(maxWaiting) {
		t.Error("room was not given back")
	}
}

// What breaks off in the middle of a large packet gives its room back.
func TestABrokenLargePacketGivesItsRoomBack(t *testing.T) {
	s := newSite(t, nil)
	p := s.connect("rack7", nil)
	_, err := p.Write(append([]byte{0x32, 0x80, 0x80, 0x80, 0x01}, make([]byte, 1000)...)) // of 2 MiB
	must(t, err)
	await(t, "its room", func() bool {
		free := s.large.TryAcquire(maxLarge)
		if free {
			s.large.Release(maxLarge)
		}
		return !free
	})
	must(t, p.Close())
	await(t, "the room of all", func() bool { return s.large.TryAcquire(maxLarge) })
}

// T-15: of an agent that floods while the disk is slow a bounded part is taken; nobody else waits for it.
func TestT15AFloodWaitsInTheNetwork(t *testing.T) {
	s := newSite(t, nil)
	s.heap.hold()
	p := s.connect("flood", nil)
	var b bytes.Buffer
	for id := range uint16(2000) {
		must(t, message(topic("flood", wire.TopicEvents), id+1, strings.Repeat("x", 2000)).Write(&b))
	}
	go func() { _, _ = p.Write(b.Bytes()) }()
	await(t, "its share", func() bool { return s.heap.waiting() == mostPending })
	other := s.connect("rack7", nil)
	other.send(message(topic("rack7", wire.TopicEvents), 1, "x"))
	await(t, "the other's message", func() bool { return s.heap.waiting() == mostPending+1 })
	s.heap.commit(nil, mostPending)
	other.acked(1)
	if n := s.heap.waiting(); n != mostPending+1 {
		t.Errorf("%d messages wait, want no more of the flood than %d", n, mostPending)
	}
	for i := range 2000 {
		at := i
		if i >= mostPending {
			at++
		}
		await(t, "the next one", func() bool { return s.heap.waiting() > at })
		s.heap.commit(nil, at)
	}
	for id := range uint16(2000) {
		p.acked(id + 1)
	}
}

// What one agent tells of itself, again and again and also over new connections, keeps nobody else waiting.
func TestT30StatesInAFloodWaitInTheNetwork(t *testing.T) {
	s := newSite(t, nil)
	s.states.rate = 1 // what is beyond the burst waits longer than the test
	p := s.connect("flood", nil)
	text := strings.Repeat("x", 1<<20)
	await(t, "no room for another one", func() bool {
		n := len(s.heap.messages())
		if (n+1)*len(text) > statesBurst {
			return true
		}
		p.send(message(topic("flood", wire.TopicState), uint16(n)+1, text))
		p.acked(uint16(n) + 1)
		return false
	})
	n := len(s.heap.messages())
	p.send(message(topic("flood", wire.TopicState), uint16(n)+1, text))
	other := s.connect("rack7", nil)
	other.send(message(topic("rack7", wire.TopicState), 1, text))
	other.acked(1)
	again := s.connect("flood", nil)
	again.send(message(topic("flood", wire.TopicEvents), 1, "x"))
	again.acked(1)
	again.send(message(topic("flood", wire.TopicState), 2, text))
	other.send(message(topic("rack7", wire.TopicEvents), 2, "x"))
	other.acked(2)
	if got := len(s.heap.messages()); n == 0 || got != n+3 {
		t.Errorf("%d messages kept, want %d and three", got, n)
	}
}

// T-15: an agent that does not read what it is sent keeps nobody waiting, and ends.
func TestT15WhoDoesNotReadIsNotWaitedFor(t *testing.T) {
	s := newSite(t, nil)
	p := s.connect("rack7", nil)
	p.subscribe(topic("rack7", wire.TopicOrders))
	long := make([]byte, 256<<10)
	var err error
	for n := 0; err == nil; n++ {
		if err = s.Publish("rack7", wire.TopicOrders, long); n > maxUnread {
			t.Fatal("no end to what is sent to one that does not read")
		}
	}
	if !errors.Is(err, ErrBusy) {
		t.Errorf("Publish = %v", err)
	}
	d := &s.live("rack7").down
	d.mu.Lock()
	for len(d.unread) < maxUnread {
		d.unread = append(d.unread, sent{uint16(len(d.unread) + 10_000), time.Now()})
	}
	d.unread[0].at = time.Now().Add(-time.Minute)
	d.mu.Unlock()
	if err := s.Publish("rack7", wire.TopicOrders, nil); !errors.Is(err, ErrBusy) {
		t.Errorf("Publish = %v", err)
	}
	await(t, "its end", func() bool { return s.Stats().Ended[NotRead] == 1 && s.live("rack7") == nil })
}

func TestConnectionsAreCounted(t *testing.T) {
	s := newSite(t, func(c *Config) { c.MaxConnections = 3 })
	s.connect("rack7", nil)
	s.connect("rack8", nil)
	last := s.connect("rack9", nil)
	_, err := tls.Dial("tcp", s.addr, s.ca.client(s.ca.agent("rack10")))
	if err == nil {
		t.Error("a fourth connection")
	}
	must(t, last.Close())
	await(t, "room", func() bool { return s.Stats().Connections == 2 })
	s.connect("rack10", nil)
	if n := s.Stats(); n.Ended[Crowded] != 1 || n.Sessions != 3 {
		t.Errorf("counted %+v", n)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.nfresh != 0 || len(s.fresh) != 0 {
		t.Errorf("%d have not said who they are, of %v", s.nfresh, s.fresh)
	}
}

// T-30: connections that say nothing take a part of the room, and one address a part of that.
func TestT30WhoSaysNothingTakesABoundedPart(t *testing.T) {
	s := newSite(t, nil)
	for range maxFresh / 4 {
		conn, err := net.Dial("tcp", s.addr)
		must(t, err)
		t.Cleanup(func() { _ = conn.Close() })
	}
	await(t, "all", func() bool { return s.Stats().Connections == maxFresh/4 })
	conn, err := net.Dial("tcp", s.addr)
	must(t, err)
	p := &peer{conn, t}
	must(t, conn.SetReadDeadline(time.Now().Add(20*time.Second)))
	p.gone()
	if n := s.Stats(); n.Ended[Crowded] != 1 || n.Connections != maxFresh/4 {
		t.Errorf("counted %+v", n)
	}
}

// FuzzGuard: whatever comes in whatever pieces, the guard says the same, and admits nothing beyond its bounds.
func FuzzGuard(f *testing.F) {
	f.Add([]byte{0x10, 18, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 60, 0, 6, 'r', 'a', 'c', 'k', '-', '7', 0x32, 5, 0, 1, 'x', 0, 1, 0xc0, 0, 0xe0, 0}, 3)
	f.Add([]byte{0x10, 2, 0, 0, 0x32, 0x80, 0x80, 0x80, 0x80}, 1)
	f.Add([]byte{0x10, 2, 0, 0, 0x32, 0x80, 0x80, 0x04, 1, 2, 3}, 2)
	f.Fuzz(func(t *testing.T, text []byte, piece int) {
		piece = max(piece&0xff, 1)
		now := time.Unix(1e9, 0)
		run := func(piece int) (g *guard, err error) {
			g = newGuard(time.Second, func(length int) error {
				if length < largePacket || length > maxPublish {
					t.Errorf("asked for room for %d bytes", length)
				}
				return nil
			})
			for rest := text; len(rest) > 0 && err == nil; {
				n := min(piece, len(rest))
				err = g.feed(rest[:n], now)
				rest = rest[n:]
			}
			return g, err
		}
		whole, err := run(max(len(text), 1))
		pieces, err2 := run(piece)
		if (err == nil) != (err2 == nil) || err != nil && err.Error() != err2.Error() {
			t.Fatalf("at once %v, in pieces of %d %v", err, piece, err2)
		}
		if whole.state != pieces.state || whole.body != pieces.body || whole.left != pieces.left || whole.body > maxPublish {
			t.Errorf("at once %+v, in pieces %+v", whole, pieces)
		}
		if err == nil && (whole.state == atType) != whole.by.IsZero() {
			t.Errorf("state %d with the deadline %v", whole.state, whole.by)
		}
	})
}
