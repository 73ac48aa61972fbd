package soak

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"
)

// A kind of round is something that goes wrong, with how often it is taken.
type kind struct {
	name  string
	often int
	do    func(*world)
}

var everywhere = []kind{
	{"agent killed", 6, func(w *world) { w.pause(300); w.killAgent(); w.pause(50); w.mend() }},
	{"agent killed in its start", 3, func(w *world) { w.killAgent(); w.startAgent("agent.yaml"); w.pause(150); w.killAgent(); w.mend() }},
	{"receiver killed", 4, func(w *world) { w.pause(300); w.killReceiver(); w.pause(200); w.mend() }},
	{"agent stopped", 2, func(w *world) { w.goodbye(w.up); w.stopAgent(); w.mend() }},
	{"receiver stopped", 1, func(w *world) { w.goodbye(w.down); w.stopReceiver(); w.mend() }},
	{"agent's link cut", 6, func(w *world) {
		if w.ground.tls {
			w.cutBytes()
			return
		}
		w.cut(w.up, agentSteps)
	}},
	{"receiver's link cut", 4, func(w *world) { w.cut(w.down, receiverSteps) }},
	{"calls of the database fail", 2, (*world).callsFail},
	{"mains fail", 3, func(w *world) { w.units[w.rng.IntN(len(w.units))].SetMains(w.rng.IntN(2) == 0) }},
}

// killAll kills broker and receiver and what agent kills, one right behind the other, and starts them in another order.
func (w *world) killAll(agent func()) {
	w.pause(600)
	kill := []func(){agent, w.killReceiver, w.killBroker}
	start := []func(){w.mendAgent, w.startReceiver, w.broker.Start}
	for _, i := range w.rng.Perm(len(kill)) {
		kill[i]()
	}
	w.pause(100)
	for _, i := range w.rng.Perm(len(start)) {
		start[i]()
		w.pause(60)
	}
}

func (w *world) pause(most int) { time.Sleep(time.Duration(w.rng.IntN(most+1)) * time.Millisecond) }

// settle waits until the agent is ready.
func (w *world) settle() {
	select {
	case <-w.agent.ready:
	case <-w.agent.gone:
	case <-time.After(patience):
		w.t.Error("the agent does not become ready")
	}
}

// agentSteps and receiverSteps are the packets at which a link is cut.
var (
	agentSteps = []step{
		{up, "CONNECT"},
		{down, "CONNACK"},
		{up, "PUBLISH state first"},
		{up, "PUBLISH state full"},
		{up, "PUBLISH events"},
		{up, "PUBLISH samples"},
		{down, "PUBACK"},
	}
	receiverSteps = []step{
		{up, "CONNECT"},
		{down, "CONNACK"},
		{up, "SUBSCRIBE"},
		{down, "SUBACK"},
		{down, "PUBLISH state first"},
		{up, "PUBLISH orders"},
		{down, "PUBLISH state full"},
		{down, "PUBLISH events"},
		{down, "PUBLISH samples"},
		{up, "PUBACK"},
		{up, "PUBLISH acks"},
		{down, "PUBACK"},
	}
)

// lastSteps are what only an orderly end has.
var lastSteps = map[string][]step{
	"agent":    {{up, "PUBLISH state offline"}, {up, "DISCONNECT"}},
	"receiver": {{up, "DISCONNECT"}},
}

// goodbye arms a cut at the end of a connection.
func (w *world) goodbye(p *proxy) {
	w.pause(300)
	if p.opaque {
		return
	}
	c := cut{n: 1, how: manner(w.rng.IntN(3)), long: 100 * time.Millisecond}
	c.at, c.place = p.rarest(lastSteps[p.name], w.rng)
	p.arm(c)
}

// beginning are the steps that only a new connection has.
func beginning(s step) bool {
	switch s.kind {
	case "CONNECT", "CONNACK", "SUBSCRIBE", "SUBACK", "PUBLISH state first", "PUBLISH state full", "PUBLISH orders":
		return true
	}
	return false
}

