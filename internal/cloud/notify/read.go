package notify

import (
	"context"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/limit"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

// A Delivery is one message and what became of it, for the account whose policy it is of.
type Delivery struct {
	ID        string // nd_…; of a webhook what it got as webhook-id
	Recipient string
	Device    string // "" of digests and tests
	Channel   string // mail, webhook
	Kind      string // event, digest, test
	Code      string // of an event
	Step      Step
	State     string // waiting, sent, failed, withdrawn
	Attempts  int64  // of a webhook
	Status    int64  // of the last answer; 0: none
	Why       string // it was not sent, or the last attempt came to nothing
	Created   time.Time
	Ended     time.Time // zero while it waits
}

// A Position is where a delivery stands in the list: newest first.
type Position struct {
	At int64  `json:"at"`
	ID string `json:"id"`
}

// Deliveries returns up to limit deliveries of a policy behind a position (nil: from the newest), newest first.
func (s *Service) Deliveries(ctx context.Context, tx *store.Tx, p *Policy, behind *Position, limit int) (out []Delivery, err error) {
	if behind == nil {
		behind = &Position{At: 1<<62 - 1}
	}
	rows, err := tx.Query(ctx, `SELECT id, recipient, device, channel, kind, code, step, state, attempts, status, why, created_at, ended_at FROM notification_deliveries
		WHERE policy = $1 AND (created_at < $2 OR created_at = $2 AND id < $3) ORDER BY created_at DESC, id DESC LIMIT $4`, p.ID, behind.At, behind.ID, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var d Delivery
		var created, ended int64
		if err := rows.Scan(&d.ID, &d.Recipient, &d.Device, &d.Channel, &d.Kind, &d.Code, &d.Step, &d.State, &d.Attempts, &d.Status, &d.Why, &created, &ended); err != nil {
			return nil, err
		}
		d.Created = time.UnixMilli(created).UTC()
		if ended != 0 {
			d.Ended = time.UnixMilli(ended).UTC()
		}
		out = append(out, d)
	}
	return out, rows.Err()
}

// PositionOf says where a delivery stands.
func PositionOf(d Delivery) Position { return Position{d.Created.UnixMilli(), d.ID} }

// Test sends a message that tells of nothing to one recipient of the actor's own, and returns the delivery's id.
func (s *Service) Test(ctx context.Context, tx *store.Tx, actor cloud.Actor, of, id string) (string, error) {
	p, r, err := s.recipient(ctx, tx, actor, id, of)
	if err != nil {
		return "", err
	}
	if r.State != On {
		return "", cloud.Refuse(policy.Conflict, "the recipient is %s", r.State)
	}
	if err := limit.Spend(ctx, tx, s.Now(), testsOften.Of(r.ID)); err != nil {
		return "", err
	}
	v := &delivery{id: cloud.NewID(idDelivery), policy: p.ID, recipient: r.ID, account: p.Account, kind: kindTest, happened: s.Now()}
	v.body = s.testBody(v.id, p)
	m := s.testLetter(p, r)
	return v.id, s.put(ctx, tx, v, r, nil, &m)
}
