package soak

import (
	"math/rand/v2"
	"os"
	"slices"
	"time"
)

// A ground is what a world stands on.
type ground struct {
	name     string
	fs       string // file system of the agent's state, "" for no disk of its own
	units    int    // 0: two
	maxBytes int64  // of the spool, 0 for a great one
	tls      bool   // between agent and broker
	alone    bool   // the agent has no cloud: the broker's word frees, and it is not killed
	conf     string // of the broker; "": as alone and forgets have it
	forgets  bool   // the broker keeps nothing over a kill, and what it keeps in memory is bounded
	kinds    []kind // beside those that every world has
}

// watch is how often a unit is asked for its status word; the other blocks come half as often.
func (g ground) watch() time.Duration {
	if g.maxBytes > 0 {
		return 10 * time.Millisecond // to fill the spool
	}
	return 25 * time.Millisecond
}

// brokerConf is what an agent without a cloud needs of its broker (FORMAT.md, section 8), or what people run: acknowledged from
// memory, written every few seconds.
func (g ground) brokerConf() string {
	switch {
	case g.conf != "":
		return g.conf
	case g.alone:
		return "persistence true\nmax_inflight_messages 0\nmax_queued_messages 0\nset_tcp_nodelay true"
	case g.forgets:
		return "persistence false\nmax_queued_messages 200"
	default:
		return "persistence true\nautosave_interval 3"
	}
}

// grounds are the worlds that rounds are made in, with how many of a hundred rounds.
var grounds = []struct {
	ground
	share int
}{
	{ground{name: "broker that saves", kinds: brokerKinds}, 30},
	{ground{name: "ext4", fs: "ext4", kinds: slices.Concat(brokerKinds, diskKinds)}, 15},
	{ground{name: "broker that forgets", forgets: true, kinds: brokerKinds}, 20},
	{ground{name: "TLS", tls: true, kinds: slices.Concat(brokerKinds, clockKinds)}, 10},
	{ground{name: "clock", kinds: slices.Concat(brokerKinds, clockKinds)}, 15},
	{ground{name: "stand-alone", alone: true}, 10},
	{ground{name: "small spool", units: 25, maxBytes: 1 << 20, kinds: slices.Concat(brokerKinds, quotaKinds)}, 5},
	{ground{name: "xfs", fs: "xfs", kinds: slices.Concat(brokerKinds, diskKinds)}, 10},
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
		steps := agentSteps
		if !w.ground.alone {
			steps = slices.Concat(steps, cloudSteps)
		}
		w.cut(w.up, steps)
	}},
	{"receiver's link cut", 4, func(w *world) { w.cut(w.down, receiverSteps) }},
	{"calls of the database fail", 2, (*world).callsFail},
	{"mains fail", 3, func(w *world) { w.units[w.rng.IntN(len(w.units))].SetMains(w.rng.IntN(2) == 0) }},
}

var brokerKinds = []kind{
	{"broker killed", 4, func(w *world) { w.pause(300); w.killBroker(); w.pause(300); w.broker.Start() }},
	{"all killed", 3, func(w *world) { w.killAll(w.killAgent) }},
	{"broker and receiver killed", 3, func(w *world) { w.killAll(func() {}) }},
}

var clockKinds = []kind{
	{"clock wrong or stepped", 8, (*world).jump},
	{"box without power, clock wrong", 8, (*world).reboot},
}

var quotaKinds = []kind{
	{"link away", 12, func(w *world) { w.up.leave(true); w.pause(3000) }},
	{"link back", 2, func(w *world) { w.up.leave(false); w.pause(1000) }},
}

var diskKinds = []kind{
	{"disk full", 6, (*world).diskFull},
	{"power cut of the disk", 6, (*world).powerCut},
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
