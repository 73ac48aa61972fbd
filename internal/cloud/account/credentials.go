package account

import (
	"context"
	"strings"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/limit"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

// withPassword runs fn for the session of a token once its password was given, too. A wrong one counts like that of a sign-in.
func (s *Service) withPassword(ctx context.Context, who cloud.Actor, token, password string, fn func(ctx context.Context, tx *store.Tx, ss *Session) (refused, err error)) error {
	var sealed string
	var limits []limit.Count
	err := s.db.Read(ctx, func(ctx context.Context, tx *store.Tx) error {
		ss, err := s.resume(ctx, tx, token)
		if err != nil {
			return err
		}
		key := strings.ToLower(ss.Account.Email)
		limits = []limit.Count{signInHere.Of(key + "\x00" + Source(who.Address)), signInAll.Of(key)}
		if err := limit.Reached(ctx, tx, s.now(), limits...); err != nil {
			return err
		}
		sealed, err = passwordOf(ctx, tx, key)
		return err
	})
	if err != nil {
		return err
	}
	right, err := s.hasher.fits(ctx, sealed, plainPassword(cut(password)))
	if err != nil {
		return err
	}
	return s.decide(ctx, func(ctx context.Context, tx *store.Tx) (refused, err error) {
		ss, err := s.resume(ctx, tx, token)
		if err != nil {
			return err, notOurs(err)
		}
		if err := limit.Reached(ctx, tx, s.now(), limits...); err != nil {
			return err, notOurs(err)
		}
		if now, err := passwordOf(ctx, tx, strings.ToLower(ss.Account.Email)); err != nil {
			return nil, err
		} else if !right || now != sealed {
			return cloud.RefuseField(policy.Unauthenticated, "password", "the password is wrong"), limit.Add(ctx, tx, s.now(), limits...)
		}
		return fn(ctx, tx, ss)
	})
}

// ChangePassword changes the password of who has the token, with the old one and, where a second factor is set up, that factor fresh
// (STEP_UP_REQUIRED). The session gets another token; all others end.
func (s *Service) ChangePassword(ctx context.Context, who cloud.Actor, token, old, fresh string) (*Session, error) {
	before, err := s.Session(ctx, token)
	if err != nil {
		return nil, err
	}
	sealed, err := s.newPassword(ctx, before.Account, "new_password", fresh)
	if err != nil {
		return nil, err
	}
	var ss *Session
	err = s.withPassword(ctx, who, token, old, func(ctx context.Context, tx *store.Tx, now *Session) (refused, err error) {
		if err := now.actor().StepUp(s.now()); err != nil {
			return err, nil
		}
		if err := s.setPassword(ctx, tx, now.Account, sealed); err != nil {
			return nil, err
		}
		ss, err = s.changed(ctx, tx, of(now.Account, who), now, now.FactorAt, passwordChanged)
		return nil, err
	})
	if err != nil {
		return nil, err
	}
	return ss, nil
}

func (s *Service) newPassword(ctx context.Context, a *Account, field, text string) (string, error) {
	text = plainPassword(cut(text))
	if err := checkPassword(field, text, a.Email, a.Name, a.Org.Name); err != nil {
		return "", err
	}
	return s.hasher.make(ctx, text)
}

func (s *Service) setPassword(ctx context.Context, tx *store.Tx, a *Account, sealed string) error {
	if _, err := tx.Exec(ctx, `UPDATE identities SET password = $1 WHERE id = $2`, sealed, a.identity); err != nil {
		return err
	}
	return s.mail.Put(ctx, tx, s.noticeLetter(a, "Your password was changed", "The password of your account was changed, and every other session was ended."))
}

// StartReset sends a code to who has forgotten a password; to an address without an account the word that it has none. What is returned
// is the same for both.
func (s *Service) StartReset(ctx context.Context, who cloud.Actor, email string) (*Pending, error) {
	at, err := ParseAddress(email)
	if err != nil {
		return nil, err
	}
	return s.pend(ctx, who, at, codeRow{purpose: purposeReset}, func(identity string) bool { return identity != "" })
}

// FinishReset sets the password with the code of the mail, and ends all sessions. The second factor stays: whoever reads somebody's mail
// has only half. The new password is judged first, so that a bad one costs no code.
func (s *Service) FinishReset(ctx context.Context, who cloud.Actor, pending, code, fresh string) error {
	sealed, err := s.newPassword(ctx, &Account{}, "password", fresh)
	if err != nil {
		return err
	}
	return s.decide(ctx, func(ctx context.Context, tx *store.Tx) (refused, err error) {
		row, refused, err := s.redeem(ctx, tx, who, purposeReset, pending, code)
		if err != nil || refused != nil {
			return refused, err
		}
		a, err := byIdentity(ctx, tx, row.identity)
		if err != nil || a == nil {
			return codeUnknown(), err
		}
		if err := s.setPassword(ctx, tx, a, sealed); err != nil {
			return nil, err
		}
		if err := s.endAll(ctx, tx, a); err != nil {
			return nil, err
		}
		// A reset is the answer to a password that others have: their other codes end with it.
		if _, err := tx.Exec(ctx, `UPDATE codes SET used_at = $1 WHERE identity = $2 AND purpose = $3 AND used_at IS NULL`,
			s.now().UnixMilli(), a.identity, purposeReset); err != nil {
			return nil, err
		}
		return nil, s.note(ctx, tx, of(a, who), passwordReset, nil)
	})
}

// RecoveryLeft is how many recovery codes an account has left.
func (s *Service) RecoveryLeft(ctx context.Context, tx *store.Tx, a *Account) (n int, err error) {
	err = tx.QueryRow(ctx, `SELECT COUNT(*) FROM recovery_codes WHERE identity = $1`, a.identity).Scan(&n)
	return n, err
}
