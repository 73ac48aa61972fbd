package uplink

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"upsedge/internal/wire"
)

func TestABrokerThatAcknowledgesNothingIsLeftAndEverythingSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &pipeBroker{}
		b.noReply = func(p packets.ControlPacket) bool { // but pings, on the first connection
			_, ok := p.(*packets.PublishPacket)
			return ok && len(b.conns) == 1
		}
		spool := newMemSpool()
		spool.put(wire.Events, 100)
		inBubble(t, pipeSession(b, spool, nil), b, time.Minute, nil)
		if len(b.dials) != 2 || spool.ackedThrough(wire.Events) != 1 {
			t.Errorf("%d connections, acknowledged through %d; want 2 and 1", len(b.dials), spool.ackedThrough(wire.Events))
		}
	})
}

func TestADeadConnectionIsFoundWithNothingToSend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &pipeBroker{}
		b.noReply = func(p packets.ControlPacket) bool {
			_, ok := p.(*packets.PingreqPacket)
			return ok && len(b.conns) == 1
		}
		inBubble(t, pipeSession(b, newMemSpool(), nil), b, 45*time.Second, nil)
		if len(b.dials) != 2 {
			t.Errorf("%d connections after 45 s without an answer to pings, want 2", len(b.dials))
		}
	})
}

// One acknowledgement that never comes would keep its lane for ever, while those of the other lane make the connection look well.
func TestARecordThatIsPassedOverIsSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &pipeBroker{}
		b.noReply = func(p packets.ControlPacket) bool {
			pub, ok := p.(*packets.PublishPacket)
			return ok && len(b.conns) == 1 && recordOf(pub) == record{wire.Samples, 3}
		}
		spool := newMemSpool()
		for range 9 {
			spool.put(wire.Samples, 100)
		}
		inBubble(t, pipeSession(b, spool, nil), b, time.Second, func() {
			for range 60 {
				time.Sleep(time.Second)
				spool.put(wire.Events, 100)
			}
		})
		if len(b.dials) != 2 || spool.ackedThrough(wire.Samples) != 9 || spool.ackedThrough(wire.Events) != 60 {
			t.Errorf("%d connections, samples acknowledged through %d and events through %d; want 2, 9 and 60",
				len(b.dials), spool.ackedThrough(wire.Samples), spool.ackedThrough(wire.Events))
		}
	})
}
