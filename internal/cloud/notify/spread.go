package notify

import (
	"context"
	"errors"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/limit"
	"upsedge/internal/cloud/mail"
	"upsedge/internal/cloud/store"
	"upsedge/internal/ups"
)

// Bounds of what is told one by one. What is beyond goes into a digest (docs/notifications.md).
var (
	perPolicy    = limit.Limit{Name: "notifications of a policy", Most: 60, Per: time.Hour}
	perRecipient = limit.Limit{Name: "notifications to a recipient", Most: 20, Per: time.Hour}
	perAddress   = limit.Limit{Name: "notifications to an address", Most: 60, Per: time.Hour} // from all policies of all accounts
)

const (
	spreadAtOnce = 32                     // events of one transaction
	lateAfter    = 5 * time.Minute        // what is older than this is told as late
	oldAfter     = 24 * time.Hour         // what is older than this is counted in a digest, and not told by itself
	digestAfter  = time.Hour              // from the first that was held
	mailUntil    = 24 * time.Hour         // a mail that has not gone by then is given up
	roundsMost   = 256                    // of one Spread: nothing else of Run waits for ever
	mailKind     = "notification"         // of all mails about devices
	askKind      = "notification_address" // of those that ask an address
	noticeKind   = "notification_notice"
)

// Spread gives each recipient what has happened since: deliveries, or counts for a digest. Several processes may do so at once.
func (s *Service) Spread(ctx context.Context) error {
	for range roundsMost {
		n := 0
		err := s.DB.Write(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
			n, err = s.spreadSome(ctx, tx)
			return err
		})
		if err != nil || n == 0 {
			return err
		}
	}
	return nil
}

// spreadSome takes the digests that are due and the oldest events, and returns how many those were.
func (s *Service) spreadSome(ctx context.Context, tx *store.Tx) (int, error) {
	digests, err := s.digests(ctx, tx)
	if err != nil {
		return 0, err
	}
	events, err := dueEvents(ctx, tx, s.Now())
	for i := range events {
		if err == nil {
			err = s.spread(ctx, tx, &events[i])
		}
	}
	return digests + len(events), err
}

// dueEvents takes the oldest events out of the table.
func dueEvents(ctx context.Context, tx *store.Tx, now time.Time) (out []event, err error) {
	rows, err := tx.Query(ctx, `DELETE FROM notification_events WHERE id IN (SELECT id FROM notification_events WHERE due_at <= $1 ORDER BY due_at, id LIMIT $2)
		RETURNING id, device, code, step, severity, words, detail, outlet, at, certain, arrived_at`, now.UnixMilli(), spreadAtOnce)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var e event
		var severity, at, certain, arrived int64
		if err := rows.Scan(&e.id, &e.device, &e.code, &e.step, &severity, &e.words, &e.detail, &e.outlet, &at, &certain, &arrived); err != nil {
			return nil, err
		}
		e.severity, e.certain, e.at, e.arrived = ups.Severity(severity), certain != 0, time.UnixMilli(at).UTC(), time.UnixMilli(arrived).UTC()
		out = append(out, e)
	}
	return out, rows.Err()
}

// A membership is a policy that has the device of an event.
type membership struct {
	Policy
	added time.Time
}

// spread gives an event to the recipients of each policy that wants it.
func (s *Service) spread(ctx context.Context, tx *store.Tx, e *event) error {
	policies, err := memberships(ctx, tx, e.device)
	if err != nil {
		return err
	}
	for i := range policies {
		p := &policies[i]
		if !p.Enabled || !p.wants(e.code, e.severity, e.step) || e.at.Before(p.added) {
			continue
		}
		d, why, err := s.may(ctx, tx, p.Account, e.device)
		if err != nil {
			return err
		}
		if why != "" {
			continue
		}
		if s.onBasic(d, e.at, e.certain) {
			continue
		}
		if err := s.tell(ctx, tx, &p.Policy, d, e); err != nil {
			return err
		}
	}
	return nil
}

