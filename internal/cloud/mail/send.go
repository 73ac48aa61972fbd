package mail

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	gomail "github.com/wneessen/go-mail"

	"upsedge/internal/cloud/store"
)

const (
	batch = 10 // mails that go over one connection
	// A claim outlasts the sending of its batch: sending is cut at sendFor, and the rest of claimFor is for a machine that stands still.
	sendFor  = 2 * time.Minute
	claimFor = 5 * time.Minute
	// Pauses between attempts double from the first to the longest; greylisting servers want between one and fifteen minutes.
	firstPause   = 15 * time.Second
	longestPause = 30 * time.Minute
)

// A waiting mail is one that this process has claimed.
type waiting struct {
	Message
	id       string
	written  time.Time
	attempts int64
}

// An outcome is what became of one attempt.
type outcome struct {
	err   error
	final bool // it makes no sense to try again
	fate  Fate // Withdrawn, or "" for what err and final say
}

// of returns what became of the mail for good; "": it is tried again at next.
func (o outcome) of(w waiting, next time.Time) Fate {
	switch {
	case o.fate != "":
		return o.fate
	case o.err == nil:
		return Sent
	case o.final || !next.Before(w.Until):
		return GivenUp
	}
	return ""
}

// round sends what is due, at most one batch, and returns how many it tried.
func (q *Queue) round(ctx context.Context) (int, error) {
	if q.server == nil {
		return 0, q.forget(ctx)
	}
	list, err := q.claim(ctx)
	if err != nil || len(list) == 0 {
		return 0, err
	}
	sending, cancel := context.WithTimeout(ctx, sendFor)
	results := q.send(sending, list)
	cancel()
	// What the server has taken is noted though the program is being stopped: else it would go twice.
	noting, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return len(list), q.note(noting, list, results)
}

// forget takes out mails whose time is over, where nothing is sent.
func (q *Queue) forget(ctx context.Context) error {
	return q.db.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
		rows, err := tx.Query(ctx, `DELETE FROM mails WHERE until_at <= $1 RETURNING kind, key`, q.now().UnixMilli())
		if err != nil {
			return err
		}
		defer rows.Close()
		var gone []waiting
		for rows.Next() {
			var w waiting
			if err := rows.Scan(&w.Kind, &w.Key); err != nil {
				return err
			}
			gone = append(gone, w)
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return err
		}
		for _, w := range gone {
			if err := q.ended(ctx, tx, w, GivenUp); err != nil {
				return err
			}
		}
		tx.After(func() { q.givenUp.Add(int64(len(gone))) })
		return nil
	})
}

// ended tells the author of a mail what became of it.
func (q *Queue) ended(ctx context.Context, tx *store.Tx, w waiting, fate Fate) error {
	if a := q.authors[w.Kind]; a != nil && w.Key != "" {
		return a.Ended(ctx, tx, w.Key, fate)
	}
	return nil
}

