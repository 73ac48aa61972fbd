package uplink

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"upsedge/internal/testenv"
	"upsedge/internal/wire"
)

// A pipeCloud is a receiver behind a pipeBroker: it stores what the broker passes on and acknowledges it.
type pipeCloud struct {
	mu      sync.Mutex
	stored  map[wire.Lane]map[uint64]int // how many times each came
	mark    map[wire.Lane]uint64
	forgets func(record) bool // what the broker loses on the way, after its PUBACK
	silent  bool              // acknowledges nothing
	mute    bool              // does not answer the first form of a state
	proofs  int               // statements sent
}

func newPipeCloud() *pipeCloud {
	c := &pipeCloud{stored: map[wire.Lane]map[uint64]int{}, mark: map[wire.Lane]uint64{}}
	for _, l := range wire.Lanes {
		c.stored[l] = map[uint64]int{}
	}
	return c
}

func (c *pipeCloud) set(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

// answers stores a record and returns the acknowledgement, or answers the first form of a state with marks and a statement.
func (c *pipeCloud) answers(_ int, pub *packets.PublishPacket) (out []packets.ControlPacket) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if st, err := wire.DecodeState(pub.Payload); err == nil {
		if form(*st) != "first" || c.mute {
			return nil
		}
		c.proofs++
		out = append(out, toAgent(wire.TopicOrders, "statement "+st.Nonce.String()))
		for _, l := range wire.Lanes {
			out = append(out, ackOf(l, c.mark[l]))
		}
		return out
	}
	r := recordOf(pub)
	if c.forgets != nil && c.forgets(r) {
		return nil
	}
	c.stored[r.lane][r.seq]++
	for c.stored[r.lane][c.mark[r.lane]+1] > 0 {
		c.mark[r.lane]++
	}
	if c.silent {
		return nil
	}
	return append(out, ackOf(r.lane, c.mark[r.lane]))
}

func toAgent(leaf wire.Leaf, payload string) *packets.PublishPacket {
	p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	p.TopicName, p.Payload = wire.Topic("rack7", leaf), []byte(payload)
	return p
}

func ackOf(l wire.Lane, through uint64) *packets.PublishPacket {
	msg, err := wire.EncodeAck(wire.Ack{Stream: testStream, Lane: l, Through: through})
	if err != nil {
		panic(err)
	}
	return toAgent(wire.TopicAcks, string(msg))
}

// enrolled makes a configuration one of an enrolled agent. A statement is the word and the session's nonce in hex.
func enrolled(spool *memSpool) func(*Config) {
	return func(c *Config) {
		c.Cloud = &Cloud{Stream: testStream, Last: spool.lastOf, Order: judgeTestOrder}
	}
}

func judgeTestOrder(_ context.Context, o Order) (bool, error) {
	text, ok := strings.CutPrefix(string(o.JWS), "statement ")
	if !ok {
		return false, errors.New("not a statement")
	}
	var nonce wire.ID
	if err := nonce.UnmarshalText([]byte(text)); err != nil {
		return false, err
	}
	if _, ok := o.Announced(nonce); !ok {
		return false, errors.New("not our nonce")
	}
	return true, nil
}

func TestTheFullStateWaitsForTheStatement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, spool, changed := &pipeBroker{cloud: newPipeCloud()}, newMemSpool(), make(chan struct{}, 1)
		b.cloud.mute = true
		var log bytes.Buffer
		s := pipeSession(b, spool, func(c *Config) {
			enrolled(spool)(c)
			c.Changed, c.Log = changed, slog.New(slog.NewTextHandler(&log, nil))
		})
		inBubble(t, s, b, time.Second, func() {
			spool.put(wire.Events, 10)
			spool.put(wire.Samples, 10)
			changed <- struct{}{}
			time.Sleep(150 * time.Second)
			if n := len(b.records()); n != 2 {
				t.Errorf("%d records before the statement, want both", n)
			}
			b.cloud.set(func() { b.cloud.mute = false })
			time.Sleep(60 * time.Second)
		})
		var got []string
		nonces := map[wire.ID]bool{}
		for _, p := range b.states() {
			got = append(got, form(*p.state))
			if form(*p.state) != "offline" {
				nonces[p.state.Nonce] = true
			}
			if !p.pub.Retain {
				t.Errorf("a state of the form %s is not retained", form(*p.state))
			}
		}
		if want := []string{"first", "first", "first", "first", "full", "offline"}; !slices.Equal(got, want) {
			t.Errorf("states %v, want %v: asked again every minute", got, want)
		}
		if n := strings.Count(log.String(), "sends no statement"); n != 1 {
			t.Errorf("the log says %d times that no statement comes, want once", n)
		}
		if len(nonces) != 4 {
			t.Errorf("%d nonces, want one for each time it asked", len(nonces))
		}
	})
}

func TestOnlyTheCloudFreesRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, spool := &pipeBroker{cloud: newPipeCloud()}, newMemSpool()
		b.cloud.silent = true
		for range 200 {
			spool.put(wire.Samples, 100)
		}
		var told []time.Time
		s := pipeSession(b, spool, func(c *Config) {
			enrolled(spool)(c)
			c.Observe.Delivered = func(_ wire.Record, at time.Time) { told = append(told, at) }
		})
		inBubble(t, s, b, 20*time.Second, func() {
			time.Sleep(20 * time.Second)
			if n := len(b.records()); n != maxUnacked {
				t.Errorf("%d samples published without an acknowledgement, want %d", n, maxUnacked)
			}
			spool.put(wire.Events, 10)
			time.Sleep(time.Second)
			if got := b.records(); recordOf(got[len(got)-1].pub) != (record{wire.Events, 1}) {
				t.Error("an event did not go at once with as many samples out as may be")
			}
			if spool.ackedThrough(wire.Samples) != 0 || len(told) != 0 {
				t.Errorf("the broker's acknowledgements freed samples through %d, %d were told delivered", spool.ackedThrough(wire.Samples), len(told))
			}
			b.cloud.set(func() { b.cloud.silent = false })
			time.Sleep(30 * time.Second) // the lane is rewound, and the cloud speaks
		})
		if !drained(spool, 1, 200)() || len(told) != 201 {
			t.Errorf("events freed through %d, samples through %d, %d told; want 1, 200 and 201",
				spool.ackedThrough(wire.Events), spool.ackedThrough(wire.Samples), len(told))
		}
	})
}

// T-25: the broker acknowledges and forgets.
func TestWhatTheBrokerForgotIsPublishedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, spool := &pipeBroker{cloud: newPipeCloud()}, newMemSpool()
		lost := 0
		b.cloud.forgets = func(r record) bool {
			if r.seq == 5 && lost < 6 { // of each lane three times
				lost++
				return true
			}
			return false
		}
		for range 20 {
			spool.put(wire.Samples, 100)
			spool.put(wire.Events, 100)
		}
		inBubble(t, pipeSession(b, spool, enrolled(spool)), b, 5*time.Minute, nil)
		if !drained(spool, 20, 20)() || len(b.dials) != 1 {
			t.Errorf("freed through %d and %d on %d connections, want 20, 20 and 1",
				spool.ackedThrough(wire.Events), spool.ackedThrough(wire.Samples), len(b.dials))
		}
		for _, l := range wire.Lanes {
			var seqs []uint64
			for _, p := range b.records() {
				if r := recordOf(p.pub); r.lane == l {
					seqs = append(seqs, r.seq)
				}
			}
			checkComplete(t, seqs, 20) // in order but for going back
			if n := len(seqs); n <= 20+2*16 || n > 20+3*16 {
				t.Errorf("lane %v: %d messages, want 20, twice the 16 beyond the mark, and the third time what was missing", l, n)
			}
		}
	})
}

func TestARefusedSubscriptionIsNoSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, spool := &pipeBroker{subCode: 0x80}, newMemSpool()
		var why []Failure
		s := pipeSession(b, spool, func(c *Config) {
			enrolled(spool)(c)
			c.Observe.Failed = func(f Failure) { why = append(why, f) }
			c.Observe.Connected = func(bool) { t.Error("a session is told") }
		})
		inBubble(t, s, b, 10*time.Minute, nil)
		if len(why) < 5 || len(why) > 40 || why[0] != (Failure{Rejected, "this agent may not read its own topics"}) {
			t.Errorf("%d failures, the first %v; want 5 to 40, and the subscription refused", len(why), why[:1])
		}
		if len(b.states()) > 0 {
			t.Errorf("%d states without a subscription", len(b.states()))
		}
	})
}

// A mosquitto that was killed has forgotten what it acknowledged, as nobody was there to take it (T-25).
func TestLosesNothingThatMosquittoAcknowledgedAndForgot(t *testing.T) {
	broker, spool := testenv.Mosquitto(t, ""), newMemSpool()
	p := newProxy(t, broker.Addr)
	cfg := testConfig(t, p.addr)
	enrolled(spool)(&cfg)
	for range 200 {
		spool.put(wire.Samples, 500)
		spool.put(wire.Events, 100)
	}
	start(t, quick(cfg, spool))
	await(t, "the broker's acknowledgement of as many records as may be out", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.acked[wire.Events]) == maxUnacked && len(p.acked[wire.Samples]) == maxUnacked
	})
	broker.Kill()
	if spool.ackedThrough(wire.Events)+spool.ackedThrough(wire.Samples) > 0 {
		t.Error("the broker's word freed records")
	}
	broker.Start()
	got := collect(t, broker.Addr)
	got.acknowledge(t, broker.Addr)
	got.watch(t, spool)
	p.cut()                                                             // it may have been there before the cloud: then everything was forgotten again, for patience to find out
	await(t, "acknowledgement of everything", drained(spool, 200, 200)) // watch compares it with what the cloud holds
}
