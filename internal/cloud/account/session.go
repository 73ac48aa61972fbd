package account

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/alexedwards/scs/v2"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

// Sessions are made by scs: random tokens, deadlines, renewal. Its store is ours: rows of the database that hold a hash of the token,
// written in the transaction of what made the session. Its middleware is not used: a session begins, changes its token and ends in the
// functions of this package alone, and programs send the token as Authorization: Bearer instead of a cookie.

// What a session holds.
const (
	keyIdentity = "identity"  // id of the identity
	keyFactor   = "factor_at" // when the second factor was given, ms; absent: it was not
	keyBegan    = "began_at"  // when somebody signed in, ms
)

// A Session is what a sign-in, or another change of right, leads to.
type Session struct {
	Token    string // the secret: for a cookie or a header, once
	Expires  time.Time
	Account  *Account
	FactorAt time.Time // zero: no second factor was given
	Began    time.Time
}

func newManager(s *Service) *scs.SessionManager {
	m := scs.New()
	m.Lifetime = s.opts.Lifetime
	m.Store = rows{s}
	return m
}

type txKey struct{}

// work is the transaction of a session's change and whose session it is: scs hands a store token and bytes alone.
type work struct {
	tx       *store.Tx
	identity string
}

func within(ctx context.Context, tx *store.Tx, identity string) context.Context {
	return context.WithValue(ctx, txKey{}, work{tx, identity})
}

// rows is the store of scs. Every call is made inside a transaction of ours.
type rows struct{ s *Service }

var errNoTx = errors.New("account: a session outside of a transaction")

func hashToken(token string) []byte {
	sum := sha256.Sum256([]byte(token)) // 256 random bits need no salt
	return sum[:]
}

// FindCtx returns what a token stands for.
func (r rows) FindCtx(ctx context.Context, token string) (b []byte, found bool, err error) {
	w, ok := ctx.Value(txKey{}).(work)
	if !ok {
		return nil, false, errNoTx
	}
	err = w.tx.QueryRow(ctx, `SELECT data FROM sign_ins WHERE token = $1 AND expires_at > $2`, hashToken(token), r.s.now().UnixMilli()).Scan(&b)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, false, nil
	}
	return b, err == nil, err
}

// CommitCtx writes a session.
func (r rows) CommitCtx(ctx context.Context, token string, b []byte, expiry time.Time) error {
	w, ok := ctx.Value(txKey{}).(work)
	if !ok {
		return errNoTx
	}
	_, err := w.tx.Exec(ctx, `INSERT INTO sign_ins (token, identity, data, expires_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (token) DO UPDATE SET data = $3, expires_at = $4`, hashToken(token), w.identity, b, expiry.UnixMilli())
	return err
}

// DeleteCtx ends a session.
func (r rows) DeleteCtx(ctx context.Context, token string) error {
	w, ok := ctx.Value(txKey{}).(work)
	if !ok {
		return errNoTx
	}
	_, err := w.tx.Exec(ctx, `DELETE FROM sign_ins WHERE token = $1`, hashToken(token))
	return err
}

// Find, Commit and Delete are there because scs.Store has them; scs calls those above.
func (r rows) Find(string) ([]byte, bool, error)      { return nil, false, errNoTx }
func (r rows) Commit(string, []byte, time.Time) error { return errNoTx }
func (r rows) Delete(string) error                    { return errNoTx }

// mostSessions is how many an account has at a time: scripts that sign in and never out fill no table.
const mostSessions = 100

// begin makes a session of an account and ends the one it replaces, if any: a token that was there before the sign-in, or before a
// change of right, is worth nothing behind it (T-84). fn may be run again, so that nothing is kept of the one before.
func (s *Service) begin(ctx context.Context, tx *store.Tx, a *Account, old string, began, factorAt time.Time) (*Session, error) {
	ctx, err := s.sessions.Load(within(ctx, tx, a.identity), "")
	if err != nil {
		return nil, err
	}
	if old != "" {
		if err := (rows{s}).DeleteCtx(ctx, old); err != nil {
			return nil, err
		}
	}
	// Of the sessions that would be more than mostSessions, those that end first end now.
	if _, err := tx.Exec(ctx, `DELETE FROM sign_ins WHERE identity = $1 AND token NOT IN
		(SELECT token FROM sign_ins WHERE identity = $1 ORDER BY expires_at DESC, token LIMIT $2)`, a.identity, mostSessions-1); err != nil {
		return nil, err
	}
	now := s.now()
	if began.IsZero() {
		began = now
	}
	s.sessions.SetDeadline(ctx, began.Add(s.opts.Lifetime).UTC())
	s.sessions.Put(ctx, keyIdentity, a.identity)
	s.sessions.Put(ctx, keyBegan, began.UnixMilli())
	if !factorAt.IsZero() {
		s.sessions.Put(ctx, keyFactor, factorAt.UnixMilli())
	}
	token, expires, err := s.sessions.Commit(ctx)
	if err != nil {
		return nil, err
	}
	return &Session{Token: token, Expires: expires, Account: a, FactorAt: factorAt, Began: began}, nil
}

