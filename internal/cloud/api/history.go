package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/history"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

func (a *API) historyRoutes() []route {
	return []route{
		{method: http.MethodGet, pattern: "/api/v1/devices/{id}/status", needs: policy.MonitorStatus, read: a.deviceStatus},
		{method: http.MethodGet, pattern: "/api/v1/devices/{id}/history", needs: policy.MonitorHistory, read: a.deviceHistory},
		{method: http.MethodGet, pattern: "/api/v1/devices/{id}/incidents", needs: policy.IncidentRead, read: a.deviceIncidents},
		{method: http.MethodGet, pattern: "/api/v1/devices/{id}/inventory", needs: policy.InventoryRead, read: a.deviceInventory},
		{method: http.MethodGet, pattern: "/api/v1/points", why: "the catalogue of points, of no device", public: "it is in the documentation, too", read: points},
	}
}

// reading runs fn in one snapshot, if the actor may do what the route is on the device that its path names.
func (q *Request) reading(action policy.Action, fn func(ctx context.Context, tx *store.Tx, d *device.Device, right device.Right) error) error {
	q.logRefusals(action)
	return q.DB().Read(q.Context(), func(ctx context.Context, tx *store.Tx) error {
		d, right, err := device.May(ctx, tx, q.Actor, q.PathValue("id"), action, q.Now)
		if err != nil {
			return err
		}
		return fn(ctx, tx, d, right)
	})
}

type valueBody struct {
	Value float64 `json:"value"`
	Unit  string  `json:"unit,omitempty"`
	Text  string  `json:"text,omitempty"` // names of bits and codes
	At    Time    `json:"at"`
}

type statusBody struct {
	Device     string               `json:"device"`
	State      string               `json:"state"`         // online, or no_communication: what follows is old (TIME-4)
	Why        string               `json:"why,omitempty"` // there is no communication
	LastSeen   *Time                `json:"last_seen"`     // when the agent last spoke of it; null: never
	Condition  []string             `json:"condition"`     // as the agent said last
	Alarms     []ups.AlarmID        `json:"alarms"`        // active, as the agent said last
	ValuesAt   *Time                `json:"values_at"`     // of the newest value; null while there is none
	AgeSeconds *float64             `json:"values_age_s"`  // of the newest value
	Certain    bool                 `json:"times_certain"` // false: the times of the values are those of arrival
	Values     map[string]valueBody `json:"values"`        // by point
}

func (b *statusBody) fill(s *device.Status, latest *history.Latest, now time.Time) {
	b.State, b.Why = "online", s.Why
	if s.Why != "" {
		b.State = "no_communication"
	}
	if s.Seen != nil {
		b.LastSeen = timeOf(s.Seen.LastSeen)
		b.Condition, b.Alarms = append(b.Condition, s.Seen.Condition...), append(b.Alarms, s.Seen.Alarms...)
	}
	b.ValuesAt, b.Certain = timeOf(latest.Time()), latest.Certain
	if at := latest.Time(); !at.IsZero() {
		age := max(now.Sub(at), 0).Seconds()
		b.AgeSeconds = &age
	}
	for p, v := range latest.Values {
		if v.Raw == nil || !p.Known() {
			continue
		}
		value, _ := ups.ValueOf(p, *v.Raw, v.Divisor)
		in := valueBody{Value: value, Unit: p.Info().Unit, At: Time(time.UnixMilli(v.At))}
		if kind := p.Info().Kind; kind != ups.Measure && kind != ups.Countdown {
			in.Text = wire.FormatValue(p, *v.Raw, v.Divisor)
		}
		b.Values[p.String()] = in
	}
}

// timeOf is nil for the zero time.
func timeOf(t time.Time) *Time {
	if t.IsZero() {
		return nil
	}
	out := Time(t)
	return &out
}

func (a *API) deviceStatus(q *Request) (Answer, error) {
	var body statusBody
	err := q.reading(policy.MonitorStatus, func(ctx context.Context, tx *store.Tx, d *device.Device, _ device.Right) error {
		latest, err := history.ReadLatest(ctx, tx, d.ID)
		if err != nil {
			return err
		}
		s, err := device.StatusOf(ctx, tx, d)
		if err != nil {
			return err
		}
		body = statusBody{Device: d.ID, Condition: []string{}, Alarms: []ups.AlarmID{}, Values: map[string]valueBody{}}
		body.fill(s, latest, q.Now)
		return nil
	})
	return Answer{Body: body}, err
}

type cellBody struct {
	At   Time    `json:"at"`
	N    int64   `json:"n"`
	Min  float64 `json:"min"`
	Avg  float64 `json:"avg"`
	Max  float64 `json:"max"`
	Last float64 `json:"last"`
}

type seriesBody struct {
	Point string     `json:"point"`
	Unit  string     `json:"unit,omitempty"`
	Cells []cellBody `json:"cells"`
}

func (a *API) deviceHistory(q *Request) (Answer, error) {
	q.logRefusals(policy.MonitorHistory)
	question := history.Question{Device: q.PathValue("id"), May: func(ctx context.Context, tx *store.Tx) error {
		_, _, err := device.May(ctx, tx, q.Actor, q.PathValue("id"), policy.MonitorHistory, a.cfg.Now())
		return err
	}}
	// Who may not ask is not told what is wrong with the question.
	if err := q.DB().Read(q.Context(), question.May); err != nil {
		return Answer{}, err
	}
	if err := askedFor(q, &question); err != nil {
		return Answer{}, err
	}
	list, err := a.reader.Ask(q.Context(), &question)
	if err != nil {
		return Answer{}, err
	}
	out := []seriesBody{}
	for _, s := range list {
		b := seriesBody{Point: s.Point.String(), Unit: s.Point.Info().Unit, Cells: []cellBody{}}
		for _, c := range s.Cells {
			b.Cells = append(b.Cells, cellBody{Time(c.At), c.N, c.Min, c.Sum / float64(c.N), c.Max, c.Last})
		}
		out = append(out, b)
	}
	return Answer{Body: map[string]any{
		"device": question.Device, "from": Time(question.From), "to": Time(question.To), "step_seconds": int64(question.Step / time.Second), "series": out,
	}}, nil
}

