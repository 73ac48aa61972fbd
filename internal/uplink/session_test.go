package uplink

import (
	"context"
	"log/slog"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"go.uber.org/goleak"

	"upsedge/internal/testenv"
	"upsedge/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var loopback = &url.URL{Scheme: "tcp", Host: "127.0.0.1:1883"}

func parseURL(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func fullState() *wire.FullState {
	return &wire.FullState{Agent: "rack7", Stream: testStream, Boot: 3, Now: wire.Stamp{Mono: time.Second}}
}

func testConfig(t *testing.T, addr string) Config {
	return Config{
		Broker: parseURL(t, "tcp://"+addr), Insecure: true, AgentID: "rack7", Boot: 3, Version: "1.2.3", Full: fullState,
		Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
}

// quick returns a Session that retries at once.
func quick(cfg Config, spool Spool) *Session {
	s := New(cfg, spool)
	s.retry = backoff{least: time.Millisecond, most: 20 * time.Millisecond}
	s.acks.every = time.Millisecond
	return s
}

// start runs s until stop is called or the test ends; stop waits for the end.
func start(t *testing.T, s *Session) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run = %v at the end of its context, want nil", err)
			}
		case <-time.After(20 * time.Second):
			t.Error("Run has not returned 20 s after the end of its context")
		}
	})
	t.Cleanup(stop)
	return stop
}

// A collector subscribes to everything of an agent and keeps it in order.
type collector struct {
	mu   sync.Mutex
	msgs []received
	news chan struct{} // nil: nobody asks
}

type received struct {
	leaf     wire.Leaf
	retained bool
	seq      uint64     // of a record
	picture  bool       // a record of the events lane on the topic of samples
	state    wire.State // of a state
}

// collect returns when the subscription stands.
func collect(t *testing.T, addr string) *collector {
	t.Helper()
	c := &collector{}
	o := mqtt.NewClientOptions().AddBroker("tcp://" + addr).SetClientID("collector-" + t.Name()).SetAutoReconnect(false)
	o.SetOrderMatters(true)
	client := mqtt.NewClient(o)
	if tok := client.Connect(); tok.Wait() && tok.Error() != nil {
		t.Fatal(tok.Error())
	}
	t.Cleanup(func() { client.Disconnect(100) })
	if tok := client.Subscribe("upsedge/v1/rack7/#", 1, c.take); tok.Wait() && tok.Error() != nil {
		t.Fatal(tok.Error())
	}
	return c
}

func (c *collector) take(_ mqtt.Client, m mqtt.Message) {
	_, leaf, err := wire.SplitTopic(m.Topic())
	if err != nil {
		panic(err)
	}
	r := received{leaf: leaf, retained: m.Retained()}
	switch leaf {
	case wire.TopicAcks, wire.TopicOrders: // our own
		return
	case wire.TopicState:
		s, err := wire.DecodeState(m.Payload())
		if err != nil {
			panic(err)
		}
		r.state = *s
	case wire.TopicEvents:
		p, err := wire.DecodeEventMessage(m.Payload())
		if err != nil {
			panic(err)
		}
		r.seq = p.Record.Seq
	case wire.TopicSamples:
		r.seq, r.picture = sampleSeq(m.Payload()), m.Payload()[3] == wire.PictureVersion
	}
	c.mu.Lock()
	c.msgs = append(c.msgs, r)
	news := c.news
	c.mu.Unlock()
	select {
	case news <- struct{}{}:
	default:
	}
}

func (c *collector) all() []received {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]received(nil), c.msgs...)
}

func (c *collector) seqs(leaf wire.Leaf) (out []uint64) {
	for _, m := range c.all() {
		if m.leaf == leaf {
			out = append(out, m.seq)
		}
	}
	return out
}

func (c *collector) states() (out []wire.State) {
	for _, m := range c.all() {
		if m.leaf == wire.TopicState {
			out = append(out, m.state)
		}
	}
	return out
}

// form names the three forms of the topic state.
func form(s wire.State) string {
	switch {
	case !s.Online:
		return "offline"
	case s.Full == nil:
		return "first"
	}
	return "full"
}

// formsOf returns the forms of the states of one session.
func formsOf(states []wire.State, session uint64) (out []string) {
	for _, s := range states {
		if s.Session == session {
			out = append(out, form(s))
		}
	}
	return out
}

// TestAPictureGoesDirectlyBehindItsEvent: ahead of the backlog of samples, whose topic it shares.
func TestAPictureGoesDirectlyBehindItsEvent(t *testing.T) {
	broker := testenv.Mosquitto(t, "")
	got := collect(t, broker.Addr)
	spool := newMemSpool()
	for range 200 {
		spool.put(wire.Samples, 700)
	}
	for range 3 {
		spool.put(wire.Events, 100)
		spool.putPicture(2000)
	}
	stop := start(t, quick(testConfig(t, broker.Addr), spool))
	await(t, "acknowledgement of everything", func() bool {
		return spool.ackedThrough(wire.Events) == 6 && spool.ackedThrough(wire.Samples) == 200
	})
	stop()
	var first []uint64
	for _, m := range got.all() {
		switch m.leaf {
		case wire.TopicSamples:
			if !m.picture && len(first) < 6 {
				t.Fatalf("sample block %d came after %d of 6 records of the events lane", m.seq, len(first))
			}
			if m.picture != (len(first) < 6 && m.seq%2 == 0) {
				t.Fatalf("record %d on the topic of samples is a picture: %v", m.seq, m.picture)
			}
		case wire.TopicState:
			continue
		}
		first = append(first, m.seq)
	}
	checkComplete(t, first[:6], 6)
}

func TestDeliversBothLanesInOrderThroughMosquitto(t *testing.T) {
	broker := testenv.Mosquitto(t, "")
	got := collect(t, broker.Addr)
	spool := newMemSpool()
	for range 300 {
		spool.put(wire.Samples, 700)
	}
	for range 20 {
		spool.put(wire.Events, 100)
	}
	stop := start(t, quick(testConfig(t, broker.Addr), spool))
	await(t, "acknowledgement of everything", func() bool {
		return spool.ackedThrough(wire.Events) == 20 && spool.ackedThrough(wire.Samples) == 300
	})
	stop()
	await(t, "offline state", func() bool {
		s := got.states()
		return len(s) > 0 && !s[len(s)-1].Online
	})
	checkComplete(t, got.seqs(wire.TopicEvents), 20)
	checkComplete(t, got.seqs(wire.TopicSamples), 300)
	want := []string{"first", "full", "offline"}
	if s := got.states(); !slices.Equal(formsOf(s, 3<<32+1), want) {
		t.Errorf("states %+v, want %v of session 3<<32 + 1", s, want)
	}
}

// checkComplete wants 1 to last in order, once copies of what came before are left out.
func checkComplete(t *testing.T, seqs []uint64, last uint64) {
	t.Helper()
	var top uint64
	for i, s := range seqs {
		if s > top+1 {
			t.Fatalf("message %d has number %d after %d: skipped", i, s, top)
		}
		top = max(top, s)
	}
	if top != last {
		t.Errorf("numbers end with %d, want %d", top, last)
	}
}
