package soak

import (
	"math/rand/v2"
	"time"
)

// agentSteps, cloudSteps and receiverSteps are the packets at which a link is cut.
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
	cloudSteps = []step{ // those of an agent that has a cloud
		{up, "SUBSCRIBE"},
		{down, "SUBACK"},
		{down, "PUBLISH orders"},
		{down, "PUBLISH acks"},
		{up, "PUBACK"},
	}
	receiverSteps = []step{
		{up, "CONNECT"},
		{down, "CONNACK"},
		{up, "SUBSCRIBE"},
		{down, "SUBACK"},
		{down, "PUBLISH state first"},
		{up, "PUBLISH orders"},
		{down, "PUBLISH state full"},
		{down, "PUBLISH state offline"},
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
