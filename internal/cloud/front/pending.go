package front

import (
	"context"
	"sync"
	"time"

	"upsedge/internal/cloud/ingest"
	"upsedge/internal/wire"
)

// A connection has at most mostPending messages that wait for their commit, and longestPending bytes of them or one. What comes
// beyond is not read: it waits in the network. An agent of ours has at most 64 of each lane on their way (design, section 6).
const (
	mostPending    = 256
	longestPending = 1 << 20
)

// pending are the messages of a connection that are not acknowledged, in the order in which they came.
type pending struct {
	room chan struct{} // gets a value when one has gone; holds one

	mu      sync.Mutex
	queue   []entry // settled ones have no other before them
	first   uint64  // number of queue[0]
	bytes   int
	packets []byte // PUBACKs in the making
}

type entry struct {
	id            uint16
	settled, lost bool
	size          int
}

// keep hands a message over, and acknowledges it when it is kept. It waits for room.
func (s *session) keep(id uint16, m ingest.Message) {
	f, size := s.front, len(m.Payload)
	number, err := s.ups.add(s.ctx, id, size)
	if err != nil {
		return // it ends
	}
	if err := f.waiting.Acquire(s.ctx, int64(size)); err != nil {
		s.ups.lose(number)
		return
	}
	f.counts.received.Add(1)
	f.counts.bytes.Add(uint64(size))
	began := time.Now()
	var once sync.Once
	f.cfg.Ingest.Put(s.ctx, m, func(err error) {
		once.Do(func() {
			f.waiting.Release(int64(size))
			if err != nil {
				s.ups.lose(number)
				s.end(ended(NotStored, "%v", err))
				return
			}
			s.settle(number)
			if f.cfg.Acknowledged != nil {
				f.cfg.Acknowledged(time.Since(began))
			}
		})
	})
}

// add notes a message, when there is room for it.
func (p *pending) add(ctx context.Context, id uint16, size int) (uint64, error) {
	for {
		p.mu.Lock()
		if len(p.queue) == 0 || len(p.queue) < mostPending && p.bytes+size <= longestPending {
			p.queue = append(p.queue, entry{id: id, size: size})
			p.bytes += size
			number := p.first + uint64(len(p.queue)) - 1
			p.mu.Unlock()
			return number, nil
		}
		p.mu.Unlock()
		select {
		case <-p.room:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// settle notes that a message is kept, and acknowledges those that have none before them that is not: the order is that of the
// messages (MQTT 3.1.1, 4.6).
func (s *session) settle(number uint64) {
	p := &s.ups
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue[number-p.first].settled = true
	p.packets = p.packets[:0]
	n := 0
	for ; n < len(p.queue) && p.queue[n].settled; n++ {
		e := p.queue[n]
		p.bytes -= e.size
		p.packets = append(p.packets, typePuback<<4, 2, byte(e.id>>8), byte(e.id))
	}
	p.makeRoom()
	if n == 0 {
		return
	}
	p.first += uint64(n)
	if p.queue = p.queue[n:]; len(p.queue) == 0 {
		p.queue = nil // what an idle connection does not need
	}
	s.front.counts.acknowledged.Add(uint64(n))
	_ = s.out.put(p.packets) // to an agent that does not read: it ends, and sends again
	if len(p.queue) == 0 {
		p.packets = nil
	}
}

// lose notes that a message will not be kept: neither it nor what came behind it is acknowledged.
func (p *pending) lose(number uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue[number-p.first].lost = true
	p.makeRoom()
}

func (p *pending) makeRoom() {
	select {
	case p.room <- struct{}{}:
	default:
	}
}

// open is how many messages are neither kept nor lost.
func (p *pending) open() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.queue {
		if !e.settled && !e.lost {
			n++
		}
	}
	return n
}

// settled waits until every message that was handed over is settled, or within has passed.
func (p *pending) settled(within time.Duration) {
	t := time.NewTimer(within)
	defer t.Stop()
	for p.open() > 0 {
		select {
		case <-p.room:
		case <-t.C:
			return
		}
	}
}

// leafOf returns the leaf of an agent's own topic on which it may publish, "" for any other topic.
func (s *session) leafOf(topic string) wire.Leaf {
	if len(topic) <= len(s.prefix) || topic[:len(s.prefix)] != s.prefix {
		return ""
	}
	switch leaf := wire.Leaf(topic[len(s.prefix):]); leaf {
	case wire.TopicState, wire.TopicEvents, wire.TopicSamples, wire.TopicResults, wire.TopicHost:
		return leaf
	}
	return ""
}