// wanted asks, at the last moment, whether a mail with a key is still there and still right.
func (q *Queue) wanted(ctx context.Context, w waiting) (ok bool, err error) {
	if w.Key == "" {
		return true, nil
	}
	err = q.db.Read(ctx, func(ctx context.Context, tx *store.Tx) error {
		var n int
		err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM mails WHERE id = $1`, w.id).Scan(&n)
		if ok = n > 0; err != nil || !ok {
			return err
		}
		if a := q.authors[w.Kind]; a != nil {
			ok, err = a.Wanted(ctx, tx, w.Key)
		}
		return err
	})
	return ok, err
}

func (q *Queue) claim(ctx context.Context) (list []waiting, err error) {
	err = q.db.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
		list = list[:0]
		now := q.now()
		rows, err := tx.Query(ctx, `UPDATE mails SET attempts = attempts + 1, due_at = $1
			WHERE id IN (SELECT id FROM mails WHERE due_at <= $2 ORDER BY due_at LIMIT $3)
			RETURNING id, kind, recipient, subject, body, written_at, until_at, attempts, key`,
			now.Add(claimFor).UnixMilli(), now.UnixMilli(), batch)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var w waiting
			var written, until int64
			if err := rows.Scan(&w.id, &w.Kind, &w.To, &w.Subject, &w.Text, &written, &until, &w.attempts, &w.Key); err != nil {
				return err
			}
			w.written, w.Until = time.UnixMilli(written), time.UnixMilli(until)
			list = append(list, w)
		}
		return rows.Err()
	})
	return list, err
}

// send makes one attempt at each mail of list, over as few connections as the server allows.
func (q *Queue) send(ctx context.Context, list []waiting) []outcome {
	results := make([]outcome, len(list))
	var l *line
	defer func() { l.hangUp() }()
	for i, w := range list {
		if !q.now().Before(w.Until) {
			results[i] = outcome{err: errors.New("it could not be sent before its time was over"), final: true}
			continue
		}
		msg, err := q.server.compose(w.Message, w.id, w.written)
		if err != nil {
			results[i] = outcome{err: err, final: true}
			continue
		}
		if l == nil {
			if l, err = q.server.dial(ctx); err != nil {
				for j := i; j < len(list); j++ { // the others would wait for the same
					results[j] = outcome{err: err}
				}
				return results
			}
		}
		if ok, err := q.wanted(ctx, w); err != nil || !ok { // the connection is there: nothing stands between the answer and the sending
			results[i] = outcome{err: err}
			if err == nil {
				results[i].fate = Withdrawn
			}
			continue
		}
		if err = l.Send(msg); msg.IsDelivered() {
			err = nil // what failed came behind the server's word that it has it
		}
		results[i] = outcome{err: err, final: refusedForGood(err)}
		if err != nil { // in what state the conversation is nobody can say
			l.hangUp()
			l = nil
		}
	}
	return results
}

// refusedForGood reports whether the server said, of this mail, that it never will take it. What it says of us, at the greeting or the
// sign-in, an operator can mend.
func refusedForGood(err error) bool {
	var e *gomail.SendError
	return errors.As(err, &e) && !e.IsTemp() && e.ErrorCode() >= 500 && (e.Reason == gomail.ErrSMTPRcptTo || e.Reason == gomail.ErrSMTPDataClose)
}

// note writes down what became of the mails. A row whose claim another process holds by now is left to it.
func (q *Queue) note(ctx context.Context, list []waiting, results []outcome) error {
	return q.db.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
		now := q.now()
		for i, w := range list {
			o := results[i]
			next := now.Add(pause(w.attempts))
			var err error
			if fate := o.of(w, next); fate != "" {
				var n int64
				if n, err = tx.Exec(ctx, `DELETE FROM mails WHERE id = $1 AND attempts = $2`, w.id, w.attempts); err == nil && n > 0 {
					err = q.ended(ctx, tx, w, fate)
				}
			} else {
				_, err = tx.Exec(ctx, `UPDATE mails SET due_at = $1 WHERE id = $2 AND attempts = $3`, next.UnixMilli(), w.id, w.attempts)
			}
			if err != nil {
				return err
			}
			tx.After(func() { q.tell(w, o, next) })
		}
		return nil
	})
}

// tell logs and counts. Neither recipient nor text is logged: they are somebody's, and one holds a code.
func (q *Queue) tell(w waiting, o outcome, next time.Time) {
	switch o.of(w, next) {
	case Withdrawn:
		q.withdrawn.Add(1)
		q.log.Debug("mail withdrawn", "mail", w.id, "kind", w.Kind)
	case Sent:
		q.sent.Add(1)
		q.log.Debug("mail sent", "mail", w.id, "kind", w.Kind, "attempt", w.attempts)
	case GivenUp:
		q.givenUp.Add(1)
		q.log.Error("mail given up", "mail", w.id, "kind", w.Kind, "attempt", w.attempts, "written", w.written.UTC(), "err", reply(o.err))
	default:
		q.retried.Add(1)
		q.log.Warn("mail not sent yet", "mail", w.id, "kind", w.Kind, "attempt", w.attempts, "next", next.UTC(), "err", reply(o.err))
	}
}

// reply is an error without what the library adds to it, the recipient's address.
func reply(err error) string {
	var e *gomail.SendError
	if errors.As(err, &e) {
		return fmt.Sprintf("%v: code %d %s", e.Reason, e.ErrorCode(), e.EnhancedStatusCode())
	}
	return err.Error()
}

// pause after the n-th attempt, which is half to all of what doubles each time: processes shall not come in step.
func pause(n int64) time.Duration {
	d := longestPause
	if n < 16 {
		d = min(d, firstPause<<(n-1))
	}
	return d/2 + rand.N(d/2+1)
}
