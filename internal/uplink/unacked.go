package uplink

import (
	"context"
	"time"

	"upsedge/internal/wire"
)

const (
	// maxUnacked is how many records of a lane may be out beyond the cloud's mark.
	maxUnacked = 64
	// leastPatience is how long a mark may stand still though the broker took the record behind it, before everything beyond it
	// is published again: the broker has forgotten, or the cloud lost its session there (T-25). It doubles up to mostPatience
	// while that does not help, since a cloud that is only late gets all of it twice.
	leastPatience = 30 * time.Second
	mostPatience  = 8 * time.Minute
)

// An unackedRecord is one that was published since the session began or its lane was rewound, and that the cloud has not acknowledged.
type unackedRecord struct {
	seq   uint64
	taken time.Time // by the broker; zero: not yet
}

// settling returns what ends the wait for the cloud's marks at the beginning of a session, nil where there is none.
func (c *conversation) settling() <-chan time.Time {
	if c.cloud == nil || c.cloud.settled {
		return nil
	}
	return c.cloud.settle
}

// acknowledged does what the topic acks has said since it was called last.
func (c *conversation) acknowledged(ctx context.Context) {
	now := time.Now()
	for i, n := range c.cloud.marks.look() {
		q := c.lanes[i]
		if n.some && q.lane == wire.Samples {
			c.cloud.settled = true
		}
		through := n.through
		if n.doubt > max(through, q.mark) && c.covered(ctx, i, n.doubt) {
			through = n.doubt
		}
		if through <= q.mark {
			continue
		}
		q.rise(through, now)
		c.s.stored(i, through, now)
		c.s.acks.delivered(i, through)
	}
}

// published notes a record as out, whatever becomes of the session.
func (s *Session) published(i int, rec wire.Record) {
	if n := len(s.out[i]); n == 0 || s.out[i][n-1].Seq < rec.Seq {
		s.out[i] = append(s.out[i], rec)
	}
}

// stored tells of the records that were out and that the cloud has, since now.
func (s *Session) stored(i int, through uint64, now time.Time) {
	n := 0
	for ; n < len(s.out[i]) && s.out[i][n].Seq <= through; n++ {
		s.cfg.Observe.delivered(s.out[i][n], now)
	}
	s.out[i] = s.out[i][n:]
}

// covered reports whether nothing waits in the lane at index i between what was given and through, so that the cloud can have
// all of it: numbers that the spool dropped are never given, and their gap record is of the events lane.
func (c *conversation) covered(ctx context.Context, i int, through uint64) bool {
	recs, err := c.s.spool.Next(ctx, wire.Lanes[i], c.s.given[i].Load(), 1, 1)
	if err != nil {
		return false // the cloud says it again
	}
	if len(recs) > 0 && recs[0].Seq <= through {
		c.cloud.marks.drops.note("an acknowledgement of what was never published")
		return false
	}
	return true
}

// rise moves the mark to through. What was not published up to there is not any more.
func (q *queue) rise(through uint64, now time.Time) {
	q.mark, q.moved, q.patience = through, now, leastPatience
	n := 0
	for n < len(q.unacked) && q.unacked[n].seq <= through {
		n++
	}
	q.unacked = q.unacked[n:]
	q.after = max(q.after, through)
	for len(q.ready) > 0 && q.ready[0].Seq <= through {
		q.take()
	}
}

// taken notes that the broker acknowledged the record.
func (q *queue) taken(seq uint64, at time.Time) {
	for i := range q.unacked {
		if w := &q.unacked[i]; w.seq == seq && w.taken.IsZero() {
			w.taken = at
		}
	}
}

// stands reports whether the mark has stood still for too long.
func (q *queue) stands(now time.Time) bool {
	if len(q.unacked) == 0 || q.unacked[0].taken.IsZero() {
		return false // the broker's acknowledgement is waited for elsewhere
	}
	since := q.unacked[0].taken
	if q.moved.After(since) {
		since = q.moved
	}
	return now.Sub(since) >= q.patience
}

// rewind makes everything beyond the mark be read and published again.
func (q *queue) rewind() {
	q.after, q.ready, q.encoded, q.unacked = q.mark, nil, nil, nil
	q.stir()
	q.patience = min(2*q.patience, mostPatience)
}

// doubt rewinds the lanes whose mark has stood still for too long.
func (c *conversation) doubt(now time.Time) {
	for _, q := range c.lanes {
		if q.stands(now) {
			c.s.log.Warn("the cloud does not acknowledge what the broker took; it is published again",
				"lane", q.lane, "after", q.mark, "records", len(q.unacked), "waited", q.patience)
			q.rewind()
		}
	}
}
