package notify

import (
	"context"
	"database/sql"
	"errors"
	"math/rand/v2"
	"net/http"
	"time"

	"upsedge/internal/cloud/account"
	"upsedge/internal/cloud/store"
)

// pauses are those behind the attempts, before jitter: eight attempts in about a day.
var pauses = [...]time.Duration{10 * time.Second, time.Minute, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 6 * time.Hour, 12 * time.Hour}

const (
	attemptsMost = int64(len(pauses) + 1)
	triesFor     = 24 * time.Hour // from the beginning; what is beyond is given up
	// A claim outlasts its attempt: that is cut at attemptFor, and the rest is for a machine that stands still.
	claimFor   = 5 * time.Minute
	failingFor = 72 * time.Hour // of a webhook to which nothing gets through, before it is turned off
	lookAt     = 500            // deliveries that are due, in one look
)

// pause is that behind the n-th attempt, from half of it on: receivers that come back shall not get all at once.
func pause(n int64) time.Duration {
	d := pauses[min(int(n), len(pauses))-1]
	return d/2 + rand.N(d/2+1)
}

// startDue begins the attempts that are due and for which there is room. It does not wait for them.
func (s *Service) startDue(ctx context.Context) error {
	due, waits, err := s.lookDue(ctx)
	if err != nil {
		return err
	}
	s.count.waiting.Store(waits)
	for _, d := range due {
		if ctx.Err() != nil {
			return nil
		}
		if !s.out.take(d.host, d.account) {
			continue
		}
		s.out.busy.Add(1)
		go func() { // Run waits for it
			defer s.out.busy.Done()
			defer s.nudge() // there is room
			defer s.out.give(d.host, d.account)
			if err := s.attempt(ctx, d.id); err != nil && ctx.Err() == nil {
				s.Log.Error("a webhook's delivery is not written down", "delivery", d.id, "err", err)
			}
		}()
	}
	return nil
}

type dueDelivery struct{ id, host, account string }

// lookDue returns deliveries that are due, of each host no more than may be under way, so that a host with many does not hide the others.
func (s *Service) lookDue(ctx context.Context) (out []dueDelivery, waits int64, err error) {
	err = s.DB.Read(ctx, func(ctx context.Context, tx *store.Tx) error {
		out = out[:0]
		var err error
		if waits, err = number(ctx, tx, `SELECT COUNT(*) FROM notification_deliveries WHERE state = 'waiting'`); err != nil || waits == 0 {
			return err
		}
		rows, err := tx.Query(ctx, `SELECT id, host, account FROM (SELECT id, host, account, due_at, ROW_NUMBER() OVER (PARTITION BY host ORDER BY due_at, id) AS place
			FROM notification_deliveries WHERE state = 'waiting' AND channel = 'webhook' AND due_at <= $1) AS due WHERE place <= $2 ORDER BY due_at, id LIMIT $3`,
			s.Now().UnixMilli(), hostMost, lookAt)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var d dueDelivery
			if err := rows.Scan(&d.id, &d.host, &d.account); err != nil {
				return err
			}
			out = append(out, d)
		}
		return rows.Err()
	})
	return out, waits, err
}

// attempt claims a delivery, sends it, and writes down what came of it.
func (s *Service) attempt(ctx context.Context, id string) error {
	d, r, err := s.claim(ctx, id)
	if err != nil || d == nil {
		return err
	}
	got := s.out.post(ctx, r, d.id, d.body, s.Now())
	if ctx.Err() != nil && got.status == 0 {
		got.why = whyTimeout // we are being stopped; it is no fault of the receiver, and the next start tries again
	}
	// What the receiver has taken is noted though the program is being stopped: else it would go once more.
	noting, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return s.DB.Write(noting, func(ctx context.Context, tx *store.Tx) error { return s.took(ctx, tx, d, r, got) })
}