func memberships(ctx context.Context, tx *store.Tx, dev string) (out []membership, err error) {
	rows, err := tx.Query(ctx, `SELECT m.added_at, `+policyColumns+` FROM notification_members m JOIN notification_policies p ON p.id = m.policy WHERE m.device = $1 ORDER BY p.id`, dev)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var m membership
		var added int64
		p, err := scanPolicy(before{rows, &added})
		if err != nil {
			return nil, err
		}
		m.Policy, m.added = *p, time.UnixMilli(added)
		out = append(out, m)
	}
	return out, rows.Err()
}

// before scans one column more in front of what a function scans.
type before struct {
	row   interface{ Scan(...any) error }
	first any
}

func (b before) Scan(into ...any) error { return b.row.Scan(append([]any{b.first}, into...)...) }

// tell gives an event to each recipient of a policy, one by one or held.
func (s *Service) tell(ctx context.Context, tx *store.Tx, p *Policy, d *device.Device, e *event) error {
	to, err := recipientsWhere(ctx, tx, `r.policy = $1 AND r.state = 'on' ORDER BY r.id`, p.ID)
	if err != nil {
		return err
	}
	for i := range to {
		r := &to[i]
		if s.Now().Sub(e.at) > oldAfter {
			if err := s.hold(ctx, tx, p, r, e); err != nil {
				return err
			}
			continue
		}
		room, err := s.room(ctx, tx, p, r)
		if err != nil {
			return err
		}
		if !room {
			err = s.hold(ctx, tx, p, r, e)
		} else {
			err = s.deliver(ctx, tx, p, r, d, e)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// room takes one from each of the hourly bounds, where none is reached.
func (s *Service) room(ctx context.Context, tx *store.Tx, p *Policy, r *Recipient) (bool, error) {
	counts := []limit.Count{perPolicy.Of(p.ID), perRecipient.Of(r.ID)}
	if key, err := s.keyOf(ctx, tx, r); err != nil {
		return false, err
	} else if key != "" {
		counts = append(counts, perAddress.Of(key))
	}
	err := limit.Spend(ctx, tx, s.Now(), counts...)
	if full := (*cloud.Error)(nil); errors.As(err, &full) {
		return false, nil
	}
	return err == nil, err
}

// deliver puts one message into its queue.
func (s *Service) deliver(ctx context.Context, tx *store.Tx, p *Policy, r *Recipient, d *device.Device, e *event) error {
	v := delivery{id: cloud.NewID(idDelivery), policy: p.ID, recipient: r.ID, account: p.Account, device: d.ID, kind: kindEvent, happened: e.at}
	if r.Kind == KindWebhook {
		v.body = s.eventBody(v.id, p, d, e)
		return s.put(ctx, tx, &v, r, e, nil)
	}
	m := s.eventLetter(p, r, d, e)
	return s.put(ctx, tx, &v, r, e, &m)
}

// put writes a delivery and, of a mail, the mail. e is nil for what is about no event.
func (s *Service) put(ctx context.Context, tx *store.Tx, v *delivery, r *Recipient, e *event, m *mail.Message) error {
	if e == nil {
		e = &event{}
	}
	now, host := s.Now().UnixMilli(), ""
	v.channel = channelMail
	if r.Kind == KindWebhook {
		v.channel, host = channelWebhook, hostOf(r.Address)
	} else {
		to, err := s.addressOf(ctx, tx, r)
		if err != nil || to == "" {
			return err
		}
		m.To, m.Kind, m.Key, m.Until = to, mailKind, v.id, s.Now().Add(mailUntil)
		if err := s.Mail.Put(ctx, tx, *m); err != nil {
			return err
		}
	}
	_, err := tx.Exec(ctx, `INSERT INTO notification_deliveries (id, policy, recipient, account, device, channel, kind, code, step, happened_at, host, body, state, attempts,
		due_at, created_at, ended_at, status, why) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 'waiting', 0, $13, $14, 0, 0, '')`,
		v.id, v.policy, v.recipient, v.account, v.device, v.channel, v.kind, e.code, string(e.step), v.happened.UnixMilli(), host, v.body, now, now)
	tx.After(s.nudge)
	return err
}