// cut arms the place of which there were fewest, and gives it time to fall.
func (w *world) cut(p *proxy, steps []step) {
	c := cut{n: 1 + w.rng.IntN(3), how: manner(w.rng.IntN(int(manners))), long: time.Duration(50+w.rng.IntN(500)) * time.Millisecond}
	c.at, c.place = p.rarest(steps, w.rng)
	if c.how == twice && c.at.kind[:3] != "PUB" || c.how == twice && c.at.kind == "PUBACK" {
		c.how = reset
	}
	if beginning(c.at) {
		c.n = 1
	}
	p.arm(c)
	if beginning(c.at) {
		p.hangUpAll()
	}
	for end := time.Now().Add(time.Second); p.isArmed() && time.Now().Before(end); { // what does not fall now may later
		time.Sleep(10 * time.Millisecond)
	}
	w.pause(200)
}

// rarest returns a step and a place that fell least often.
func (p *proxy) rarest(steps []step, rng *rand.Rand) (at step, where place) {
	least := 1 << 30
	for _, i := range rng.Perm(len(steps)) {
		for _, j := range rng.Perm(len(placeNames)) {
			if n := p.tally.count(p.name, steps[i], place(j)); n < least {
				at, where, least = steps[i], place(j), n
			}
		}
	}
	return at, where
}

// round does one to three things at random instants.
func (w *world) round() {
	kinds, sum := slices.Concat(everywhere, w.ground.kinds), 0
	for _, k := range kinds {
		sum += k.often
	}
	for range 1 + w.rng.IntN(3) {
		n := w.rng.IntN(sum)
		for _, k := range kinds {
			if n -= k.often; n < 0 {
				w.counts[k.name]++
				k.do(w)
				break
			}
		}
	}
	w.mend()
	w.pause(400)
}

// grounds are the worlds that rounds are made in, with how many of a hundred rounds.
var grounds = []struct {
	ground
	share int
}{
	{ground{name: "broker that saves", kinds: brokerKinds}, 30},
	{ground{name: "ext4", fs: "ext4", kinds: slices.Concat(brokerKinds, diskKinds)}, 15},
	{ground{name: "broker that forgets", forgets: true, kinds: brokerKinds}, 20},
	{ground{name: "TLS", tls: true, kinds: brokerKinds}, 10},
	{ground{name: "clock", kinds: slices.Concat(brokerKinds, clockKinds)}, 15},
	{ground{name: "stand-alone", alone: true}, 10},
	{ground{name: "small spool", units: 25, maxBytes: 1 << 20, kinds: slices.Concat(brokerKinds, quotaKinds)}, 5},
	{ground{name: "xfs", fs: "xfs", kinds: slices.Concat(brokerKinds, diskKinds)}, 10},
}

var brokerKinds = []kind{
	{"broker killed", 4, func(w *world) { w.pause(300); w.killBroker(); w.pause(300); w.broker.Start() }},
	{"all killed", 3, func(w *world) { w.killAll(w.killAgent) }},
	{"broker and receiver killed", 3, func(w *world) { w.killAll(func() {}) }},
}

var clockKinds = []kind{{"clock wrong or stepped", 12, (*world).jump}}

var quotaKinds = []kind{
	{"link away", 12, func(w *world) { w.up.leave(true); w.pause(3000) }},
	{"link back", 2, func(w *world) { w.up.leave(false); w.pause(1000) }},
}

var diskKinds = []kind{
	{"disk full", 6, (*world).diskFull},
	{"power cut of the disk", 6, (*world).powerCut},
}

// TestRounds makes a few rounds on two of the grounds.
func TestRounds(t *testing.T) {
	rng, sum := seeded(t), new(total)
	for _, g := range grounds[:2] {
		t.Run(g.name, func(t *testing.T) { newWorld(t, rng, g.ground, newTally()).rounds(8, sum) })
	}
	t.Log(sum)
}

