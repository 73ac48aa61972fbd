package notify

import (
	"context"
	"crypto/subtle"
	"database/sql"
	"errors"
	"strings"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/account"
	"upsedge/internal/cloud/limit"
	"upsedge/internal/cloud/onetime"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

// sendCode writes the letter that asks an address; the code before is void.
func (s *Service) sendCode(ctx context.Context, tx *store.Tx, r *Recipient) error {
	code, until := onetime.New(onetime.Mail), s.Now().Add(codeLife)
	if _, err := s.Mail.Withdraw(ctx, tx, r.ID); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `UPDATE notification_recipients SET sealed = $1, expires_at = $2, tries = 0 WHERE id = $3`, onetime.Seal(code), until.UnixMilli(), r.ID)
	if err != nil {
		return err
	}
	a, err := account.ByID(ctx, tx, r.Account)
	if err != nil {
		return err
	}
	if a == nil {
		return errNone
	}
	return s.Mail.Put(ctx, tx, s.askLetter(r, a.Name, code, until))
}

// Resend sends an address another code; the one before is void.
func (s *Service) Resend(ctx context.Context, tx *store.Tx, actor cloud.Actor, of, id string) (*Recipient, error) {
	_, r, err := s.recipient(ctx, tx, actor, id, of)
	if err != nil {
		return nil, err
	}
	if r.State != Unconfirmed {
		return nil, cloud.Refuse(policy.Conflict, "the recipient is %s, and needs no code", r.State)
	}
	if err := limit.Spend(ctx, tx, s.Now(), resendsOften.Of(r.ID), resendsDay.Of(r.ID), account.LettersTo.Of(r.key)); err != nil {
		return nil, err
	}
	return r, s.sendCode(ctx, tx, r)
}

// A guess is what anybody may say about a recipient: its id and a code of a letter. Both stand in the letter alone.
type guess struct {
	*Recipient
	sealed  []byte
	expires int64
	tries   int64
}

// asked returns an address's recipient, nil for none, and counts against who asks. The work is the same in both cases.
func (s *Service) asked(ctx context.Context, tx *store.Tx, id string) (*guess, error) {
	g := &guess{}
	r, err := scanRecipient(tx.QueryRow(ctx, `SELECT `+recipientColumns+` FROM notification_recipients r WHERE r.id = $1 AND r.kind = 'mail'`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	g.Recipient = r
	err = tx.QueryRow(ctx, `SELECT sealed, expires_at, tries FROM notification_recipients WHERE id = $1`, id).Scan(&g.sealed, &g.expires, &g.tries)
	return g, err
}

var (
	errCode   = cloud.RefuseField(policy.CodeUnknown, "code", "recipient and code are not those of a letter")
	errLocked = cloud.RefuseField(policy.CodeLocked, "code", "too many wrong codes; another one has to be sent")
	errLate   = cloud.RefuseField(policy.CodeExpired, "code", "the time of the code is over; another one has to be sent")
)

// nothingSealed is compared with where there is no recipient.
var nothingSealed = onetime.Seal(onetime.New(onetime.Mail))

// Confirm lets an address have notifications: whoever gives the code of the letter has read it there. It takes a transaction of its own, as
// wrong codes are counted though they are refused. actor has the source of the request alone.
func (s *Service) Confirm(ctx context.Context, actor cloud.Actor, id, code string) error {
	return s.guessed(ctx, actor, id, func(ctx context.Context, tx *store.Tx, g *guess) error {
		sealed := nothingSealed
		if g != nil && len(g.sealed) > 0 {
			sealed = g.sealed
		}
		fits := onetime.Fits(sealed, code, onetime.Mail)
		switch {
		case g == nil || g.State != Unconfirmed:
			return errCode
		case g.tries >= codeTries:
			return errLocked
		case !fits:
			_, err := tx.Exec(ctx, `UPDATE notification_recipients SET tries = tries + 1 WHERE id = $1`, id)
			return errors.Join(errCode, err)
		case s.Now().UnixMilli() >= g.expires:
			return errLate
		}
		_, err := tx.Exec(ctx, `UPDATE notification_recipients SET state = $1, sealed = NULL WHERE id = $2`, On, id)
		return err
	})
}

// Leave takes an address off, with the code that each letter to it has; its account cannot ask it again for a year.
func (s *Service) Leave(ctx context.Context, actor cloud.Actor, id, code string) error {
	return s.guessed(ctx, actor, id, func(ctx context.Context, tx *store.Tx, g *guess) error {
		want := ""
		if g != nil {
			want = g.offCode
		}
		plain := func(text string) []byte {
			return []byte(strings.NewReplacer("-", "", " ", "").Replace(strings.ToUpper(text)))
		}
		if subtle.ConstantTimeCompare(plain(want), plain(code)) != 1 || want == "" {
			return errCode
		}
		if err := s.stop(ctx, tx, g.Recipient); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE notification_recipients SET state = $1, sealed = NULL WHERE id = $2`, Gone, id); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO notification_refusals (account, address_key, at) VALUES ($1, $2, $3)
			ON CONFLICT (account, address_key) DO UPDATE SET at = excluded.at`, g.Account, g.key, s.Now().UnixMilli())
		return err
	})
}

// guessed runs fn with what an id names. A refusal is counted against the source of the request and, once it has counted, returned.
func (s *Service) guessed(ctx context.Context, actor cloud.Actor, id string, fn func(context.Context, *store.Tx, *guess) error) error {
	var refusal error
	err := s.DB.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
		refusal = nil
		source := account.CodesSource.Of(account.Source(actor.Address))
		if err := limit.Reached(ctx, tx, s.Now(), source); err != nil {
			return err
		}
		g, err := s.asked(ctx, tx, id)
		if err != nil {
			return err
		}
		err = fn(ctx, tx, g)
		if wrong := (*cloud.Error)(nil); errors.As(err, &wrong) {
			refusal = wrong
			return limit.Add(ctx, tx, s.Now(), source)
		}
		return err
	})
	return errors.Join(refusal, err)
}
