package uplink

import (
	"context"
	"fmt"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"upsedge/internal/wire"
)

const (
	readRecords = 32       // asked of the spool at once
	readBytes   = 64 << 10 // of payload, likewise
	spoolPause  = time.Second
)

// A queue is one lane of one connection: what was read from the spool, what is in flight to the broker, and what the cloud has
// not acknowledged, all in ascending order (but for what is in flight when the lane is rewound).
type queue struct {
	lane    wire.Lane
	after   uint64          // the highest sequence number read
	changed <-chan struct{} // of the spool, from before it was found empty
	dry     bool            // nothing behind after, as far as is known
	retryAt time.Time       // not before, after an error
	ready   []wire.Record
	encoded []byte // the message of ready[0]; nil until it was asked for
	held    bool   // ready[0] waits for room in the window
	flying  []flight

	// With a cloud:
	mark     uint64          // its word: everything up to here is stored
	moved    time.Time       // when it last rose in this session
	patience time.Duration   // with a mark that does not rise
	unacked  []unackedRecord // published beyond mark, ascending
}

// A flight is a record handed to the client library and not acknowledged yet.
type flight struct {
	rec   wire.Record
	token mqtt.Token
	mark  mark
}

// refill reads from the spool when nothing is ready. An error holds the lane for spoolPause; the other lane goes on.
func (q *queue) refill(ctx context.Context, spool Spool, now time.Time) error {
	select {
	case <-q.changed: // nil at first
		q.stir()
	default:
	}
	if q.changed == nil {
		q.changed = spool.Changed(q.lane)
	}
	if len(q.ready) > 0 || q.dry || q.resting(now) {
		return nil
	}
	recs, err := spool.Next(ctx, q.lane, q.after, readRecords, readBytes)
	if err == nil {
		err = ascending(recs, q.lane, q.after)
	}
	if err != nil {
		q.rest(now)
		return fmt.Errorf("read lane %v after %d: %w", q.lane, q.after, err)
	}
	q.ready, q.dry = recs, len(recs) == 0
	if len(recs) > 0 {
		q.after = recs[len(recs)-1].Seq
	}
	return nil
}

// ascending checks what the order of delivery, and with it every acknowledgement, rests on.
func ascending(recs []wire.Record, lane wire.Lane, after uint64) error {
	for _, r := range recs {
		if r.Lane != lane || r.Seq <= after {
			return fmt.Errorf("record %d of lane %v came after %d", r.Seq, r.Lane, after)
		}
		after = r.Seq
	}
	return nil
}

// head returns what completes with the oldest message in flight, nil if there is none. Only the head is looked at: a record is
// done when everything before it is, in whatever order the broker acknowledges.
func (q *queue) head() <-chan struct{} {
	if len(q.flying) == 0 {
		return nil
	}
	return q.flying[0].token.Done()
}

// stir notes that the spool has more.
func (q *queue) stir() { q.changed, q.dry = nil, false }

// rest keeps the lane quiet for a while after an error.
func (q *queue) rest(now time.Time) { q.retryAt = now.Add(spoolPause) }

func (q *queue) resting(now time.Time) bool { return now.Before(q.retryAt) }

// message returns what is published for the first ready record.
func (q *queue) message(agent string) (_ []byte, err error) {
	switch {
	case q.encoded != nil:
	case q.ready[0].Class.Leaf() == wire.TopicSamples: // pictures are of the events lane
		q.encoded, err = wire.SampleMessage(nil, agent, q.ready[0])
	default:
		q.encoded, err = wire.EventMessage(nil, agent, q.ready[0])
	}
	return q.encoded, err
}

// take removes the first ready record.
func (q *queue) take() { q.ready, q.encoded = q.ready[1:], nil }
