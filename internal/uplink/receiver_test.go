package uplink

import (
	"testing"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"upsedge/internal/wire"
)

// acknowledge makes the collector a cloud from now on: it acknowledges what it holds, and answers the first form of a state.
func (c *collector) acknowledge(t *testing.T, addr string) {
	t.Helper()
	o := mqtt.NewClientOptions().AddBroker("tcp://" + addr).SetClientID("cloud-" + t.Name()).SetAutoReconnect(false)
	client := mqtt.NewClient(o)
	if tok := client.Connect(); tok.Wait() && tok.Error() != nil {
		t.Fatal(tok.Error())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.news = make(chan struct{}, 1)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		c.answer(client, stop)
	}()
	t.Cleanup(func() {
		close(stop)
		<-done
		client.Disconnect(100)
	})
}

// answer says what is new until stop is closed.
func (c *collector) answer(client mqtt.Client, stop <-chan struct{}) {
	seen, told := 0, map[wire.Lane]uint64{}
	for {
		select {
		case <-stop:
			return
		case <-c.news:
		}
		all := c.all()
		repeat := false
		for _, m := range all[seen:] {
			if m.leaf == wire.TopicState && form(m.state) == "first" && !m.retained {
				publish(client, toAgent(wire.TopicOrders, "statement "+m.state.Nonce.String()).Payload, wire.TopicOrders)
				repeat = true
			}
		}
		seen = len(all)
		for _, l := range wire.Lanes {
			if mark := c.mark(l); repeat || mark != told[l] {
				publish(client, ackOf(l, mark).Payload, wire.TopicAcks)
				told[l] = mark
			}
		}
	}
}

func publish(client mqtt.Client, payload []byte, leaf wire.Leaf) {
	client.Publish(wire.Topic("rack7", leaf), wire.QoS, false, payload)
}

// mark returns up to where the collector has every record of the lane.
func (c *collector) mark(lane wire.Lane) (mark uint64) {
	has := map[uint64]bool{}
	for _, m := range c.all() {
		if of := wire.Events; m.leaf != wire.TopicState {
			if m.leaf == wire.TopicSamples && !m.picture {
				of = wire.Samples
			}
			has[m.seq] = has[m.seq] || of == lane
		}
	}
	for has[mark+1] {
		mark++
	}
	return mark
}

// watch makes spool report whatever is freed that the collector does not hold.
func (c *collector) watch(t *testing.T, spool *memSpool) {
	spool.onAck = func(lane wire.Lane, through uint64) {
		if has := c.mark(lane); through > has {
			t.Errorf("lane %v freed through %d, but the cloud has %d", lane, through, has)
		}
	}
}
