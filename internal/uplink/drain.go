package uplink

import (
	"context"
	"time"

	"upsedge/internal/wire"
)

// fill hands over the next message, if the writer is free and the window allows one: the session's first state, events, the
// full state, samples. One at a time, so that an alarm waits behind one message at most.
func (c *conversation) fill(ctx context.Context) error {
	if c.writing {
		return nil
	}
	now := time.Now()
	if sent, err := c.sendFirst(now); sent || err != nil {
		return err
	}
	if sent, err := c.sendRecord(ctx, 0, now); sent || err != nil {
		return err
	}
	if sent, err := c.sendFull(now); sent || err != nil {
		return err
	}
	if c.lanes[0].held { // something bigger than what the window has left: samples would keep taking it up
		return nil
	}
	if c.cloud != nil && !c.cloud.settled {
		return nil
	}
	_, err := c.sendRecord(ctx, 1, now)
	return err
}

// sendRecord publishes the next record of the lane at index i, if there is one and the window allows it, and reports whether
// it did. Errors of the spool rest the lane; they do not end the session.
func (c *conversation) sendRecord(ctx context.Context, i int, now time.Time) (bool, error) {
	q := c.lanes[i]
	q.held = false
	if len(q.unacked) >= maxUnacked {
		return false, nil
	}
	if err := q.refill(ctx, c.s.spool, now); err != nil && ctx.Err() == nil {
		c.s.log.Error("spool not read", "err", err)
	}
	if len(q.ready) == 0 || q.resting(now) {
		return false, nil
	}
	rec := q.ready[0]
	message, err := q.message(c.s.cfg.AgentID)
	if err != nil {
		c.reject(ctx, q, rec, err)
		return false, nil
	}
	if !c.window.admits(q.lane, len(message), len(q.flying)) {
		q.held = true // until an acknowledgement: something is in flight
		return false, nil
	}
	q.take()
	c.s.given[i].Store(max(c.s.given[i].Load(), rec.Seq))
	c.noteSend(now)
	m := c.window.sent(len(message), now)
	token := c.publish(wire.Topic(c.s.cfg.AgentID, rec.Class.Leaf()), false, message)
	rec.Payload = nil
	q.flying = append(q.flying, flight{rec: rec, token: token, mark: m})
	if c.cloud != nil {
		q.unacked = append(q.unacked, unackedRecord{seq: rec.Seq})
		c.s.published(i, rec)
	}
	return true, nil
}

// noteSend starts the watch over acknowledgements when there was nothing to acknowledge.
func (c *conversation) noteSend(now time.Time) {
	if c.window.records+len(c.state.flying) == 0 {
		c.lastAck = now
	}
}

// recordDelivered takes the oldest record of the lane at index i out of flight. An error of its token means that the
// connection is lost: it is sent again over the next one, whether the broker has it or not.
func (c *conversation) recordDelivered(i int) error {
	q := c.lanes[i]
	f := q.flying[0]
	if err := f.token.Error(); err != nil {
		return err
	}
	q.flying = q.flying[1:]
	c.lastAck = time.Now()
	if f.mark.sent.After(c.newest) {
		c.newest = f.mark.sent
	}
	c.window.delivered(f.mark, c.lastAck)
	if c.cloud != nil { // it measures the link and frees nothing: the broker may forget (T-25)
		q.taken(f.rec.Seq, c.lastAck)
		return nil
	}
	c.s.acks.delivered(i, f.rec.Seq)
	c.s.cfg.Observe.delivered(f.rec, c.lastAck)
	return nil
}

// reject takes a record that cannot be encoded out of q, if a gap record stands for it now; otherwise the lane rests.
func (c *conversation) reject(ctx context.Context, q *queue, rec wire.Record, why error) {
	err := why
	if c.s.cfg.Reject != nil {
		err = c.s.cfg.Reject(ctx, rec, why)
	}
	if err == nil {
		q.take()
		return
	}
	q.rest(time.Now())
	if ctx.Err() == nil {
		c.s.log.Error("record cannot be sent, its lane stands still", "lane", q.lane, "seq", rec.Seq, "err", err)
	}
}
