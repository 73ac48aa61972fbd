package api

import (
	"context"
	"io"
	"net/http"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/eventlog"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

func (a *API) logRoutes() []route {
	const members = "the own organisation's entries, and those of what the actor owns"
	routes := []route{
		{method: http.MethodGet, pattern: "/api/v1/devices/{id}/log", needs: policy.EventLogRead, read: a.deviceLog},
		{method: http.MethodGet, pattern: "/api/v1/devices/{id}/log/head", needs: policy.EventLogRead, read: a.deviceLogHead},
		{method: http.MethodGet, pattern: "/api/v1/log", why: members, read: a.organisationLog},
	}
	for _, format := range []string{eventlog.CSV, eventlog.JSON} {
		routes = append(routes,
			route{method: http.MethodGet, pattern: "/api/v1/devices/{id}/log." + format, needs: policy.EventLogRead, read: func(q *Request) (Answer, error) {
				return a.exportDeviceLog(q, format)
			}},
			route{method: http.MethodGet, pattern: "/api/v1/log." + format, why: members, read: func(q *Request) (Answer, error) {
				return a.exportOrganisationLog(q, format)
			}})
	}
	return routes
}

// logFilter reads what is asked for of a log.
func (q *Request) logFilter() (f eventlog.Filter, err error) {
	if f.From, err = q.QueryTime("from", time.Time{}); err != nil {
		return f, err
	}
	if f.To, err = q.QueryTime("to", time.Time{}); err != nil {
		return f, err
	}
	for name, to := range map[string]*string{"device": &f.Device, "actor": &f.Actor, "action": &f.Action, "outcome": &f.Outcome} {
		*to = q.URL.Query().Get(name)
		if len(*to) > 64 || !eventlog.Printable(*to) {
			return f, cloud.RefuseField(policy.Malformed, name, "at most 64 printable characters")
		}
	}
	return f, nil
}

func (a *API) deviceLog(q *Request) (Answer, error) {
	id := q.PathValue("id")
	return a.logPage(q, func(fn func(ctx context.Context, tx *store.Tx, v eventlog.View) error) error {
		return q.reading(policy.EventLogRead, func(ctx context.Context, tx *store.Tx, _ *device.Device, right device.Right) error {
			return fn(ctx, tx, eventlog.View{Device: id, Owner: right.Role == policy.Owner, Since: right.Since})
		})
	})
}

// members is what a member of an organisation sees of its log.
func members(actor cloud.Actor) eventlog.View {
	return eventlog.View{Org: actor.Org, Account: actor.Account, Actor: actor.Ref}
}

func (a *API) organisationLog(q *Request) (Answer, error) {
	return a.logPage(q, func(fn func(ctx context.Context, tx *store.Tx, v eventlog.View) error) error {
		return q.DB().Read(q.Context(), func(ctx context.Context, tx *store.Tx) error { return fn(ctx, tx, members(q.Actor)) })
	})
}

// logPage answers with one page of what look lets be seen.
func (a *API) logPage(q *Request, look func(func(ctx context.Context, tx *store.Tx, v eventlog.View) error) error) (Answer, error) {
	page, err := q.Page()
	if err != nil {
		return Answer{}, err
	}
	var behind *eventlog.Position
	at := eventlog.Position{}
	if some, err := page.After(&at); err != nil {
		return Answer{}, err
	} else if some {
		behind = &at
	}
	filter, err := q.logFilter()
	if err != nil {
		return Answer{}, err
	}
	var found []*eventlog.Logged
	var lines []eventlog.Line
	err = look(func(ctx context.Context, tx *store.Tx, v eventlog.View) (err error) {
		if found, err = eventlog.List(ctx, tx, v, filter, behind, page.Limit+1); err != nil {
			return err
		}
		lines, err = eventlog.Lines(ctx, tx, found)
		return err
	})
	if err != nil {
		return Answer{}, err
	}
	list, err := Paged(page, lines, func(eventlog.Line) any { return found[page.Limit-1].Position() })
	return Answer{Body: list}, err
}

type headBody struct {
	Head string `json:"head"` // compact JWS
}

// deviceLogHead hands out a signed head (T-86).
func (a *API) deviceLogHead(q *Request) (Answer, error) {
	var body headBody
	err := q.reading(policy.EventLogRead, func(ctx context.Context, tx *store.Tx, d *device.Device, _ device.Right) (err error) {
		body.Head, err = a.cfg.Heads.Current(ctx, tx, d.ID)
		return err
	})
	return Answer{Body: body}, err
}

// exportDeviceLog lets the owner take a log away, with a fresh second factor where one is set up (T-88).
func (a *API) exportDeviceLog(q *Request, format string) (Answer, error) {
	id := q.PathValue("id")
	filter, err := q.logFilter()
	if err != nil {
		return Answer{}, err
	}
	params := map[string]string{"format": format}
	q.Refused = func(ctx context.Context, tx *store.Tx, refusal *cloud.Error) error {
		return device.LogRefusal(ctx, tx, q.Actor, id, policy.EventLogRead, params, refusal)
	}
	head := ""
	err = q.DB().Write(q.Context(), func(ctx context.Context, tx *store.Tx) error {
		_, right, err := device.May(ctx, tx, q.Actor, id, policy.EventLogRead, q.Now)
		if err != nil {
			return err
		}
		if right.Role != policy.Owner {
			return cloud.Refuse(policy.OwnerOnly, "only the owner takes the log away")
		}
		if err := q.Actor.StepUp(q.Now); err != nil {
			return err
		}
		if err := q.spend(ctx, tx, changesBy); err != nil { // an entry is kept for ever
			return err
		}
		err = eventlog.Append(ctx, tx, q.exported(eventlog.Entry{Device: id, Role: right.Role, Params: params}))
		if err != nil {
			return err
		}
		head, err = a.cfg.Heads.Current(ctx, tx, id)
		return err
	})
	if err != nil {
		return Answer{}, err
	}
	return q.export(format, eventlog.View{Device: id, Owner: true}, filter, head), nil
}

// exportOrganisationLog is for every member: it has what that member sees.
func (a *API) exportOrganisationLog(q *Request, format string) (Answer, error) {
	filter, err := q.logFilter()
	if err != nil {
		return Answer{}, err
	}
	e := q.exported(eventlog.Entry{Org: q.Actor.Org, Params: map[string]string{"format": format}})
	q.Refused = func(ctx context.Context, tx *store.Tx, refusal *cloud.Error) error {
		refused := e
		refused.Outcome, refused.Reason = eventlog.Refused, refusal.Reason
		return eventlog.Append(ctx, tx, refused)
	}
	if err := q.Actor.StepUp(q.Now); err != nil {
		return Answer{}, err
	}
	head := ""
	err = q.DB().Write(q.Context(), func(ctx context.Context, tx *store.Tx) (err error) {
		if err := q.spend(ctx, tx, changesBy); err != nil {
			return err
		}
		if err := eventlog.Append(ctx, tx, e); err != nil {
			return err
		}
		head, err = a.cfg.Heads.Current(ctx, tx, q.Actor.Org)
		return err
	})
	if err != nil {
		return Answer{}, err
	}
	return q.export(format, members(q.Actor), filter, head), nil
}

// exported is the entry of an export (LOG-3).
func (q *Request) exported(e eventlog.Entry) eventlog.Entry {
	e.At, e.Actor, e.Action, e.Outcome, e.Request = q.Now, q.Actor.Ref, string(policy.EventLogRead), eventlog.Done, q.Actor.Request
	return e
}

// exportDeadline is how long who reads an export may take.
const exportDeadline = 10 * time.Minute

func (q *Request) export(format string, v eventlog.View, f eventlog.Filter, head string) Answer {
	ct := "application/json"
	if format == eventlog.CSV {
		ct = "text/csv; charset=utf-8"
	}
	return Answer{
		Status: http.StatusOK,
		Header: map[string]string{"Content-Type": ct, "Content-Disposition": `attachment; filename="event-log.` + format + `"`, "X-Log-Head": head},
		Stream: func(ctx context.Context, w http.ResponseWriter) error {
			ctx, cancel := context.WithTimeout(ctx, exportDeadline)
			defer cancel()
			return eventlog.Export(ctx, q.DB(), io.Writer(w), format, v, f, head)
		},
	}
}
