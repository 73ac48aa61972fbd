package api

import (
	"context"
	"net/http"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/notify"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

func (a *API) recipientRoutes() []route {
	const all = "/api/v1/notification-policies/{policy}/recipients"
	const one = all + "/{recipient}"
	const reader = "who has the code has read the letter; the address need not belong to an account"
	return []route{
		{method: http.MethodPost, pattern: all, why: ownPolicies, change: a.addRecipient},
		{method: http.MethodPatch, pattern: one, why: ownPolicies, change: a.switchRecipient},
		{method: http.MethodDelete, pattern: one, why: ownPolicies, change: a.removeRecipient},
		{method: http.MethodPost, pattern: one + "/resend", why: ownPolicies, change: a.resendRecipient},
		{method: http.MethodPost, pattern: one + "/secret", why: ownPolicies, change: a.rotateSecret},
		{method: http.MethodPost, pattern: one + "/test", why: ownPolicies, change: a.testRecipient},
		{method: http.MethodPost, pattern: "/api/v1/notification-recipients/confirm", why: reader, public: reader, read: a.confirmRecipient},
		{method: http.MethodPost, pattern: "/api/v1/notification-recipients/leave", why: reader, public: reader, read: a.leaveRecipient},
	}
}

type recipientBody struct {
	ID      string `json:"id"`
	Kind    string `json:"kind"`
	Email   string `json:"email,omitempty"`
	URL     string `json:"url,omitempty"`
	State   string `json:"state"`
	Secret  string `json:"secret,omitempty"` // where it was just made
	Failing *Time  `json:"failing_since"`
	Created Time   `json:"created_at"`
}

func recipientOf(r *notify.Recipient) recipientBody {
	b := recipientBody{ID: r.ID, Kind: r.Kind, State: r.State, Created: Time(r.Created)}
	switch r.Kind {
	case notify.KindMail:
		b.Email = r.Address
	case notify.KindWebhook:
		b.URL = r.Address
	}
	if !r.Failing.IsZero() {
		b.Failing = timeOf(r.Failing)
	}
	return b
}

// secretly is an answer with a webhook's secret, which nobody is told again.
func secretly(status int, r *notify.Recipient) Answer {
	b := recipientOf(r)
	b.Secret = r.Secret
	return Answer{Status: status, Body: b, Secret: r.Kind == notify.KindWebhook}
}

func (a *API) addRecipient(ctx context.Context, tx *store.Tx, q *Request) (Answer, error) {
	var in struct {
		Kind  string `json:"kind"`
		Email string `json:"email"`
		URL   string `json:"url"`
	}
	if err := q.Decode(&in); err != nil {
		return Answer{}, err
	}
	if in.Email != "" && in.Kind != notify.KindMail {
		return Answer{}, cloud.RefuseField(policy.Malformed, "email", "it is for the kind mail")
	}
	if in.URL != "" && in.Kind != notify.KindWebhook {
		return Answer{}, cloud.RefuseField(policy.Malformed, "url", "it is for the kind webhook")
	}
	r, err := a.cfg.Notify.AddRecipient(ctx, tx, q.Actor, q.PathValue("policy"), in.Kind, in.Email+in.URL)
	if err != nil {
		return Answer{}, err
	}
	return secretly(http.StatusCreated, r), nil
}

func (a *API) switchRecipient(ctx context.Context, tx *store.Tx, q *Request) (Answer, error) {
	var in struct {
		Enabled *bool `json:"enabled"`
	}
	if err := q.Decode(&in); err != nil {
		return Answer{}, err
	}
	if in.Enabled == nil {
		return Answer{}, cloud.RefuseField(policy.Malformed, "enabled", "it is wanted")
	}
	r, err := a.cfg.Notify.Switch(ctx, tx, q.Actor, q.PathValue("policy"), q.PathValue("recipient"), *in.Enabled)
	if err != nil {
		return Answer{}, err
	}
	return Answer{Body: recipientOf(r)}, nil
}

func (a *API) removeRecipient(ctx context.Context, tx *store.Tx, q *Request) (Answer, error) {
	return Answer{}, a.cfg.Notify.RemoveRecipient(ctx, tx, q.Actor, q.PathValue("policy"), q.PathValue("recipient"))
}

func (a *API) resendRecipient(ctx context.Context, tx *store.Tx, q *Request) (Answer, error) {
	r, err := a.cfg.Notify.Resend(ctx, tx, q.Actor, q.PathValue("policy"), q.PathValue("recipient"))
	if err != nil {
		return Answer{}, err
	}
	return Answer{Body: recipientOf(r)}, nil
}

func (a *API) rotateSecret(ctx context.Context, tx *store.Tx, q *Request) (Answer, error) {
	r, err := a.cfg.Notify.Rotate(ctx, tx, q.Actor, q.PathValue("policy"), q.PathValue("recipient"))
	if err != nil {
		return Answer{}, err
	}
	return secretly(http.StatusOK, r), nil
}

func (a *API) testRecipient(ctx context.Context, tx *store.Tx, q *Request) (Answer, error) {
	id, err := a.cfg.Notify.Test(ctx, tx, q.Actor, q.PathValue("policy"), q.PathValue("recipient"))
	if err != nil {
		return Answer{}, err
	}
	return Answer{Status: http.StatusAccepted, Body: struct {
		Delivery string `json:"delivery"`
	}{id}}, nil
}

// letterIn is what a letter to somebody else's address has.
type letterIn struct {
	Recipient string `json:"recipient"`
	Code      string `json:"code"`
}

func (a *API) confirmRecipient(q *Request) (Answer, error) {
	var in letterIn
	if err := q.Decode(&in); err != nil {
		return Answer{}, err
	}
	return Answer{}, a.cfg.Notify.Confirm(q.Context(), q.Actor, in.Recipient, in.Code)
}

func (a *API) leaveRecipient(q *Request) (Answer, error) {
	var in letterIn
	if err := q.Decode(&in); err != nil {
		return Answer{}, err
	}
	return Answer{}, a.cfg.Notify.Leave(q.Context(), q.Actor, in.Recipient, in.Code)
}
