package uplink

import (
	"fmt"
	"testing"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"upsedge/internal/testenv"
	"upsedge/internal/wire"
)

const fewEvents, fewSamples = 3, 9

func fill(spool *memSpool) {
	for range fewEvents {
		spool.put(wire.Events, 40)
	}
	for range fewSamples {
		spool.put(wire.Samples, 300)
	}
}

func drained(spool *memSpool, events, samples uint64) func() bool {
	return func() bool {
		return spool.ackedThrough(wire.Events) == events && spool.ackedThrough(wire.Samples) == samples
	}
}

// Each connection is cut a few bytes later than the one before, so that a cut falls into every step: CONNECT, CONNACK, SUBSCRIBE,
// SUBACK, the statement, within and between messages, before and behind each acknowledgement of the broker and of the cloud.
func TestDeliversEverythingWhereverTheConnectionIsCut(t *testing.T) {
	for name, broker := range map[string]func(*testing.T) string{
		"mochi":     mochiBroker,
		"mosquitto": func(t *testing.T) string { return testenv.Mosquitto(t, "").Addr },
	} {
		for _, cloud := range []bool{false, true} {
			for _, direction := range []string{"up", "down"} {
				t.Run(fmt.Sprintf("%s, cloud %v, %s", name, cloud, direction), func(t *testing.T) {
					cutEverywhere(t, broker(t), cloud, direction)
				})
			}
		}
	}
}

func cutEverywhere(t *testing.T, broker string, cloud bool, direction string) {
	p, spool := newProxy(t, broker), newMemSpool()
	p.cutAfter(func(conn int) (up, down int) {
		switch {
		case direction == "up":
			return conn * 41, -1 // a session's beginning takes some 600 bytes, a sample 370
		case cloud:
			return -1, conn * 7 // CONNACK has 4 bytes, SUBACK 6, each PUBACK 4, the statement 70, an acknowledgement of the cloud 125
		}
		return -1, conn - 1
	})
	cfg := testConfig(t, p.addr)
	got := collect(t, broker)
	if cloud {
		enrolled(spool)(&cfg)
		got.acknowledge(t, broker)
		got.watch(t, spool)
	} else {
		p.watch(t, spool)
	}
	fill(spool)
	start(t, quick(cfg, spool))
	await(t, "acknowledgement of everything", drained(spool, fewEvents, fewSamples))
	await(t, "delivery of everything", func() bool {
		return got.mark(wire.Events) == fewEvents && got.mark(wire.Samples) == fewSamples
	})
	checkComplete(t, got.seqs(wire.TopicEvents), fewEvents)
	checkComplete(t, got.seqs(wire.TopicSamples), fewSamples)
	if n := p.count(); n < 10 {
		t.Errorf("%d connections, want at least 10: nothing was cut", n)
	}
}

func last(s []uint64) uint64 {
	if len(s) == 0 {
		return 0
	}
	return s[len(s)-1]
}

func TestAcknowledgesOnlyTheContiguousPrefix(t *testing.T) {
	broker := mochiBroker(t)
	p, spool := newProxy(t, broker), newMemSpool()
	p.watch(t, spool)
	// The broker's acknowledgement of the second sample of the first connection is lost, those behind it are not.
	acks, others := 0, make(chan struct{})
	p.fromBroker(func(c packets.ControlPacket) []packets.ControlPacket {
		if _, ok := c.(*packets.PubackPacket); !ok || p.conns > 1 {
			return []packets.ControlPacket{c}
		}
		if acks++; acks == 2+2 { // two states come first
			return nil
		}
		if acks == 2+6 {
			close(others)
		}
		return []packets.ControlPacket{c}
	})
	for range 6 {
		spool.put(wire.Samples, 300)
	}
	start(t, quick(testConfig(t, p.addr), spool))
	<-others
	await(t, "acknowledgement of the first sample", drained(spool, 0, 1))
	p.cut()
	await(t, "acknowledgement of everything", drained(spool, 0, 6))
}

func TestSendsEverythingAgainInOrderAfterAReconnect(t *testing.T) {
	broker := mochiBroker(t)
	p, spool := newProxy(t, broker), newMemSpool()
	p.watch(t, spool)
	var seen [3][]uint64 // samples by connection
	all := make(chan struct{})
	p.fromAgent(func(c packets.ControlPacket) {
		if pub, ok := c.(*packets.PublishPacket); ok && recordOf(pub).seq > 0 && p.conns <= 2 {
			seen[p.conns] = append(seen[p.conns], recordOf(pub).seq)
			if len(seen[1]) == 5 && p.conns == 1 {
				close(all)
			}
		}
	})
	p.fromBroker(func(c packets.ControlPacket) []packets.ControlPacket {
		if _, ok := c.(*packets.PubackPacket); ok && p.conns == 1 {
			return nil
		}
		return []packets.ControlPacket{c}
	})
	for range 5 {
		spool.put(wire.Samples, 300)
	}
	start(t, quick(testConfig(t, p.addr), spool))
	<-all
	if n := spool.ackedThrough(wire.Samples); n != 0 {
		t.Errorf("acknowledged through %d without any PUBACK", n)
	}
	p.cut()
	await(t, "acknowledgement of everything", drained(spool, 0, 5))
	p.mu.Lock()
	defer p.mu.Unlock()
	checkComplete(t, seen[2], 5)
	if len(seen[2]) != 5 {
		t.Errorf("second connection got %v, want 1 to 5 once each", seen[2])
	}
}