func askedFor(q *Request, to *history.Question) (err error) {
	for _, name := range strings.Split(q.URL.Query().Get("point"), ",") {
		p, known := ups.PointByName(name)
		if !known || p.Info().Kind == ups.Text {
			return cloud.RefuseField(policy.Malformed, "point", "%.40q is no point with values; /api/v1/points lists them", name)
		}
		to.Points = append(to.Points, p)
	}
	if to.To, err = q.QueryTime("to", q.Now); err != nil {
		return err
	}
	if to.From, err = q.QueryTime("from", to.To.Add(-time.Hour)); err != nil {
		return err
	}
	if text := q.URL.Query().Get("step"); text != "" {
		if to.Step, err = time.ParseDuration(text); err != nil || to.Step <= 0 {
			return cloud.RefuseField(policy.Malformed, "step", "%.40q is not like 10s, 1m or 1h", text)
		}
	}
	return nil
}

type incidentBody struct {
	ID       string      `json:"id"`
	Event    ups.AlarmID `json:"event_id"`
	Outlet   string      `json:"outlet,omitempty"`
	Severity string      `json:"severity"`
	Text     string      `json:"text"`
	Detail   string      `json:"detail,omitempty"`
	At       Time        `json:"at"`
	Certain  bool        `json:"time_certain"`
	Arrived  Time        `json:"arrived_at"`
	State    string      `json:"state"` // open, cleared, or moment: it has no end
	Cleared  *Time       `json:"cleared_at,omitempty"`
	Inferred bool        `json:"inferred,omitempty"`
}

func (a *API) deviceIncidents(q *Request) (Answer, error) {
	page, err := q.Page()
	if err != nil {
		return Answer{}, err
	}
	var behind history.Position
	some, err := page.After(&behind)
	if err != nil {
		return Answer{}, err
	}
	position := &behind
	if !some {
		position = nil
	}
	open := q.URL.Query().Get("state")
	if open != "" && open != "open" {
		return Answer{}, cloud.RefuseField(policy.Malformed, "state", "%.40q is not open", open)
	}
	var found []history.Incident
	err = q.reading(policy.IncidentRead, func(ctx context.Context, tx *store.Tx, d *device.Device, _ device.Right) (err error) {
		found, err = history.Incidents(ctx, tx, d.ID, open != "", position, page.Limit+1)
		return err
	})
	if err != nil {
		return Answer{}, err
	}
	list, err := Paged(page, found, history.PositionOf)
	out := List[incidentBody]{Items: []incidentBody{}, Next: list.Next}
	for _, i := range list.Items {
		b := incidentBody{i.ID, i.Event, i.Outlet, i.Severity, i.Text, i.Detail, Time(i.Raised), i.Certain, Time(i.Arrived), "open", timeOf(i.Cleared), i.Inferred}
		if i.Moment {
			b.State = "moment"
		} else if b.Cleared != nil {
			b.State = "cleared"
		}
		out.Items = append(out.Items, b)
	}
	return Answer{Body: out}, err
}

type changeBody struct {
	At    Time   `json:"at"`
	Field string `json:"field"`
	Old   string `json:"old"`
	New   string `json:"new"`
}

func (a *API) deviceInventory(q *Request) (Answer, error) {
	page, err := q.Page()
	if err != nil {
		return Answer{}, err
	}
	var before int64
	if _, err := page.After(&before); err != nil {
		return Answer{}, err
	}
	var body struct {
		Device   string           `json:"device"`
		Serial   string           `json:"serial"`
		Name     string           `json:"name"`
		Unit     string           `json:"unit"`
		Model    string           `json:"model"`
		Firmware string           `json:"firmware"`
		Agent    string           `json:"agent_version"`
		Since    *Time            `json:"since"`
		Changes  List[changeBody] `json:"changes"`
	}
	err = q.reading(policy.InventoryRead, func(ctx context.Context, tx *store.Tx, d *device.Device, _ device.Right) error {
		i, err := history.ReadInventory(ctx, tx, d.ID)
		if err != nil {
			return err
		}
		changes, err := history.Changes(ctx, tx, d.ID, before, page.Limit+1)
		if err != nil {
			return err
		}
		list, err := Paged(page, changes, func(c history.Change) any { return c.Number })
		body.Device, body.Serial, body.Name, body.Unit, body.Model, body.Firmware, body.Agent, body.Since = d.ID, d.Serial, d.Name, i.Unit, i.Model, i.Firmware, i.Agent, timeOf(i.Since)
		body.Changes = List[changeBody]{Items: []changeBody{}, Next: list.Next}
		for _, c := range list.Items {
			body.Changes.Items = append(body.Changes.Items, changeBody{Time(c.At), c.Field, c.Old, c.New})
		}
		return err
	})
	return Answer{Body: body}, err
}

type pointBody struct {
	Name string `json:"name"`
	Unit string `json:"unit,omitempty"`
	Kind string `json:"kind"`
	Help string `json:"help"`
}

func points(*Request) (Answer, error) {
	out := List[pointBody]{}
	for _, p := range ups.Points() {
		if i := p.Info(); i.Kind != ups.Text {
			out.Items = append(out.Items, pointBody{i.Name, i.Unit, i.Kind.String(), i.Help})
		}
	}
	return Answer{Body: out}, nil
}