// TestSoakRounds makes a thousand rounds, or as many as UPSEDGE_SOAK_ROUNDS says, on all grounds.
func TestSoakRounds(t *testing.T) {
	needSoak(t)
	left := 1000
	if text := os.Getenv("UPSEDGE_SOAK_ROUNDS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatalf("UPSEDGE_SOAK_ROUNDS: %v", err)
		}
		left = n
	}
	const series = 25 // rounds until everything is compared
	rng, count, sum := seeded(t), newTally(), new(total)
	for n, failed := 0, 0; left > 0 && failed < 3; n++ {
		g := pick(rng)
		rounds := min(left, series)
		left -= rounds
		if !t.Run(fmt.Sprintf("%d %s", n, g.name), func(t *testing.T) { newWorld(t, rng, g, count).rounds(rounds, sum) }) {
			failed++
		}
	}
	t.Logf("%v\n%v", sum, count)
	if sum.rounds >= 1000 && len(os.Getenv("UPSEDGE_SOAK_GROUND")) == 0 {
		count.check(t)
	}
}

// check fails the test where no cut fell in a place of a step.
func (y *tally) check(t *testing.T) {
	for proxy, steps := range map[string][]step{
		"agent": slices.Concat(agentSteps, lastSteps["agent"]), "receiver": slices.Concat(receiverSteps, lastSteps["receiver"]),
	} {
		for _, s := range steps {
			for p := range placeNames {
				if y.count(proxy, s, place(p)) == 0 {
					t.Errorf("no cut fell %s %s %v", placeNames[p], proxy, s)
				}
			}
		}
	}
}

func needSoak(t *testing.T) {
	t.Helper()
	if os.Getenv("UPSEDGE_SOAK") == "" {
		t.Skip("a soak test: make soak runs it")
	}
}

// pick returns a ground as often as its share says.
func pick(rng *rand.Rand) ground {
	sum := 0
	for _, g := range grounds {
		if g.name == os.Getenv("UPSEDGE_SOAK_GROUND") {
			return g.ground
		}
		sum += g.share
	}
	n := rng.IntN(sum)
	for _, g := range grounds {
		if n -= g.share; n < 0 {
			return g.ground
		}
	}
	panic("unreachable")
}

func seeded(t *testing.T) *rand.Rand {
	seed := rand.Uint64()
	if text := os.Getenv("UPSEDGE_SOAK_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("UPSEDGE_SOAK_SEED: %v", err)
		}
	}
	t.Logf("UPSEDGE_SOAK_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// A total is what many worlds came to.
type total struct {
	rounds, accepted, held, gone, crashes, late int
	took                                        time.Duration
	done                                        map[string]int
}

func (s *total) String() string {
	text := fmt.Sprintf("%d rounds in %v: %d numbers accepted, %d records held, %d numbers covered by gaps, %d gaps of crashes, %d records behind later ones",
		s.rounds, s.took.Round(time.Second), s.accepted, s.held, s.gone, s.crashes, s.late)
	for _, k := range slices.Sorted(maps.Keys(s.done)) {
		text += fmt.Sprintf("\n%6d %s", s.done[k], k)
	}
	return text
}

// rounds makes n rounds, compares, and adds up.
func (w *world) rounds(n int, sum *total) {
	w.t.Helper()
	w.mend()
	began := time.Now()
	for range n {
		w.round()
	}
	for _, p := range w.reckon() {
		w.t.Error(p)
	}
	gone := 0
	for id := range w.book.told {
		if _, held := w.held.records[id]; !held {
			gone++
		}
	}
	sum.rounds, sum.took = sum.rounds+n, sum.took+time.Since(began)
	sum.accepted, sum.held, sum.gone, sum.crashes = sum.accepted+len(w.book.told), sum.held+len(w.held.records), sum.gone+gone, sum.crashes+len(w.held.gaps)
	sum.late += w.held.late
	if sum.done == nil {
		sum.done = map[string]int{}
	}
	for k, n := range w.counts {
		sum.done[k] += n
	}
	w.t.Logf("%d rounds in %v: %d accepted, %d held, %d gaps of crashes; %v", n, time.Since(began).Round(time.Millisecond), len(w.book.told), len(w.held.records), len(w.held.gaps), w.counts)
}
