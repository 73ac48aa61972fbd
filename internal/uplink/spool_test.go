package uplink

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"upsedge/internal/wire"
)

// testStream is the stream of every record in these tests.
var testStream = wire.ID{0xab, 1}

// A memSpool is a Spool in memory that can misbehave, and keeps what it was told.
type memSpool struct {
	mu      sync.Mutex
	recs    map[wire.Lane][]wire.Record // not acknowledged
	last    map[wire.Lane]uint64
	acked   map[wire.Lane]uint64
	changed map[wire.Lane]chan struct{}

	failNext func(wire.Lane) error
	failAck  func(wire.Lane) error
	onAck    func(lane wire.Lane, through uint64)
}

func newMemSpool() *memSpool {
	s := &memSpool{
		recs: map[wire.Lane][]wire.Record{}, last: map[wire.Lane]uint64{}, acked: map[wire.Lane]uint64{},
		changed: map[wire.Lane]chan struct{}{},
	}
	for _, l := range wire.Lanes {
		s.changed[l] = make(chan struct{})
	}
	return s
}

// put adds a record with a payload of about size bytes and returns its number.
func (s *memSpool) put(lane wire.Lane, size int) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last[lane]++
	r := wire.Record{Stream: testStream, Lane: lane, Seq: s.last[lane], Boot: 1, Stamp: wire.Stamp{Mono: time.Second}}
	if lane == wire.Events {
		r.Class, r.Payload = wire.ClassAlarm, fmt.Appendf(nil, `{"event_id":101,"kind":"raise","severity":"warning","text":%q}`, make10(size))
	} else {
		r.Class, r.Payload = wire.ClassSamples, []byte(make10(size))
	}
	s.add(r)
	return r.Seq
}

// putPicture adds a picture with a payload of about size bytes, of the event before it.
func (s *memSpool) putPicture(size int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last[wire.Events]++
	n := s.last[wire.Events]
	s.add(wire.Record{
		Stream: testStream, Lane: wire.Events, Class: wire.ClassPicture, Seq: n, Boot: 1, Payload: wire.PicturePayload(n-1, []byte(make10(size))),
	})
}

// add appends a record and tells who waits. The caller holds mu.
func (s *memSpool) add(r wire.Record) {
	s.recs[r.Lane] = append(s.recs[r.Lane], r)
	close(s.changed[r.Lane])
	s.changed[r.Lane] = make(chan struct{})
}

func make10(size int) string {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte('0' + i%10)
	}
	return string(b)
}

func (s *memSpool) Next(_ context.Context, lane wire.Lane, after uint64, most, maxBytes int) ([]wire.Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failNext != nil {
		if err := s.failNext(lane); err != nil {
			return nil, err
		}
	}
	var out []wire.Record
	size := 0
	for _, r := range s.recs[lane] {
		if r.Seq <= after {
			continue
		}
		if size += len(r.Payload); len(out) == most || len(out) > 0 && size > maxBytes {
			break
		}
		out = append(out, r)
	}
	return out, nil
}

func (s *memSpool) Ack(_ context.Context, lane wire.Lane, through uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failAck != nil {
		if err := s.failAck(lane); err != nil {
			return err
		}
	}
	if s.onAck != nil {
		s.onAck(lane, through)
	}
	s.acked[lane] = max(s.acked[lane], through)
	for len(s.recs[lane]) > 0 && s.recs[lane][0].Seq <= through {
		s.recs[lane] = s.recs[lane][1:]
	}
	return nil
}

func (s *memSpool) Changed(lane wire.Lane) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed[lane]
}

func (s *memSpool) ackedThrough(lane wire.Lane) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.acked[lane]
}

// await polls cond, which has no event of its own to wait for, until it holds.
func await(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !cond(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after 20 s: no %s", what)
		}
	}
}

var errDisk = errors.New("disk says no")

// sampleSeq finds the number in a samples message: its payload here is no block, so package wire cannot open it.
func sampleSeq(msg []byte) uint64 {
	b := msg[4:] // "UPS", version
	if msg[3] == wire.PictureVersion {
		b = b[1:] // lane
	}
	b = b[1+int(b[0])+len(testStream):] // agent, stream
	seq, _ := binary.Uvarint(b)
	return seq
}

// lastOf returns the highest number given in lane.
func (s *memSpool) lastOf(lane wire.Lane) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last[lane]
}
