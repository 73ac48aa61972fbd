package ingest

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// The event of the catalogue that only the cloud can raise: 840, an agent silent for three heartbeats.
func TestAnAgentThatFallsSilentIsToldAndWhenItIsHeardAgain(t *testing.T) {
	both(t, testAnAgentThatFallsSilentIsToldAndWhenItIsHeardAgain)
}

func testAnAgentThatFallsSilentIsToldAndWhenItIsHeardAgain(t *testing.T) {
	c := config(t)
	synctest.Test(t, func(t *testing.T) {
		r := opened(t, c, Options{})
		a, b := newBox(t, "rack-a"), newBox(t, "rack-b")
		r.Listening(true)
		take(t, r, a.full(1, 1), b.full(1, 1))
		pass := func(d time.Duration, heard ...*box) {
			t.Helper()
			for range d / watchEvery {
				time.Sleep(watchEvery)
				must(t, r.Watch(context.Background()))
				if time.Now().Unix()%60 == 0 {
					for _, h := range heard {
						take(t, r, h.full(1, 1))
					}
				}
			}
		}
		pass(175*time.Second, b)
		wantTold(t, r)
		pass(10*time.Second, b)
		wantTold(t, r, "rack-a 840 1")
		pass(10*time.Minute, b) // told once
		wantTold(t, r, "rack-a 840 1")
		take(t, r, a.publish(a.alarm(1, "back")))
		wantTold(t, r, "rack-a 840 1 over")
		pass(4*time.Minute, b)
		wantTold(t, r, "rack-a 840 1 over", "rack-a 840 1")
	})
}

// While the receiver itself hears nothing, silence says nothing of the agents; nor directly after it has come back.
func TestNobodyIsSilentWhileTheReceiverIsDeaf(t *testing.T) {
	both(t, testNobodyIsSilentWhileTheReceiverIsDeaf)
}

func testNobodyIsSilentWhileTheReceiverIsDeaf(t *testing.T) {
	c := config(t)
	synctest.Test(t, func(t *testing.T) {
		r := opened(t, c, Options{})
		b := newBox(t, "rack7")
		r.Listening(true)
		take(t, r, b.full(1, 1))
		r.Listening(false)
		time.Sleep(time.Hour)
		must(t, r.Watch(context.Background()))
		r.Listening(true)
		time.Sleep(silentAfter - time.Second)
		must(t, r.Watch(context.Background()))
		wantTold(t, r)
		time.Sleep(2 * time.Second)
		must(t, r.Watch(context.Background()))
		wantTold(t, r, "rack7 840 1")
	})
}
