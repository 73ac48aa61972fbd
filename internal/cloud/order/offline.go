package order

import (
	"context"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

// Reachable is a condition of SQL: the agent in the column d.agent is connected, and has accepted a statement in its present session. It is
// what was stored last: an agent can be gone without that having been noticed yet.
const Reachable = `EXISTS (SELECT 1 FROM order_agents ra WHERE ra.agent = d.agent AND ra.session <> 0 AND ra.stated = ra.session)
	AND NOT EXISTS (SELECT 1 FROM agent_presence rp WHERE rp.agent = d.agent AND rp.online = 0)`

// Connected reports whether orders reach an agent now.
func Connected(ctx context.Context, tx *store.Tx, agent string) (bool, error) {
	var n int
	err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM (SELECT CAST($1 AS TEXT) AS agent) d WHERE `+Reachable, agent).Scan(&n)
	return n > 0, err
}

// mustBeThere refuses an order that is not to wait, where its agent is away: UPS_UNREACHABLE.
func mustBeThere(ctx context.Context, tx *store.Tx, o *Order) error {
	if !o.Reject {
		return nil
	}
	there, err := Connected(ctx, tx, o.Agent)
	if err == nil && !there {
		err = cloud.Refuse(policy.UPSUnreachable, "the agent is not connected, and the order is not to wait for it")
	}
	return err
}

// Presence is ingest's sink of that name. What is not to wait for the agent, and was not sent, ends when it leaves.
func (b *Book) Presence(ctx context.Context, tx *store.Tx, agent string, online bool, _ time.Time) error {
	if online {
		return nil
	}
	return b.left(ctx, tx, agent)
}

// left ends what is not to wait for an agent whose session is over.
func (b *Book) left(ctx context.Context, tx *store.Tx, agent string) error {
	open, err := query(ctx, tx, `WHERE agent = $1 AND final_at = 0 AND state = 'pending' AND reject = 1 ORDER BY requested_at, id`, agent)
	if err != nil {
		return err
	}
	why := &cloud.Error{Reason: policy.UPSUnreachable, Detail: "the agent left before it was sent, and the order is not to wait for it"}
	for _, o := range open {
		if err := b.refuse(ctx, tx, o, b.now(), why); err != nil {
			return err
		}
	}
	return nil
}
