package uplink

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"upsedge/internal/wire"
)

func TestAnAcknowledgementThatCannotBeFreesNothing(t *testing.T) {
	good := string(ackOf(wire.Samples, 3).Payload)
	other := wire.ID{0xcd, 2}
	for name, c := range map[string]struct {
		msg    *packets.PublishPacket
		logged string
	}{
		"another stream":     {toAgent(wire.TopicAcks, strings.Replace(good, testStream.String(), other.String(), 1)), "another stream"},
		"never numbered":     {ackOf(wire.Samples, 1001), "never given"},
		"never published":    {ackOf(wire.Samples, 1000), "never published"},
		"another lane":       {toAgent(wire.TopicAcks, strings.Replace(good, "samples", "results", 1)), "malformed"},
		"cut":                {toAgent(wire.TopicAcks, good[:len(good)-3]), "malformed"},
		"empty":              {toAgent(wire.TopicAcks, ""), "malformed"},
		"another version":    {toAgent(wire.TopicAcks, strings.Replace(good, `"v":1`, `"v":2`, 1)), "malformed"},
		"too large":          {toAgent(wire.TopicAcks, good[:len(good)-1]+`,"x":"`+strings.Repeat("x", wire.MaxAck)+`"}`), "malformed"},
		"retained":           {retained(ackOf(wire.Samples, 3)), "retained"},
		"of another agent":   {onTopic("upsedge/v1/rack8/acks", good), "did not subscribe"},
		"of another topic":   {toAgent(wire.TopicHost, good), "did not subscribe"},
		"no topic of ours":   {onTopic("acks", good), "did not subscribe"},
		"highest number":     {toAgent(wire.TopicAcks, strings.Replace(good, ":3", fmt.Sprint(":", uint64(1<<64-1)), 1)), "never given"},
		"one more than 2^64": {toAgent(wire.TopicAcks, strings.Replace(good, ":3", ":18446744073709551616", 1)), "malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, spool, log := &pipeBroker{cloud: newPipeCloud()}, newMemSpool(), &logBook{}
				b.cloud.silent = true
				s := pipeSession(b, spool, func(cfg *Config) { enrolled(spool)(cfg); cfg.Log = log.logger() })
				inBubble(t, s, b, time.Second, func() {
					time.Sleep(time.Second)
					for range 1000 { // of which 64 are published: what is not was not there at the start
						spool.put(wire.Samples, 10)
					}
					time.Sleep(time.Second)
					for range 100 {
						b.push(c.msg)
					}
					time.Sleep(10 * time.Second)
				})
				if n := spool.ackedThrough(wire.Samples); n != 0 {
					t.Errorf("freed through %d", n)
				}
				if n := log.count("more of the kind are counted"); n != 1 || !log.has(c.logged) || len(b.dials) != 1 {
					t.Errorf("%d lines in the log and %d connections, want one each, and %q:\n%s", n, len(b.dials), c.logged, log.text.String())
				}
			})
		})
	}
}

func retained(p *packets.PublishPacket) *packets.PublishPacket {
	p.Retain = true
	return p
}

func onTopic(topic, payload string) *packets.PublishPacket {
	p := toAgent(wire.TopicAcks, payload)
	p.TopicName = topic
	return p
}

func TestMarksCountInWhateverOrderTheyCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, spool := &pipeBroker{cloud: newPipeCloud()}, newMemSpool()
		b.cloud.silent = true
		for range 40 {
			spool.put(wire.Samples, 10)
		}
		var told []uint64
		s := pipeSession(b, spool, func(c *Config) {
			enrolled(spool)(c)
			c.Observe.Delivered = func(r wire.Record, _ time.Time) { told = append(told, r.Seq) }
		})
		inBubble(t, s, b, time.Second, func() {
			time.Sleep(5 * time.Second)
			for _, step := range []struct{ through, freed uint64 }{{0, 0}, {7, 7}, {3, 7}, {7, 7}, {30, 30}, {29, 30}, {40, 40}, {40, 40}} {
				b.push(ackOf(wire.Samples, step.through))
				time.Sleep(2 * time.Second)
				if n := spool.ackedThrough(wire.Samples); n != step.freed {
					t.Errorf("freed through %d after the mark %d, want %d", n, step.through, step.freed)
				}
			}
		})
		checkComplete(t, told, 40)
		if len(told) != 40 || len(b.records()) != 40 {
			t.Errorf("%d told and %d published, want 40 each", len(told), len(b.records()))
		}
	})
}

