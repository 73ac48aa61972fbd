package uplink

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"upsedge/internal/wire"
)

func TestStateBeginsEachSessionAndBeatsEveryMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, changed := &pipeBroker{}, make(chan struct{}, 1)
		s := pipeSession(b, newMemSpool(), func(c *Config) { c.Changed = changed })
		inBubble(t, s, b, 120*time.Second, func() {
			time.Sleep(90 * time.Second)
			changed <- struct{}{}
		})
		start := b.dials[0]
		want := []struct {
			at       time.Duration
			form     string
			retained bool
		}{
			{0, "first", true},
			{0, "full", true},
			{60 * time.Second, "full", false},
			{90 * time.Second, "full", true},
			{120 * time.Second, "full", false},
			{180 * time.Second, "full", false},
			{210 * time.Second, "offline", true},
		}
		got := b.states()
		for i, p := range got {
			if i >= len(want) {
				break
			}
			w := want[i]
			if f := form(*p.state); p.at.Sub(start) != w.at || f != w.form || p.pub.Retain != w.retained || p.pub.Qos != 1 {
				t.Errorf("state %d: %s after %v, retained %v, QoS %d; want %s after %v, %v, 1",
					i, f, p.at.Sub(start), p.pub.Retain, p.pub.Qos, w.form, w.at, w.retained)
			}
			if p.state.Session != 3<<32+1 {
				t.Errorf("state %d is of session %d, want %d", i, p.state.Session, 3<<32+1)
			}
			if p.state.Online && p.state.Nonce != got[0].state.Nonce {
				t.Errorf("state %d has another nonce than the first", i)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%d states, want %d", len(got), len(want))
		}
	})
}

func TestEachSessionHasANonceAndANumberOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &pipeBroker{}
		inBubble(t, pipeSession(b, newMemSpool(), nil), b, 10*time.Second, func() {
			time.Sleep(time.Minute)
			b.mu.Lock()
			defer b.mu.Unlock()
			_ = b.conns[0].Close()
		})
		var firsts []*wire.State
		for _, p := range b.states() {
			if form(*p.state) == "first" {
				firsts = append(firsts, p.state)
			}
		}
		if len(firsts) != 2 || firsts[1].Session != firsts[0].Session+1 || firsts[0].Nonce == firsts[1].Nonce {
			t.Errorf("first states %+v, want two with rising numbers and different nonces", firsts)
		}
	})
}

func TestAttemptsToConnectBackOffToTwoMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &pipeBroker{refuse: func(int) error { return errors.New("nobody there") }}
		inBubble(t, pipeSession(b, newMemSpool(), nil), b, 4*time.Hour, nil)
		most, sum := time.Second, time.Duration(0)
		for i, at := range b.dials[1:] {
			gap := at.Sub(b.dials[i])
			if gap > most {
				t.Errorf("attempt %d came %v after the one before, want at most %v", i+2, gap, most)
			}
			most, sum = min(2*most, 2*time.Minute), sum+gap
		}
		// Drawn evenly from 0 to 2 min some 240 times: the mean is 60 s, give or take 2.2.
		if mean := sum / time.Duration(len(b.dials)-1); mean < 45*time.Second || mean > 75*time.Second {
			t.Errorf("%v between attempts on average, want a minute", mean)
		}
	})
}

func TestABrokerThatHangsUpAtOnceIsNotBesieged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &pipeBroker{}
		b.noReply = func(p packets.ControlPacket) bool { // takes CONNECT and the first message, then closes
			if _, ok := p.(*packets.PublishPacket); ok {
				_ = b.conns[len(b.conns)-1].Close()
			}
			return false
		}
		inBubble(t, pipeSession(b, newMemSpool(), nil), b, 10*time.Minute, nil)
		if n := len(b.dials); n < 5 || n > 40 {
			t.Errorf("%d connections in 10 minutes, want 5 to 40", n)
		}
	})
}

// Whatever the broker does not do any more, Run returns within 2 s of the end of its context.
func TestStopsWithinTwoSecondsWhenTheBrokerIsDeaf(t *testing.T) {
	puback := func(p packets.ControlPacket) bool { _, ok := p.(*packets.PublishPacket); return ok }
	for name, b := range map[string]*pipeBroker{
		"answers":           {},
		"no CONNACK":        {noReply: func(packets.ControlPacket) bool { return true }},
		"no PUBACK":         {noReply: puback},
		"reads nothing":     {stuck: true},
		"cannot be reached": {refuse: func(int) error { return errors.New("nobody there") }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				spool := newMemSpool()
				for range 50 {
					spool.put(wire.Samples, 5000)
				}
				if took := inBubble(t, pipeSession(b, spool, nil), b, 5*time.Second, nil); took > 2*time.Second {
					t.Errorf("the stop took %v, want at most 2 s", took)
				}
			})
		})
	}
}

func TestMaxRateIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, spool := &pipeBroker{}, newMemSpool()
		for range 10 {
			spool.put(wire.Samples, 10_000)
		}
		inBubble(t, pipeSession(b, spool, func(c *Config) { c.MaxRate = 10_000 }), b, time.Minute, nil)
		last := b.got[0].at
		for _, p := range b.got {
			if recordOf(p.pub).seq == 10 {
				last = p.at
			}
		}
		if took := last.Sub(b.dials[0]); took < 9900*time.Millisecond || took > 11*time.Second {
			t.Errorf("100 kB at 10 kB/s took %v, want 10 s", took)
		}
	})
}

func TestPingsGoBetweenMessagesNotIntoThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, spool := &pipeBroker{}, newMemSpool()
		spool.put(wire.Samples, 100_000) // 100 s at 1 kB/s: the library pings meanwhile
		spool.put(wire.Samples, 100)
		inBubble(t, pipeSession(b, spool, func(c *Config) { c.MaxRate = 1000 }), b, 3*time.Minute, func() {
			time.Sleep(10 * time.Second)
			spool.put(wire.Events, 100) // must wait for the message that is being written, and for nothing else
		})
		if len(b.dials) != 1 || !drained(spool, 1, 2)() {
			t.Errorf("%d connections, acknowledged through %d; want 1 and 2", len(b.dials), spool.ackedThrough(wire.Samples))
		}
		if r := b.records(); len(r) != 3 || recordOf(r[1].pub).lane != wire.Events {
			t.Errorf("%d records, want three with the event second", len(r))
		}
	})
}

func TestWhatWasDeliveredIsNotSentAgainThoughTheSpoolCannotDelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, spool := &pipeBroker{}, newMemSpool()
		spool.failAck = func(wire.Lane) error { return errDisk }
		spool.put(wire.Samples, 100)
		inBubble(t, pipeSession(b, spool, nil), b, 10*time.Second, func() {
			time.Sleep(time.Minute)
			b.mu.Lock()
			defer b.mu.Unlock()
			_ = b.conns[0].Close()
		})
		if n := len(b.records()); n != 1 || len(b.dials) != 2 {
			t.Errorf("%d records on %d connections, want 1 on 2", n, len(b.dials))
		}
	})
}

func TestAnErrorOfTheSpoolRestsOnlyItsLane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, spool := &pipeBroker{}, newMemSpool()
		spool.put(wire.Samples, 100)
		spool.put(wire.Events, 100)
		bad, badAck := true, true
		spool.failNext = func(l wire.Lane) error {
			if l == wire.Samples && bad {
				return errDisk
			}
			return nil
		}
		spool.failAck = func(wire.Lane) error {
			if badAck {
				return errDisk
			}
			return nil
		}
		inBubble(t, pipeSession(b, spool, nil), b, 20*time.Second, func() {
			time.Sleep(20 * time.Second)
			if got := b.records(); len(got) != 1 || recordOf(got[0].pub).lane != wire.Events {
				t.Errorf("%d records while samples cannot be read, want the event", len(got))
			}
			spool.mu.Lock()
			bad = false
			spool.mu.Unlock()
			time.Sleep(20 * time.Second)
			spool.mu.Lock()
			badAck = false
			spool.mu.Unlock()
		})
		if !drained(spool, 1, 1)() {
			t.Error("not everything is acknowledged 20 s after the disk recovered")
		}
		if n := len(b.records()); n != 2 || len(b.dials) != 1 {
			t.Errorf("%d records on %d connections, want 2 on 1", n, len(b.dials))
		}
	})
}

func TestARecordThatCannotBeEncodedIsRejectedOrStopsItsLane(t *testing.T) {
	for _, rejected := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b, spool := &pipeBroker{}, newMemSpool()
			spool.put(wire.Events, 10)
			spool.recs[wire.Events][0].Payload = []byte("not JSON")
			spool.put(wire.Events, 10)
			spool.put(wire.Samples, 10)
			var asked []uint64
			inBubble(t, pipeSession(b, spool, func(c *Config) {
				c.Reject = func(_ context.Context, rec wire.Record, err error) error {
					asked = append(asked, rec.Seq)
					if rejected {
						return nil
					}
					return err
				}
			}), b, 30*time.Second, nil)
			want := uint64(0)
			if rejected {
				want = 2
			}
			if !drained(spool, want, 1)() {
				t.Errorf("rejected %v: events acknowledged through %d, samples %d; want %d and 1", rejected,
					spool.ackedThrough(wire.Events), spool.ackedThrough(wire.Samples), want)
			}
			if len(asked) == 0 || asked[0] != 1 || rejected && len(asked) != 1 {
				t.Errorf("rejected %v: asked for %v", rejected, asked)
			}
		})
	}
}
