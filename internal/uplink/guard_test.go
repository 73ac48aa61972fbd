package uplink

import (
	"bytes"
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"upsedge/internal/wire"
)

// A hostile broker writes what it likes, byte by byte if it likes, and takes everything.
type hostile struct {
	first []byte        // in answer to CONNECT
	then  []byte        // in answer to the first PUBLISH, or to SUBSCRIBE
	every time.Duration // between two bytes of then
	again bool          // then without end
}

// serve returns when the agent has hung up.
func (h hostile) serve(conn net.Conn) {
	defer conn.Close()
	var connect, more, gone sync.WaitGroup
	connect.Add(1)
	more.Add(1)
	gone.Go(func() {
		for n := 0; ; n++ {
			_, err := packets.ReadPacket(conn)
			if n == 0 {
				connect.Done()
			}
			if n == 1 || n == 0 && err != nil {
				more.Done()
			}
			if err != nil {
				return
			}
		}
	})
	defer gone.Wait()
	connect.Wait()
	if _, err := conn.Write(h.first); err != nil {
		return
	}
	more.Wait()
	for {
		for _, b := range h.then {
			if _, err := conn.Write([]byte{b}); err != nil {
				return
			}
			time.Sleep(h.every)
		}
		if !h.again {
			return
		}
	}
}

// T-30: whatever a broker sends, the connection ends in bounded time and without being read into memory.
func TestWhatNoBrokerMaySendEndsTheConnection(t *testing.T) {
	accepted := []byte{0x20, 2, 0, 0}
	suback := func(codes int) []byte {
		return append([]byte{0x90, byte(2 + codes), 0, 1}, bytes.Repeat([]byte{1}, codes)...)
	}
	topic := wire.Topic("rack7", wire.TopicOrders)
	publish := func(flags byte, size int) []byte {
		b := []byte{0x30 | flags, byte(size&0x7f | 0x80), byte(size >> 7 & 0x7f), 0, byte(len(topic))}
		return append(append(b, topic...), make([]byte, size)...)
	}
	for _, c := range []struct {
		name  string
		h     hostile
		cloud bool
		limit time.Duration
		words string
	}{
		{"CONNACK that never ends", hostile{first: []byte{0x20, 0xff, 0xff, 0xff, 0xff}}, false, time.Second, "no end"},
		{"CONNACK of 100 bytes", hostile{first: []byte{0x20, 100}}, false, time.Second, "want 2 to 2"},
		{"CONNACK of half", hostile{first: []byte{0x20}}, false, 16 * time.Second, "did not answer CONNECT"},
		{"code nobody knows", hostile{first: []byte{0x20, 2, 0, 77}}, false, time.Second, "code 77"},
		{"message before CONNACK", hostile{first: publish(0, 100)}, true, time.Second, "nothing asked for"},
		{"message nobody subscribed to", hostile{first: accepted, then: publish(0, 100)}, false, time.Second, "nothing asked for"},
		{"SUBACK for more than was asked", hostile{first: accepted, then: suback(3)}, true, time.Second, "want 4 to 4"},
		{"second SUBACK", hostile{first: accepted, then: append(suback(2), suback(2)...)}, true, time.Second, "nothing asked for"},
		{"no SUBACK", hostile{first: accepted}, true, 16 * time.Second, "did not answer SUBSCRIBE"},
		{"message of 200 MB", hostile{first: accepted, then: append(suback(2), 0x30, 0x80, 0x84, 0xaf, 0x5f)}, true, time.Second, "want 2 to"},
		{"message of QoS 2", hostile{first: accepted, then: append(suback(2), publish(4, 100)...)}, true, time.Second, "nothing asked for"},
		{
			"message at a byte a second",
			hostile{first: accepted, then: append(suback(2), publish(0, 1000)...), every: time.Second},
			true,
			28 * time.Second, "more than 20s for one packet",
		},
		{"PUBACK without end", hostile{first: accepted, then: []byte{0x40, 2, 0, 9}, again: true}, false, time.Second, "nothing asked for"},
		{"PINGRESP without PINGREQ", hostile{first: accepted, then: []byte{0xd0, 0}}, false, time.Second, "nothing asked for"},
		{"packet for brokers", hostile{first: accepted, then: []byte{0xc0, 0}}, false, time.Second, "nothing asked for"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := &logBook{}
				spool := newMemSpool()
				s := pipeSession(&pipeBroker{}, spool, func(cfg *Config) {
					if c.cloud {
						enrolled(spool)(cfg)
					}
					cfg.Log = log.logger()
				})
				ended := make(chan time.Duration, 100)
				var all sync.WaitGroup
				s.cfg.Dial = func(context.Context, string) (net.Conn, error) {
					ours, theirs := net.Pipe()
					began := time.Now()
					all.Go(func() {
						c.h.serve(ours)
						ended <- time.Since(began)
					})
					return theirs, nil
				}
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- s.Run(ctx) }()
				if took := <-ended; took > c.limit+2*time.Second {
					t.Errorf("ended after %v, want %v", took, c.limit)
				}
				time.Sleep(handOver + 2*hangUpWithin) // for the last word
				cancel()
				<-done
				all.Wait()
				if !log.has(c.words) {
					t.Errorf("the log does not say %q:\n%s", c.words, log.text.String())
				}
			})
		})
	}
}

