package account

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/limit"
	"upsedge/internal/cloud/onetime"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

const (
	purposeSignUp = "signup"
	purposeReset  = "reset"
	codeLife      = time.Hour
	codeTries     = 5 // wrong ones lock a code (INV-12)
)

// A Pending is a code that is on its way by mail. Who asked for it gets its id, and the code fits that id alone: a code that somebody
// else asked for, for the same address, opens nothing here, and wrong tries at one lock no other.
type Pending struct {
	ID      string // c_…
	Expires time.Time
}

// SignUp begins a sign-up: a code goes to the address, or, where the address has an account, the word that it has. What is returned is
// the same for both (INV-9).
func (s *Service) SignUp(ctx context.Context, who cloud.Actor, p Person) (*Pending, error) {
	at, err := p.parse()
	if err != nil {
		return nil, err
	}
	if err := s.askLetters(ctx, who, at); err != nil {
		return nil, err
	}
	sealed, err := s.hasher.make(ctx, p.Password)
	if err != nil {
		return nil, err
	}
	return s.pend(ctx, who, at, codeRow{purpose: purposeSignUp, password: sealed, name: p.Name, organisation: p.Organisation}, func(identity string) bool { return identity == "" })
}

// askLetters refuses before the dear part when no letter can be sent; pend asks again where it counts.
func (s *Service) askLetters(ctx context.Context, who cloud.Actor, at Address) error {
	return s.db.Read(ctx, func(ctx context.Context, tx *store.Tx) error {
		return limit.Reached(ctx, tx, s.now(), letters(who, at)...)
	})
}

func letters(who cloud.Actor, at Address) []limit.Count {
	return []limit.Count{LettersTo.Of(at.Key), lettersFrom.Of(Source(who.Address))}
}

// codeRow is a row of codes.
type codeRow struct {
	purpose, email, emailKey, password, name, organisation, identity string

	sealed  []byte
	tries   int64
	expires time.Time
	used    bool
}

// pend writes a code down and its letter. fits says whether the code is for who has this identity ("": nobody has the address). Where it is
// not, all the same is done with a code that nobody is told, so that neither the answers nor their time tell the two apart.
func (s *Service) pend(ctx context.Context, who cloud.Actor, at Address, row codeRow, fits func(identity string) bool) (*Pending, error) {
	pending := &Pending{}
	err := s.db.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
		now := s.now()
		if err := limit.Spend(ctx, tx, now, letters(who, at)...); err != nil {
			return err
		}
		identity, err := identityOf(ctx, tx, at.Key)
		if err != nil {
			return err
		}
		code := onetime.New(onetime.Mail)
		*pending = Pending{ID: cloud.NewID(idCode), Expires: now.Add(codeLife)}
		_, err = tx.Exec(ctx, `INSERT INTO codes (id, purpose, email, email_key, sealed, password, name, organisation, identity, expires_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`, pending.ID, row.purpose, at.Mail, at.Key, onetime.Seal(code), row.password, row.name,
			row.organisation, identity, pending.Expires.UnixMilli())
		if err != nil {
			return err
		}
		return s.mail.Put(ctx, tx, s.codeLetter(row.purpose, fits(identity), at.Mail, code, pending.Expires))
	})
	if err != nil {
		return nil, err
	}
	return pending, nil
}

