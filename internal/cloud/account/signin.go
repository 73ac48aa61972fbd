package account

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/limit"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

// Credentials are what somebody signs in with.
type Credentials struct {
	Email, Password string
	Code            string // of the second factor, or a recovery code; "" where none is asked for
}

// SignIn makes a session. replaced is the token the request came with, if any, which is worth nothing behind it. It returns
// UNAUTHENTICATED for an address without an account and for a wrong password, in the same time; MFA_REQUIRED where the password is right
// and a second factor is missing or wrong; RATE_LIMIT.
func (s *Service) SignIn(ctx context.Context, who cloud.Actor, c Credentials, replaced string) (*Session, error) {
	at, err := ParseAddress(c.Email)
	if err != nil {
		return nil, err
	}
	limits := []limit.Count{signInHere.Of(at.Key + "\x00" + Source(who.Address)), signInAll.Of(at.Key), signInSource.Of(Source(who.Address))}
	var sealed string
	err = s.db.Read(ctx, func(ctx context.Context, tx *store.Tx) error {
		if err := limit.Reached(ctx, tx, s.now(), limits...); err != nil {
			return err
		}
		var err error
		sealed, err = passwordOf(ctx, tx, at.Key)
		return err
	})
	if err != nil {
		return nil, err
	}
	right, err := s.hasher.fits(ctx, sealed, plainPassword(cut(c.Password)))
	if err != nil {
		return nil, err
	}
	renewed := ""
	if right && s.hasher.stale(sealed) {
		if renewed, err = s.hasher.make(ctx, plainPassword(c.Password)); err != nil {
			return nil, err
		}
	}
	var ss *Session
	err = s.decide(ctx, func(ctx context.Context, tx *store.Tx) (refused, err error) {
		// Asked again where it counts: of those who guess at once none gets more tries than one after the other.
		if err := limit.Reached(ctx, tx, s.now(), limits...); err != nil {
			return err, notOurs(err)
		}
		if now, err := passwordOf(ctx, tx, at.Key); err != nil {
			return nil, err
		} else if !right || now != sealed { // changed meanwhile: what was right is not any more
			return wrongSignIn(), limit.Add(ctx, tx, s.now(), limits...)
		}
		ss, refused, err = s.admit(ctx, tx, who, at, c.Code, renewed, replaced)
		return refused, err
	})
	if err != nil {
		return nil, err
	}
	return ss, nil
}

func wrongSignIn() error {
	return cloud.Refuse(policy.Unauthenticated, "address or password is wrong")
}

// cut keeps what is hashed within bounds: no password is longer.
func cut(password string) string {
	if len(password) > 4*passwordMax {
		return password[:4*passwordMax]
	}
	return password
}

// decide runs fn in a transaction that is committed though it refuses: what was counted must stay.
func (s *Service) decide(ctx context.Context, fn func(ctx context.Context, tx *store.Tx) (refused, err error)) error {
	var refused error
	err := s.db.Write(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
		refused, err = fn(ctx, tx)
		return err
	})
	if err == nil {
		err = refused
	}
	return err
}

func passwordOf(ctx context.Context, tx *store.Tx, key string) (sealed string, err error) {
	err = tx.QueryRow(ctx, `SELECT i.password FROM identities i JOIN accounts a ON a.identity = i.id AND a.closed_at IS NULL
		WHERE i.email_key = $1`, key).Scan(&sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return sealed, err
}

// admit lets in who has given the right password, once the second factor is right, too.
func (s *Service) admit(ctx context.Context, tx *store.Tx, who cloud.Actor, at Address, code, renewed, replaced string) (ss *Session, refused, err error) {
	a, err := one(ctx, tx, `i.email_key = $1`, at.Key)
	if err != nil {
		return nil, nil, err
	}
	var factorAt time.Time
	if a.Factor {
		if refused, err := s.factor(ctx, tx, of(a, who), a, code); refused != nil || err != nil {
			return nil, refused, err
		}
		factorAt = s.now()
	}
	if renewed != "" {
		if _, err := tx.Exec(ctx, `UPDATE identities SET password = $1 WHERE id = $2`, renewed, a.identity); err != nil {
			return nil, nil, err
		}
	}
	if err := s.seePlace(ctx, tx, of(a, who), a); err != nil {
		return nil, nil, err
	}
	ss, err = s.begin(ctx, tx, a, replaced, time.Time{}, factorAt)
	return ss, nil, err
}

// placesStay is how long a network counts as known after its last use.
const placesStay = 180 * 24 * time.Hour

// seePlace notes where somebody signs in from, in the log and by mail when it is new (LOG-3); the first place of all is no news.
func (s *Service) seePlace(ctx context.Context, tx *store.Tx, who cloud.Actor, a *Account) error {
	now, where := s.now(), place(who.Address)
	if _, err := tx.Exec(ctx, `DELETE FROM places WHERE identity = $1 AND last_at <= $2`, a.identity, now.Add(-placesStay).UnixMilli()); err != nil {
		return err
	}
	var known, here int64
	err := tx.QueryRow(ctx, `SELECT COUNT(*), COALESCE(SUM(CASE WHEN place = $1 THEN 1 ELSE 0 END), 0) FROM places WHERE identity = $2`, where, a.identity).Scan(&known, &here)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `INSERT INTO places (identity, place, last_at) VALUES ($1, $2, $3)
		ON CONFLICT (identity, place) DO UPDATE SET last_at = $3`, a.identity, where, now.UnixMilli()); err != nil {
		return err
	}
	if known == 0 || here > 0 {
		return nil
	}
	factor := "none"
	if a.Factor {
		factor = "given"
	}
	if err := s.note(ctx, tx, who, newPlace, map[string]string{"factor": factor}); err != nil {
		return err
	}
	return s.mail.Put(ctx, tx, s.placeLetter(a, where, now))
}

// SignOut ends the session of a token. One that is none is no error: what was wanted is so.
func (s *Service) SignOut(ctx context.Context, token string) error {
	return s.db.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
		return rows{s}.DeleteCtx(within(ctx, tx, ""), token)
	})
}

// SignOutEverywhere ends every session of the actor's.
func (s *Service) SignOutEverywhere(ctx context.Context, who cloud.Actor) error {
	return s.db.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
		a, err := s.Get(ctx, tx, who)
		if err != nil {
			return err
		}
		if err := s.note(ctx, tx, who, signedOutAll, nil); err != nil {
			return err
		}
		return s.endAll(ctx, tx, a)
	})
}

// StepUp takes the second factor again, for what asks for a fresh one (D-18), and gives the session another token.
func (s *Service) StepUp(ctx context.Context, who cloud.Actor, token, code string) (*Session, error) {
	var ss *Session
	err := s.decide(ctx, func(ctx context.Context, tx *store.Tx) (refused, err error) {
		old, err := s.resume(ctx, tx, token)
		if err != nil {
			return err, notOurs(err)
		}
		if !old.Account.Factor {
			return cloud.Refuse(policy.Conflict, "no second factor is set up"), nil
		}
		if refused, err := s.factor(ctx, tx, of(old.Account, who), old.Account, code); refused != nil || err != nil {
			return refused, err
		}
		ss, err = s.begin(ctx, tx, old.Account, token, old.Began, s.now())
		return nil, err
	})
	if err != nil {
		return nil, err
	}
	return ss, nil
}
