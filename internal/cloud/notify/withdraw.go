package notify

import (
	"context"

	"upsedge/internal/cloud/store"
)

// States of a delivery.
const (
	waiting   = "waiting"
	sent      = "sent"
	failed    = "failed"
	withdrawn = "withdrawn"
)

// Why deliveries were withdrawn. They stand in the list of deliveries, and in docs/notifications.md.
const (
	whyAccount   = "account"   // is closed
	whyRight     = "right"     // on the device was lost, or the plan does not allow notifications now
	whyPolicy    = "policy"    // is off or gone
	whyMember    = "device"    // is not in the policy any more
	whyRecipient = "recipient" // is off or gone
	whyBasic     = "basic"     // it happened before the present paid stretch
)

// withdraw ends the deliveries that wait and meet a condition of one argument, those of digests included, with the mails that are queued for
// them.
func (s *Service) withdraw(ctx context.Context, tx *store.Tx, why, where string, arg any, more ...any) error {
	args := append([]any{arg}, more...)
	ids, err := tx.Texts(ctx, `SELECT id FROM notification_deliveries WHERE state = 'waiting' AND `+where, args...)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := s.withdrawOne(ctx, tx, id, why); err != nil {
			return err
		}
	}
	return nil
}

// withdrawDevice withdraws what waits about one device: its own deliveries, what is held of it, and the digests that tell of it. What else
// such a digest had goes into the next.
func (s *Service) withdrawDevice(ctx context.Context, tx *store.Tx, why, where, arg, dev string) error {
	if err := s.withdraw(ctx, tx, why, where+` AND device = $2`, arg, dev); err != nil {
		return err
	}
	digests, err := tx.Texts(ctx, `DELETE FROM notification_held WHERE `+where+` AND device = $2 RETURNING delivery`, arg, dev)
	if err != nil {
		return err
	}
	for _, id := range digests {
		if id == "" {
			continue
		}
		if err := s.withdrawOne(ctx, tx, id, why); err != nil {
			return err
		}
	}
	return nil
}

// withdrawOne ends a delivery that waits, its mail, and, of a digest, gives back what it would have told.
func (s *Service) withdrawOne(ctx context.Context, tx *store.Tx, id, why string) error {
	n, err := s.end(ctx, tx, id, withdrawn, why)
	if err != nil || n == 0 {
		return err
	}
	if _, err := s.Mail.Withdraw(ctx, tx, id); err != nil {
		return err
	}
	return giveBack(ctx, tx, id)
}

// giveBack frees what a digest that will not go has held, for the next one.
func giveBack(ctx context.Context, tx *store.Tx, id string) error {
	_, err := tx.Exec(ctx, `INSERT INTO notification_held (recipient, device, policy, account, number, worst, since, until_at, held_at, delivery)
		SELECT recipient, device, policy, account, number, worst, since, until_at, held_at, '' FROM notification_held WHERE delivery = $1
		ON CONFLICT (recipient, device, delivery) DO UPDATE SET number = notification_held.number + excluded.number,
			worst = CASE WHEN excluded.worst > notification_held.worst THEN excluded.worst ELSE notification_held.worst END,
			since = CASE WHEN excluded.since < notification_held.since THEN excluded.since ELSE notification_held.since END,
			until_at = CASE WHEN excluded.until_at > notification_held.until_at THEN excluded.until_at ELSE notification_held.until_at END`, id)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `DELETE FROM notification_held WHERE delivery = $1`, id)
	return err
}

// end writes down what became of a delivery that waits, and forgets its text. n is 0 where it did not wait.
func (s *Service) end(ctx context.Context, tx *store.Tx, id, state, why string) (n int64, err error) {
	n, err = tx.Exec(ctx, `UPDATE notification_deliveries SET state = $1, why = $2, ended_at = $3, body = '' WHERE id = $4 AND state = 'waiting'`,
		state, why, s.Now().UnixMilli(), id)
	if err == nil && n > 0 {
		tx.After(func() { s.count.add(state) })
	}
	return n, err
}
