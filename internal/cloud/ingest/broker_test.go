package ingest

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/testenv"
	"upsedge/internal/wire"
)

// resend publishes what is not acknowledged until everything is, as an agent does that goes back to the mark.
func resend(t testing.TB, p *peer, b *box, to uint64) {
	t.Helper()
	for range 30 {
		for n := p.through(wire.Events) + 1; n <= to; n++ {
			p.publish(b.publish(b.alarm(n, "text")))
		}
		for end := time.Now().Add(time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
			if p.through(wire.Events) == to {
				return
			}
		}
	}
	t.Fatalf("acknowledged up to %d of %d", p.through(wire.Events), to)
}

// T-25: a broker that acknowledges, is killed and has forgotten everything, also who had subscribed.
func TestABrokerThatForgetsLosesNothing(t *testing.T) {
	broker := testenv.Mosquitto(t, strings.Replace(brokerConfig, "persistence true", "persistence false", 1))
	r, b := newReceiver(t), newBox(t, "rack7")
	consume(t, r, broker.Addr)
	sent := uint64(0)
	for range 3 {
		p := newPeer(t, broker.Addr, b)
		must(t, wait(t.Context(), p.publish(b.full(1, 1)))) // the receiver may still be on its way
		for range 200 {
			sent++
			p.publish(b.publish(b.alarm(sent, "text")))
		}
		broker.Kill()
		broker.Start()
		p = newPeer(t, broker.Addr, b)
		resend(t, p, b, sent)
	}
	if l := laneOf(t, r, b, wire.Events); l.Records != int64(sent) || l.Through != sent {
		t.Errorf("kept: %+v, want %d records", l, sent)
	}
	wantTold(t, r)
}

// What comes while the receiver is away waits in the broker, also what had been handed to it and was not stored.
func TestTheBrokerKeepsWhatTheReceiverHasNotStored(t *testing.T) {
	broker := testenv.Mosquitto(t, brokerConfig)
	f, db, b := &storetest.Faults{}, storetest.SQLite(t), newBox(t, "rack7")
	db.Wrap = f.Wrap
	r := opened(t, db, Options{})
	stop := consume(t, r, broker.Addr)
	p := newPeer(t, broker.Addr, b)
	publish := func(from, to uint64) {
		for n := from; n <= to; n++ {
			must(t, wait(t.Context(), p.publish(b.publish(b.alarm(n, "text")))))
		}
	}
	publish(1, 50)
	await(t, "the first", func() bool { return p.through(wire.Events) == 50 })
	f.Arm(1, 1<<40)
	publish(51, 100) // handed over, and the disk refuses
	stop()
	f.Arm(1, 0)
	publish(101, 150) // nobody is there
	if got := p.through(wire.Events); got != 50 {
		t.Errorf("acknowledged up to %d by nobody", got)
	}
	consume(t, restarted(t, db, r, Options{}), broker.Addr)
	await(t, "all of them", func() bool { return p.through(wire.Events) == 150 })
}

// With its usual settings a broker drops what waits beyond a number of messages, though it has acknowledged them. Holes are what
// remains, and the agent fills them.
func TestWhatABrokerDropsComesAgain(t *testing.T) {
	broker := testenv.Mosquitto(t, "persistence true\nset_tcp_nodelay true\nmax_inflight_messages 5\nmax_queued_messages 20")
	r, b := newReceiver(t), newBox(t, "rack7")
	consume(t, r, broker.Addr)() // it has subscribed once
	p := newPeer(t, broker.Addr, b)
	for n := range uint64(64) {
		must(t, wait(t.Context(), p.publish(b.publish(b.alarm(n+1, "text")))))
	}
	consume(t, r, broker.Addr)
	must(t, wait(t.Context(), p.publish(b.full(1, 1, wire.Waiting{First: 1, Last: 64}, wire.Waiting{First: 1}))))
	await(t, "the answer to the session", func() bool { return p.through(wire.Events) > 0 })
	if got := p.through(wire.Events); got >= 64 {
		t.Fatalf("the broker has dropped nothing: acknowledged up to %d", got)
	}
	resend(t, p, b, 64)
	if l := laneOf(t, r, b, wire.Events); l.Records != 64 || l.Holes != nil {
		t.Errorf("kept: %+v", l)
	}
}

