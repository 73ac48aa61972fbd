package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/job"
	"upsedge/internal/cloud/order"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

func (a *API) orderRoutes() []route {
	const decides = "the action of the order is what is asked of the matrix"
	return []route{
		{method: http.MethodPost, pattern: "/api/v1/devices/{id}/orders", why: decides, change: a.createOrder},
		{method: http.MethodPost, pattern: "/api/v1/devices/{id}/orders/preview", why: decides, read: a.previewOrder},
		{method: http.MethodGet, pattern: "/api/v1/devices/{id}/orders", needs: policy.EventLogRead, read: a.listOrders},
		{method: http.MethodGet, pattern: "/api/v1/devices/{id}/events", needs: policy.EventLogRead, read: func(q *Request) (Answer, error) {
			return a.feed(q, q.PathValue("id"), "")
		}},
		{method: http.MethodGet, pattern: "/api/v1/orders/{id}", needs: policy.EventLogRead, read: a.getOrder},
		{method: http.MethodPost, pattern: "/api/v1/orders/{id}/cancel", needs: policy.OrderCancel, change: a.cancelOrder},
		{method: http.MethodGet, pattern: "/api/v1/orders/{id}/events", needs: policy.EventLogRead, read: func(q *Request) (Answer, error) {
			return a.feed(q, "", q.PathValue("id"))
		}},
	}
}

// orderJSON is an order as the interface shows it.
type orderJSON struct {
	ID          string            `json:"id"`
	Device      string            `json:"device"`
	Action      policy.Action     `json:"action"`
	Params      map[string]string `json:"params"`
	Actor       string            `json:"actor"`
	Role        policy.Role       `json:"role"`
	RequestedAt Time              `json:"requested_at"`
	ExpiresAt   Time              `json:"expires_at"`
	State       string            `json:"state"`
	Final       bool              `json:"final"`
	Reason      policy.Reason     `json:"reason,omitempty"`
	Detail      string            `json:"detail,omitempty"`
	Progress    int               `json:"progress,omitempty"`
	Decided     string            `json:"decided"`
	Raw         map[string]*int64 `json:"raw,omitempty"`
	SentAt      *Time             `json:"sent_at,omitempty"`
	UpdatedAt   Time              `json:"updated_at"`
	FinalAt     *Time             `json:"final_at,omitempty"`
	Late        *lateJSON         `json:"late,omitempty"`
	Cancel      string            `json:"cancel,omitempty"`
	Job         string            `json:"job,omitempty"`
	Warnings    []warningJSON     `json:"warnings,omitempty"`
}

type lateJSON struct {
	State  string        `json:"state"`
	Reason policy.Reason `json:"reason,omitempty"`
	Detail string        `json:"detail,omitempty"`
	At     Time          `json:"at"`
}

type warningJSON struct {
	Reason policy.Reason `json:"reason,omitempty"`
	Detail string        `json:"detail"`
}

func showOrder(o *order.Order) orderJSON {
	out := orderJSON{
		ID: o.ID.String(), Device: o.Device, Action: o.Action, Params: o.Params, Actor: o.Actor.Ref, Role: o.Role, RequestedAt: Time(o.RequestedAt),
		ExpiresAt: Time(o.ExpiresAt), State: string(o.State), Final: o.State.Final(), Reason: o.Reason, Detail: o.Detail, Progress: o.Progress,
		Decided: o.Decided, Raw: o.Raw, SentAt: mayTime(o.SentAt), UpdatedAt: Time(o.UpdatedAt), FinalAt: mayTime(o.FinalAt), Cancel: o.Cancel, Job: o.Job,
	}
	if l := o.Late; l != nil {
		out.Late = &lateJSON{string(l.State), l.Reason, l.Detail, Time(l.At)}
	}
	return out
}

// mayTime is nil for the zero time.
func mayTime(t time.Time) *Time {
	if t.IsZero() {
		return nil
	}
	out := Time(t)
	return &out
}

