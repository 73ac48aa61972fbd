package agent

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/ups/upssim"
)

// A reloading bubble has two units on lines of their own; what goes to rack-a is watched.
type reloading struct {
	*bubble
	units map[string]*upssim.Unit
	watch *pollWatch
}

const reloadUnits = `- {name: rack-a, tcp: {address: "rack-a:502"}, poll: {watch: 200ms, status: 1s, live: 500ms}}
- {name: rack-b, tcp: {address: "rack-b:502"}, poll: {watch: 200ms, status: 1s, live: 500ms}}
`

func newReloading(t *testing.T) *reloading {
	r := &reloading{bubble: newBubble(t, reloadUnits), units: map[string]*upssim.Unit{}, watch: &pollWatch{}}
	r.taps = map[string]*pollWatch{"rack-a": r.watch}
	for i, name := range []string{"rack-a", "rack-b"} {
		r.units[name] = upssim.New(upssim.Options{Seed: uint64(i + 1)})
		r.plug(name, r.units[name])
	}
	r.start()
	time.Sleep(20 * time.Second)
	return r
}

// change is a reload with a part of the text replaced.
func (r *reloading) change(old, new string) {
	r.t.Helper()
	if !strings.Contains(r.text, old) {
		r.t.Fatalf("no %q in the configuration", old)
	}
	r.text = strings.Replace(r.text, old, new, 1)
	r.reread(r.text)
}

// connected is how often the unit was connected.
func (r *reloading) connected(unit string) int { return r.lines("unit connected", "unit="+unit+" ") }

const ratesOfB = `address: "rack-b:502"}, poll: {watch: 200ms`

// TestAReloadCostsAnUnchangedUnitNoPoll: rack-b is changed, taken out, brought back and misspelt, again and again; the requests to
// rack-a stay as regular as they were without.
func TestAReloadCostsAnUnchangedUnitNoPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReloading(t)
		time.Sleep(time.Minute)
		calm := r.watch.longest(time.Minute)
		for range 5 {
			r.change(ratesOfB, strings.Replace(ratesOfB, "200ms", "300ms", 1))
			time.Sleep(3 * time.Second)
			whole := r.text
			r.change(`- {name: rack-b`, `#`)
			time.Sleep(3 * time.Second)
			r.reread(strings.Replace(whole, "poll", "polll", 1))
			time.Sleep(3 * time.Second)
			r.text = whole
			r.reread(whole)
			r.change("300ms", "200ms")
			time.Sleep(3 * time.Second)
		}
		if busy := r.watch.longest(time.Minute); busy > calm {
			t.Errorf("up to %v between two requests to rack-a while others were reloaded, %v without", busy, calm)
		}
		if n := r.connected("rack-a"); n != 1 {
			t.Errorf("rack-a was connected %d times", n)
		}
		if n := r.lines("configuration rejected", "units[0].polll: unknown key", "agent.yaml:8"); n != 5 {
			t.Errorf("%d lines say which key and line is wrong, want 5", n)
		}
		if n := r.connected("rack-b"); n < 6 {
			t.Errorf("rack-b was connected %d times", n)
		}
	})
}

// TestAReloadGoesOnWithWhatIsKnownOfAUnit: its alarms, its counters, and since when it does not answer. 801 comes 30 s after the
// last good read, however often the configuration is read meanwhile.
func TestAReloadGoesOnWithWhatIsKnownOfAUnit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReloading(t)
		b := r.units["rack-b"]
		b.SetMains(false)
		time.Sleep(10 * time.Second)
		b.SetMains(true)
		time.Sleep(10 * time.Second)
		b.SetMains(false)
		time.Sleep(10 * time.Second)
		r.unplug("rack-b")
		deaf := time.Now()
		for i := range 7 {
			time.Sleep(4 * time.Second)
			r.reread(strings.Replace(r.text, ratesOfB, strings.Replace(ratesOfB, "200ms", fmt.Sprintf("%dms", 201+i), 1), 1))
		}
		a := actor{b: r.bubble, name: "rack-b"}
		lost, ok := a.await("raise", 802, time.Minute)
		if !ok {
			t.Fatal("no 802")
		}
		if after := lost.came.Sub(deaf); after < 29*time.Second || after > 33*time.Second {
			t.Errorf("802 came %v after the unit fell silent, want 30 s", after)
		}
		if s := r.scrape(); !s[`ups_alarms_total{alarm="101",ups="rack-b"} 2`] || !s[`ups_alarm_active{alarm="101",ups="rack-b"} 1`] {
			t.Error("the counts of alarms did not go on")
		}
		if n := count(a.events(), "raise 101"); n != 2 {
			t.Errorf("101 was raised %d times, want 2", n)
		}
	})
}

