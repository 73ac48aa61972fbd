package api

import (
	"context"
	"net/http"

	"upsedge/internal/cloud/account"
	"upsedge/internal/cloud/store"
)

// Most of these functions make their own transactions: a refusal has to be counted, and hashing a password takes longer than a
// transaction should. They are rows with read for that reason; what they change, package account writes down.

const (
	ownAccount = "one's own account and organisation, which the matrix of devices does not speak of"
	noAccount  = "nobody is signed in before this"
)

func (a *API) accountRoutes() []route {
	return append([]route{
		{method: http.MethodPost, pattern: "/api/v1/signup", why: ownAccount, public: noAccount, read: a.signUp},
		{method: http.MethodPost, pattern: "/api/v1/signup/verify", why: ownAccount, public: noAccount, read: a.verify},
		{method: http.MethodPost, pattern: "/api/v1/password/reset", why: ownAccount, public: noAccount, read: a.startReset},
		{method: http.MethodPost, pattern: "/api/v1/password/reset/confirm", why: ownAccount, public: noAccount, read: a.finishReset},
		{method: http.MethodPost, pattern: "/api/v1/session", why: ownAccount, public: noAccount, read: a.signIn},
		{method: http.MethodGet, pattern: "/api/v1/session", why: ownAccount, read: a.session},
		{method: http.MethodDelete, pattern: "/api/v1/session", why: ownAccount, read: a.signOut},
		{method: http.MethodDelete, pattern: "/api/v1/sessions", why: ownAccount, read: a.signOutEverywhere},
		{method: http.MethodPost, pattern: "/api/v1/session/factor", why: ownAccount, read: a.stepUp},
		{method: http.MethodGet, pattern: "/api/v1/account", why: ownAccount, read: a.account},
		{method: http.MethodPatch, pattern: "/api/v1/account", why: ownAccount, change: a.renameAccount},
		{method: http.MethodPost, pattern: "/api/v1/account/password", why: ownAccount, read: a.changePassword},
		{method: http.MethodPost, pattern: "/api/v1/account/totp", why: ownAccount, read: a.startFactor},
		{method: http.MethodPost, pattern: "/api/v1/account/totp/confirm", why: ownAccount, read: a.confirmFactor},
		{method: http.MethodPost, pattern: "/api/v1/account/totp/remove", why: ownAccount, read: a.removeFactor},
	}, a.organisationRoutes()...)
}

// pendingBody is what is answered to a sign-up or a reset, whoever has the address.
func pendingBody(name string, p *account.Pending) Answer {
	return Answer{Status: http.StatusAccepted, Body: map[string]any{name: p.ID, "expires_at": Time(p.Expires), "detail": "a mail is on its way"}}
}

func (a *API) signUp(q *Request) (Answer, error) {
	var in struct {
		Email        string `json:"email"`
		Password     string `json:"password"`
		Name         string `json:"name"`
		Organisation string `json:"organisation"`
	}
	if err := q.Decode(&in); err != nil {
		return Answer{}, err
	}
	p, err := a.cfg.Accounts.SignUp(q.Context(), q.Actor, account.Person(in))
	if err != nil {
		return Answer{}, err
	}
	return pendingBody("signup", p), nil
}

func (a *API) verify(q *Request) (Answer, error) {
	var in struct {
		SignUp string `json:"signup"`
		Code   string `json:"code"`
	}
	if err := q.Decode(&in); err != nil {
		return Answer{}, err
	}
	who, err := a.cfg.Accounts.Verify(q.Context(), q.Actor, in.SignUp, in.Code)
	if err != nil {
		return Answer{}, err
	}
	return Answer{Status: http.StatusCreated, Body: accountOf(who), Header: map[string]string{"Location": "/api/v1/account"}}, nil
}

func (a *API) startReset(q *Request) (Answer, error) {
	var in struct {
		Email string `json:"email"`
	}
	if err := q.Decode(&in); err != nil {
		return Answer{}, err
	}
	p, err := a.cfg.Accounts.StartReset(q.Context(), q.Actor, in.Email)
	if err != nil {
		return Answer{}, err
	}
	return pendingBody("reset", p), nil
}

func (a *API) finishReset(q *Request) (Answer, error) {
	var in struct {
		Reset    string `json:"reset"`
		Code     string `json:"code"`
		Password string `json:"password"`
	}
	if err := q.Decode(&in); err != nil {
		return Answer{}, err
	}
	return Answer{}, a.cfg.Accounts.FinishReset(q.Context(), q.Actor, in.Reset, in.Code, in.Password)
}

func (a *API) signIn(q *Request) (Answer, error) {
	var in struct {
		Email    string `json:"email"`
		Password string `json:"password"`
		Code     string `json:"code"`
		Token    bool   `json:"token"` // answer with the token instead of a cookie
	}
	if err := q.Decode(&in); err != nil {
		return Answer{}, err
	}
	ss, err := a.cfg.Accounts.SignIn(q.Context(), q.Actor, account.Credentials{Email: in.Email, Password: in.Password, Code: in.Code}, account.Token(q.Request))
	if err != nil {
		return Answer{}, err
	}
	return a.sessionAnswer(q, ss, in.Token), nil
}

// sessionBody is a session. Token is there only where it is new and wanted.
type sessionBody struct {
	Token    string      `json:"token,omitempty"`
	Expires  Time        `json:"expires_at"`
	Factor   bool        `json:"factor"`
	FactorAt *Time       `json:"factor_at,omitempty"`
	Account  accountBody `json:"account"`

	Recovery []string `json:"recovery_codes,omitempty"`
}