// A handshake at a byte a second, which no guard sees, ends all the same.
func TestASlowHandshakeEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := pipeSession(&pipeBroker{}, newMemSpool(), func(c *Config) { c.Broker = parseURL(t, "tls://127.0.0.1:8883") })
		var all sync.WaitGroup
		took := make(chan time.Duration, 100)
		s.cfg.Dial = func(context.Context, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			began := time.Now()
			all.Go(func() {
				defer ours.Close()
				all.Go(func() { _, _ = io.Copy(io.Discard, ours) })
				for _, b := range append([]byte{22, 3, 3, 0x40, 0, 2, 0, 0x3f, 0xfc, 3, 3}, make([]byte, 1000)...) { // a ServerHello of 16 KiB
					if _, err := ours.Write([]byte{b}); err != nil {
						took <- time.Since(began)
						return
					}
					time.Sleep(time.Second)
				}
			})
			return theirs, nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		if d := <-took; d > dialTimeout+2*time.Second {
			t.Errorf("the handshake ended after %v, want %v", d, dialTimeout)
		}
		cancel()
		<-done
		all.Wait()
	})
}

// bytesConn is a connection that has only these bytes to say.
type bytesConn struct {
	net.Conn
	r bytes.Reader
}

func (c *bytesConn) Read(p []byte) (int, error)      { return c.r.Read(p) }
func (c *bytesConn) SetReadDeadline(time.Time) error { return nil }

// What the guard lets through the library reads without harm: no panic, nothing large, nothing that was not to come.
func FuzzGuard(f *testing.F) {
	f.Add([]byte{0x20, 2, 0, 0, 0x90, 4, 0, 1, 1, 1, 0x40, 2, 0, 2, 0xd0, 0}, byte(3), true)
	f.Add([]byte{0x20, 2, 0, 0, 0x32, 7, 0, 1, 'a', 0, 9, 'x', 'y'}, byte(0), true)
	f.Add([]byte{0x20, 2, 0, 5}, byte(0), false)
	f.Add([]byte{0x20, 0xff, 0xff, 0xff, 0x7f}, byte(0), false)
	f.Add([]byte{0x20, 2, 0, 0, 0x90, 5, 0, 1, 1, 1, 1}, byte(1), true)
	f.Fuzz(func(t *testing.T, in []byte, sent byte, listen bool) {
		conn := &bytesConn{}
		conn.r.Reset(in)
		g := newGuard(conn)
		g.listen = listen
		for range sent {
			g.wrote(typePublish << 4)
		}
		g.wrote(typeSubscribe << 4)
		g.wrote(typePing << 4)
		counts := map[byte]int{}
		for first := true; ; first = false {
			p, err := packets.ReadPacket(g)
			if err != nil {
				return
			}
			var kind byte
			switch p := p.(type) {
			case *packets.ConnackPacket:
				kind = packets.Connack
				if p.ReturnCode > 5 {
					t.Errorf("CONNACK with the code %d", p.ReturnCode)
				}
			case *packets.SubackPacket:
				kind = packets.Suback
				if len(p.ReturnCodes) != 2 {
					t.Errorf("SUBACK with %d codes", len(p.ReturnCodes))
				}
			case *packets.PubackPacket:
				kind = packets.Puback
			case *packets.PingrespPacket:
				kind = packets.Pingresp
			case *packets.PublishPacket:
				kind = packets.Publish
				if !listen || p.Qos > 1 || len(p.Payload) > maxInbound {
					t.Errorf("PUBLISH of QoS %d with %d bytes", p.Qos, len(p.Payload))
				}
			default:
				t.Fatalf("%T came through", p)
			}
			if first != (kind == packets.Connack) {
				t.Errorf("packet of type %d as the first: %v", kind, first)
			}
			counts[kind]++
			if counts[packets.Puback] > int(sent) || counts[packets.Suback] > 1 || counts[packets.Pingresp] > 1 {
				t.Errorf("more answers than questions: %v", counts)
			}
		}
	})
}