// What the spool dropped is named by a gap record of the events lane: the cloud's mark passes numbers that are never given.
func TestAMarkMayPassWhatTheSpoolDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, spool := &pipeBroker{cloud: newPipeCloud()}, newMemSpool()
		b.cloud.silent = true
		s := pipeSession(b, spool, enrolled(spool))
		inBubble(t, s, b, time.Second, func() {
			time.Sleep(time.Second)
			spool.put(wire.Samples, 10)
			time.Sleep(time.Second)
			spool.mu.Lock()
			spool.last[wire.Samples] = 9 // 2 to 9 were put and dropped
			spool.mu.Unlock()
			b.push(ackOf(wire.Samples, 9))
			time.Sleep(2 * time.Second)
			if n := spool.ackedThrough(wire.Samples); n != 9 {
				t.Errorf("freed through %d, want 9", n)
			}
			spool.put(wire.Samples, 10)
		})
		if got := b.records(); len(got) != 2 || recordOf(got[1].pub).seq != 10 {
			t.Errorf("%d records, want 1 and 10", len(got))
		}
	})
}

// After a restart the spool still holds what the cloud has and could not say any more.
func TestARestartSendsNothingAgainThatTheCloudHas(t *testing.T) {
	for _, mute := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b, spool := &pipeBroker{cloud: newPipeCloud()}, newMemSpool()
			for range 50 {
				spool.put(wire.Samples, 10)
			}
			spool.put(wire.Events, 10)
			for seq := range uint64(40) {
				b.cloud.stored[wire.Samples][seq+1] = 1
			}
			b.cloud.mark[wire.Samples], b.cloud.mute = 40, mute
			inBubble(t, pipeSession(b, spool, enrolled(spool)), b, 5*time.Second, nil)
			want := 1 + 10
			if mute { // the first sample brings the mark, and what is in flight by then was in vain
				want = 1 + 50
			}
			got := b.records()
			if n := len(got); n < 1+10 || n > want || !drained(spool, 1, 50)() {
				t.Errorf("mute %v: %d records published, freed through %d; want %d and 50", mute, n, spool.ackedThrough(wire.Samples), want)
			}
			if waited := got[0].at.Sub(b.dials[0]); recordOf(got[0].pub).lane != wire.Events || waited > 0 {
				t.Errorf("mute %v: the first record came after %v, want the event at once", mute, waited)
			}
			if waited := got[1].at.Sub(b.dials[0]); mute && waited != settleWithin || !mute && waited > 0 {
				t.Errorf("mute %v: samples waited %v", mute, waited)
			}
		})
	}
}

func TestAFloodOfAcknowledgementsIsCoalesced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, spool, freed := &pipeBroker{cloud: newPipeCloud()}, newMemSpool(), 0
		spool.onAck = func(wire.Lane, uint64) { freed++ }
		b.cloud.silent = true
		for range 60 {
			spool.put(wire.Samples, 10)
		}
		s := pipeSession(b, spool, enrolled(spool))
		inBubble(t, s, b, time.Second, func() {
			time.Sleep(5 * time.Second)
			for i := range uint64(3000) {
				b.push(ackOf(wire.Samples, 1+i/50))
			}
			time.Sleep(5 * time.Second)
		})
		if n := spool.ackedThrough(wire.Samples); n != 60 || freed > 3 || len(b.dials) != 1 {
			t.Errorf("freed through %d in %d steps on %d connections, want 60, a few and 1", n, freed, len(b.dials))
		}
	})
}

func FuzzTakesAcknowledgements(f *testing.F) {
	f.Add(ackOf(wire.Samples, 3).Payload, false)
	f.Add(ackOf(wire.Events, 30).Payload, false)
	f.Add(ackOf(wire.Events, 20).Payload, true)
	f.Fuzz(func(t *testing.T, msg []byte, kept bool) {
		s := New(Config{}, newMemSpool())
		for i := range s.given {
			s.given[i].Store(10)
		}
		m := newMarks(&Cloud{Stream: testStream, Last: func(wire.Lane) uint64 { return 20 }}, &s.given, s.log)
		m.take(msg, kept)
		for i, n := range m.look() {
			if n.through > 10 || n.doubt != 0 && n.doubt <= 10 || n.doubt > 20 || kept && n.some {
				t.Errorf("lane %v: %+v of %q", wire.Lanes[i], n, msg)
			}
		}
	})
}