// resume returns the session of a token, or UNAUTHENTICATED.
func (s *Service) resume(ctx context.Context, tx *store.Tx, token string) (*Session, error) {
	if token == "" || len(token) > 128 {
		return nil, notSignedIn()
	}
	ctx, err := s.sessions.Load(within(ctx, tx, ""), token)
	if err != nil {
		return nil, err
	}
	identity := s.sessions.GetString(ctx, keyIdentity)
	if identity == "" {
		return nil, notSignedIn()
	}
	a, err := byIdentity(ctx, tx, identity)
	if err != nil || a == nil {
		return nil, errors.Join(err, nobody(a))
	}
	ss := &Session{Token: token, Expires: s.sessions.Deadline(ctx), Account: a, Began: time.UnixMilli(s.sessions.GetInt64(ctx, keyBegan))}
	if at := s.sessions.GetInt64(ctx, keyFactor); at != 0 {
		ss.FactorAt = time.UnixMilli(at)
	}
	return ss, nil
}

func nobody(a *Account) error {
	if a == nil {
		return notSignedIn()
	}
	return nil
}

func notSignedIn() error {
	return cloud.Refuse(policy.Unauthenticated, "sign in first")
}

// endAll ends every session of an account, and what was begun in them.
func (s *Service) endAll(ctx context.Context, tx *store.Tx, a *Account) error {
	if _, err := tx.Exec(ctx, `DELETE FROM sign_ins WHERE identity = $1`, a.identity); err != nil || s.opts.SignedOut == nil {
		return err
	}
	return s.opts.SignedOut(ctx, tx, a.ID)
}

// actor is who a session is, for everything beyond this package.
func (ss *Session) actor() cloud.Actor {
	return cloud.Actor{
		Ref: ss.Account.Actor, Account: ss.Account.ID, Org: ss.Account.Org.ID, MFA: !ss.FactorAt.IsZero(),
		HasFactor: ss.Account.Factor, FactorAt: ss.FactorAt,
	}
}

// Authenticate says who sends a request: by its bearer token, else by its cookie. It returns UNAUTHENTICATED where nobody is signed in.
func (s *Service) Authenticate(r *http.Request) (cloud.Actor, error) {
	ss, err := s.Session(r.Context(), Token(r))
	if err != nil {
		return cloud.Actor{}, err
	}
	return ss.actor(), nil
}

// Session returns the session of a token, or UNAUTHENTICATED.
func (s *Service) Session(ctx context.Context, token string) (ss *Session, err error) {
	err = s.db.Read(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
		ss, err = s.resume(ctx, tx, token)
		return err
	})
	return ss, err
}

// cookieName has browsers take the cookie over TLS alone, for this host alone (RFC 6265bis, section 4.1.3.2).
const cookieName = "__Host-session"

// Token returns the token a request carries, "" when there is none. One in the header goes before a cookie, right or wrong.
func Token(r *http.Request) string {
	if token, ok := bearer(r); ok {
		return token
	}
	if c, err := r.Cookie(cookieName); err == nil {
		return c.Value
	}
	return ""
}

// ByHeader reports whether a request carries its token in the header, where its answer gives a new one, too.
func ByHeader(r *http.Request) bool {
	_, ok := bearer(r)
	return ok
}

func bearer(r *http.Request) (string, bool) {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "bearer") {
		return "", false
	}
	return strings.TrimSpace(token), true
}

// Cookie returns the cookie that carries a session; nil takes it away.
func (s *Service) Cookie(ss *Session) *http.Cookie {
	c := &http.Cookie{Name: cookieName, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: -1}
	if ss != nil {
		c.Value, c.MaxAge = ss.Token, max(1, int(ss.Expires.Sub(s.now())/time.Second))
	}
	return c
}
