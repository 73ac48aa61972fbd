package api

import (
	"context"
	"net/http"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/account"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

func (a *API) organisationRoutes() []route {
	return []route{
		{method: http.MethodGet, pattern: "/api/v1/organisation", why: ownAccount, read: a.organisation},
		{method: http.MethodPatch, pattern: "/api/v1/organisation", why: ownAccount, change: a.renameOrganisation},
		{method: http.MethodGet, pattern: "/api/v1/organisation/members", why: ownAccount, read: a.members},
		{method: http.MethodGet, pattern: "/api/v1/organisation/invitations", why: ownAccount, read: a.invitations},
		{method: http.MethodPost, pattern: "/api/v1/organisation/invitations", why: ownAccount, change: a.invite},
		{method: http.MethodDelete, pattern: "/api/v1/organisation/invitations/{invitation}", why: ownAccount, change: a.cancelInvitation},
		{method: http.MethodPost, pattern: "/api/v1/organisation/invitations/{invitation}/resend", why: ownAccount, change: a.resendInvitation},
		{method: http.MethodPost, pattern: "/api/v1/organisation/invitations/accept", why: ownAccount, read: a.join},
		{method: http.MethodPost, pattern: "/api/v1/organisation/invitations/decline", why: ownAccount, read: a.declineToJoin},
	}
}

type organisationBody struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Created Time   `json:"created_at"`
}

func organisationOf(o *account.Organisation) *organisationBody {
	return &organisationBody{o.ID, o.Name, Time(o.Created)}
}

func (a *API) organisation(q *Request) (answer Answer, err error) {
	err = q.DB().Read(q.Context(), func(ctx context.Context, tx *store.Tx) error {
		o, err := a.cfg.Accounts.Organisation(ctx, tx, q.Actor)
		if err == nil {
			answer = Answer{Body: organisationOf(o)}
		}
		return err
	})
	return answer, err
}

func (a *API) renameOrganisation(ctx context.Context, tx *store.Tx, q *Request) (Answer, error) {
	var in struct {
		Name string `json:"name"`
	}
	if err := q.Decode(&in); err != nil {
		return Answer{}, err
	}
	o, err := a.cfg.Accounts.RenameOrganisation(ctx, tx, q.Actor, in.Name)
	if err != nil {
		return Answer{}, err
	}
	return Answer{Body: organisationOf(o)}, nil
}

// behind reads where a page of things with ids of one kind begins.
func (q *Request) behind(prefix string) (p Page, after string, err error) {
	if p, err = q.Page(); err != nil {
		return p, "", err
	}
	there, err := p.After(&after)
	if err == nil && there && !cloud.CheckID(prefix, after) {
		err = cloud.RefuseField(policy.Malformed, "cursor", "it is not one that an answer of this list gave")
	}
	return p, after, err
}

// memberOf is an account as its organisation sees it.
func memberOf(who *account.Account) accountBody {
	return accountBody{ID: who.ID, Actor: who.Actor, Name: who.Name, Email: who.Email, Created: Time(who.Created)}
}

func (a *API) members(q *Request) (Answer, error) {
	p, after, err := q.behind("a_")
	if err != nil {
		return Answer{}, err
	}
	var list []accountBody
	err = q.DB().Read(q.Context(), func(ctx context.Context, tx *store.Tx) error {
		found, err := a.cfg.Accounts.Members(ctx, tx, q.Actor, after, p.Limit+1)
		list = nil
		for _, who := range found {
			list = append(list, memberOf(who))
		}
		return err
	})
	if err != nil {
		return Answer{}, err
	}
	page, err := Paged(p, list, func(m accountBody) any { return m.ID })
	return Answer{Body: page}, err
}

type invitationBody struct {
	ID      string `json:"id"`
	Email   string `json:"email"`
	State   string `json:"state"`
	Inviter string `json:"invited_by"`
	Created Time   `json:"created_at"`
	Expires Time   `json:"expires_at"`
}

func invitationOf(i *account.Invitation) invitationBody {
	return invitationBody{i.ID, i.Email, i.State, i.Inviter, Time(i.Created), Time(i.Expires)}
}

func (a *API) invitations(q *Request) (Answer, error) {
	p, after, err := q.behind("i_")
	if err != nil {
		return Answer{}, err
	}
	var list []invitationBody
	err = q.DB().Read(q.Context(), func(ctx context.Context, tx *store.Tx) error {
		found, err := a.cfg.Accounts.Invitations(ctx, tx, q.Actor, after, p.Limit+1)
		list = nil
		for _, i := range found {
			list = append(list, invitationOf(i))
		}
		return err
	})
	if err != nil {
		return Answer{}, err
	}
	page, err := Paged(p, list, func(i invitationBody) any { return i.ID })
	return Answer{Body: page}, err
}

func (a *API) invite(ctx context.Context, tx *store.Tx, q *Request) (Answer, error) {
	var in struct {
		Email string `json:"email"`
	}
	if err := q.Decode(&in); err != nil {
		return Answer{}, err
	}
	i, err := a.cfg.Accounts.Invite(ctx, tx, q.Actor, in.Email)
	if err != nil {
		return Answer{}, err
	}
	return Answer{Status: http.StatusCreated, Body: invitationOf(i)}, nil
}

func (a *API) cancelInvitation(ctx context.Context, tx *store.Tx, q *Request) (Answer, error) {
	return Answer{}, a.cfg.Accounts.CancelInvitation(ctx, tx, q.Actor, q.PathValue("invitation"))
}

func (a *API) resendInvitation(ctx context.Context, tx *store.Tx, q *Request) (Answer, error) {
	i, err := a.cfg.Accounts.ResendInvitation(ctx, tx, q.Actor, q.PathValue("invitation"))
	if err != nil {
		return Answer{}, err
	}
	return Answer{Body: invitationOf(i)}, nil
}

func (a *API) join(q *Request) (Answer, error) {
	var in struct {
		Code string `json:"code"`
	}
	if err := q.Decode(&in); err != nil {
		return Answer{}, err
	}
	ss, err := a.cfg.Accounts.Join(q.Context(), q.Actor, account.Token(q.Request), in.Code)
	return a.renewed(q, ss, err)
}

func (a *API) declineToJoin(q *Request) (Answer, error) {
	var in codeBody
	if err := q.Decode(&in); err != nil {
		return Answer{}, err
	}
	return Answer{}, a.cfg.Accounts.DeclineInvitation(q.Context(), q.Actor, account.Token(q.Request), in.Code)
}
