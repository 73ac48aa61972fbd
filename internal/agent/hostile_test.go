package agent

import (
	"errors"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/trust"
	"upsedge/internal/wire"
)

// A postman is a broker that delivers what it was given when it likes: again, late, in another order, retained, in a later session, to another
// run of the agent, and to one that has lost its store.
type postman struct {
	*boss
	rng     *rand.Rand
	held    []posted
	highest uint64                // counter of what came to that check
	all     map[wire.ID]posted    // whatever was signed
	since   map[wire.ID]time.Time // when the nonces of this session were heard of
	session uint64
	heard   map[wire.ID]bool   // there is a result
	ends    map[wire.ID]string // by the results
	read    int
	told    map[string]int
	times   map[wire.ID]int // it was delivered so often
	latest  uint64          // counter of what was delivered
	kinds   map[string]int  // deliveries; one may be of several kinds
}

// A posted is an order as it was signed.
type posted struct {
	cmd trust.Command
	msg string
}

// Orders of each speed.
var postedKinds = []postedKind{
	{"diagnostics.run", map[string]string{"test": "self"}},
	{"reboot.ups", map[string]string{"delay": "none"}},
	{"alarm.mute", map[string]string{}},
	{"configure.device", map[string]string{"setting": "sog0_turn_on_delay", "value": ""}},
}

type postedKind struct {
	action string
	params map[string]string
}

func (p *postman) write() posted {
	cmd := p.command()
	cmd.ID = wire.ID{byte(p.counter), byte(p.counter >> 8), byte(p.counter >> 16), 7}
	k := postedKinds[p.rng.IntN(len(postedKinds))]
	cmd.Action, cmd.Params = k.action, maps.Clone(k.params)
	if _, ok := cmd.Params["value"]; ok {
		cmd.Params["value"] = []string{"10", "20", "30"}[p.rng.IntN(3)]
	}
	cmd.MaxAge = time.Duration(1+p.rng.IntN(20)) * time.Minute
	return posted{cmd, p.sign(cmd)}
}

// writes is how often the unit was written to.
func (p *postman) writes() int { return int(p.actor.unit.Written()) }

// deliver gives the agent a posted, and holds what comes of it against what may.
func (p *postman) deliver(l posted, retained bool) {
	t := p.bubble.t
	at, ok := p.since[l.cmd.Nonce]
	p.count(l, retained)
	stale := !ok || time.Since(at) > l.cmd.MaxAge || l.cmd.Counter <= p.highest || p.heard[l.cmd.ID]
	before := p.writes()
	p.publish(l.msg, retained)
	p.settle(time.Second)
	if n := p.writes() - before; n > 1 || n > 0 && stale {
		t.Errorf("%d writes by an order of %s (nonce of this session: %v, %v old of %v, counter %d after %d, heard before: %v)",
			n, l.cmd.Action, ok, time.Since(at), l.cmd.MaxAge, l.cmd.Counter, p.highest, p.heard[l.cmd.ID])
	}
}

// count notes in which ways a delivery is none that a good broker makes.
func (p *postman) count(l posted, retained bool) {
	hostile := false
	for kind, is := range map[string]bool{
		"duplicate":   p.times[l.cmd.ID] > 0,
		"reordered":   p.times[l.cmd.ID] == 0 && l.cmd.Counter < p.latest,
		"delayed":     time.Since(l.cmd.IssuedAt) > time.Minute,
		"retained":    retained,
		"old session": p.since[l.cmd.Nonce].IsZero(),
	} {
		if is {
			hostile = true
			p.kinds[kind]++
		}
	}
	if !hostile {
		p.kinds["as it should be"]++
	}
	p.kinds["delivered"]++
	p.times[l.cmd.ID]++
	p.latest = max(p.latest, l.cmd.Counter)
}

// settle lets time pass and takes in the results.
func (p *postman) settle(d time.Duration) {
	p.rest(d)
	if s := p.lastState(); s.Session != p.session {
		p.session, p.since = s.Session, map[wire.ID]time.Time{}
	}
	if _, ok := p.since[p.nonce]; !ok {
		p.since[p.nonce] = time.Now()
	}
	p.cloud.mu.Lock()
	defer p.cloud.mu.Unlock()
	for _, r := range p.results[p.read:] {
		if p.heard[r.Order] = true; r.State != wire.OrderReceived && r.Reason != "EXPIRED" && r.Reason != "NOT_BOUND" {
			p.highest = max(p.highest, p.all[r.Order].cmd.Counter)
		}
		switch end := strings.TrimSpace(string(r.State) + " " + r.Reason); {
		case !r.State.Final():
		case r.Repeated:
			p.told["answered again"]++
			if p.ends[r.Order] != end {
				p.bubble.t.Errorf("%v ended as %q and is answered %q", r.Order, p.ends[r.Order], end)
			}
		case p.ends[r.Order] != "":
			p.bubble.t.Errorf("%v ends as %q and %q", r.Order, p.ends[r.Order], end)
		default:
			p.ends[r.Order] = end
			if p.told[end]++; r.State == wire.OrderUnknown {
				p.told["unknown: "+r.Action+": "+r.Detail]++
			}
		}
	}
	p.read = len(p.results)
}

