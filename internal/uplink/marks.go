package uplink

import (
	"log/slog"
	"sync"
	"sync/atomic"

	"upsedge/internal/wire"
)

// marks gathers what comes on the topic acks: however much comes, of each lane two numbers are kept until the session looks.
type marks struct {
	cloud *Cloud
	given *[len(wire.Lanes)]atomic.Uint64 // published at any time, by index in wire.Lanes
	wake  chan struct{}                   // holds at most one
	drops dropped

	mu   sync.Mutex
	news [len(wire.Lanes)]news
}

// news is what came of a lane since the session looked.
type news struct {
	some    bool   // anything valid, even an old mark
	through uint64 // highest mark among what was given
	doubt   uint64 // highest mark beyond that which the spool has numbered
}

func newMarks(cloud *Cloud, given *[len(wire.Lanes)]atomic.Uint64, log *slog.Logger) *marks {
	return &marks{cloud: cloud, given: given, wake: make(chan struct{}, 1), drops: dropped{log: log}}
}

// take judges one message of the topic acks. It does not block.
func (m *marks) take(msg []byte, retained bool) {
	if retained {
		m.drops.note("a retained acknowledgement")
		return
	}
	a, err := wire.DecodeAck(msg)
	switch {
	case err != nil:
		m.drops.note("a malformed acknowledgement")
		return
	case a.Stream != m.cloud.Stream:
		m.drops.note("an acknowledgement of another stream")
		return
	case a.Through > m.cloud.Last(a.Lane): // the cloud has more than this database: a copy of it ran elsewhere, or an older one was restored (T-28)
		m.drops.note("an acknowledgement of a number never given")
		return
	}
	m.add(index(a.Lane), a.Through)
}

func (m *marks) add(i int, through uint64) {
	m.mu.Lock()
	n := &m.news[i]
	n.some = true
	if through <= m.given[i].Load() {
		n.through = max(n.through, through)
	} else {
		n.doubt = max(n.doubt, through)
	}
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// look returns what came since the last look.
func (m *marks) look() [len(wire.Lanes)]news {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := m.news
	m.news = [len(wire.Lanes)]news{}
	return out
}

// index returns where lane stands in wire.Lanes.
func index(lane wire.Lane) int {
	for i, l := range wire.Lanes {
		if l == lane {
			return i
		}
	}
	panic("lane " + lane.String() + " is none of wire.Lanes")
}

// dropped counts what was not obeyed by reason, and logs the first of each: a flood is one line.
type dropped struct {
	log *slog.Logger
	mu  sync.Mutex
	by  map[string]uint64
}

func (d *dropped) note(why string) {
	d.mu.Lock()
	if d.by == nil {
		d.by = map[string]uint64{}
	}
	d.by[why]++
	first := d.by[why] == 1
	d.mu.Unlock()
	if first {
		d.log.Warn("a message from the cloud is ignored; more of the kind are counted", "why", why)
	}
}

// total logs how many there were of each kind that came more than once.
func (d *dropped) total() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for why, n := range d.by {
		if n > 1 {
			d.log.Warn("messages from the cloud were ignored", "why", why, "times", n)
		}
	}
}
