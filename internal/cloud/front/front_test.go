package front

import (
	"errors"
	"slices"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"

	"upsedge/internal/wire"
)

func TestAnAgentPublishesAndIsAnswered(t *testing.T) {
	s := newSite(t, nil)
	came := make(chan mqtt.Message, 4)
	c, err := s.paho("rack7", func(o *mqtt.ClientOptions) {
		o.SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { came <- m })
	})
	must(t, err)
	if s.Connected("rack7") {
		t.Error("connected before it listens to its orders")
	}
	if err := s.Publish("rack7", wire.TopicAcks, []byte("x")); !errors.Is(err, ErrOffline) {
		t.Errorf("Publish to one that has not subscribed = %v", err)
	}
	token := c.SubscribeMultiple(map[string]byte{topic("rack7", wire.TopicOrders): 1, topic("rack7", wire.TopicAcks): 1}, nil)
	token.Wait()
	for filter, granted := range token.(*mqtt.SubscribeToken).Result() {
		if granted != 1 {
			t.Errorf("%s: granted %#x", filter, granted)
		}
	}
	for _, leaf := range []wire.Leaf{wire.TopicState, wire.TopicEvents, wire.TopicSamples, wire.TopicResults, wire.TopicHost} {
		token := c.Publish(topic("rack7", leaf), 1, leaf == wire.TopicState, "of "+string(leaf))
		if !token.WaitTimeout(20*time.Second) || token.Error() != nil {
			t.Fatalf("%s: %v", leaf, token.Error())
		}
	}
	for i, m := range s.heap.messages() {
		if leaf := []wire.Leaf{wire.TopicState, wire.TopicEvents, wire.TopicSamples, wire.TopicResults, wire.TopicHost}[i]; m.Topic != topic("rack7", leaf) ||
			string(m.Payload) != "of "+string(leaf) || m.Retained {
			t.Errorf("kept %s %q %v", m.Topic, m.Payload, m.Retained)
		}
	}
	if !s.Connected("rack7") {
		t.Error("not connected though it listens")
	}
	must(t, s.Publish("rack7", wire.TopicAcks, []byte("one")))
	must(t, s.Publish("rack7", wire.TopicOrders, []byte("two")))
	for _, want := range []string{"one", "two"} {
		if m := <-came; string(m.Payload()) != want || m.Retained() || m.Qos() != 1 {
			t.Errorf("came %q retained %v qos %d, want %q", m.Payload(), m.Retained(), m.Qos(), want)
		}
	}
	if n := s.Stats(); n.Sessions != 1 || n.Received != 5 || n.Acknowledged != 5 || n.Sent != 2 {
		t.Errorf("counted %+v", n)
	}
}

// Messages are acknowledged in the order in which they came, whatever the order in which they are kept; nothing is before its commit.
func TestAcknowledgesInOrderBehindTheCommit(t *testing.T) {
	s := newSite(t, nil)
	s.heap.hold()
	p := s.connect("rack7", nil)
	events := topic("rack7", wire.TopicEvents)
	p.send(message(events, 3, "a"), message(events, 1, "b"), message(events, 3, "c")) // an id used again, too
	await(t, "three messages", func() bool { return s.heap.waiting() == 3 })
	s.heap.commit(nil, 2, 1)
	p.send(packets.NewControlPacket(packets.Pingreq))
	if x, ok := p.next().(*packets.PingrespPacket); !ok {
		t.Fatalf("came %v before the first message is kept", x)
	}
	s.heap.commit(nil, 0)
	p.acked(3, 1, 3)
}

func TestT87WhatIsNotKeptIsNotAcknowledgedAndTheConnectionEnds(t *testing.T) {
	s := newSite(t, nil)
	s.heap.hold()
	p := s.connect("rack7", nil)
	events := topic("rack7", wire.TopicEvents)
	p.send(message(events, 1, "a"), message(events, 2, "b"), message(events, 3, "c"))
	await(t, "three messages", func() bool { return s.heap.waiting() == 3 })
	s.heap.commit(nil, 0)
	s.heap.commit(errors.New("disk full"), 1)
	s.heap.commit(nil, 2)
	p.acked(1)
	p.gone()
	await(t, "the count", func() bool { return s.Stats().Ended[NotStored] == 1 })
}

func TestEDGE12ForeignTopicsEndTheConnection(t *testing.T) {
	s := newSite(t, nil)
	for _, bad := range []string{
		topic("rack8", wire.TopicEvents), topic("rack7", wire.TopicOrders), topic("rack7", wire.TopicAcks), "upsedge/v1/rack7/other", "upsedge/v1/rack7/events/x",
		"upsedge/v1/rack7/", "upsedge/v1/rack7", "$SYS/broker/version", "$share/x/upsedge/v1/rack7/events", "events", "/", "upsedge/v1/rack77/events",
	} {
		p := s.connect("rack7", nil)
		p.send(message(bad, 1, "x"), message(topic("rack7", wire.TopicEvents), 2, "behind it"))
		p.gone()
	}
	for _, bad := range []string{"upsedge/v1/+/events", "#"} {
		p := s.connect("rack7", nil)
		p.send(message(bad, 1, "x"))
		p.gone()
	}
	await(t, "counts", func() bool { return s.Stats().Ended[Topic] == 14 })
	if got := s.heap.messages(); len(got) != 0 {
		t.Errorf("kept %v", got)
	}
}

func TestEDGE12ForeignFiltersAreRefused(t *testing.T) {
	s := newSite(t, nil)
	p := s.connect("rack7", nil)
	own := topic("rack7", wire.TopicOrders)
	bad := []string{
		topic("rack8", wire.TopicOrders), topic("rack7", wire.TopicEvents), "#", "+", "upsedge/v1/rack7/+", "upsedge/v1/rack7/#", "upsedge/v1/+/orders",
		"$SYS/#", "$share/group/" + own, "$SHARE/group/" + own, own + "/", "/" + own,
	}
	got := p.subscribe(append(bad, own)...)
	want := append(slices.Repeat([]byte{0x80}, len(bad)), 1)
	if !slices.Equal(got, want) {
		t.Errorf("granted %x, want %x", got, want)
	}
	if n := s.Stats().Ended[Filter]; n != int64(len(bad)) {
		t.Errorf("%d refusals counted, want %d", n, len(bad))
	}
	for _, leaf := range []wire.Leaf{wire.TopicAcks, wire.TopicEvents} {
		if err := s.Publish("rack7", leaf, nil); !errors.Is(err, ErrOffline) {
			t.Errorf("Publish to %s = %v", leaf, err)
		}
	}
	must(t, s.Publish("rack7", wire.TopicOrders, []byte("x")))
	x := p.next().(*packets.PublishPacket)
	x2 := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
	x2.MessageID = x.MessageID
	u := packets.NewControlPacket(packets.Unsubscribe).(*packets.UnsubscribePacket)
	u.MessageID, u.Topics = 9, []string{own}
	p.send(x2, u)
	if _, ok := p.next().(*packets.UnsubackPacket); !ok {
		t.Error("no UNSUBACK")
	}
	if err := s.Publish("rack7", wire.TopicOrders, nil); !errors.Is(err, ErrOffline) {
		t.Errorf("Publish behind UNSUBSCRIBE = %v", err)
	}
}
