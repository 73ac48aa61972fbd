package uplink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/wire"
)

// T-05: a nonce is announced at the beginning of a session and renewed; the last two count, from when they were sent.
func TestTheLastTwoNoncesOfASessionCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, spool := &pipeBroker{cloud: newPipeCloud()}, newMemSpool()
		type answer struct {
			age time.Duration
			ok  bool
		}
		answers := make(chan answer, 10)
		s := pipeSession(b, spool, func(c *Config) {
			enrolled(spool)(c)
			c.Cloud.Order = func(ctx context.Context, o Order) (bool, error) {
				text, ok := strings.CutPrefix(string(o.JWS), "age of ")
				if !ok {
					return judgeTestOrder(ctx, o)
				}
				var nonce wire.ID
				if err := nonce.UnmarshalText([]byte(text)); err != nil {
					return false, err
				}
				at, ok := o.Announced(nonce)
				answers <- answer{o.Came.Sub(at), ok}
				return false, nil
			}
		})
		ask := func(nonce wire.ID) answer {
			b.push(toAgent(wire.TopicOrders, "age of "+nonce.String()))
			return <-answers
		}
		nonces := func() (out []wire.ID) {
			for _, p := range b.states() {
				if form(*p.state) == "first" {
					out = append(out, p.state.Nonce)
				}
			}
			return out
		}
		inBubble(t, s, b, time.Second, func() {
			time.Sleep(10 * time.Minute)
			if n := nonces(); len(n) != 1 {
				t.Fatalf("%d nonces after 10 min, want 1", len(n))
			}
			if a := ask(nonces()[0]); a != (answer{10 * time.Minute, true}) {
				t.Errorf("the first nonce is %v old, known %v; want 10 min", a.age, a.ok)
			}
			if a := ask(wire.ID{}); a.ok {
				t.Error("a nonce of zeros is known")
			}
			time.Sleep(10 * time.Minute) // renewed at 15
			if a := ask(nonces()[0]); a != (answer{20 * time.Minute, true}) {
				t.Errorf("the nonce before the newest is %v old, known %v; want 20 min", a.age, a.ok)
			}
			if a := ask(nonces()[1]); a != (answer{5 * time.Minute, true}) {
				t.Errorf("the newest nonce is %v old, known %v; want 5 min", a.age, a.ok)
			}
			time.Sleep(15 * time.Minute)
			if a := ask(nonces()[0]); a.ok {
				t.Error("a nonce renewed twice is still known")
			}
			b.hangUp()
			time.Sleep(5 * time.Second)
			if n := nonces(); len(n) != 4 || ask(n[2]).ok || !ask(n[3]).ok {
				t.Error("of the last session a nonce is known, or none of this")
			}
		})
		// What the broker keeps is a full state again, with the newest nonce.
		all := b.states()
		for i, p := range all {
			if form(*p.state) == "first" && i+1 < len(all) && (form(*all[i+1].state) != "full" || !all[i+1].pub.Retain || all[i+1].state.Nonce != p.state.Nonce) {
				t.Errorf("state %d has a new nonce, and the full state with it does not follow at once", i)
			}
		}
	})
}

// orderStall is how long a judge of orders takes in the tests of floods.
const orderStall = 100 * time.Millisecond

