package ingest

import (
	"context"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"upsedge/internal/testenv"
	"upsedge/internal/wire"
)

// brokerConfig is what the reference configuration of the broker asks for beside who may connect.
var brokerConfig = func() string {
	text, err := os.ReadFile("../../../configs/mosquitto.reference.conf")
	if err != nil {
		panic(err)
	}
	_, tested, _ := strings.Cut(string(text), "# -- tested")
	var lines []string
	for line := range strings.Lines(tested) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' && line[0] != '-' {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}()

// await waits for something to happen.
func await(t testing.TB, what string, happened func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !happened(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not after 30 s", what)
		}
	}
}

// consume runs a consumer until the test ends, or stop is called, and returns when it is ready.
func consume(t testing.TB, r *Receiver, addr string) (stop func()) {
	t.Helper()
	ready := make(chan struct{}, 100)
	c := NewConsumer(r, ConsumerConfig{
		Broker: &url.URL{Scheme: "tcp", Host: addr}, ClientID: "receiver", Ready: func() { ready <- struct{}{} },
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		must(t, <-done)
	})
	t.Cleanup(stop)
	select {
	case <-ready:
	case <-time.After(30 * time.Second):
		t.Fatal("not ready after 30 s")
	}
	return stop
}

// A peer is a client beside the receiver, as an agent is.
type peer struct {
	t      testing.TB
	client mqtt.Client
	mu     sync.Mutex
	marks  map[wire.Lane]uint64
}

func newPeer(t testing.TB, addr string, b *box) *peer {
	t.Helper()
	p := &peer{t: t, marks: map[wire.Lane]uint64{}}
	o := mqtt.NewClientOptions().AddBroker("tcp://" + addr).SetClientID(b.name).SetAutoReconnect(false)
	p.client = mqtt.NewClient(o)
	must(t, wait(t.Context(), p.client.Connect()))
	t.Cleanup(func() { p.client.Disconnect(0) })
	must(t, wait(t.Context(), p.client.Subscribe(wire.Topic(b.name, wire.TopicAcks), wire.QoS, func(_ mqtt.Client, m mqtt.Message) {
		ack, err := wire.DecodeAck(m.Payload())
		if err != nil || m.Retained() {
			t.Errorf("acknowledgement %q, retained %v: %v", m.Payload(), m.Retained(), err)
		}
		p.mu.Lock()
		p.marks[ack.Lane] = max(p.marks[ack.Lane], ack.Through)
		p.mu.Unlock()
	})))
	return p
}

func (p *peer) publish(m Message) mqtt.Token {
	return p.client.Publish(m.Topic, wire.QoS, false, m.Payload)
}

func (p *peer) through(lane wire.Lane) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.marks[lane]
}

func TestStoresWhatComesOverARealBrokerAndAcknowledgesIt(t *testing.T) {
	broker := testenv.Mosquitto(t, brokerConfig)
	r, b := newReceiver(t), newBox(t, "rack7")
	consume(t, r, broker.Addr)
	p := newPeer(t, broker.Addr, b)
	for n := range uint64(300) {
		p.publish(b.publish(b.alarm(n+1, "text")))
		p.publish(b.publish(b.block(n+1, int64(n)*1000, 10)))
	}
	await(t, "marks", func() bool { return p.through(wire.Events) == 300 && p.through(wire.Samples) == 300 })
	for _, lane := range wire.Lanes {
		if l := laneOf(t, r, b, lane); l.Records != 300 || l.Through != 300 {
			t.Errorf("kept of %v: %+v", lane, l)
		}
	}
}
