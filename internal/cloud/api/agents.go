package api

import (
	"context"
	"encoding/base64"
	"net/http"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/authority"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

func (a *API) agentRoutes() []route {
	const token = "the token, or the certificate of the connection, says who asks"
	return []route{
		{method: http.MethodPost, pattern: "/api/v1/agents/tokens", needs: policy.AgentEnroll, change: a.issueToken},
		{method: http.MethodGet, pattern: "/api/v1/agents/tokens", needs: policy.AgentEnroll, read: a.listTokens},
		{method: http.MethodDelete, pattern: "/api/v1/agents/tokens/{id}", needs: policy.AgentEnroll, change: a.endToken},
		{method: http.MethodGet, pattern: "/api/v1/agents", why: "who acts for the organisation sees its agents", read: a.listAgents},
		{method: http.MethodDelete, pattern: "/api/v1/agents/{id}", needs: policy.AgentRemove, change: a.removeAgent},
		{method: http.MethodPost, pattern: "/api/v1/enrol", why: token, public: token, change: a.enrol},
		{method: http.MethodPost, pattern: "/api/v1/agents/self/certificate", why: token, public: token, change: a.renewAgent},
	}
}

type tokenAnswer struct {
	ID      string `json:"id"`
	Token   string `json:"token"`
	Name    string `json:"name"`
	Expires Time   `json:"expires_at"`
}

func (a *API) issueToken(ctx context.Context, tx *store.Tx, q *Request) (Answer, error) {
	var in struct {
		Name string `json:"name"`
	}
	if err := q.Decode(&in); err != nil {
		return Answer{}, err
	}
	t, err := a.cfg.Agents.IssueToken(ctx, tx, q.Actor, in.Name)
	if err != nil {
		return Answer{}, err
	}
	return Answer{Status: http.StatusCreated, Body: tokenAnswer{t.ID, t.Text, t.Name, Time(t.Expires)}, Secret: true}, nil
}

type openToken struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Expires Time   `json:"expires_at"`
}

func (a *API) listTokens(q *Request) (Answer, error) {
	list := List[openToken]{Items: []openToken{}}
	err := q.DB().Read(q.Context(), func(ctx context.Context, tx *store.Tx) error {
		tokens, err := a.cfg.Agents.Tokens(ctx, tx, q.Actor)
		list.Items = list.Items[:0]
		for _, t := range tokens {
			list.Items = append(list.Items, openToken{t.ID, t.Name, Time(t.Expires)})
		}
		return err
	})
	return Answer{Body: list}, err
}

func (a *API) endToken(ctx context.Context, tx *store.Tx, q *Request) (Answer, error) {
	return Answer{}, a.cfg.Agents.EndToken(ctx, tx, q.Actor, q.PathValue("id"))
}

type agentAnswer struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Enrolled Time   `json:"enrolled_at"`
	Ends     Time   `json:"certificate_ends_at"`
}

// agentPlace is where a page of agents ends.
type agentPlace struct {
	At int64  `json:"a"`
	ID string `json:"i"`
}

func (a *API) listAgents(q *Request) (Answer, error) {
	page, err := q.Page()
	if err != nil {
		return Answer{}, err
	}
	var place agentPlace
	var behind *authority.Agent
	if more, err := page.After(&place); err != nil {
		return Answer{}, err
	} else if more {
		behind = &authority.Agent{ID: place.ID, Enrolled: time.UnixMilli(place.At)}
	}
	var agents []authority.Agent
	err = q.DB().Read(q.Context(), func(ctx context.Context, tx *store.Tx) (err error) {
		agents, err = a.cfg.Agents.List(ctx, tx, q.Actor.Org, behind, page.Limit+1)
		return err
	})
	if err != nil {
		return Answer{}, err
	}
	items := []agentAnswer{}
	for _, g := range agents {
		items = append(items, agentAnswer{g.ID, g.Name, Time(g.Enrolled), Time(g.Ends)})
	}
	list, err := Paged(page, items, func(g agentAnswer) any { return agentPlace{time.Time(g.Enrolled).UnixMilli(), g.ID} })
	return Answer{Body: list}, err
}

func (a *API) removeAgent(ctx context.Context, tx *store.Tx, q *Request) (Answer, error) {
	return Answer{}, a.cfg.Agents.Revoke(ctx, tx, q.Actor, q.PathValue("id"))
}

// enrolment is what an agent needs to know of its cloud.
type enrolment struct {
	Agent       string   `json:"agent"`
	Certificate string   `json:"certificate"`
	Ends        Time     `json:"certificate_ends_at"`
	Authority   string   `json:"authority,omitempty"`
	Root        string   `json:"root"`
	Brokers     []string `json:"brokers"`
}

func enrolled(status int, e *authority.Enrolment) Answer {
	return Answer{Status: status, Body: enrolment{
		e.Agent, string(e.Certificate), Time(e.Ends), string(e.Authority), base64.RawURLEncoding.EncodeToString(e.Root), e.Brokers,
	}}
}

func (a *API) enrol(ctx context.Context, tx *store.Tx, q *Request) (Answer, error) {
	var in struct {
		Token string `json:"token"`
		CSR   string `json:"csr"`
	}
	if err := q.Decode(&in); err != nil {
		return Answer{}, err
	}
	e, err := a.cfg.Agents.Enrol(ctx, tx, q.Actor, in.Token, []byte(in.CSR))
	if err != nil {
		q.Refused = func(ctx context.Context, tx *store.Tx, _ *cloud.Error) error {
			return a.cfg.Agents.NoteRefused(ctx, tx, q.Actor, err)
		}
		return Answer{}, err
	}
	return enrolled(http.StatusCreated, e), nil
}

func (a *API) renewAgent(ctx context.Context, tx *store.Tx, q *Request) (Answer, error) {
	if q.TLS == nil || len(q.TLS.PeerCertificates) == 0 {
		return Answer{}, cloud.Refuse(policy.Unauthenticated, "this is for agents: connect with the agent's certificate")
	}
	var in struct {
		CSR string `json:"csr"`
	}
	if err := q.Decode(&in); err != nil {
		return Answer{}, err
	}
	e, err := a.cfg.Agents.Renew(ctx, tx, q.Actor, q.TLS.PeerCertificates[0], []byte(in.CSR))
	if err != nil {
		return Answer{}, err
	}
	return enrolled(http.StatusOK, e), nil
}
