package api

import (
	"context"
	"net/http"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/eventlog"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
	"upsedge/internal/ups"
)

func (a *API) deviceRoutes() []route {
	return []route{
		{method: http.MethodGet, pattern: "/api/v1/sightings", why: "what agents of the own organisation report is no device yet", read: a.listSightings},
		{method: http.MethodPost, pattern: "/api/v1/devices", why: "the unit has no owner; whose agent reports it may (DEV-1)", change: a.registerDevice},
		{method: http.MethodGet, pattern: "/api/v1/devices", why: "it has what the actor owns and what is shared with the actor, each with the own role, and nothing else", read: a.listDevices},
		{method: http.MethodGet, pattern: "/api/v1/devices/{id}", needs: policy.InventoryRead, read: a.getDevice},
		{method: http.MethodPatch, pattern: "/api/v1/devices/{id}", needs: policy.ConfigureLabel, change: a.labelDevice},
	}
}

// logRefusals has refusals of an action on the device that the path names logged (LOG-1).
func (q *Request) logRefusals(action policy.Action) {
	q.Refused = func(ctx context.Context, tx *store.Tx, refusal *cloud.Error) error {
		if refusal.Reason == policy.Malformed {
			return nil // it came to no action
		}
		return device.LogRefusal(ctx, tx, q.Actor, q.PathValue("id"), action, nil, refusal)
	}
}

type sightingBody struct {
	Agent     string        `json:"agent"`
	Unit      string        `json:"unit"`
	Serial    string        `json:"serial"`
	Model     string        `json:"model"`
	Firmware  string        `json:"firmware"`
	Condition []string      `json:"condition"`
	Alarms    []ups.AlarmID `json:"alarms"`
	FirstSeen Time          `json:"first_seen"`
	LastSeen  Time          `json:"last_seen"`
}

// sightingPosition is where a sighting stands in the list.
type sightingPosition struct {
	Agent string `json:"a"`
	Unit  string `json:"u"`
}

func (a *API) listSightings(q *Request) (Answer, error) {
	page, err := q.Page()
	if err != nil {
		return Answer{}, err
	}
	var behind sightingPosition
	if _, err := page.After(&behind); err != nil {
		return Answer{}, err
	}
	bodies := []sightingBody{}
	err = q.DB().Read(q.Context(), func(ctx context.Context, tx *store.Tx) error {
		list, err := device.Unregistered(ctx, tx, q.Actor.Org, behind.Agent, behind.Unit, page.Limit+1)
		bodies = bodies[:0]
		for _, s := range list {
			bodies = append(bodies, sightingBody{
				s.Agent, s.Unit, s.Serial, s.Model, s.Firmware, orEmpty(s.Condition), orEmpty(s.Alarms), Time(s.FirstSeen), Time(s.LastSeen),
			})
		}
		return err
	})
	if err != nil {
		return Answer{}, err
	}
	list, err := Paged(page, bodies, func(b sightingBody) any { return sightingPosition{b.Agent, b.Unit} })
	return Answer{Body: list}, err
}

