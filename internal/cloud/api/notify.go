package api

import (
	"context"
	"net/http"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/notify"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
	"upsedge/internal/ups"
)

// ownPolicies is why routes of notification policies are no action of the matrix.
const ownPolicies = "policies of the own account, and nobody else's (NOTE-1)"

func (a *API) notifyRoutes() []route {
	const one = "/api/v1/notification-policies/{policy}"
	routes := []route{
		{method: http.MethodGet, pattern: "/api/v1/notification-policies", why: ownPolicies, read: a.listPolicies},
		{method: http.MethodPost, pattern: "/api/v1/notification-policies", why: ownPolicies, change: a.createPolicy},
		{method: http.MethodGet, pattern: one, why: ownPolicies, read: a.getPolicy},
		{method: http.MethodPatch, pattern: one, why: ownPolicies, change: a.changePolicy},
		{method: http.MethodDelete, pattern: one, why: ownPolicies, change: a.deletePolicy},
		{method: http.MethodPut, pattern: one + "/devices/{device}", needs: policy.NotifyAddDevice, change: a.addPolicyDevice},
		{method: http.MethodDelete, pattern: one + "/devices/{device}", why: ownPolicies, change: a.removePolicyDevice},
		{method: http.MethodGet, pattern: one + "/deliveries", why: ownPolicies, read: a.listDeliveries},
	}
	return append(routes, a.recipientRoutes()...)
}

// policyIn is a policy as it is asked for. What a change leaves out stays.
type policyIn struct {
	Name          *string   `json:"name"`
	Enabled       *bool     `json:"enabled"`
	LeastSeverity *string   `json:"least_severity"` // "": none by its severity
	Events        *[]string `json:"events"`
	Raised        *bool     `json:"raised"`
	Cleared       *bool     `json:"cleared"`
	Silence       *bool     `json:"no_communication"`
}

// over puts what was said over what was there.
func (in *policyIn) over(p *notify.Policy) error {
	put(&p.Name, in.Name)
	put(&p.Enabled, in.Enabled)
	put(&p.Events, in.Events)
	put(&p.Raised, in.Raised)
	put(&p.Cleared, in.Cleared)
	put(&p.Silence, in.Silence)
	if in.LeastSeverity == nil {
		return nil
	}
	if p.Least = 0; *in.LeastSeverity == "" {
		return nil
	}
	if err := p.Least.UnmarshalText([]byte(*in.LeastSeverity)); err != nil {
		return cloud.RefuseField(policy.Malformed, "least_severity", "it is informational, warning, critical or nothing")
	}
	return nil
}

