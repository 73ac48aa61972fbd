package account

import (
	"context"
	"crypto/subtle"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
	"github.com/pquerna/otp/totp"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/limit"
	"upsedge/internal/cloud/onetime"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

// The second factor is a code that changes with time (TOTP, RFC 6238) in the form every program for it has: SHA-1, six digits, thirty
// seconds. The step before and the step after now count as well: phones go wrong.
const (
	factorPeriod = 30 // s
	factorSkew   = 1  // steps
	factorIssuer = "upsedge"
)

// pendingLife is how long a new secret waits for its first code.
const pendingLife = 15 * time.Minute

// recoveryCodes are what a person has left without the phone.
const recoveryCodes = 10

// What a secret is sealed for: it opens in its own row alone.
func factorOf(identity string) string  { return "totp " + identity }
func pendingOf(identity string) string { return "totp pending " + identity }

// A NewFactor is told once.
type NewFactor struct {
	Secret string // base32, to be typed
	URI    string // otpauth://totp/…, to be shown as a picture
}

// StartFactor makes a secret that waits for its first code. The password is asked for: a session that was stolen must not get a factor of
// the thief's. It returns UNAUTHENTICATED for a wrong one, CONFLICT where a factor is set up.
func (s *Service) StartFactor(ctx context.Context, who cloud.Actor, token, password string) (*NewFactor, error) {
	var made *NewFactor
	err := s.withPassword(ctx, who, token, password, func(ctx context.Context, tx *store.Tx, ss *Session) (refused, err error) {
		if ss.Account.Factor {
			return cloud.Refuse(policy.Conflict, "a second factor is set up; remove it first"), nil
		}
		key, err := totp.Generate(totp.GenerateOpts{Issuer: factorIssuer, AccountName: ss.Account.Email, Period: factorPeriod, Digits: otp.DigitsSix})
		if err != nil {
			return nil, err
		}
		made = &NewFactor{Secret: key.Secret(), URI: key.URL()}
		_, err = tx.Exec(ctx, `UPDATE identities SET totp_pending = $1, totp_pending_at = $2 WHERE id = $3`, s.secrets.Seal(pendingOf(ss.Account.identity), made.Secret), s.now().UnixMilli(), ss.Account.identity)
		return nil, err
	})
	if err != nil {
		return nil, err
	}
	return made, nil
}

// ConfirmFactor sets the waiting secret up, once a code of it is right. It returns the recovery codes, told once, and the session with
// another token; all other sessions end.
func (s *Service) ConfirmFactor(ctx context.Context, who cloud.Actor, token, code string) (ss *Session, recovery []string, err error) {
	err = s.decide(ctx, func(ctx context.Context, tx *store.Tx) (refused, err error) {
		old, err := s.resume(ctx, tx, token)
		if err != nil {
			return err, notOurs(err)
		}
		a, now := old.Account, s.now()
		var secret string
		var since int64
		if err := tx.QueryRow(ctx, `SELECT totp_pending, totp_pending_at FROM identities WHERE id = $1`, a.identity).Scan(&secret, &since); err != nil {
			return nil, err
		}
		if secret == "" || a.Factor || now.Sub(time.UnixMilli(since)) > pendingLife {
			return cloud.Refuse(policy.Conflict, "no second factor waits for its first code; begin again"), nil
		}
		if secret, err = s.secrets.Open(pendingOf(a.identity), secret); err != nil {
			return nil, err
		}
		limits := factorLimits(of(a, who), a)
		if err := limit.Reached(ctx, tx, now, limits...); err != nil {
			return err, notOurs(err)
		}
		step := stepOf(secret, code, now)
		if step == 0 {
			return wrongFactor(), limit.Add(ctx, tx, now, limits...)
		}
		if _, err := tx.Exec(ctx, `UPDATE identities SET totp_secret = $1, totp_step = $2, totp_pending = '' WHERE id = $3`, s.secrets.Seal(factorOf(a.identity), secret), step, a.identity); err != nil {
			return nil, err
		}
		a.Factor = true
		if recovery, err = newRecovery(ctx, tx, a.identity); err != nil {
			return nil, err
		}
		if ss, err = s.changed(ctx, tx, of(a, who), old, now, factorSet); err != nil {
			return nil, err
		}
		return nil, s.mail.Put(ctx, tx, s.noticeLetter(a, "A second factor was set up", "A second factor was set up for your account."))
	})
	if err != nil {
		return nil, nil, err
	}
	return ss, recovery, nil
}

// RemoveFactor takes the second factor away, with the password and a code of it, or a recovery code. All other sessions end.
func (s *Service) RemoveFactor(ctx context.Context, who cloud.Actor, token, password, code string) (*Session, error) {
	var ss *Session
	err := s.withPassword(ctx, who, token, password, func(ctx context.Context, tx *store.Tx, old *Session) (refused, err error) {
		a := old.Account
		if !a.Factor {
			return cloud.Refuse(policy.Conflict, "no second factor is set up"), nil
		}
		if refused, err := s.factor(ctx, tx, of(a, who), a, code); refused != nil || err != nil {
			return refused, err
		}
		if _, err := tx.Exec(ctx, `UPDATE identities SET totp_secret = '', totp_pending = '' WHERE id = $1`, a.identity); err != nil {
			return nil, err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM recovery_codes WHERE identity = $1`, a.identity); err != nil {
			return nil, err
		}
		a.Factor = false
		if ss, err = s.changed(ctx, tx, of(a, who), old, time.Time{}, factorRemoved); err != nil {
			return nil, err
		}
		return nil, s.mail.Put(ctx, tx, s.noticeLetter(a, "Your second factor was removed", "The second factor of your account was removed."))
	})
	if err != nil {
		return nil, err
	}
	return ss, nil
}

// changed ends all sessions of who changed how to sign in, and begins the present one anew.
func (s *Service) changed(ctx context.Context, tx *store.Tx, who cloud.Actor, old *Session, factorAt time.Time, action string) (*Session, error) {
	if err := s.endAll(ctx, tx, old.Account); err != nil {
		return nil, err
	}
	if err := s.note(ctx, tx, who, action, nil); err != nil {
		return nil, err
	}
	return s.begin(ctx, tx, old.Account, "", old.Began, factorAt)
}

func factorLimits(who cloud.Actor, a *Account) []limit.Count {
	return []limit.Count{factorHere.Of(a.identity + "\x00" + Source(who.Address)), factorAll.Of(a.identity)}
}

func wrongFactor() error {
	return cloud.RefuseField(policy.MFARequired, "code", "that code is not right, or was used")
}

// factor judges what was given as second factor: a code of now that was not taken before, or a recovery code, which is gone behind it.
func (s *Service) factor(ctx context.Context, tx *store.Tx, who cloud.Actor, a *Account, code string) (refused, err error) {
	now, limits := s.now(), factorLimits(who, a)
	if code == "" {
		return cloud.RefuseField(policy.MFARequired, "code", "the code of your second factor is needed"), nil
	}
	if err := limit.Reached(ctx, tx, now, limits...); err != nil {
		return err, notOurs(err)
	}
	var secret string
	if err := tx.QueryRow(ctx, `SELECT totp_secret FROM identities WHERE id = $1`, a.identity).Scan(&secret); err != nil {
		return nil, err
	}
	secret, err = s.secrets.Open(factorOf(a.identity), secret)
	if err != nil {
		return nil, err
	}
	if step := stepOf(secret, code, now); step != 0 {
		n, err := tx.Exec(ctx, `UPDATE identities SET totp_step = $1 WHERE id = $2 AND totp_step < $1`, step, a.identity)
		if err != nil || n == 1 {
			return nil, err
		}
	} else if used, err := s.recover(ctx, tx, who, a, code); used || err != nil {
		return nil, err
	}
	if err := limit.Add(ctx, tx, now, limits...); err != nil {
		return nil, err
	}
	return wrongFactor(), s.noteIn(ctx, tx, who.Org, who, factorGiven, policy.MFARequired, nil)
}

// stepOf returns the time step whose code this is, 0 for none of those that count now. All are compared.
func stepOf(secret, code string, now time.Time) (step int64) {
	code = strings.ReplaceAll(code, " ", "")
	if len(code) != 6 || strings.Trim(code, "0123456789") != "" {
		return 0
	}
	at := now.Unix() / factorPeriod
	for n := at - factorSkew; n <= at+factorSkew; n++ {
		want, err := hotp.GenerateCodeCustom(secret, uint64(n), hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
		if err == nil && subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1 {
			step = n
		}
	}
	return step
}

// newRecovery makes the recovery codes of an identity anew and returns them as they are shown.
func newRecovery(ctx context.Context, tx *store.Tx, identity string) (codes []string, err error) {
	if _, err := tx.Exec(ctx, `DELETE FROM recovery_codes WHERE identity = $1`, identity); err != nil {
		return nil, err
	}
	for range recoveryCodes {
		code := onetime.New(onetime.Recovery)
		if _, err := tx.Exec(ctx, `INSERT INTO recovery_codes (identity, sealed) VALUES ($1, $2)`, identity, onetime.Seal(code)); err != nil {
			return nil, err
		}
		codes = append(codes, code)
	}
	return codes, nil
}

// recover takes a recovery code, which is gone then, and tells by mail how many are left.
func (s *Service) recover(ctx context.Context, tx *store.Tx, who cloud.Actor, a *Account, code string) (bool, error) {
	list, err := sealedCodes(ctx, tx, a.identity)
	if err != nil {
		return false, err
	}
	var fits []byte
	for _, sealed := range list {
		if onetime.Fits(sealed, code, onetime.Recovery) {
			fits = sealed
		}
	}
	if fits == nil {
		return false, nil
	}
	if _, err := tx.Exec(ctx, `DELETE FROM recovery_codes WHERE identity = $1 AND sealed = $2`, a.identity, fits); err != nil {
		return false, err
	}
	left := strconv.Itoa(len(list) - 1)
	if err := s.note(ctx, tx, who, factorGiven, map[string]string{"recovery_code": "left " + left}); err != nil {
		return false, err
	}
	return true, s.mail.Put(ctx, tx, s.noticeLetter(a, "A recovery code was used",
		"One of your recovery codes was used instead of your second factor. "+left+" are left."))
}

func sealedCodes(ctx context.Context, tx *store.Tx, identity string) (list [][]byte, err error) {
	found, err := tx.Query(ctx, `SELECT sealed FROM recovery_codes WHERE identity = $1`, identity)
	if err != nil {
		return nil, err
	}
	defer found.Close()
	for found.Next() {
		var sealed []byte
		if err := found.Scan(&sealed); err != nil {
			return nil, err
		}
		list = append(list, sealed)
	}
	return list, errors.Join(found.Err(), found.Close())
}
