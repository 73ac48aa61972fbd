package soak

import (
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"upsedge/internal/wire"
)

// debian is what Debian's package configures: what is acknowledged is in memory, and written every half hour.
var debian = ground{name: "Debian's mosquitto", conf: "persistence true"}

// acknowledged gathers the records whose PUBACK the agent was given.
type acknowledged struct {
	mu  sync.Mutex
	ids map[identity]bool
}

func (w *world) watchAcks() *acknowledged {
	a := &acknowledged{ids: map[identity]bool{}}
	w.up.mu.Lock()
	defer w.up.mu.Unlock()
	w.up.acked = func(r wire.Record) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.ids[idOf(r)] = true
	}
	return a
}

// lacking counts the acknowledged records that are not held.
func (a *acknowledged) lacking(h *holding) (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id := range a.ids {
		if _, ok := h.records[id]; !ok {
			n++
		}
	}
	return n
}

// until waits for something that has to come.
func (w *world) until(what string, ok func() bool) {
	w.t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// held reads what the receiver has now.
func (w *world) holds() *holding { return readHolding(w.t, w.cloud.Dir, new(complaints)) }

// T-25. While the receiver is away the broker acknowledges to the agent what it has in memory alone; killed, it has forgotten it.
func TestABrokerKilledBehindItsPUBACKLosesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, seeded(t), debian, newTally())
	acks := w.watchAcks()
	w.mend()
	w.until("something at the receiver", func() bool { return len(w.holds().records) > 4 })
	w.killReceiver()
	before := w.holds()
	const least = 20
	w.until("acknowledgements by the broker alone", func() bool { return acks.lacking(before) >= least })
	w.killBroker()
	w.up.leave(true)
	w.broker.Start()
	// The receiver comes back first: whatever the broker still has it gets now.
	w.startReceiver()
	<-w.receiver.ready
	w.probe()
	forgotten := acks.lacking(w.holds())
	if forgotten < least {
		t.Errorf("the broker forgot %d records of those it had acknowledged, want %d: nothing was tried", forgotten, least)
	}
	w.up.leave(false)
	w.until("the forgotten records", func() bool { return acks.lacking(w.holds()) == 0 })
	for _, p := range w.reckon() {
		t.Error(p)
	}
	t.Logf("the broker forgot %d records behind its PUBACK; of %d accepted none is lost", forgotten, len(w.book.told))
}

// probe sends a message of its own through the broker and returns when the receiver has acted on it: what waited before it was
// delivered before it.
func (w *world) probe() {
	w.t.Helper()
	client := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + w.broker.Addr).SetClientID("probe"))
	if tok := client.Connect(); tok.Wait() && tok.Error() != nil {
		w.t.Fatal(tok.Error())
	}
	defer client.Disconnect(100)
	const other = "probe"
	state, err := wire.EncodeState(&wire.State{Session: 1, Nonce: wire.ID{1}, Version: "probe"})
	if err != nil {
		w.t.Fatal(err)
	}
	if tok := client.Publish(wire.Topic(other, wire.TopicState), wire.QoS, false, state); tok.Wait() && tok.Error() != nil {
		w.t.Fatal(tok.Error())
	}
	w.until("the probe at the receiver", func() bool {
		r, done := openReader(w.t, w.cloud.Dir)
		defer done()
		agents, err := r.Agents(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		for _, a := range agents {
			if a.Name == other {
				return true
			}
		}
		return false
	})
}

// T-25, without any connection of the agent's breaking: the broker drops the receiver's session with all that was queued in it. The
// agent sees its mark stand still and sends again, after half a minute.
func TestSoakAReceiverThatLostItsSessionLosesNothing(t *testing.T) {
	needSoak(t)
	t.Parallel()
	w := newWorld(t, seeded(t), debian, newTally())
	acks := w.watchAcks()
	w.mend()
	w.until("something at the receiver", func() bool { return len(w.holds().records) > 4 })
	w.killReceiver()
	before := w.holds()
	w.until("acknowledgements by the broker alone", func() bool { return acks.lacking(before) >= 20 })
	thief := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + w.broker.Addr).SetClientID("receiver").SetCleanSession(true))
	if tok := thief.Connect(); tok.Wait() && tok.Error() != nil {
		t.Fatal(tok.Error())
	}
	thief.Disconnect(100)
	w.forgot = true
	w.startReceiver()
	began := time.Now()
	w.until("the forgotten records", func() bool { return acks.lacking(before) > 0 && acks.lacking(w.holds()) == 0 })
	t.Logf("sent again after %v", time.Since(began).Round(time.Second))
	for _, p := range w.reckon() {
		t.Error(p)
	}
}