func bodyOfSession(ss *account.Session) sessionBody {
	body := sessionBody{Expires: Time(ss.Expires), Account: accountOf(ss.Account)}
	if !ss.FactorAt.IsZero() {
		at := Time(ss.FactorAt)
		body.Factor, body.FactorAt = true, &at
	}
	return body
}

// sessionAnswer hands a new token out the way the request's came: in the answer to programs, as a cookie to browsers.
func (a *API) sessionAnswer(q *Request, ss *account.Session, token bool) Answer {
	body := bodyOfSession(ss)
	if token {
		body.Token = ss.Token
	} else {
		http.SetCookie(q.W, a.cfg.Accounts.Cookie(ss))
	}
	return Answer{Body: body}
}

func (a *API) session(q *Request) (Answer, error) {
	ss, err := a.cfg.Accounts.Session(q.Context(), account.Token(q.Request))
	if err != nil {
		return Answer{}, err
	}
	return Answer{Body: bodyOfSession(ss)}, nil
}

func (a *API) signOut(q *Request) (Answer, error) {
	err := a.cfg.Accounts.SignOut(q.Context(), account.Token(q.Request))
	return a.without(q, err)
}

func (a *API) signOutEverywhere(q *Request) (Answer, error) {
	err := a.cfg.Accounts.SignOutEverywhere(q.Context(), q.Actor)
	return a.without(q, err)
}

// without takes the cookie away.
func (a *API) without(q *Request, err error) (Answer, error) {
	if err == nil && !account.ByHeader(q.Request) {
		http.SetCookie(q.W, a.cfg.Accounts.Cookie(nil))
	}
	return Answer{}, err
}

func (a *API) stepUp(q *Request) (Answer, error) {
	var in struct {
		Code string `json:"code"`
	}
	if err := q.Decode(&in); err != nil {
		return Answer{}, err
	}
	ss, err := a.cfg.Accounts.StepUp(q.Context(), q.Actor, account.Token(q.Request), in.Code)
	return a.renewed(q, ss, err)
}

// renewed answers with the session that a change of right led to.
func (a *API) renewed(q *Request, ss *account.Session, err error) (Answer, error) {
	if err != nil {
		return Answer{}, err
	}
	return a.sessionAnswer(q, ss, account.ByHeader(q.Request)), nil
}

// accountBody is an account, for itself and for members of its organisation.
type accountBody struct {
	ID           string            `json:"id"`
	Actor        string            `json:"actor"` // by this the Event Log calls it
	Name         string            `json:"name"`
	Email        string            `json:"email"`
	Organisation *organisationBody `json:"organisation,omitempty"`
	Factor       *bool             `json:"factor_set,omitempty"`
	Recovery     *int              `json:"recovery_codes_left,omitempty"`
	Created      Time              `json:"created_at"`
}

func accountOf(who *account.Account) accountBody {
	body := memberOf(who)
	body.Organisation, body.Factor = organisationOf(&who.Org), &who.Factor
	return body
}

func (a *API) account(q *Request) (answer Answer, err error) {
	err = q.DB().Read(q.Context(), func(ctx context.Context, tx *store.Tx) error {
		who, err := a.cfg.Accounts.Get(ctx, tx, q.Actor)
		if err != nil {
			return err
		}
		body := accountOf(who)
		if who.Factor {
			left, err := a.cfg.Accounts.RecoveryLeft(ctx, tx, who)
			if err != nil {
				return err
			}
			body.Recovery = &left
		}
		answer = Answer{Body: body}
		return nil
	})
	return answer, err
}

func (a *API) renameAccount(ctx context.Context, tx *store.Tx, q *Request) (Answer, error) {
	var in struct {
		Name string `json:"name"`
	}
	if err := q.Decode(&in); err != nil {
		return Answer{}, err
	}
	who, err := a.cfg.Accounts.Rename(ctx, tx, q.Actor, in.Name)
	if err != nil {
		return Answer{}, err
	}
	return Answer{Body: accountOf(who)}, nil
}

func (a *API) changePassword(q *Request) (Answer, error) {
	var in struct {
		Password string `json:"password"`
		New      string `json:"new_password"`
	}
	if err := q.Decode(&in); err != nil {
		return Answer{}, err
	}
	ss, err := a.cfg.Accounts.ChangePassword(q.Context(), q.Actor, account.Token(q.Request), in.Password, in.New)
	return a.renewed(q, ss, err)
}

func (a *API) startFactor(q *Request) (Answer, error) {
	var in struct {
		Password string `json:"password"`
	}
	if err := q.Decode(&in); err != nil {
		return Answer{}, err
	}
	f, err := a.cfg.Accounts.StartFactor(q.Context(), q.Actor, account.Token(q.Request), in.Password)
	if err != nil {
		return Answer{}, err
	}
	return Answer{Body: map[string]string{"secret": f.Secret, "uri": f.URI}}, nil
}

func (a *API) confirmFactor(q *Request) (Answer, error) {
	var in struct {
		Code string `json:"code"`
	}
	if err := q.Decode(&in); err != nil {
		return Answer{}, err
	}
	ss, recovery, err := a.cfg.Accounts.ConfirmFactor(q.Context(), q.Actor, account.Token(q.Request), in.Code)
	answer, err := a.renewed(q, ss, err)
	if body, ok := answer.Body.(sessionBody); ok {
		body.Recovery = recovery
		answer.Body = body
	}
	return answer, err
}

func (a *API) removeFactor(q *Request) (Answer, error) {
	var in struct {
		Password string `json:"password"`
		Code     string `json:"code"`
	}
	if err := q.Decode(&in); err != nil {
		return Answer{}, err
	}
	ss, err := a.cfg.Accounts.RemoveFactor(q.Context(), q.Actor, account.Token(q.Request), in.Password, in.Code)
	return a.renewed(q, ss, err)
}