// T-15: 10,000 messages a second for a minute. Memory stays flat, the session ends and comes back ever more rarely, and an
// alarm gets through all the same.
func TestAFloodOfOrdersEndsTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, spool := &pipeBroker{cloud: newPipeCloud()}, newMemSpool()
		var judged atomic.Int64
		s := pipeSession(b, spool, func(c *Config) {
			enrolled(spool)(c)
			c.Cloud.Order = func(context.Context, Order) (bool, error) {
				judged.Add(1)
				time.Sleep(orderStall)
				return false, nil
			}
		})
		inBubble(t, s, b, time.Minute, func() {
			time.Sleep(time.Second)
			flood := toAgent(wire.TopicOrders, strings.Repeat("x", 200))
			began, sent := time.Now(), 0
			var before, now runtime.MemStats
			runtime.ReadMemStats(&before)
			for time.Since(began) < time.Minute {
				time.Sleep(10 * time.Millisecond)
				for range 100 {
					if b.push(flood) {
						sent++
					}
				}
				if time.Since(began) == 30*time.Second {
					spool.put(wire.Events, 100)
				}
			}
			runtime.ReadMemStats(&now)
			if grown := int64(now.HeapAlloc) - int64(before.HeapAlloc); grown > 64<<20 {
				t.Errorf("the heap grew by %d bytes", grown)
			}
			t.Logf("%d messages sent in a minute, %d judged, %d connections", sent, judged.Load(), len(b.dialled()))
			if sent > 20*floodBurst || sent < floodBurst {
				t.Errorf("%d messages were taken, want some %d on each of a few connections", sent, floodBurst)
			}
		})
		if n := len(b.dials); n < 2 || n > 25 {
			t.Errorf("%d connections, want 2 to 25", n)
		}
		if n := judged.Load(); n > 600 {
			t.Errorf("%d orders judged in a minute, want at most one per %v", n, orderStall)
		}
		if spool.ackedThrough(wire.Events) != 1 {
			t.Error("the alarm did not get through")
		}
	})
}

func TestOrdersThatAreRetainedOrTooLargeAreNotHandedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, spool, log := &pipeBroker{cloud: newPipeCloud()}, newMemSpool(), &logBook{}
		b.cloud.mute = true
		var got []string
		s := pipeSession(b, spool, func(c *Config) {
			enrolled(spool)(c)
			c.Log = log.logger()
			c.Cloud.Order = func(_ context.Context, o Order) (bool, error) {
				got = append(got, string(o.JWS[:4]))
				return false, nil
			}
		})
		inBubble(t, s, b, time.Second, func() {
			time.Sleep(time.Second)
			b.push(retained(toAgent(wire.TopicOrders, "kept")), toAgent(wire.TopicOrders, "long"+strings.Repeat("x", MaxOrder)),
				toAgent(wire.TopicOrders, "good"))
		})
		if len(got) != 1 || got[0] != "good" || log.count("more of the kind") != 2 {
			t.Errorf("handed on: %v, want the good one; log:\n%s", got, log.text.String())
		}
	})
}

func TestAJudgeThatTakesLongHoldsUpNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, spool := &pipeBroker{cloud: newPipeCloud()}, newMemSpool()
		s := pipeSession(b, spool, func(c *Config) {
			enrolled(spool)(c)
			c.Cloud.Order = func(ctx context.Context, _ Order) (bool, error) {
				<-ctx.Done()
				return false, ctx.Err()
			}
		})
		took := inBubble(t, s, b, time.Second, func() {
			time.Sleep(time.Minute)
			spool.put(wire.Events, 10)
			spool.put(wire.Samples, 10)
			time.Sleep(time.Second)
			if n := len(b.records()); n != 2 {
				t.Errorf("%d records, want 2", n)
			}
		})
		if !drained(spool, 1, 1)() || took > 2*time.Second {
			t.Errorf("freed through %d and %d; the stop took %v", spool.ackedThrough(wire.Events), spool.ackedThrough(wire.Samples), took)
		}
	})
}

// T-15: who may publish on orders chooses what is wrong with each; the log of an hour stays short all the same.
func TestRefusedOrdersOfManyKindsAreFewLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, spool := &pipeBroker{cloud: newPipeCloud()}, newMemSpool()
		var log bytes.Buffer
		s := pipeSession(b, spool, func(c *Config) {
			enrolled(spool)(c)
			c.Log = slog.New(slog.NewTextHandler(&log, nil))
			c.Cloud.Order = func(_ context.Context, o Order) (bool, error) { return false, errors.New(string(o.JWS)) }
		})
		inBubble(t, s, b, time.Minute, func() {
			for n := range 3600 {
				time.Sleep(time.Second)
				b.push(toAgent(wire.TopicOrders, fmt.Sprint("kind ", n%7)))
			}
		})
		lines := strings.Count(log.String(), "order refused")
		if most := refusalBurst + 62; lines < 10 || lines > most {
			t.Errorf("%d lines for 3600 orders, want 10 to %d", lines, most)
		}
		if !strings.Contains(log.String(), "untold=") || !strings.Contains(log.String(), "more orders were refused") {
			t.Error("those that were not told were not counted")
		}
	})
}