func orEmpty[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

type deviceBody struct {
	ID           string         `json:"id"`
	Serial       string         `json:"serial"`
	Name         string         `json:"name"`
	Site         string         `json:"site"`
	Notes        string         `json:"notes"`
	Model        string         `json:"model"`
	Firmware     string         `json:"firmware"`
	Role         policy.Role    `json:"role"` // of who asks
	Agent        string         `json:"agent"`
	Connected    bool           `json:"agent_connected"`
	Plan         policy.Plan    `json:"plan"`        // in force now
	ValidUntil   *Time          `json:"valid_until"` // of it; null: nothing ends it
	Next         *nextPlanBody  `json:"next_plan"`   // what follows then; null: nothing ends the plan
	Epoch        uint32         `json:"epoch"`
	GrantVersion uint64         `json:"grant_version"`
	RegisteredAt Time           `json:"registered_at"`
	State        string         `json:"state"`         // online, or no_communication: what follows is old (TIME-4)
	Why          string         `json:"why,omitempty"` // there is no communication
	LastSeen     *Time          `json:"last_seen"`
	AgeSeconds   *float64       `json:"age_s"` // since last_seen
	Condition    []string       `json:"condition,omitempty"`
	Alarms       []ups.AlarmID  `json:"alarms,omitempty"`
	Confirmed    *confirmedBody `json:"confirmed"` // by the site; null: it has said nothing yet
}

// confirmedBody is what the site has said it obeys (TIME-3).
type confirmedBody struct {
	Epoch        uint32       `json:"epoch"`
	GrantVersion uint64       `json:"grant_version"`
	PlanVersion  uint64       `json:"plan_version"`
	Plan         *policy.Plan `json:"plan"`     // that these mean now; null: they are not of this registration
	InForce      bool         `json:"in_force"` // they are what the cloud has
}

// describe is the one place that makes an answer of a device.
func describe(ctx context.Context, tx *store.Tx, d *device.Device, role policy.Role, mfa bool, now time.Time) (deviceBody, error) {
	st, err := device.StatusOf(ctx, tx, d)
	if err != nil {
		return deviceBody{}, err
	}
	b := deviceBody{
		ID: d.ID, Serial: d.Serial, Name: d.Name, Site: d.Site, Notes: d.Notes, Role: role, Agent: d.Agent, Connected: st.Connected,
		Plan: d.PlanAt(now), Epoch: d.Epoch, GrantVersion: d.GrantVersion, RegisteredAt: Time(d.RegisteredAt), State: "online", Why: st.Why,
	}
	b.ValidUntil, b.Next = planEnd(d, now)
	if st.Why != "" {
		b.State = "no_communication"
	}
	if s := st.Seen; s != nil {
		b.Model, b.Firmware, b.LastSeen = s.Model, s.Firmware, timeOf(s.LastSeen)
		age := max(now.Sub(s.LastSeen), 0).Seconds()
		b.AgeSeconds = &age
		plan, err := st.ConfirmedPlan(ctx, tx, d, now)
		if err != nil {
			return b, err
		}
		b.Confirmed = &confirmedBody{Epoch: s.Epoch, GrantVersion: s.GrantVersion, PlanVersion: s.PlanVersion, InForce: st.Confirmed(d) && plan == b.Plan}
		if plan != "" {
			b.Confirmed.Plan = &plan
		}
		if policy.Decide(policy.MonitorStatus, role, b.Plan, mfa).Allowed {
			b.Condition, b.Alarms = s.Condition, s.Alarms
		}
	}
	return b, nil
}

type registerBody struct {
	Serial string `json:"serial"`
	Agent  string `json:"agent"`
	labelBody
}

type labelBody struct {
	Name  *string `json:"name"`
	Site  *string `json:"site"`
	Notes *string `json:"notes"`
}

// over returns the label with what the body has in place of what was there.
func (b *labelBody) over(l device.Label) device.Label {
	for _, f := range []struct {
		to   *string
		from *string
	}{{&l.Name, b.Name}, {&l.Site, b.Site}, {&l.Notes, b.Notes}} {
		if f.from != nil {
			*f.to = *f.from
		}
	}
	return l
}

func (a *API) registerDevice(ctx context.Context, tx *store.Tx, q *Request) (Answer, error) {
	var in registerBody
	if err := q.Decode(&in); err != nil {
		return Answer{}, err
	}
	// What is no serial number can be nobody's: it is answered, and logged, as one that nobody reports.
	if in.Serial = eventlog.Clean(in.Serial); !eventlog.Printable(in.Agent) || len(in.Agent) > 64 {
		return Answer{}, cloud.RefuseField(policy.Malformed, "agent", "it is no agent")
	}
	q.Refused = func(ctx context.Context, tx *store.Tx, refusal *cloud.Error) error {
		if refusal.Reason == policy.Malformed {
			return nil // it came to no action
		}
		return device.RefusedRegistration(ctx, tx, q.Actor, in.Serial, refusal)
	}
	d, err := a.cfg.Devices.Register(ctx, tx, q.Actor, device.Registration{Serial: in.Serial, Agent: in.Agent, Label: in.over(device.Label{})})
	if err != nil {
		return Answer{}, err
	}
	body, err := describe(ctx, tx, d, policy.Owner, q.Actor.MFA, q.Now)
	return Answer{Status: http.StatusCreated, Body: body, Header: map[string]string{"Location": "/api/v1/devices/" + d.ID}}, err
}

// devicePosition is where a device stands in the list.
type devicePosition struct {
	Registered int64  `json:"t"`
	ID         string `json:"i"`
}

func (a *API) listDevices(q *Request) (Answer, error) {
	page, err := q.Page()
	if err != nil {
		return Answer{}, err
	}
	var behind devicePosition
	if _, err := page.After(&behind); err != nil {
		return Answer{}, err
	}
	bodies := []deviceBody{}
	err = q.DB().Read(q.Context(), func(ctx context.Context, tx *store.Tx) error {
		list, err := device.Visible(ctx, tx, q.Actor.Account, time.UnixMilli(behind.Registered), behind.ID, page.Limit+1)
		bodies = bodies[:0]
		for i := range list {
			var role policy.Role
			if err == nil {
				role, err = device.Role(ctx, tx, q.Actor, &list[i])
			}
			if err == nil {
				var b deviceBody
				b, err = describe(ctx, tx, &list[i], role, q.Actor.MFA, q.Now)
				bodies = append(bodies, b)
			}
		}
		return err
	})
	if err != nil {
		return Answer{}, err
	}
	list, err := Paged(page, bodies, func(b deviceBody) any {
		return devicePosition{time.Time(b.RegisteredAt).UnixMilli(), b.ID}
	})
	return Answer{Body: list}, err
}

func (a *API) getDevice(q *Request) (Answer, error) {
	var body deviceBody
	err := q.reading(policy.InventoryRead, func(ctx context.Context, tx *store.Tx, d *device.Device, right device.Right) (err error) {
		body, err = describe(ctx, tx, d, right.Role, q.Actor.MFA, q.Now)
		return err
	})
	return Answer{Body: body}, err
}

func (a *API) labelDevice(ctx context.Context, tx *store.Tx, q *Request) (Answer, error) {
	q.logRefusals(policy.ConfigureLabel)
	d, right, err := device.May(ctx, tx, q.Actor, q.PathValue("id"), policy.ConfigureLabel, q.Now)
	if err != nil {
		return Answer{}, err
	}
	var in labelBody
	if err := q.Decode(&in); err != nil {
		return Answer{}, err
	}
	if err := a.cfg.Devices.Rename(ctx, tx, q.Actor, right.Role, d, in.over(device.Label{Name: d.Name, Site: d.Site, Notes: d.Notes})); err != nil {
		return Answer{}, err
	}
	body, err := describe(ctx, tx, d, right.Role, q.Actor.MFA, q.Now)
	return Answer{Body: body}, err
}
