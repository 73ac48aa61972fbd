package soak

import (
	"bytes"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"upsedge/internal/wire"
)

// A collector is a subscriber with a session that the broker keeps; it acknowledges what it has.
type collector struct {
	t      testing.TB
	client mqtt.Client

	mu   sync.Mutex
	held *holding
}

func collect(t testing.TB, broker, name string) *collector {
	t.Helper()
	c := &collector{t: t, held: newHolding()}
	subscribed := make(chan struct{}, 1000)
	o := mqtt.NewClientOptions().AddBroker("tcp://" + broker).SetClientID(name).SetCleanSession(false).
		SetAutoReconnect(true).SetMaxReconnectInterval(200 * time.Millisecond).SetConnectTimeout(2 * time.Second).
		SetConnectRetry(true).SetConnectRetryInterval(100 * time.Millisecond)
	o.SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { c.take(m.Topic(), bytes.Clone(m.Payload())) })
	o.SetOnConnectHandler(func(client mqtt.Client) {
		token := client.Subscribe(wire.Prefix+"#", 1, nil)
		go func() {
			if token.WaitTimeout(5*time.Second) && token.Error() == nil {
				subscribed <- struct{}{}
			}
		}()
	})
	c.client = mqtt.NewClient(o)
	c.client.Connect()
	t.Cleanup(func() { c.client.Disconnect(100) })
	select {
	case <-subscribed:
	case <-time.After(patience):
		t.Fatal("no subscription")
	}
	return c
}

func (c *collector) take(topic string, msg []byte) {
	_, leaf, err := wire.SplitTopic(topic)
	if err != nil {
		c.t.Errorf("a topic that is none: %v", err)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	rec, ok, err := decode(leaf, msg)
	if err != nil {
		c.t.Errorf("%s: %v", topic, err)
	} else if ok {
		c.held.add(c.t, rec)
	}
}

// decode returns the record of a message on events or samples.
func decode(leaf wire.Leaf, msg []byte) (rec wire.Record, ok bool, err error) {
	switch leaf {
	case wire.TopicEvents:
		m, err := wire.DecodeEventMessage(msg)
		if err != nil {
			return rec, false, err
		}
		return m.Record, true, nil
	case wire.TopicSamples:
		var none wire.Schemas
		m, err := none.Decode(msg)
		if m == nil {
			return rec, false, err
		}
		return m.Record, true, nil
	}
	return rec, false, nil
}

// holding returns a copy of what the collector has.
func (c *collector) holding() *holding {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := *c.held
	h.records, h.gone = maps.Clone(h.records), map[wire.ID]map[wire.Lane][]span{}
	for s, lanes := range c.held.gone {
		h.gone[s] = maps.Clone(lanes)
	}
	h.order, h.gaps = slices.Clone(h.order), slices.Clone(h.gaps)
	return &h
}