// claim takes a delivery that is due for this process, for claimFor, and asks everything again (PERM-10); nil where there is nothing to send.
func (s *Service) claim(ctx context.Context, id string) (d *delivery, r *Recipient, err error) {
	err = s.DB.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
		d, r = nil, nil
		now := s.Now()
		got, err := scanDelivery(tx.QueryRow(ctx, `UPDATE notification_deliveries SET attempts = attempts + 1, due_at = $1
			WHERE id = $2 AND state = 'waiting' AND due_at <= $3 RETURNING `+deliveryColumns, now.Add(claimFor).UnixMilli(), id, now.UnixMilli()))
		if errors.Is(err, sql.ErrNoRows) {
			return nil // another process has it
		}
		if err != nil {
			return err
		}
		why, err := s.judge(ctx, tx, got)
		if err != nil {
			return err
		}
		if why != "" {
			return s.finish(ctx, tx, got, withdrawn, why)
		}
		if got.attempts > attemptsMost || now.Sub(got.created) >= triesFor { // claims that ended with their process count
			return s.finish(ctx, tx, got, failed, whyExpired)
		}
		to, err := scanRecipient(tx.QueryRow(ctx, `SELECT `+recipientColumns+` FROM notification_recipients r WHERE r.id = $1`, got.recipient))
		if err == nil {
			err = s.openSecrets(to)
		}
		if err == nil {
			d, r = got, to
		}
		return err
	})
	return d, r, err
}

// took writes down what came of an attempt. A delivery whose claim another process holds by now, or that was withdrawn, is left alone.
func (s *Service) took(ctx context.Context, tx *store.Tx, d *delivery, r *Recipient, got answer) error {
	n, err := tx.Exec(ctx, `UPDATE notification_deliveries SET status = $1, why = $2 WHERE id = $3 AND attempts = $4 AND state = 'waiting'`,
		got.status, got.why, d.id, d.attempts)
	if err != nil || n == 0 {
		return err
	}
	now := s.Now()
	switch next := now.Add(pause(d.attempts)); {
	case got.why == "":
		if _, err := tx.Exec(ctx, `UPDATE notification_recipients SET failing = 0 WHERE id = $1 AND failing <> 0`, r.ID); err != nil {
			return err
		}
		return s.finish(ctx, tx, d, sent, "")
	case got.status == http.StatusGone:
		if err := s.finish(ctx, tx, d, failed, got.why); err != nil {
			return err
		}
		return s.turnOff(ctx, tx, r, true)
	case d.attempts >= attemptsMost || next.Sub(d.created) >= triesFor:
		err = s.finish(ctx, tx, d, failed, got.why)
	default:
		_, err = tx.Exec(ctx, `UPDATE notification_deliveries SET due_at = $1 WHERE id = $2`, next.UnixMilli(), d.id)
	}
	if err != nil {
		return err
	}
	return s.noteFailing(ctx, tx, r, now)
}

// noteFailing remembers since when nothing gets through to a webhook, and turns it off when that is too long.
func (s *Service) noteFailing(ctx context.Context, tx *store.Tx, r *Recipient, now time.Time) error {
	var since int64
	err := tx.QueryRow(ctx, `UPDATE notification_recipients SET failing = CASE WHEN failing = 0 THEN $1 ELSE failing END WHERE id = $2 RETURNING failing`,
		now.UnixMilli(), r.ID).Scan(&since)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if err != nil || now.Sub(time.UnixMilli(since)) < failingFor {
		return nil
	}
	return s.turnOff(ctx, tx, r, false)
}

// turnOff ends a webhook and tells its account, once.
func (s *Service) turnOff(ctx context.Context, tx *store.Tx, r *Recipient, gone bool) error {
	n, err := tx.Exec(ctx, `UPDATE notification_recipients SET state = $1 WHERE id = $2 AND state = 'on'`, Failed, r.ID)
	if err != nil || n == 0 {
		return err
	}
	if err := s.stop(ctx, tx, r); err != nil {
		return err
	}
	p, err := scanPolicy(tx.QueryRow(ctx, `SELECT `+policyColumns+` FROM notification_policies p WHERE p.id = $1`, r.Policy))
	if err != nil {
		return err
	}
	a, err := account.ByID(ctx, tx, r.Account)
	if err != nil || a == nil {
		return err
	}
	return s.Mail.Put(ctx, tx, s.failedLetter(a.Email, p, r, gone))
}
