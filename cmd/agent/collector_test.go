package main

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"upsedge/internal/asyncapi"
	"upsedge/internal/testenv"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// A collector is the cloud: it keeps every message that the broker hands on, over restarts of the broker, too.
type collector struct {
	t        testing.TB
	client   mqtt.Client
	protocol *asyncapi.Document

	mu     sync.Mutex
	seen   []message
	heard  map[string]bool // what told has found in the first `looked` of seen: "unit-1 raise 101"
	looked int

	subscriptions atomic.Int32 // that the broker has confirmed
}

type message struct {
	topic    string
	leaf     wire.Leaf
	payload  []byte
	retained bool
	at       time.Time // when it came
}

// keepAll lets a broker hand on everything it acknowledged: without a limit it writes to its subscribers before it acknowledges.
const keepAll = "persistence true\nmax_inflight_messages 0\nmax_queued_messages 0\nset_tcp_nodelay true"

// collect subscribes with a session that the broker keeps under a name.
func collect(t testing.TB, b *testenv.Broker, name string) *collector {
	t.Helper()
	protocol, err := asyncapi.Load("../../docs/asyncapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c := &collector{t: t, protocol: protocol}
	subscribed := make(chan error, 1)
	o := mqtt.NewClientOptions().AddBroker("tcp://" + b.Addr).SetClientID(name).SetCleanSession(false).
		SetAutoReconnect(true).SetMaxReconnectInterval(200 * time.Millisecond).SetResumeSubs(true).
		SetConnectRetry(true).SetConnectRetryInterval(100 * time.Millisecond)
	o.SetDefaultPublishHandler(c.take)
	var once sync.Once
	o.SetOnConnectHandler(func(client mqtt.Client) {
		// Asked again at each connection: a broker that was killed may not have saved the session.
		token := client.Subscribe(wire.Prefix+"#", 1, nil)
		go func() {
			<-token.Done()
			if token.Error() == nil {
				c.subscriptions.Add(1)
			}
			once.Do(func() { subscribed <- token.Error() })
		}()
	})
	c.client = mqtt.NewClient(o)
	c.client.Connect()
	t.Cleanup(func() { c.client.Disconnect(100) })
	select {
	case err := <-subscribed:
		if err != nil {
			t.Fatalf("subscribe: %v", err)
		}
	case <-time.After(patience):
		t.Fatalf("no subscription within %v", patience)
	}
	return c
}

func (c *collector) take(_ mqtt.Client, m mqtt.Message) {
	_, leaf, err := wire.SplitTopic(m.Topic())
	if err != nil {
		c.t.Errorf("published on a topic that is none: %v", err)
	}
	if _, err := c.protocol.Check(m.Topic(), m.Payload()); err != nil {
		c.t.Errorf("not as docs/asyncapi.yaml has it: %v", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen = append(c.seen, message{m.Topic(), leaf, bytes.Clone(m.Payload()), m.Retained(), time.Now()})
}

func (c *collector) messages(leaf wire.Leaf) []message {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []message
	for _, m := range c.seen {
		if leaf == "" || m.leaf == leaf {
			out = append(out, m)
		}
	}
	return out
}

// identity is what the cloud de-duplicates by.
type identity struct {
	stream wire.ID
	lane   wire.Lane
	seq    uint64
}

func idOf(r wire.Record) identity { return identity{r.Stream, r.Lane, r.Seq} }

// history is what the cloud has when it has put away the copies.
type history struct {
	events []*wire.PublishedEvent
	blocks []*wire.PublishedBlock
	order  []identity // in the order in which they came first
	copies int        // that came again
}

// history reads everything that came and fails the test where a copy differs from an earlier one or something cannot be read.
func (c *collector) history() *history {
	c.t.Helper()
	h := &history{}
	var schemas wire.Schemas
	first := map[identity][]byte{}
	isNew := func(r wire.Record, payload []byte) bool {
		id := idOf(r)
		was, again := first[id]
		if !again {
			first[id] = payload
			h.order = append(h.order, id)
			return true
		}
		if h.copies++; !bytes.Equal(was, payload) {
			c.t.Errorf("%v %d came again and differs:\n%q\n%q", id.lane, id.seq, was, payload)
		}
		return false
	}
	for _, m := range c.messages("") {
		switch m.leaf {
		case wire.TopicEvents:
			e, err := wire.DecodeEventMessage(m.payload)
			if err != nil {
				c.t.Fatalf("%v: %s", err, m.payload)
			}
			if isNew(e.Record, m.payload) {
				h.events = append(h.events, e)
			}
		case wire.TopicSamples:
			b, err := schemas.Decode(m.payload)
			if unknown := (*wire.UnknownSchemaError)(nil); errors.As(err, &unknown) {
				c.t.Errorf("block %d: %v", b.Record.Seq, err)
				continue
			} else if err != nil {
				c.t.Fatalf("block of %d bytes: %v", len(m.payload), err)
			}
			if isNew(b.Record, m.payload) {
				h.blocks = append(h.blocks, b)
			}
		}
	}
	return h
}

// unbroken fails the test where a number is missing between the first of a lane, which is 1, and the last that came.
func (h *history) unbroken(t testing.TB) {
	t.Helper()
	for lane, numbers := range h.numbers(t) {
		slices.Sort(numbers)
		for i, n := range numbers {
			if n != uint64(i+1) {
				t.Errorf("%v: number %d where %d should be; %d came", lane, n, i+1, len(numbers))
				break
			}
		}
	}
}

func (h *history) numbers(t testing.TB) map[wire.Lane][]uint64 {
	t.Helper()
	all := map[wire.Lane][]uint64{}
	for _, id := range h.order {
		if id.stream != h.order[0].stream {
			t.Errorf("%v %d is of another stream", id.lane, id.seq)
		}
		all[id.lane] = append(all[id.lane], id.seq)
	}
	return all
}

// alarms returns the events of the catalogue of a unit as words, in the order of their numbers: "raise 101"; without those aside.
func (h *history) alarms(unit string) []string {
	var out []string
	for _, e := range h.inOrder() {
		if e.Event != nil && e.Event.Unit == unit && !aside(e.Event.ID) {
			out = append(out, fmt.Sprintf("%v %d", e.Event.Kind, e.Event.ID))
		}
	}
	return out
}

// aside reports whether an event is one of those that come with an outage and depend on when the blocks were read: what is wrong
// with the input, the beeper, charging.
func aside(id ups.AlarmID) bool { return id >= 104 && id <= 115 || id == 220 || id == 221 || id == 514 }

// gaps returns the gaps of a unit in the order of their numbers.
func (h *history) gaps(unit string) []wire.Gap {
	var out []wire.Gap
	for _, e := range h.inOrder() {
		if e.Gap != nil && e.Gap.Unit == unit {
			out = append(out, *e.Gap)
		}
	}
	return out
}

func (h *history) inOrder() []*wire.PublishedEvent {
	return slices.SortedFunc(slices.Values(h.events), func(a, b *wire.PublishedEvent) int {
		return int(int64(a.Record.Seq) - int64(b.Record.Seq))
	})
}

// A row is one reading of a unit as it came: the values that are present, by point.
type row struct {
	at     time.Duration // since the boot of the machine, in whole ms
	tier   ups.Tier
	values map[ups.Point]int64
}

// rows returns every reading of a unit in the order of time, as the samples lane brought them: pictures repeat them.
func (h *history) rows(unit string) []row {
	return h.rowsOf(func(b *wire.PublishedBlock) bool { return b.Block.Unit == unit && b.Event == 0 })
}

// pictures returns the pictures of a unit in the order of their numbers.
func (h *history) pictures(unit string) (out []*wire.PublishedBlock) {
	for _, b := range h.blocks {
		if b.Block.Unit == unit && b.Event != 0 {
			out = append(out, b)
		}
	}
	slices.SortFunc(out, func(a, b *wire.PublishedBlock) int { return int(int64(a.Record.Seq) - int64(b.Record.Seq)) })
	return out
}

func (h *history) rowsOf(wanted func(*wire.PublishedBlock) bool) []row {
	var out []row
	for _, b := range h.blocks {
		if !wanted(b) {
			continue
		}
		for _, s := range b.Block.Sections {
			n := len(s.Layout.Columns)
			for i, at := range s.At {
				r := row{time.Duration(at) * time.Millisecond, s.Tier, map[ups.Point]int64{}}
				for k, col := range s.Layout.Columns {
					if v := s.Raw[i*n+k]; v != ups.Absent {
						r.values[col.Point] = v
					}
				}
				out = append(out, r)
			}
		}
	}
	slices.SortFunc(out, func(a, b row) int { return int(a.at - b.at) })
	return out
}
