package uplink

import (
	"bytes"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"

	"upsedge/internal/wire"
)

// mochiBroker starts a broker in this process and returns its address.
func mochiBroker(t *testing.T) string {
	t.Helper()
	srv := mochi.New(&mochi.Options{Logger: slog.New(slog.DiscardHandler)})
	if err := srv.AddHook(new(auth.AllowHook), nil); err != nil {
		t.Fatal(err)
	}
	l := listeners.NewTCP(listeners.Config{ID: "t", Address: "127.0.0.1:0"})
	if err := srv.AddListener(l); err != nil {
		t.Fatal(err)
	}
	if err := srv.Serve(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close() })
	return l.Address()
}

// A proxy stands between agent and broker. It cuts connections after a number of bytes, drops, holds and counts packets, and
// knows what the agent can know: which records the broker acknowledged.
type proxy struct {
	addr, broker string
	slow         float64 // bytes per second towards the broker, 0: no limit; to be set before the first connection

	mu       sync.Mutex
	budget   func(conn int) (up, down int)                       // bytes let through on the conn-th connection (from 1); negative: all
	onDown   func(packets.ControlPacket) []packets.ControlPacket // what goes to the agent instead
	onUp     func(packets.ControlPacket)                         // sees what comes from the agent
	conns    int                                                 // accepted
	live     map[net.Conn]bool                                   //
	acked    map[wire.Lane]map[uint64]bool                       // records whose PUBACK went to the agent
	inFlight int                                                 // records, on all connections
	most     int                                                 // highest inFlight
	wg       sync.WaitGroup
}

func newProxy(t *testing.T, broker string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{addr: l.Addr().String(), broker: broker, live: map[net.Conn]bool{}, acked: map[wire.Lane]map[uint64]bool{}}
	for _, lane := range wire.Lanes {
		p.acked[lane] = map[uint64]bool{}
	}
	p.wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.serve(conn) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		p.cut()
		p.wg.Wait()
	})
	return p
}

// cut ends all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.live {
		_ = c.Close()
	}
}

func (p *proxy) set(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

// cutAfter, fromBroker and fromAgent set what the fields of the same meaning say.
func (p *proxy) cutAfter(f func(conn int) (up, down int)) { p.set(func() { p.budget = f }) }

func (p *proxy) fromBroker(f func(packets.ControlPacket) []packets.ControlPacket) {
	p.set(func() { p.onDown = f })
}

func (p *proxy) fromAgent(f func(packets.ControlPacket)) { p.set(func() { p.onUp = f }) }

func (p *proxy) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.conns
}

// record is what a PUBLISH of the agent carried.
type record struct {
	lane wire.Lane
	seq  uint64
}

func (p *proxy) serve(agent net.Conn) {
	defer agent.Close()
	broker, err := net.Dial("tcp", p.broker)
	if err != nil {
		return
	}
	defer broker.Close()
	up, down := -1, -1
	p.set(func() {
		p.conns++
		p.live[agent], p.live[broker] = true, true
		if p.budget != nil {
			up, down = p.budget(p.conns)
		}
	})
	sent := map[uint16]record{} // by packet id; guarded by mu
	done := make(chan struct{}, 2)
	p.wg.Go(func() {
		p.pump(broker, agent, up, func(c packets.ControlPacket) []packets.ControlPacket { return p.sawUp(sent, c) })
		done <- struct{}{}
	})
	p.wg.Go(func() { p.pump(agent, broker, down, p.changeDown(sent)); done <- struct{}{} })
	<-done // one direction ended: so does the other
	p.set(func() {
		delete(p.live, agent)
		delete(p.live, broker)
		p.inFlight -= len(sent)
	})
}

// pump copies packets until its budget of bytes is used up. The last packet may be cut in the middle.
func (p *proxy) pump(dst, src net.Conn, budget int, change func(packets.ControlPacket) []packets.ControlPacket) {
	for {
		in, err := packets.ReadPacket(src)
		if err != nil {
			return
		}
		if pub, ok := in.(*packets.PublishPacket); ok && p.slow > 0 {
			time.Sleep(time.Duration(float64(len(pub.Payload)) / p.slow * float64(time.Second)))
		}
		for _, pkt := range change(in) {
			var b bytes.Buffer
			if pkt.Write(&b) != nil {
				return
			}
			if budget >= 0 && b.Len() > budget {
				_, _ = dst.Write(b.Bytes()[:budget])
				return
			}
			budget -= b.Len() // stays negative
			if _, err := dst.Write(b.Bytes()); err != nil {
				return
			}
		}
	}
}

func (p *proxy) sawUp(sent map[uint16]record, c packets.ControlPacket) []packets.ControlPacket {
	p.mu.Lock()
	defer p.mu.Unlock()
	if pub, ok := c.(*packets.PublishPacket); ok {
		if r := recordOf(pub); r.seq > 0 {
			sent[pub.MessageID] = r
			p.inFlight++
			p.most = max(p.most, p.inFlight)
		}
	}
	if p.onUp != nil {
		p.onUp(c)
	}
	return []packets.ControlPacket{c}
}

func recordOf(pub *packets.PublishPacket) record {
	_, leaf, err := wire.SplitTopic(pub.TopicName)
	if err != nil {
		panic(err)
	}
	switch leaf {
	case wire.TopicEvents:
		m, err := wire.DecodeEventMessage(pub.Payload)
		if err != nil {
			panic(err)
		}
		return record{wire.Events, m.Record.Seq}
	case wire.TopicSamples:
		return record{wire.Samples, sampleSeq(pub.Payload)}
	}
	return record{}
}

func (p *proxy) changeDown(sent map[uint16]record) func(packets.ControlPacket) []packets.ControlPacket {
	return func(c packets.ControlPacket) []packets.ControlPacket {
		p.mu.Lock()
		defer p.mu.Unlock()
		out := []packets.ControlPacket{c}
		if p.onDown != nil {
			out = p.onDown(c)
		}
		for _, c := range out {
			ack, ok := c.(*packets.PubackPacket)
			if r, flying := sent[ack2id(ack)]; ok && flying {
				delete(sent, ack.MessageID)
				p.inFlight--
				p.acked[r.lane][r.seq] = true // a little early: it goes out now
			}
		}
		return out
	}
}

func ack2id(a *packets.PubackPacket) uint16 {
	if a == nil {
		return 0
	}
	return a.MessageID
}

// watch makes spool report every acknowledgement that rests on a record whose PUBACK the agent cannot have.
func (p *proxy) watch(t *testing.T, spool *memSpool) {
	from := map[wire.Lane]uint64{}
	spool.onAck = func(lane wire.Lane, through uint64) {
		p.mu.Lock()
		defer p.mu.Unlock()
		for seq := from[lane] + 1; seq <= through; seq++ {
			if !p.acked[lane][seq] {
				t.Errorf("lane %v acknowledged through %d, but the broker never acknowledged %d", lane, through, seq)
			}
		}
		from[lane] = max(from[lane], through)
	}
}