// TestOtherLimitsDropNoConnection, and hold from the next read on.
func TestOtherLimitsDropNoConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReloading(t)
		r.units["rack-b"].SetLoad(0.5)
		time.Sleep(2 * time.Minute)
		b := actor{b: r.bubble, name: "rack-b"}
		if n := count(b.events(), "raise 303"); n != 0 {
			t.Fatal("303 at half the load")
		}
		r.change(`address: "rack-b:502"}, `, `address: "rack-b:502"}, thresholds: {load: 40}, `)
		if _, ok := b.await("raise", 303, 2*time.Minute); !ok {
			t.Error("no 303 above the new limit")
		}
		r.change(`thresholds: {load: 40}`, `thresholds: {load: 70}`)
		if _, ok := b.await("clear", 303, 2*time.Minute); !ok {
			t.Error("303 goes on below the new limit")
		}
		if n := r.connected("rack-b"); n != 1 {
			t.Errorf("rack-b was connected %d times", n)
		}
	})
}

// TestAUnitOfAnotherNameIsAnotherUnit: the old one ends without a gap; what was active of it is not told of the new one twice.
func TestAUnitOfAnotherNameIsAnotherUnit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReloading(t)
		r.units["rack-b"].SetMains(false)
		time.Sleep(10 * time.Second)
		r.plug("rack-z", r.units["rack-b"])
		r.change(`- {name: rack-b, tcp: {address: "rack-b:502"}`, `- {name: rack-z, tcp: {address: "rack-z:502"}`)
		z := actor{b: r.bubble, name: "rack-z"}
		if _, ok := z.await("raise", 101, time.Minute); !ok {
			t.Error("the new name has no 101")
		}
		r.stop()
		r.start()
		time.Sleep(time.Minute)
		last := r.cloud.states()
		var names []string
		for _, u := range last[len(last)-1].Units {
			names = append(names, u.Unit)
		}
		if !slices.Equal(names, []string{"rack-a", "rack-z"}) || r.lines("a gap record names") != 0 {
			t.Errorf("units %v; or a gap of one that is no more", names)
		}
		if n := count(z.events(), "raise 101"); n != 1 {
			t.Errorf("101 of the new name was raised %d times", n)
		}
	})
}

func count(events []notice, word string) (n int) {
	for _, e := range events {
		if fmt.Sprintf("%s %d", e.Kind, e.ID) == word {
			n++
		}
	}
	return n
}

// A pollWatch notes when a unit was asked.
type pollWatch struct {
	mu sync.Mutex
	at []time.Time
}

// A watched connection notes when it was written to.
type watched struct {
	net.Conn
	by *pollWatch
}

func (w watched) Write(b []byte) (int, error) {
	w.by.mu.Lock()
	w.by.at = append(w.by.at, time.Now())
	w.by.mu.Unlock()
	return w.Conn.Write(b)
}

// longest is the longest time between two requests in the last d.
func (p *pollWatch) longest(d time.Duration) (most time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, at := range p.at {
		if i > 0 && time.Since(at) <= d {
			most = max(most, at.Sub(p.at[i-1]))
		}
	}
	return most
}

// TestAUnitOnALineWithAChangedOneIsReadOn: the line begins anew, so both miss polls; how long is told. Neither is lost or stale, and
// nothing is a gap.
func TestAUnitOnALineWithAChangedOneIsReadOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, `- {name: rack-a, serial: {device: /dev/rack-a}, unit_id: 1}
- {name: rack-b, serial: {device: /dev/rack-a}, unit_id: 2}
`)
		b.plug("rack-a", upssim.New(upssim.Options{Seed: 1}))
		b.sockets["rack-a"].units[2] = upssim.New(upssim.Options{Seed: 2})
		b.taps = map[string]*pollWatch{"rack-a": {}}
		b.start()
		time.Sleep(time.Minute)
		calm := b.taps["rack-a"].longest(30 * time.Second)
		b.reread(b.text + "\n")
		b.reread(strings.Replace(b.text, "unit_id: 2}", "unit_id: 2, poll: {live: 2s}}", 1))
		time.Sleep(10 * time.Second)
		t.Logf("up to %v between two requests on the line in which a unit was changed, %v before", b.taps["rack-a"].longest(20*time.Second), calm)
		time.Sleep(time.Minute)
		for _, r := range b.cloud.states() {
			for _, u := range r.Units {
				if r.came.After(b.began.Add(time.Hour+10*time.Second)) && slices.Contains(u.Condition, "stale") {
					t.Errorf("%s is stale at %v", u.Unit, r.came)
				}
			}
		}
		if n := b.lines("alarm=80"); n != 0 {
			t.Errorf("%d alarms about communication", n)
		}
	})
}