// orderRequest reads what is to be ordered.
func (q *Request) orderRequest(r *order.Request) error {
	var body struct {
		Action policy.Action     `json:"action"`
		Params map[string]string `json:"params"`
		Absent string            `json:"on_offline"`
	}
	if err := q.Decode(&body); err != nil {
		return err
	}
	r.Action, r.Params = body.Action, body.Params
	switch body.Absent {
	case job.Reject:
		r.Reject = true
	case "", job.Queue:
	default:
		return cloud.RefuseField(policy.Malformed, "on_offline", "%.20q is neither %s nor %s", body.Absent, job.Queue, job.Reject)
	}
	return nil
}

func (a *API) createOrder(ctx context.Context, tx *store.Tx, q *Request) (Answer, error) {
	r := order.Request{Device: q.PathValue("id")}
	q.Refused = func(ctx context.Context, tx *store.Tx, refusal *cloud.Error) error {
		return a.cfg.Orders.Refused(ctx, tx, q.Actor, r, refusal)
	}
	if err := q.orderRequest(&r); err != nil {
		return Answer{}, err
	}
	c, err := a.cfg.Orders.Create(ctx, tx, q.Actor, r)
	if err != nil {
		return Answer{}, err
	}
	out := showOrder(c.Order)
	for _, w := range c.Warnings {
		out.Warnings = append(out.Warnings, warningJSON(w))
	}
	return Answer{Status: http.StatusCreated, Body: out, Header: map[string]string{"Location": "/api/v1/orders/" + out.ID}}, nil
}

// doubtJSON is one reason why an order would be refused.
type doubtJSON struct {
	Reason policy.Reason `json:"reason"`
	Detail string        `json:"detail"`
	By     string        `json:"by"`
}

// previewOrder says what would become of an order, and writes nothing.
func (a *API) previewOrder(q *Request) (Answer, error) {
	r := order.Request{Device: q.PathValue("id")}
	if err := q.orderRequest(&r); err != nil {
		return Answer{}, err
	}
	out := struct {
		Would   string      `json:"would"`
		Reasons []doubtJSON `json:"reasons"`
	}{"accepted", []doubtJSON{}}
	err := q.DB().Read(q.Context(), func(ctx context.Context, tx *store.Tx) error {
		out.Would, out.Reasons = "accepted", []doubtJSON{}
		all, err := a.cfg.Orders.Preview(ctx, tx, q.Actor, r)
		for _, d := range all {
			out.Would, out.Reasons = "refused", append(out.Reasons, doubtJSON(d))
		}
		return err
	})
	return Answer{Body: out}, err
}

func (a *API) cancelOrder(ctx context.Context, tx *store.Tx, q *Request) (Answer, error) {
	id := q.PathValue("id")
	q.Refused = func(ctx context.Context, tx *store.Tx, refusal *cloud.Error) error {
		return a.cfg.Orders.RefusedCancel(ctx, tx, q.Actor, id, refusal)
	}
	target, _, err := a.cfg.Orders.Cancel(ctx, tx, q.Actor, id)
	if err != nil {
		return Answer{}, err
	}
	status := http.StatusOK
	if !target.State.Final() {
		status = http.StatusAccepted // the agent decides
	}
	return Answer{Status: status, Body: showOrder(target)}, nil
}

func (a *API) getOrder(q *Request) (answer Answer, err error) {
	err = q.DB().Read(q.Context(), func(ctx context.Context, tx *store.Tx) error {
		o, err := a.cfg.Orders.Get(ctx, tx, q.Actor, q.PathValue("id"))
		if err == nil {
			answer.Body = showOrder(o)
		}
		return err
	})
	return answer, err
}