// logBook is a log that can be looked into while it is written.
type logBook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logBook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logBook) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.text.String(), text)
}

// What a broker does not grant looks like success unless the result of SUBSCRIBE is read.
func TestASubscriptionThatIsNotGrantedIsNoConnection(t *testing.T) {
	broker := testenv.Mosquitto(t, "max_qos 0")
	log := &logBook{}
	c := NewConsumer(newReceiver(t), ConsumerConfig{
		Broker: &url.URL{Scheme: "tcp", Host: broker.Addr}, ClientID: "receiver", Log: slog.New(slog.NewTextHandler(log, nil)),
		Ready: func() { t.Error("ready though a broker may drop everything") },
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- c.Run(ctx) }()
	await(t, "the refusal in the log", func() bool { return log.has("subscribe to upsedge/v1/+/") })
	cancel()
	must(t, <-done)
}

// A message that cannot be understood must not come for ever, and must not stand before others.
func TestAMalformedMessageDoesNotHoldUpTheBroker(t *testing.T) {
	broker := testenv.Mosquitto(t, brokerConfig)
	r, b := newReceiver(t), newBox(t, "rack7")
	stop := consume(t, r, broker.Addr)
	p := newPeer(t, broker.Addr, b)
	for n := range 300 {
		p.publish(Message{Topic: "upsedge/v1/rack7/events", Payload: fmt.Append(nil, n)})
	}
	p.publish(b.publish(b.alarm(1, "one")))
	await(t, "the alarm behind them", func() bool { return p.through(wire.Events) == 1 })
	p.publish(b.publish(b.alarm(2, "two"))) // its answer leaves behind the acknowledgements of all before it
	await(t, "another one", func() bool { return p.through(wire.Events) == 2 })
	stop()
	consume(t, r, broker.Addr)
	p.publish(b.publish(b.alarm(3, "three")))
	await(t, "one more", func() bool { return p.through(wire.Events) == 3 })
	wantTold(t, r, "rack7 ingest.malformed 300")
}

// While the disk refuses, what comes waits in the network. That must not hold up who reconnects, nor who stops.
func TestAFullQueueDoesNotHoldUpTheConnection(t *testing.T) {
	broker := testenv.Mosquitto(t, strings.Replace(brokerConfig, "max_inflight_messages 1000", "max_inflight_messages 0", 1))
	b := newBox(t, "rack7")
	r, f := faulty(t, Options{})
	c := NewConsumer(r, ConsumerConfig{Broker: &url.URL{Scheme: "tcp", Host: broker.Addr}, ClientID: "receiver"})
	c.g.in = make(chan delivery, 64) // sooner full
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	p := newPeer(t, broker.Addr, b)
	await(t, "the connection", func() bool {
		p.publish(b.publish(b.alarm(1, "text")))
		return p.through(wire.Events) == 1
	})
	const last = maxBatch + 200
	f.Arm(1, 1<<40)
	for n := range uint64(last - 1) {
		p.publish(b.publish(b.alarm(n+2, "text")))
	}
	await(t, "a full queue", func() bool { return len(c.g.in) == cap(c.g.in) })
	broker.Stop()
	broker.Start()
	p = newPeer(t, broker.Addr, b)
	f.Arm(1, 0)
	resend(t, p, b, last)
	f.Arm(1, 1<<40)
	for n := range uint64(last) {
		p.publish(b.publish(b.alarm(last+1+n, "text")))
	}
	await(t, "a full queue again", func() bool { return len(c.g.in) == cap(c.g.in) })
	cancel()
	select {
	case err := <-done:
		must(t, err)
	case <-time.After(30 * time.Second):
		t.Error("still there 30 s after the end of its context")
	}
	f.Arm(1, 0)
}