// Verify ends a sign-up: with the code from the mail there is an account, in an organisation of its own. Nobody is signed in by it.
// It returns CODE_UNKNOWN, CODE_EXPIRED, CODE_USED or CODE_LOCKED.
func (s *Service) Verify(ctx context.Context, who cloud.Actor, pending, code string) (a *Account, err error) {
	err = s.decide(ctx, func(ctx context.Context, tx *store.Tx) (refused, err error) {
		row, refused, err := s.redeem(ctx, tx, who, purposeSignUp, pending, code)
		if err != nil || refused != nil {
			return refused, err
		}
		at := Address{Mail: row.email, Key: row.emailKey}
		if known, err := identityOf(ctx, tx, at.Key); err != nil {
			return nil, err
		} else if known != "" { // another code of the same address was quicker
			return cloud.RefuseField(policy.CodeUsed, "code", "this address has an account by now"), nil
		}
		if a, err = s.create(ctx, tx, at, row.password, row.name, row.organisation, false); err != nil {
			return nil, err
		}
		return nil, s.note(ctx, tx, of(a, who), accountSignedUp, nil)
	})
	if err != nil {
		return nil, err
	}
	return a, nil
}

// redeem takes a code once. A refusal is returned apart from an error, since what was counted for it must be committed. Every way
// through it that ends in CODE_UNKNOWN costs the same statements but one.
func (s *Service) redeem(ctx context.Context, tx *store.Tx, who cloud.Actor, purpose, id, typed string) (row *codeRow, refused, err error) {
	now := s.now()
	here := CodesSource.Of(Source(who.Address))
	if err := limit.Reached(ctx, tx, now, here); err != nil {
		return nil, err, notOurs(err)
	}
	if row, err = findCode(ctx, tx, purpose, id); err != nil {
		return nil, nil, err
	}
	there := CodesWrong.Of(row.emailKey)
	right := onetime.Fits(row.sealed, typed, onetime.Mail)
	switch {
	case row.emailKey == "": // there is no such code
		return nil, codeUnknown(), limit.Add(ctx, tx, now, here)
	case row.used:
		return nil, cloud.RefuseField(policy.CodeUsed, "code", "that code was used"), nil
	case !now.Before(row.expires):
		return nil, cloud.RefuseField(policy.CodeExpired, "code", "that code was valid until %s", row.expires.UTC().Format(time.RFC3339)), nil
	case row.tries >= codeTries:
		return nil, cloud.RefuseField(policy.CodeLocked, "code", "too many wrong codes; ask for a new one"), nil
	}
	if err := limit.Reached(ctx, tx, now, there); err != nil {
		return nil, err, notOurs(err)
	}
	if !right {
		if _, err := tx.Exec(ctx, `UPDATE codes SET tries = tries + 1 WHERE id = $1`, id); err != nil {
			return nil, nil, err
		}
		return nil, codeUnknown(), limit.Add(ctx, tx, now, here, there)
	}
	_, err = tx.Exec(ctx, `UPDATE codes SET used_at = $1, password = '' WHERE id = $2`, now.UnixMilli(), id)
	return row, nil, err
}

func codeUnknown() error {
	return cloud.RefuseField(policy.CodeUnknown, "code", "that is not the code")
}

// notOurs is err unless it is a refusal, which is told apart.
func notOurs(err error) error {
	var e *cloud.Error
	if errors.As(err, &e) {
		return nil
	}
	return err
}

// nothing is compared with what is typed where there is no code.
var nothing = onetime.Seal(onetime.New(onetime.Mail))

// findCode returns a row, one without an address where there is none.
func findCode(ctx context.Context, tx *store.Tx, purpose, id string) (*codeRow, error) {
	if !cloud.CheckID(idCode, id) {
		return &codeRow{sealed: nothing}, nil
	}
	r := &codeRow{purpose: purpose}
	var expires int64
	var used sql.NullInt64
	err := tx.QueryRow(ctx, `SELECT email, email_key, sealed, tries, password, name, organisation, identity, expires_at, used_at
		FROM codes WHERE id = $1 AND purpose = $2`, id, purpose).Scan(&r.email, &r.emailKey, &r.sealed, &r.tries, &r.password, &r.name,
		&r.organisation, &r.identity, &expires, &used)
	if errors.Is(err, sql.ErrNoRows) {
		return &codeRow{sealed: nothing}, nil
	}
	r.expires, r.used = time.UnixMilli(expires), used.Valid
	return r, err
}
