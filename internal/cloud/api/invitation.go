package api

import (
	"context"
	"errors"
	"net/http"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/eventlog"
	"upsedge/internal/cloud/invitation"
	"upsedge/internal/cloud/job"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

func (a *API) invitationRoutes() []route {
	const (
		sent = "what the actor has sent; package invitation asks the matrix for share.invite where something is sent"
		code = "the code and the own address decide (INV-3); package invitation asks everything else for each device (INV-16)"
	)
	return []route{
		{method: http.MethodPost, pattern: "/api/v1/invitations", needs: policy.ShareInvite, change: a.inviteToShare},
		{method: http.MethodGet, pattern: "/api/v1/invitations", why: sent, read: a.sentInvitations},
		{method: http.MethodDelete, pattern: "/api/v1/invitations/{invitation}", why: sent, change: a.cancelShareInvitation},
		{method: http.MethodPost, pattern: "/api/v1/invitations/{invitation}/resend", needs: policy.ShareInvite, change: a.resendShareInvitation},
		{method: http.MethodPost, pattern: "/api/v1/invitations/accept", why: code, read: a.acceptShare},
		{method: http.MethodPost, pattern: "/api/v1/invitations/decline", why: code, read: a.declineShare},
	}
}

type shareInvitationBody struct {
	ID      string            `json:"id"`
	Email   string            `json:"email"`
	State   string            `json:"state"`
	Created Time              `json:"created_at"`
	Sent    Time              `json:"sent_at"` // the code, last
	Expires Time              `json:"expires_at"`
	Devices []shareDeviceBody `json:"devices"`
}

type shareDeviceBody struct {
	Device string `json:"device"`
	Number int    `json:"number"` // by which the letter calls it
	State  string `json:"state"`
}

func shareInvitationOf(i *invitation.Invitation) shareInvitationBody {
	b := shareInvitationBody{i.ID, i.Email, i.State, Time(i.Created), Time(i.Sent), Time(i.Expires), []shareDeviceBody{}}
	for _, item := range i.Items {
		b.Devices = append(b.Devices, shareDeviceBody{item.Device, item.Number, item.State})
	}
	return b
}

// outcomeBody is what became of one device of a request (SHARE-5).
type outcomeBody struct {
	Device  string        `json:"device"`
	Number  int           `json:"number,omitempty"`
	Outcome string        `json:"outcome"` // invited, accepted, refused
	Reason  policy.Reason `json:"reason,omitempty"`
	Detail  string        `json:"detail,omitempty"`
	Free    *int          `json:"free_places,omitempty"`
}

func outcomesOf(done string, list []invitation.Outcome) []outcomeBody {
	out := []outcomeBody{}
	for _, o := range list {
		b := outcomeBody{Device: o.Device, Number: o.Number, Outcome: done}
		if o.Refused != nil {
			b.Outcome, b.Reason, b.Detail = "refused", o.Refused.Reason, o.Refused.Detail
		}
		if o.Free != invitation.NotTold {
			b.Free = &o.Free
		}
		out = append(out, b)
	}
	return out
}

// refusedOutcomes are those of a request of which nothing was done, nil for every other error.
func refusedOutcomes(err error) []outcomeBody {
	var refused *invitation.RefusedError
	if errors.As(err, &refused) {
		return outcomesOf("", refused.Outcomes)
	}
	var ofJob *job.RefusedError
	if errors.As(err, &ofJob) {
		return jobOutcomes(ofJob.Outcomes)
	}
	return nil
}

type invitedBody struct {
	Invitation shareInvitationBody `json:"invitation"`
	Outcomes   []outcomeBody       `json:"outcomes"`
}

func (a *API) inviteToShare(ctx context.Context, tx *store.Tx, q *Request) (Answer, error) {
	var in struct {
		Devices []string `json:"devices"`
		Email   string   `json:"email"`
	}
	if err := q.Decode(&in); err != nil {
		return Answer{}, err
	}
	for n := range in.Devices {
		in.Devices[n] = eventlog.Clean(in.Devices[n]) // what is no id is nobody's (PERM-9)
	}
	i, outcomes, err := a.cfg.Invitations.Invite(ctx, tx, q.Actor, in.Devices, in.Email)
	if err != nil {
		q.Refused = func(ctx context.Context, tx *store.Tx, _ *cloud.Error) error {
			return invitation.LogRefused(ctx, tx, q.Actor, in.Devices, err)
		}
		return Answer{}, err
	}
	return Answer{Status: http.StatusCreated, Body: invitedBody{shareInvitationOf(i), outcomesOf("invited", outcomes)}}, nil
}

func (a *API) sentInvitations(q *Request) (Answer, error) {
	p, after, err := q.behind("si_")
	if err != nil {
		return Answer{}, err
	}
	of := eventlog.Clean(q.URL.Query().Get("device"))
	var list []shareInvitationBody
	err = q.DB().Read(q.Context(), func(ctx context.Context, tx *store.Tx) error {
		found, err := invitation.List(ctx, tx, q.Actor, of, after, q.Now, p.Limit+1)
		list = nil
		for _, i := range found {
			list = append(list, shareInvitationOf(i))
		}
		return err
	})
	if err != nil {
		return Answer{}, err
	}
	page, err := Paged(p, list, func(i shareInvitationBody) any { return i.ID })
	return Answer{Body: page}, err
}

// logStep has a refusal to change an invitation logged.
func (q *Request) logStep(resend bool) {
	q.Refused = func(ctx context.Context, tx *store.Tx, refused *cloud.Error) error {
		return q.api.cfg.Invitations.LogStep(ctx, tx, q.Actor, q.PathValue("invitation"), resend, refused)
	}
}

func (a *API) cancelShareInvitation(ctx context.Context, tx *store.Tx, q *Request) (Answer, error) {
	q.logStep(false)
	return Answer{}, a.cfg.Invitations.Cancel(ctx, tx, q.Actor, q.PathValue("invitation"))
}

func (a *API) resendShareInvitation(ctx context.Context, tx *store.Tx, q *Request) (Answer, error) {
	q.logStep(true)
	i, err := a.cfg.Invitations.Resend(ctx, tx, q.Actor, q.PathValue("invitation"))
	if err != nil {
		return Answer{}, err
	}
	return Answer{Body: shareInvitationOf(i)}, nil
}

type codeBody struct {
	Code string `json:"code"`
}

type acceptedBody struct {
	Invitation string        `json:"invitation"`
	Outcomes   []outcomeBody `json:"outcomes"`
}

func (a *API) acceptShare(q *Request) (Answer, error) {
	var in codeBody
	if err := q.Decode(&in); err != nil {
		return Answer{}, err
	}
	id, outcomes, err := a.cfg.Invitations.Accept(q.Context(), q.Actor, in.Code)
	if err != nil {
		return Answer{}, err
	}
	return Answer{Body: acceptedBody{id, outcomesOf("accepted", outcomes)}}, nil
}

func (a *API) declineShare(q *Request) (Answer, error) {
	var in codeBody
	if err := q.Decode(&in); err != nil {
		return Answer{}, err
	}
	return Answer{}, a.cfg.Invitations.Decline(q.Context(), q.Actor, in.Code)
}