func put[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

type policyBody struct {
	ID            string          `json:"id"`
	Name          string          `json:"name"`
	Enabled       bool            `json:"enabled"`
	LeastSeverity string          `json:"least_severity"`
	Events        []string        `json:"events"`
	Raised        bool            `json:"raised"`
	Cleared       bool            `json:"cleared"`
	Silence       bool            `json:"no_communication"`
	Devices       []memberBody    `json:"devices"`
	Recipients    []recipientBody `json:"recipients"`
	Created       Time            `json:"created_at"`
}

type memberBody struct {
	Device string `json:"device"`
	Added  Time   `json:"added_at"`
}

func (a *API) policyOf(ctx context.Context, tx *store.Tx, p *notify.Policy) (policyBody, error) {
	b := policyBody{
		ID: p.ID, Name: p.Name, Enabled: p.Enabled, Events: orEmpty(p.Events), Raised: p.Raised, Cleared: p.Cleared, Silence: p.Silence,
		Devices: []memberBody{}, Recipients: []recipientBody{}, Created: Time(p.Created),
	}
	if p.Least >= ups.Informational {
		b.LeastSeverity = p.Least.String()
	}
	devices, err := a.cfg.Notify.Devices(ctx, tx, p)
	if err != nil {
		return b, err
	}
	for _, m := range devices {
		b.Devices = append(b.Devices, memberBody{m.Device, Time(m.Added)})
	}
	recipients, err := a.cfg.Notify.Recipients(ctx, tx, p)
	for i := range recipients {
		b.Recipients = append(b.Recipients, recipientOf(&recipients[i]))
	}
	return b, err
}

func (a *API) listPolicies(q *Request) (Answer, error) {
	page, after, err := q.behind("np_")
	if err != nil {
		return Answer{}, err
	}
	var bodies []policyBody
	err = q.DB().Read(q.Context(), func(ctx context.Context, tx *store.Tx) error {
		bodies = nil
		list, err := a.cfg.Notify.List(ctx, tx, q.Actor, after, page.Limit+1)
		for i := range list {
			if err == nil {
				var b policyBody
				b, err = a.policyOf(ctx, tx, &list[i])
				bodies = append(bodies, b)
			}
		}
		return err
	})
	if err != nil {
		return Answer{}, err
	}
	list, err := Paged(page, bodies, func(b policyBody) any { return b.ID })
	return Answer{Body: list}, err
}

func (a *API) createPolicy(ctx context.Context, tx *store.Tx, q *Request) (Answer, error) {
	var in policyIn
	if err := q.Decode(&in); err != nil {
		return Answer{}, err
	}
	asked := notify.Policy{Enabled: true, Selection: notify.Selection{Raised: true, Cleared: true}}
	if err := in.over(&asked); err != nil {
		return Answer{}, err
	}
	p, err := a.cfg.Notify.Create(ctx, tx, q.Actor, asked)
	if err != nil {
		return Answer{}, err
	}
	b, err := a.policyOf(ctx, tx, p)
	return Answer{Status: http.StatusCreated, Body: b, Header: map[string]string{"Location": "/api/v1/notification-policies/" + p.ID}}, err
}

func (a *API) getPolicy(q *Request) (answer Answer, err error) {
	err = q.DB().Read(q.Context(), func(ctx context.Context, tx *store.Tx) error {
		p, err := a.cfg.Notify.Get(ctx, tx, q.Actor, q.PathValue("policy"))
		if err != nil {
			return err
		}
		b, err := a.policyOf(ctx, tx, p)
		answer = Answer{Body: b}
		return err
	})
	return answer, err
}

func (a *API) changePolicy(ctx context.Context, tx *store.Tx, q *Request) (Answer, error) {
	p, err := a.cfg.Notify.Get(ctx, tx, q.Actor, q.PathValue("policy"))
	if err != nil {
		return Answer{}, err
	}
	var in policyIn
	if err := q.Decode(&in); err != nil {
		return Answer{}, err
	}
	if err := in.over(p); err != nil {
		return Answer{}, err
	}
	if err := a.cfg.Notify.Change(ctx, tx, q.Actor, p); err != nil {
		return Answer{}, err
	}
	b, err := a.policyOf(ctx, tx, p)
	return Answer{Body: b}, err
}

func (a *API) deletePolicy(ctx context.Context, tx *store.Tx, q *Request) (Answer, error) {
	return Answer{}, a.cfg.Notify.Delete(ctx, tx, q.Actor, q.PathValue("policy"))
}

func (a *API) addPolicyDevice(ctx context.Context, tx *store.Tx, q *Request) (Answer, error) {
	id, dev := q.PathValue("policy"), q.PathValue("device")
	q.Refused = func(ctx context.Context, tx *store.Tx, refusal *cloud.Error) error {
		return device.LogRefusal(ctx, tx, q.Actor, dev, policy.NotifyAddDevice, map[string]string{"policy": id}, refusal)
	}
	return Answer{}, a.cfg.Notify.AddDevice(ctx, tx, q.Actor, id, dev)
}

func (a *API) removePolicyDevice(ctx context.Context, tx *store.Tx, q *Request) (Answer, error) {
	return Answer{}, a.cfg.Notify.RemoveDevice(ctx, tx, q.Actor, q.PathValue("policy"), q.PathValue("device"))
}

type deliveryBody struct {
	ID        string      `json:"id"`
	Recipient string      `json:"recipient"`
	Device    string      `json:"device,omitempty"`
	Channel   string      `json:"channel"`
	Kind      string      `json:"kind"`
	Code      string      `json:"code,omitempty"`
	Step      notify.Step `json:"event_state,omitempty"`
	State     string      `json:"state"`
	Attempts  int64       `json:"attempts"`
	Status    int64       `json:"http_status,omitempty"`
	Why       string      `json:"why,omitempty"`
	Created   Time        `json:"created_at"`
	Ended     *Time       `json:"ended_at"`
}

func (a *API) listDeliveries(q *Request) (Answer, error) {
	page, err := q.Page()
	if err != nil {
		return Answer{}, err
	}
	var behind notify.Position
	there, err := page.After(&behind)
	if err != nil {
		return Answer{}, err
	}
	from := &behind
	if !there {
		from = nil
	}
	var found []notify.Delivery
	err = q.DB().Read(q.Context(), func(ctx context.Context, tx *store.Tx) error {
		p, err := a.cfg.Notify.Get(ctx, tx, q.Actor, q.PathValue("policy"))
		if err == nil {
			found, err = a.cfg.Notify.Deliveries(ctx, tx, p, from, page.Limit+1)
		}
		return err
	})
	if err != nil {
		return Answer{}, err
	}
	bodies := []deliveryBody{}
	for _, d := range found {
		b := deliveryBody{d.ID, d.Recipient, d.Device, d.Channel, d.Kind, d.Code, d.Step, d.State, d.Attempts, d.Status, d.Why, Time(d.Created), nil}
		if !d.Ended.IsZero() {
			b.Ended = timeOf(d.Ended)
		}
		bodies = append(bodies, b)
	}
	list, err := Paged(page, bodies, func(b deliveryBody) any { return notify.Position{At: time.Time(b.Created).UnixMilli(), ID: b.ID} })
	return Answer{Body: list}, err
}