// TestT03HostileDeliveries: duplicate, reordered, delayed, retained, of a session or a run before: no order has two effects, and
// none that is stale has one. `make soak` delivers 10,000.
func TestT03HostileDeliveries(t *testing.T) { hostile(t, 120) }

// TestSoakHostileDeliveries is the long form.
func TestSoakHostileDeliveries(t *testing.T) {
	if os.Getenv("UPSEDGE_SOAK") == "" {
		t.Skip("the long form of TestT03HostileDeliveries; UPSEDGE_SOAK is not set")
	}
	hostile(t, 10_000)
}

func hostile(t *testing.T, deliveries int) {
	seed := rand.Uint64()
	synctest.Test(t, func(t *testing.T) {
		c := newBoss(t, time.Time{})
		defer c.stop()
		p := &postman{boss: c, rng: rand.New(rand.NewPCG(seed, 1)), heard: map[wire.ID]bool{}, all: map[wire.ID]posted{}, ends: map[wire.ID]string{}, told: map[string]int{}}
		p.times, p.kinds = map[wire.ID]int{}, map[string]int{}
		c.text = strings.Replace(c.text, "allow: [reboot, diagnostics], min_interval: 1m", "allow: [reboot, diagnostics, alarms, settings], min_interval: 10s, daily_max: 100000", 1)
		p.restart(false)
		sessions, stale, again := 0, 0, 0
		for p.kinds["delivered"] < deliveries {
			var l posted
			if p.rng.IntN(3) == 0 || len(p.held) == 0 {
				l = p.write()
				p.all[l.cmd.ID] = l
				p.held = append(p.held, l)
				if p.rng.IntN(3) == 0 {
					continue // it comes later
				}
			} else {
				l = p.held[len(p.held)-1-min(len(p.held)-1, int(p.rng.ExpFloat64()*6))] // the latest more often
			}
			if l.cmd.Nonce != p.nonce {
				stale++
			}
			if p.heard[l.cmd.ID] {
				again++
			}
			p.deliver(l, p.rng.IntN(5) == 0)
			next := p.rng.IntN(200)
			if sessions == 0 && p.kinds["delivered"] > deliveries/3 {
				next = 1 // a short run has a second session, too
			}
			switch next {
			case 0:
				p.restart(p.rng.IntN(4) == 0)
				sessions++
			case 1, 2, 3:
				p.way.cut(false)
				p.settle(time.Duration(10+p.rng.IntN(120)) * time.Second)
				sessions++
			case 4, 5, 6, 7, 8, 9:
				p.settle(time.Duration(p.rng.IntN(600)) * time.Second)
			default:
				if p.rng.IntN(2) == 0 {
					p.settle(time.Duration(p.rng.IntN(40)) * time.Second)
				}
			}
			if t.Failed() {
				t.Logf("delivery %d", p.kinds["delivered"])
				break
			}
		}
		p.settle(10 * time.Minute)
		p.settle(time.Second)
		done := 0
		for id := range p.ends {
			if p.ends[id] == "done" {
				done++
			}
		}
		if done < deliveries/30 || stale == 0 || again == 0 || len(p.kinds) != 7 {
			t.Errorf("%d done, %d of another session, %d again; %v: it tries nothing", done, stale, again, p.kinds)
		}
		t.Logf("seed %d: %d deliveries of %d orders, %d of a nonce before, %d that were answered before, %d sessions begun; %d writes, %d orders done; by kind %v",
			seed, p.kinds["delivered"], p.counter, stale, again, sessions, p.writes(), done, p.kinds)
		for _, end := range slices.Sorted(maps.Keys(p.told)) {
			t.Logf("%6d  %s", p.told[end], end)
		}
	})
}

// restart begins another run of the agent, with an emptied store or not.
func (p *postman) restart(emptied bool) {
	p.settle(time.Second) // a statement that is judged while lines end waits for them, and in a bubble nothing goes on then
	p.stop()
	if emptied {
		for _, end := range []string{"", "-wal", "-shm"} {
			if err := os.Remove(p.stateDir() + "/store.db" + end); err != nil && !errors.Is(err, os.ErrNotExist) {
				p.bubble.t.Error(err)
			}
		}
	}
	p.start()
	p.settle(3 * time.Second)
	p.settle(3 * time.Second)
}
