package api

import (
	"context"
	"net/http"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/eventlog"
	"upsedge/internal/cloud/job"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

func (a *API) jobRoutes() []route {
	const (
		decides = "the action of the job is what is asked of the matrix, for each device"
		mine    = "jobs of the actor's own; what is told of a device is asked of the matrix in package job"
	)
	return []route{
		{method: http.MethodPost, pattern: "/api/v1/jobs", why: decides, change: a.createJob},
		{method: http.MethodGet, pattern: "/api/v1/jobs", why: mine, read: a.listJobs},
		{method: http.MethodGet, pattern: "/api/v1/jobs/{job}", why: mine, read: a.getJob},
		{method: http.MethodPost, pattern: "/api/v1/jobs/{job}/cancel", why: mine, change: a.cancelJob},
	}
}

// jobJSON is a job as the interface shows it.
type jobJSON struct {
	ID          string            `json:"id"`
	Action      policy.Action     `json:"action"`
	Params      map[string]string `json:"params"`
	OnOffline   string            `json:"on_offline"`
	AtOnce      int               `json:"at_once"`
	Abort       abortJSON         `json:"abort"`
	Devices     int               `json:"devices"`
	RequestedAt Time              `json:"requested_at"`
	StartUntil  Time              `json:"start_until"`
	State       string            `json:"state"`
	Final       bool              `json:"final"`
	Detail      string            `json:"detail,omitempty"`
	DecidedAt   *Time             `json:"decided_at,omitempty"`
	EndedAt     *Time             `json:"ended_at,omitempty"`
}

type abortJSON struct {
	Percent int `json:"failures_percent"`
	After   int `json:"after"`
}

func showJob(j *job.Job) jobJSON {
	out := jobJSON{
		ID: j.ID, Action: j.Action, Params: j.Params, OnOffline: job.Queue, AtOnce: j.AtOnce, Abort: abortJSON(j.Abort), Devices: j.Devices,
		RequestedAt: Time(j.RequestedAt), StartUntil: Time(j.StartUntil), State: j.State, Final: !j.EndedAt.IsZero(), Detail: j.Detail,
		DecidedAt: mayTime(j.DecidedAt), EndedAt: mayTime(j.EndedAt),
	}
	if j.Reject {
		out.OnOffline = job.Reject
	}
	if out.Params == nil {
		out.Params = map[string]string{}
	}
	return out
}

// jobItemJSON is one device of a job.
type jobItemJSON struct {
	Device string        `json:"device"`
	State  string        `json:"state"`
	Final  bool          `json:"final"`
	Reason policy.Reason `json:"reason,omitempty"`
	Detail string        `json:"detail,omitempty"`
	Order  string        `json:"order,omitempty"`
	At     Time          `json:"at"`
	Late   *lateJSON     `json:"late,omitempty"`
}

func showItem(i job.Item) jobItemJSON {
	out := jobItemJSON{Device: i.Device, State: i.State, Final: i.Final, Reason: i.Reason, Detail: i.Detail, Order: i.Order, At: Time(i.At)}
	if l := i.Late; l != nil {
		out.Late = &lateJSON{string(l.State), l.Reason, l.Detail, Time(l.At)}
	}
	return out
}

func jobOutcomes(list []job.Outcome) []outcomeBody {
	out := []outcomeBody{}
	for _, o := range list {
		b := outcomeBody{Device: o.Device, Outcome: "accepted"}
		if o.Refused != nil {
			b.Outcome, b.Reason, b.Detail = "refused", o.Refused.Reason, o.Refused.Detail
		}
		out = append(out, b)
	}
	return out
}

func (a *API) createJob(ctx context.Context, tx *store.Tx, q *Request) (Answer, error) {
	var body struct {
		Devices   []string          `json:"devices"`
		Action    policy.Action     `json:"action"`
		Params    map[string]string `json:"params"`
		OnOffline string            `json:"on_offline"`
		AtOnce    *int              `json:"at_once"`
		Abort     struct {
			Percent *int `json:"failures_percent"`
			After   *int `json:"after"`
		} `json:"abort"`
		StartWithin *int `json:"start_within"`
	}
	if err := q.Decode(&body); err != nil {
		return Answer{}, err
	}
	r := job.Request{
		Devices: body.Devices, Action: body.Action, Params: body.Params, OnOffline: body.OnOffline, AtOnce: body.AtOnce, Percent: body.Abort.Percent,
		After: body.Abort.After, StartWithin: body.StartWithin,
	}
	for n := range r.Devices {
		r.Devices[n] = eventlog.Clean(r.Devices[n]) // what is no id is nobody's (PERM-9)
	}
	j, outcomes, err := a.cfg.Jobs.Create(ctx, tx, q.Actor, r)
	if err != nil {
		q.Refused = func(ctx context.Context, tx *store.Tx, _ *cloud.Error) error {
			return a.cfg.Jobs.LogRefused(ctx, tx, q.Actor, r, err)
		}
		return Answer{}, err
	}
	return Answer{Status: http.StatusCreated, Header: map[string]string{"Location": "/api/v1/jobs/" + j.ID}, Body: struct {
		Job      jobJSON       `json:"job"`
		Outcomes []outcomeBody `json:"outcomes"`
	}{showJob(j), jobOutcomes(outcomes)}}, nil
}

func (a *API) cancelJob(ctx context.Context, tx *store.Tx, q *Request) (Answer, error) {
	j, err := a.cfg.Jobs.Cancel(ctx, tx, q.Actor, q.PathValue("job"))
	if err != nil {
		return Answer{}, err
	}
	return Answer{Body: showJob(j)}, nil
}

func (a *API) listJobs(q *Request) (Answer, error) {
	page, err := q.Page()
	if err != nil {
		return Answer{}, err
	}
	after := &job.Position{}
	if more, err := page.After(after); err != nil {
		return Answer{}, err
	} else if !more {
		after = nil
	}
	var items []jobJSON
	var positions []job.Position
	err = q.DB().Read(q.Context(), func(ctx context.Context, tx *store.Tx) error {
		items, positions = nil, nil
		jobs, err := job.List(ctx, tx, q.Actor, after, page.Limit+1)
		for _, j := range jobs {
			items, positions = append(items, showJob(j)), append(positions, j.Position())
		}
		return err
	})
	if err != nil {
		return Answer{}, err
	}
	list, err := Paged(page, items, func(jobJSON) any { return positions[page.Limit-1] })
	return Answer{Body: list}, err
}

type jobBody struct {
	jobJSON
	Counts map[string]int `json:"counts"`
	Known  map[string]int `json:"known"`
	List[jobItemJSON]
}

func (a *API) getJob(q *Request) (Answer, error) {
	page, err := q.Page()
	if err != nil {
		return Answer{}, err
	}
	behind := 0
	if _, err := page.After(&behind); err != nil {
		return Answer{}, err
	}
	var body jobBody
	err = q.DB().Read(q.Context(), func(ctx context.Context, tx *store.Tx) error {
		j, all, err := a.cfg.Jobs.Get(ctx, tx, q.Actor, q.PathValue("job"))
		if err != nil {
			return err
		}
		counts := job.Count(all)
		body = jobBody{jobJSON: showJob(j), Counts: counts.Ended, Known: counts.Known}
		all = all[min(max(behind, 0), len(all)):] // numbers are places, from 1
		all = all[:min(page.Limit+1, len(all))]
		var items []jobItemJSON
		for _, i := range all {
			items = append(items, showItem(i))
		}
		body.List, err = Paged(page, items, func(jobItemJSON) any { return all[page.Limit-1].Number })
		return err
	})
	if err != nil {
		return Answer{}, err
	}
	return Answer{Body: body}, nil
}
