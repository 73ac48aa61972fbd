package order

import (
	"context"
	"time"

	"upsedge/internal/cloud/store"
	"upsedge/internal/wire"
)

// A statement that the agent has not confirmed is said again after leastRenew, then twice that, up to mostRenew.
const (
	leastRenew = 2 * time.Second
	mostRenew  = time.Minute
)

// A renewal is what an agent was told in the middle of a session.
type renewal struct {
	version uint64 // of what was told: the sum of epochs and grant versions, which only rise, and of what is confirmed of them
	tries   int
	next    time.Time
}

// Refresh has a new statement said to an agent that is connected: one of its devices was registered, or a plan or a grant changed. It is
// called behind the commit of that (store.Tx.After). Agents of other processes are found within Config.Poll (TIME-2).
func (b *Book) Refresh(agent string) {
	b.mu.Lock()
	if r := b.renewal[agent]; r != nil {
		r.next = time.Time{}
	}
	b.mu.Unlock()
	signal(b.changed)
	b.wake() // what waits is judged by what holds now
}

// renew tells agents that are connected here what they have not confirmed of their devices. It returns after how long it is to be asked
// again.
func (b *Book) renew(ctx context.Context, sender Sender) (time.Duration, error) {
	behind, err := b.behind(ctx)
	if err != nil {
		return 0, err
	}
	next, now, here := b.poll, b.now(), b.here(sender)
	for agent, version := range behind {
		l, ok := here[agent]
		if !ok || !b.turn(agent, version, now) {
			continue
		}
		if err := b.say(ctx, sender, agent, l); err != nil {
			return 0, err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for agent, r := range b.renewal {
		if _, still := behind[agent]; !still {
			delete(b.renewal, agent) // confirmed
		} else if _, ok := here[agent]; ok {
			next = min(next, max(r.next.Sub(now), time.Millisecond))
		}
	}
	return next, nil
}

// turn reports whether a statement is to be said now, and notes that it was.
func (b *Book) turn(agent string, version uint64, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.renewal[agent]
	if r == nil || r.version != version {
		r = &renewal{version: version}
		b.renewal[agent] = r
	}
	if now.Before(r.next) {
		return false
	}
	pause := leastRenew
	for range r.tries {
		pause = min(2*pause, mostRenew)
	}
	r.tries, r.next = r.tries+1, now.Add(pause)
	return true
}

// say sends a statement on the nonce that an agent announced last.
func (b *Book) say(ctx context.Context, sender Sender, agent string, l live) error {
	var text []byte
	err := b.db.Read(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
		text = nil
		a, err := loadAgent(ctx, tx, agent)
		if err != nil || !a.ready() || a.nonce != l.nonce {
			return err // the session's own statement tells it all
		}
		text, err = b.Statement(ctx, tx, agent, l.nonce, b.now())
		return err
	})
	if err != nil || text == nil {
		return err
	}
	if err := sender.Publish(agent, wire.TopicOrders, text); err != nil {
		b.log.Info("a statement waits for the agent's next session", "agent", agent, "err", err)
	}
	return nil
}

// behind returns the agents that have not confirmed all of what is registered with them, with a number that rises with every change.
func (b *Book) behind(ctx context.Context) (out map[string]uint64, err error) {
	err = b.db.Read(ctx, func(ctx context.Context, tx *store.Tx) error {
		out = map[string]uint64{}
		rows, err := tx.Query(ctx, `SELECT d.agent, CAST(SUM(d.epoch) + SUM(d.grant_version)
			+ SUM(CASE WHEN c.epoch = d.epoch AND c.grant_version < d.grant_version THEN c.grant_version ELSE 0 END) AS BIGINT) FROM devices d
			LEFT JOIN order_confirmed c ON c.agent = d.agent AND c.serial = d.serial
			WHERE d.ended_at IS NULL AND (c.serial IS NULL OR c.epoch <> d.epoch OR c.grant_version < d.grant_version) GROUP BY d.agent`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var agent string
			var version uint64
			if err := rows.Scan(&agent, &version); err != nil {
				return err
			}
			out[agent] = version
		}
		return rows.Err()
	})
	return out, err
}
