package order

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"upsedge/internal/cloud/store"
	"upsedge/internal/wire"
)

const (
	agentsOnce = 32  // agents whose orders one transaction delivers
	sweepOnce  = 128 // orders that one transaction ends
	// A database that fails is asked again after leastRetry, and twice that each time up to mostRetry.
	leastRetry = 50 * time.Millisecond
	mostRetry  = 5 * time.Second
)

// Run delivers orders through sender, ends those that nothing comes of any more, and tells agents of new plans and grants, until ctx
// ends. It sleeps until somebody wakes it: a new order, a session, a report; until an order is due; or for Config.Poll, to see what
// other processes have done.
func (b *Book) Run(ctx context.Context, sender Sender) error {
	var both sync.WaitGroup
	both.Go(func() {
		b.loop(ctx, b.changed, "agents are not told of plans and grants", func(ctx context.Context) (time.Duration, error) { return b.renew(ctx, sender) })
	})
	b.loop(ctx, b.work, "orders are not delivered", func(ctx context.Context) (time.Duration, error) { return b.pass(ctx, sender) })
	both.Wait()
	return nil
}

// loop calls do until ctx ends: when it is woken, and after the time that do has said.
func (b *Book) loop(ctx context.Context, woken <-chan struct{}, fails string, do func(context.Context) (time.Duration, error)) {
	pause := leastRetry
	for ctx.Err() == nil {
		next, err := do(ctx)
		switch {
		case err == nil:
			pause = leastRetry
			rest(ctx, next, woken)
		case ctx.Err() == nil:
			b.log.Error(fails, "err", err)
			rest(ctx, pause, nil)
			pause = min(2*pause, mostRetry)
		}
	}
}

// rest waits for d, or a wake-up.
func rest(ctx context.Context, d time.Duration, work <-chan struct{}) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-work:
	case <-t.C:
	}
}

// pass does everything that is to be done now, and returns how long there is nothing to do.
func (b *Book) pass(ctx context.Context, sender Sender) (time.Duration, error) {
	if err := b.sweepDue(ctx); err != nil {
		return 0, err
	}
	if err := b.judgeAgain(ctx); err != nil {
		return 0, err
	}
	here := b.here(sender)
	agents, later, err := b.look(ctx, here)
	if err != nil {
		return 0, err
	}
	for some := range slices.Chunk(agents, agentsOnce) {
		if err := b.dispatch(ctx, sender, some, here); err != nil {
			return 0, err
		}
	}
	next := b.poll
	if !later.IsZero() {
		next = min(next, max(later.Sub(b.now()), time.Millisecond))
	}
	return next, nil
}

// here returns the sessions that this process has heard, of agents that are connected to it.
func (b *Book) here(sender Sender) map[string]live {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make(map[string]live, len(b.live))
	for agent, l := range b.live {
		if sender.Connected(agent) {
			out[agent] = l
		} else if b.since(l) > forgetAfter {
			delete(b.live, agent)
			delete(b.renewal, agent)
			delete(b.told, agent)
		}
	}
	return out
}

// forgetAfter is how long a session without a connection is kept in mind. Its connection may be seen a moment later than its nonce.
const forgetAfter = time.Hour

// sweepDue ends what is due.
func (b *Book) sweepDue(ctx context.Context) error {
	for {
		var due []*Order
		err := b.db.Read(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
			due, err = query(ctx, tx, `WHERE final_at = 0 AND (due_at <= $1 OR state = 'pending' AND requested_at > $2) ORDER BY due_at LIMIT $3`,
				store.Millis(b.now()), store.Millis(b.now().Add(clockSlack)), sweepOnce)
			return err
		})
		if err != nil || len(due) == 0 {
			return err
		}
		err = b.db.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
			for _, seen := range due {
				o, err := load(ctx, tx, seen.ID.String())
				if err == nil && o != nil {
					err = b.sweep(ctx, tx, o, b.now())
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil || len(due) < sweepOnce {
			return err
		}
	}
}

// look returns the agents connected here that have something to send, and when something is due next.
func (b *Book) look(ctx context.Context, here map[string]live) (agents []string, later time.Time, err error) {
	err = b.db.Read(ctx, func(ctx context.Context, tx *store.Tx) error {
		agents, later = nil, time.Time{}
		waiting, err := agentsWaiting(ctx, tx)
		if err != nil {
			return err
		}
		var due int64
		if err := tx.QueryRow(ctx, `SELECT COALESCE(MIN(due_at), 0) FROM orders WHERE final_at = 0`).Scan(&due); err != nil {
			return err
		}
		later = store.Instant(due)
		for _, name := range waiting {
			l, ok := here[name]
			if !ok {
				continue
			}
			send, soon, err := b.waitingOf(ctx, tx, name, l)
			if err != nil {
				return err
			}
			if len(send) > 0 {
				agents = append(agents, name)
			}
			if !soon.IsZero() && (later.IsZero() || soon.Before(later)) {
				later = soon
			}
		}
		return nil
	})
	return agents, later, err
}

func (b *Book) waitingOf(ctx context.Context, tx *store.Tx, agent string, l live) (send []*Order, later time.Time, err error) {
	a, err := loadAgent(ctx, tx, agent)
	if err != nil || a.session != l.session || a.nonce != l.nonce {
		return nil, time.Time{}, err
	}
	open, err := openOrders(ctx, tx, agent)
	if err != nil {
		return nil, time.Time{}, err
	}
	send, later = choose(open, a, b.now())
	return send, later, nil
}

// agentsWaiting returns the agents with orders that may be to send.
func agentsWaiting(ctx context.Context, tx *store.Tx) ([]string, error) {
	return tx.Texts(ctx, `SELECT DISTINCT agent FROM orders WHERE final_at = 0 AND state IN ('pending', 'sent') ORDER BY agent`)
}

// dispatch delivers to some agents: one commit, then what it allows goes out.
func (b *Book) dispatch(ctx context.Context, sender Sender, agents []string, here map[string]live) error {
	var out []message
	err := b.db.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
		out = nil
		for _, agent := range agents {
			messages, err := b.deliver(ctx, tx, agent, here[agent])
			if err != nil {
				return err
			}
			out = append(out, messages...)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, m := range out {
		b.publish(sender, m)
	}
	return nil
}

// publish sends what is committed. What does not get out is sent again by the session that follows.
func (b *Book) publish(sender Sender, m message) {
	b.mu.Lock()
	gone := b.live[m.agent].session != m.session
	b.mu.Unlock()
	err := errors.New("the session is over")
	if !gone && m.statement != nil {
		err = sender.Publish(m.agent, wire.TopicOrders, m.statement)
	}
	if !gone && (m.statement == nil || err == nil) {
		err = sender.Publish(m.agent, wire.TopicOrders, m.payload)
	}
	if err != nil {
		b.log.Info("an order waits for the agent's next session", "agent", m.agent, "order", m.order, "err", err)
	}
}