func (a *API) listOrders(q *Request) (Answer, error) {
	page, err := q.Page()
	if err != nil {
		return Answer{}, err
	}
	var position order.Position
	after := &position
	if more, err := page.After(after); err != nil {
		return Answer{}, err
	} else if !more {
		after = nil
	}
	var items []orderJSON
	var positions []order.Position
	err = q.DB().Read(q.Context(), func(ctx context.Context, tx *store.Tx) error {
		items, positions = nil, nil
		orders, err := a.cfg.Orders.List(ctx, tx, q.Actor, q.PathValue("id"), after, page.Limit+1)
		for _, o := range orders {
			items, positions = append(items, showOrder(o)), append(positions, o.Position())
		}
		return err
	})
	if err != nil {
		return Answer{}, err
	}
	list, err := Paged(page, items, func(orderJSON) any { return positions[page.Limit-1] })
	return Answer{Body: list}, err
}

// eventJSON is one event of a feed.
type eventJSON struct {
	Order    string        `json:"order"`
	Action   policy.Action `json:"action"`
	State    string        `json:"state"`
	Final    bool          `json:"final"`
	Reason   policy.Reason `json:"reason,omitempty"`
	Progress int           `json:"progress,omitempty"`
	Detail   string        `json:"detail,omitempty"`
	At       Time          `json:"at"`
	Arrived  Time          `json:"arrived"`
	Decided  string        `json:"decided"`
	Kind     string        `json:"kind,omitempty"`
}

// feed answers with server-sent events: "state" events with their number as id, where a reader goes on with Last-Event-ID; comments
// in between; at last "end", whose data has a reason where the right to listen has ended.
func (a *API) feed(q *Request, device, id string) (Answer, error) {
	var after uint64
	if text := q.Header.Get("Last-Event-ID"); text != "" {
		var err error
		if after, err = strconv.ParseUint(text, 10, 63); err != nil {
			return Answer{}, cloud.RefuseField(policy.Malformed, "Last-Event-ID", "%.40q is no number of an event", text)
		}
	}
	alive := func(context.Context) error {
		_, err := a.cfg.Authenticate(q.Request)
		return err
	}
	f, err := a.cfg.Orders.Subscribe(q.Context(), q.Actor, device, id, after, alive)
	if err != nil {
		return Answer{}, err
	}
	context.AfterFunc(q.Context(), f.Close) // whatever happens between here and Run
	return Answer{Header: map[string]string{"Content-Type": "text/event-stream"}, Stream: func(ctx context.Context, w http.ResponseWriter) error {
		return runFeed(ctx, f, w)
	}}, nil
}

func runFeed(ctx context.Context, f *order.Feed, w http.ResponseWriter) error {
	out := http.NewResponseController(w)
	say := func(text []byte) error {
		if _, err := w.Write(text); err != nil {
			return err
		}
		return out.Flush()
	}
	if err := say([]byte(": events\n\n")); err != nil {
		return err
	}
	err := f.Run(ctx, func(events []order.Event) error {
		text, err := feedText(events)
		if err != nil {
			return err
		}
		return say(text)
	})
	var refusal *cloud.Error
	switch {
	case err == nil:
		return say([]byte("event: end\ndata: {}\n\n"))
	case errors.As(err, &refusal):
		return say(fmt.Appendf(nil, "event: end\ndata: {\"reason\":%q}\n\n", refusal.Reason))
	}
	if ctx.Err() != nil {
		return nil // every event is whole: who listens goes on elsewhere
	}
	return err
}

func feedText(events []order.Event) ([]byte, error) {
	if len(events) == 0 {
		return []byte(":\n\n"), nil
	}
	var text []byte
	for _, e := range events {
		data, err := json.Marshal(eventJSON{
			e.Order, e.Action, string(e.State), e.State.Final(), e.Reason, e.Progress, e.Detail, Time(e.At), Time(e.Arrived), e.Decided, e.Kind,
		})
		if err != nil {
			return nil, err
		}
		text = fmt.Appendf(text, "id: %d\nevent: state\ndata: %s\n\n", e.Number, data)
	}
	return text, nil
}
