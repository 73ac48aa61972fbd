package notify

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/account"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

// may asks whether an account may be told of a device at this moment (PERM-10): is it open, what is it to the device, does the plan allow it
// (notify.receive of the matrix). why is "" where it may.
func (s *Service) may(ctx context.Context, tx *store.Tx, acct, dev string) (d *device.Device, why string, err error) {
	a, err := account.ByID(ctx, tx, acct)
	if err != nil {
		return nil, "", err
	}
	if a == nil {
		return nil, whyAccount, nil
	}
	actor := cloud.Actor{Ref: a.Actor, Account: a.ID, Org: a.Org.ID}
	d, _, err = device.May(ctx, tx, actor, dev, policy.NotifyReceive, s.Now())
	if refusal := (*cloud.Error)(nil); errors.As(err, &refusal) {
		return nil, whyRight, nil
	}
	return d, "", err
}

// unknownBy is by how much something may have happened before it arrived, where nobody knows its time.
const unknownBy = 24 * time.Hour

// onBasic reports whether something happened, or may have, before the device's present paid stretch: it is not told afterwards as if it were
// new (PLAN-7).
func (s *Service) onBasic(d *device.Device, at time.Time, certain bool) bool {
	if !certain {
		at = at.Add(-unknownBy)
	}
	return at.Before(d.PaidSince(s.Now()))
}

// A delivery is one message to one recipient.
type delivery struct {
	id, policy, recipient, account, device string
	channel, kind                          string
	happened                               time.Time
	body                                   string
	attempts                               int64
	created                                time.Time
}

// Kinds of messages, and their channels.
const (
	kindEvent  = "event"
	kindDigest = "digest"
	kindTest   = "test"

	channelMail    = "mail"
	channelWebhook = "webhook"
)

const deliveryColumns = `id, policy, recipient, account, device, channel, kind, happened_at, body, attempts, created_at`

func scanDelivery(row interface{ Scan(...any) error }) (*delivery, error) {
	var d delivery
	var happened, created int64
	err := row.Scan(&d.id, &d.policy, &d.recipient, &d.account, &d.device, &d.channel, &d.kind, &happened, &d.body, &d.attempts, &created)
	d.happened, d.created = time.UnixMilli(happened), time.UnixMilli(created)
	return &d, err
}

// judge asks everything again, right before an attempt (PERM-10). why is "" where the delivery may go.
func (s *Service) judge(ctx context.Context, tx *store.Tx, d *delivery) (why string, err error) {
	n, err := number(ctx, tx, `SELECT COUNT(*) FROM notification_recipients WHERE id = $1 AND state = 'on'`, d.recipient)
	if err != nil {
		return "", err
	}
	if n == 0 {
		return whyRecipient, nil
	}
	if d.kind == kindTest {
		return "", nil
	}
	if n, err = number(ctx, tx, `SELECT COUNT(*) FROM notification_policies WHERE id = $1 AND enabled = 1`, d.policy); err != nil {
		return "", err
	}
	if n == 0 {
		return whyPolicy, nil
	}
	devices := []string{d.device}
	if d.kind == kindDigest {
		if devices, err = tx.Texts(ctx, `SELECT device FROM notification_held WHERE delivery = $1 ORDER BY device`, d.id); err != nil {
			return "", err
		}
	}
	for _, dev := range devices {
		if why, err = s.judgeDevice(ctx, tx, d, dev); why != "" || err != nil {
			return why, err
		}
	}
	return "", nil
}

func (s *Service) judgeDevice(ctx context.Context, tx *store.Tx, d *delivery, dev string) (why string, err error) {
	n, err := number(ctx, tx, `SELECT COUNT(*) FROM notification_members WHERE policy = $1 AND device = $2`, d.policy, dev)
	if err != nil {
		return "", err
	}
	if n == 0 {
		return whyMember, nil
	}
	unit, why, err := s.may(ctx, tx, d.account, dev)
	if why != "" || err != nil {
		return why, err
	}
	if s.onBasic(unit, d.happened, true) {
		return whyBasic, nil
	}
	return "", nil
}

// byID returns a delivery that waits, nil for none.
func byID(ctx context.Context, tx *store.Tx, id string) (*delivery, error) {
	d, err := scanDelivery(tx.QueryRow(ctx, `SELECT `+deliveryColumns+` FROM notification_deliveries WHERE id = $1 AND state = 'waiting'`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return d, err
}
