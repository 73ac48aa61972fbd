package ingest

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/wire"
)

// Several receivers on one database, each with a connection of its own as processes have, store for the same agents, whose messages
// go now to one and now to another: nothing is lost or doubled, and nothing is acknowledged that is not committed.
func TestSeveralReceiversStoreForTheSameAgents(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		var told atomic.Int64
		var h sync.Map // of agent and number to true
		sinks := Sinks{Event: countOnce(t, &h, &told)}
		s := &several{t: t, watch: NewReader(storetest.Open(t, c)), sent: map[string]uint64{}}
		for i := range 3 {
			s.boxes = append(s.boxes, newBox(t, fmt.Sprint("rack", i)))
		}
		var all sync.WaitGroup
		for range 2 {
			r := opened(t, c, Options{Sinks: sinks})
			all.Go(func() {
				for range 40 {
					s.step(r)
				}
			})
		}
		all.Wait()
		s.check()
		total := uint64(0)
		for _, n := range s.sent {
			total += n
		}
		if got := told.Load(); got != int64(total) {
			t.Errorf("%d events told, want %d", got, total)
		}
	})
}

type several struct {
	t     *testing.T
	watch *Reader
	boxes []*box

	mu   sync.Mutex
	sent map[string]uint64
}

// step has a receiver take new records of one or two agents, and some that were sent before.
func (s *several) step(r *Receiver) {
	var batch []Message
	for range 1 + rand.IntN(2) {
		b := s.boxes[rand.IntN(len(s.boxes))]
		s.mu.Lock()
		first := s.sent[b.name] + 1
		s.sent[b.name] += 1 + rand.Uint64N(8)
		last := s.sent[b.name]
		s.mu.Unlock()
		for n := max(first, 4) - 3; n <= last; n++ {
			batch = append(batch, b.publish(b.alarm(n, "text")))
		}
	}
	answers, err := r.Take(s.t.Context(), batch)
	must(s.t, err) // a cache that is not true any more would run into what the tables allow
	s.believe(answers)
}

// believe looks whether what was answered can be seen from outside.
func (s *several) believe(answers []Answer) {
	lanes, err := s.watch.Lanes(s.t.Context())
	must(s.t, err)
	for _, a := range answers {
		agent, _, err := wire.SplitTopic(a.Topic)
		must(s.t, err)
		ack, err := wire.DecodeAck(a.Payload)
		must(s.t, err)
		for _, l := range lanes {
			if l.Agent == agent && l.Lane == ack.Lane && l.Through < ack.Through {
				s.t.Errorf("%s: acknowledged up to %d, stored up to %d", agent, ack.Through, l.Through)
			}
		}
	}
}

func (s *several) check() {
	lanes, err := s.watch.Lanes(s.t.Context())
	must(s.t, err)
	if len(lanes) != len(s.boxes) {
		s.t.Errorf("%d lanes, want %d", len(lanes), len(s.boxes))
	}
	for _, l := range lanes {
		n, arrivals := uint64(0), map[int64]bool{}
		must(s.t, s.watch.Records(s.t.Context(), l, func(r Stored) error {
			if n++; r.Record.Seq != n {
				return fmt.Errorf("record %d where %d belongs", r.Record.Seq, n)
			}
			arrivals[r.Arrival] = true
			return nil
		}))
		if want := s.sent[l.Agent]; n != want || l.Through != want || l.Records != int64(want) || len(arrivals) != int(want) || l.Frozen != 0 {
			s.t.Errorf("%d records, %d arrivals of %d in %+v", n, len(arrivals), want, l)
		}
	}
}
