package notify

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/account"
	"upsedge/internal/cloud/store"
	"upsedge/internal/ups"
)

// hold counts an event for the recipient's next digest.
func (s *Service) hold(ctx context.Context, tx *store.Tx, p *Policy, r *Recipient, e *event) error {
	_, err := tx.Exec(ctx, `INSERT INTO notification_held (recipient, device, policy, account, number, worst, since, until_at, held_at, delivery)
		VALUES ($1, $2, $3, $4, 1, $5, $6, $6, $7, '') ON CONFLICT (recipient, device, delivery) DO UPDATE SET number = notification_held.number + 1,
			worst = CASE WHEN excluded.worst > notification_held.worst THEN excluded.worst ELSE notification_held.worst END,
			since = CASE WHEN excluded.since < notification_held.since THEN excluded.since ELSE notification_held.since END,
			until_at = CASE WHEN excluded.until_at > notification_held.until_at THEN excluded.until_at ELSE notification_held.until_at END`,
		r.ID, e.device, p.ID, p.Account, int64(e.severity), e.at.UnixMilli(), s.Now().UnixMilli())
	if err == nil {
		tx.After(func() { s.count.add(held) })
	}
	return err
}

// A heldRow is what was held of one device.
type heldRow struct {
	device       string
	name         string
	number       int64
	worst        ups.Severity
	since, until time.Time
}

const digestsAtOnce = 16

// digests makes those that are due and returns how many recipients it looked at.
func (s *Service) digests(ctx context.Context, tx *store.Tx) (int, error) {
	due, err := tx.Texts(ctx, `SELECT recipient FROM notification_held WHERE delivery = '' GROUP BY recipient HAVING MIN(held_at) <= $1 ORDER BY recipient LIMIT $2`,
		s.Now().Add(-digestAfter).UnixMilli(), digestsAtOnce)
	if err != nil {
		return 0, err
	}
	for _, id := range due {
		if err := s.digest(ctx, tx, id); err != nil {
			return 0, err
		}
	}
	return len(due), nil
}

// digest tells one recipient how many events were held, of the devices that its account may be told of now; the others are forgotten.
func (s *Service) digest(ctx context.Context, tx *store.Tx, id string) error {
	r, err := scanRecipient(tx.QueryRow(ctx, `SELECT `+recipientColumns+` FROM notification_recipients r WHERE r.id = $1`, id))
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	var p *Policy
	if err == nil {
		p, err = scanPolicy(tx.QueryRow(ctx, `SELECT `+policyColumns+` FROM notification_policies p WHERE p.id = $1`, r.Policy))
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
	}
	if err != nil { // there is nobody any more
		_, err = tx.Exec(ctx, `DELETE FROM notification_held WHERE recipient = $1 AND delivery = ''`, id)
		return err
	}
	v := &delivery{id: cloud.NewID(idDelivery), policy: p.ID, recipient: r.ID, account: p.Account, kind: kindDigest, happened: s.Now()}
	rows, err := s.heldFor(ctx, tx, v)
	if err != nil || len(rows) == 0 {
		return err
	}
	if _, err := tx.Exec(ctx, `UPDATE notification_held SET delivery = $1 WHERE recipient = $2 AND delivery = ''`, v.id, r.ID); err != nil {
		return err
	}
	if r.Kind == KindWebhook {
		v.body = s.digestBody(v.id, p, rows)
		return s.put(ctx, tx, v, r, nil, nil)
	}
	m := s.digestLetter(p, r, rows)
	return s.put(ctx, tx, v, r, nil, &m)
}

// heldFor returns what is held for a recipient and may be told, and forgets the rest.
func (s *Service) heldFor(ctx context.Context, tx *store.Tx, v *delivery) (out []heldRow, err error) {
	all, err := s.heldRows(ctx, tx, v.recipient)
	if err != nil {
		return nil, err
	}
	for _, h := range all {
		of := *v
		of.device, of.kind, of.happened = h.device, kindEvent, h.since
		why, err := s.judge(ctx, tx, &of)
		if err != nil {
			return nil, err
		}
		if why == "" {
			out = append(out, h)
			continue
		}
		if _, err := tx.Exec(ctx, `DELETE FROM notification_held WHERE recipient = $1 AND device = $2 AND delivery = ''`, v.recipient, h.device); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (s *Service) heldRows(ctx context.Context, tx *store.Tx, recipient string) (out []heldRow, err error) {
	rows, err := tx.Query(ctx, `SELECT h.device, COALESCE(d.name, ''), h.number, h.worst, h.since, h.until_at FROM notification_held h LEFT JOIN devices d ON d.id = h.device
		WHERE h.recipient = $1 AND h.delivery = '' ORDER BY h.number DESC, h.device`, recipient)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var h heldRow
		var worst, since, until int64
		if err := rows.Scan(&h.device, &h.name, &h.number, &worst, &since, &until); err != nil {
			return nil, err
		}
		h.worst, h.since, h.until = ups.Severity(worst), time.UnixMilli(since).UTC(), time.UnixMilli(until).UTC()
		out = append(out, h)
	}
	return out, rows.Err()
}

// addressOf is where a recipient's mail goes now; "" where there is nobody.
func (s *Service) addressOf(ctx context.Context, tx *store.Tx, r *Recipient) (string, error) {
	if r.Kind != KindOwn {
		return r.Address, nil
	}
	a, err := account.ByID(ctx, tx, r.Account)
	if err != nil || a == nil {
		return "", err
	}
	return a.Email, nil
}

// keyOf is what counts of an address are kept by; "" of a webhook.
func (s *Service) keyOf(ctx context.Context, tx *store.Tx, r *Recipient) (string, error) {
	if r.Kind != KindOwn {
		return r.key, nil
	}
	to, err := s.addressOf(ctx, tx, r)
	if err != nil || to == "" {
		return "", err
	}
	at, err := account.ParseAddress(to)
	return at.Key, err
}
