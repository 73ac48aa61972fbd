package api

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/policy"
	"upsedge/internal/ups"
	"upsedge/internal/ups/upstest"
)

// A table is the permission matrix as it stands in its file: nothing of package policy reads it for these tests.
type table map[string]map[string]string

func readTable(t *testing.T) table {
	t.Helper()
	text, err := os.ReadFile("../../policy/matrix.csv")
	must(t, err)
	rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	must(t, err)
	out := table{}
	for _, row := range rows[1:] {
		out[row[0]] = map[string]string{}
		for i, role := range rows[0][1:] {
			out[row[0]][role] = row[i+1]
		}
	}
	return out
}

// An answer is a status and a reason; "" where something was done.
type answer struct {
	status int
	reason policy.Reason
}

func (e exchange) answer() answer {
	if e.status < 400 {
		return answer{e.status, ""}
	}
	return answer{e.status, e.reason()}
}

// wants is what somebody is to be answered by the table and by section 14 of the rules: signature and identity before existence, role before
// plan. allowed says what is answered to who may.
func (m table) wants(action policy.Action, who string, plan policy.Plan, allowed answer) answer {
	cell := m[string(action)][who]
	letter := map[policy.Plan]string{policy.Basic: "B", policy.Standard: "S", policy.Advanced: "A"}[plan]
	switch {
	case who == anonymous:
		return answer{401, "UNAUTHENTICATED"}
	case who == string(policy.Nobody):
		return answer{404, "NOT_FOUND"}
	case cell == "-":
		return answer{403, "OWNER_ONLY"}
	case strings.Contains(cell, letter):
		return allowed
	case plan == policy.Basic: // PERM-4, whatever would be needed
		return answer{402, "PLAN_BASIC"}
	}
	return answer{402, "PLAN_STANDARD"}
}

const anonymous = "not signed in"

// A quarter is a street in which ada's device is shared with cleo and dan; bob has nothing to do with it.
type quarter struct {
	*street
	who    map[string]string // headers by role
	device *device.Device
	plan   policy.Plan // that was set last
	cleo   cloud.Actor
	dan    cloud.Actor
}

func newQuarter(t *testing.T, db *store.DB) *quarter {
	q := &quarter{street: newStreet(t, db)}
	person := func(name string) (bearer string, actor cloud.Actor) {
		q.member(name + "@example.com")
		bearer = q.token(name+"@example.com", "")
		var who accountBodyRead
		q.want(200, "GET", "/api/v1/account", nil, bearer).into(t, &who)
		return bearer, cloud.Actor{Account: who.ID, Ref: who.Actor}
	}
	q.who = map[string]string{"owner": q.hers["bearer"], "nobody": q.his["bearer"], anonymous: "X-Nobody: 1"}
	q.who["shared"], q.cleo = person("cleo")
	_, q.dan = person("dan")
	q.change(func(ctx context.Context, tx *store.Tx) (err error) {
		q.device, err = device.Get(ctx, tx, q.hers[ofDevice])
		return err
	})
	return q
}

func (q *quarter) change(fn func(ctx context.Context, tx *store.Tx) error) {
	q.t.Helper()
	must(q.t, q.db.Write(q.t.Context(), fn))
}

func (q *quarter) setPlan(plan policy.Plan) {
	q.t.Helper()
	if q.plan == plan {
		return
	}
	q.plan = plan
	q.change(func(ctx context.Context, tx *store.Tx) error {
		return q.devices.SetPlan(ctx, tx, cloud.System("test"), "", q.device, plan, device.Forever)
	})
}

// share makes sure that somebody has a share, and returns its id.
func (q *quarter) share(who cloud.Actor) (id string) {
	q.t.Helper()
	q.change(func(ctx context.Context, tx *store.Tx) error {
		g, err := device.GrantOf(ctx, tx, q.device.ID, who.Account)
		if err == nil && g == nil {
			g, err = q.devices.Share(ctx, tx, q.device, who.Account, who.Ref, "x@example.com")
		}
		if err == nil {
			id = g.ID
		}
		return err
	})
	return id
}

// id is that of what was made.
func (e exchange) id(t testing.TB) string {
	var made struct {
		ID         string
		Invitation struct{ ID string }
	}
	e.into(t, &struct {
		ID         *string
		Invitation *struct{ ID string }
	}{&made.ID, &made.Invitation})
	return made.ID + made.Invitation.ID
}

// A trial is how a route is asked by one role.
type trial struct {
	allowed answer
	// path and body of the request; header is of who asks. Where it must make something first, it has the plan advanced.
	ask func(q *quarter, role, header string) (path string, body any)
	// makes says that it makes something first that needs a plan, or a place.
	makes bool
	// stricter is what roles are answered that the route refuses though the table would not, or otherwise than it.
	stricter map[string]answer
}

// onDevice is a trial of a route whose path names a device and nothing else.
func onDevice(status int, reason policy.Reason, tail string, body any) trial {
	return trial{allowed: answer{status, reason}, ask: func(q *quarter, _, _ string) (string, any) { return "/devices/" + q.device.ID + tail, body }}
}

// exported is a trial of an export, which is the owner's alone (T-88).
func exported(tail string) trial {
	out := onDevice(200, "", tail, nil)
	out.stricter = map[string]answer{"shared": {403, "OWNER_ONLY"}}
	return out
}

// onOrder is a trial of a route about an order, of whoever asks where that can be.
func onOrder(tail string) trial {
	return trial{allowed: answer{200, ""}, makes: true, ask: func(q *quarter, role, header string) (string, any) {
		if role != "owner" && role != "shared" {
			header = q.who["owner"]
		}
		e := q.want(201, "POST", "/api/v1/devices/"+q.device.ID+"/orders", obj{"action": "diagnostics.run", "params": obj{"test": "self"}}, header)
		return "/orders/" + e.id(q.t) + tail, nil
	}}
}

// ofAgents is where routes begin that are about no device of somebody else: an agent is of an organisation (DEV-6).
const ofAgents = "/api/v1/agents"

var invited = 0

// trials has an entry for every route with an action.
var trials = map[string]trial{
	"GET /api/v1/devices/{id}":           onDevice(200, "", "", nil),
	"PATCH /api/v1/devices/{id}":         onDevice(200, "", "", obj{"name": "rack"}),
	"DELETE /api/v1/devices/{id}":        onDevice(409, "CONFLICT", "", nil), // the matrix lets the owner; there is no deleting yet
	"GET /api/v1/devices/{id}/log":       onDevice(200, "", "/log", nil),
	"GET /api/v1/devices/{id}/log/head":  onDevice(200, "", "/log/head", nil),
	"GET /api/v1/devices/{id}/log.csv":   exported("/log.csv"),
	"GET /api/v1/devices/{id}/log.json":  exported("/log.json"),
	"GET /api/v1/devices/{id}/status":    onDevice(200, "", "/status", nil),
	"GET /api/v1/devices/{id}/history":   onDevice(200, "", "/history?point=battery_runtime", nil),
	"GET /api/v1/devices/{id}/incidents": onDevice(200, "", "/incidents", nil),
	"GET /api/v1/devices/{id}/inventory": onDevice(200, "", "/inventory", nil),
	"GET /api/v1/devices/{id}/orders":    onDevice(200, "", "/orders", nil),
	"GET /api/v1/devices/{id}/events":    onDevice(200, "", "/events", nil),
	"GET /api/v1/devices/{id}/licences":  onDevice(200, "", "/licences", nil),
	"GET /api/v1/devices/{id}/shares":    onDevice(200, "", "/shares", nil),
	"POST /api/v1/devices/{id}/leave":    onDevice(204, "", "/leave", nil),
	"POST /api/v1/devices/{id}/licences": onDevice(422, "CODE_UNKNOWN", "/licences", obj{"code": "WXYZ-WXYZ-WXYZ-WXYZ"}),
	"GET /api/v1/orders/{id}":            onOrder(""),
	"GET /api/v1/orders/{id}/events":     onOrder("/events"),
	"POST /api/v1/orders/{id}/cancel":    onOrder("/cancel"),
	"GET /api/v1/orders/{id}/bundle": {allowed: answer{200, ""}, makes: true, ask: func(q *quarter, _, _ string) (string, any) {
		return "/orders/" + q.bundle() + "/bundle", nil
	}},
	"DELETE /api/v1/devices/{id}/shares/{share}": {allowed: answer{204, ""}, ask: func(q *quarter, _, _ string) (string, any) {
		return "/devices/" + q.device.ID + "/shares/" + q.share(q.dan), nil
	}},
	"POST /api/v1/invitations": {allowed: answer{201, ""}, makes: true, ask: func(q *quarter, _, _ string) (string, any) {
		invited++
		return "/invitations", obj{"devices": []string{q.device.ID}, "email": fmt.Sprintf("guest%d@example.com", invited)}
	}},
	"POST /api/v1/invitations/{invitation}/resend": {allowed: answer{200, ""}, makes: true, stricter: map[string]answer{"shared": {404, "NOT_FOUND"}}, ask: func(q *quarter, _, _ string) (string, any) {
		invited++
		e := q.want(201, "POST", "/api/v1/invitations", obj{"devices": []string{q.device.ID}, "email": fmt.Sprintf("guest%d@example.com", invited)}, q.who["owner"])
		q.change(func(ctx context.Context, tx *store.Tx) error { // the minute between two is another rule's (INV-14)
			_, err := tx.Exec(ctx, `DELETE FROM limits`)
			return err
		})
		return "/invitations/" + e.id(q.t) + "/resend", nil
	}},
	"PUT /api/v1/notification-policies/{policy}/devices/{device}": {allowed: answer{204, ""}, ask: func(q *quarter, role, header string) (string, any) {
		if role == anonymous {
			header = q.who["owner"]
		}
		e := q.want(201, "POST", "/api/v1/notification-policies", obj{"name": "mine", "least_severity": "warning"}, header)
		return "/notification-policies/" + e.id(q.t) + "/devices/" + q.device.ID, nil
	}},
}

var rolesThatExist = []string{"owner", "shared", "nobody", anonymous}

// TestPERM1EveryRouteAnswersAsItsCellSays: each route of an action by each role that can exist on each plan, through HTTP, against the letters
// of matrix.csv.
func TestPERM1EveryRouteAnswersAsItsCellSays(t *testing.T) {
	m := readTable(t)
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		q := newQuarter(t, db)
		cells := 0
		for _, r := range q.routes {
			name := r.method + " " + r.pattern
			if r.needs == "" || strings.HasPrefix(r.pattern, ofAgents) {
				continue
			}
			trial, known := trials[name]
			if !known {
				t.Errorf("%s: say in trials how each role asks it, and what who may is answered", name)
				continue
			}
			for _, plan := range policy.Plans {
				for _, role := range rolesThatExist {
					want := m.wants(r.needs, role, plan, trial.allowed)
					if a, ok := trial.stricter[role]; ok {
						want = a
					}
					got := q.try(r.method, trial, role, plan)
					if got != want {
						t.Errorf("%s by %s on %s: %d %s, the table's %s says %d %s", name, role, plan, got.status, got.reason, r.needs, want.status, want.reason)
					}
					cells++
				}
			}
		}
		t.Logf("%d requests", cells)
	})
}

// try asks once, on a plan, with all in place that is needed.
func (q *quarter) try(method string, trial trial, role string, plan policy.Plan) answer {
	q.t.Helper()
	q.share(q.cleo)
	if !trial.makes {
		q.setPlan(plan)
		return q.answer(method, trial, role)
	}
	q.setPlan(policy.Advanced)
	q.change(func(ctx context.Context, tx *store.Tx) error { // places: other rules' (SHARE-2, SHARE-3)
		for _, table := range []string{"device_invitation_devices", "device_invitations", "limits"} {
			if _, err := tx.Exec(ctx, `DELETE FROM `+table); err != nil {
				return err
			}
		}
		return nil
	})
	path, body := trial.ask(q, role, q.who[role])
	q.setPlan(plan)
	return q.send(method, path, body, role)
}

func (q *quarter) answer(method string, trial trial, role string) answer {
	path, body := trial.ask(q, role, q.who[role])
	return q.send(method, path, body, role)
}

func (q *quarter) send(method, path string, body any, role string) answer {
	if strings.HasSuffix(path, "/events") {
		return q.listen(path, q.who[role])
	}
	return q.do(method, "/api/v1"+path, body, q.who[role]).answer()
}

// listen opens a feed and hangs up: its answer is in its head.
func (q *quarter) listen(path, header string) answer {
	q.t.Helper()
	ctx, cancel := context.WithCancel(q.t.Context())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, q.server.URL+"/api/v1"+path, nil)
	must(q.t, err)
	name, value, _ := strings.Cut(header, ": ")
	r.Header.Set(name, value)
	res, err := q.client.Do(r)
	must(q.t, err)
	defer res.Body.Close()
	if res.StatusCode == http.StatusOK {
		return answer{res.StatusCode, ""}
	}
	var text bytes.Buffer
	_, _ = text.ReadFrom(res.Body)
	return exchange{res.StatusCode, res.Header, text.Bytes()}.answer()
}

// TestPERM2AndPERM4AndPERM6EveryOrderIsAnsweredAsItsCellSays: each command of the matrix, asked for as an order. What may be asked for and is not
// offered yet is answered so.
func TestPERM2AndPERM4AndPERM6EveryOrderIsAnsweredAsItsCellSays(t *testing.T) {
	m := readTable(t)
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		q := newQuarter(t, db)
		for _, action := range policy.Actions() {
			if !action.Command() || action == policy.OrderCancel { // that one is a route of its own, and takes an order
				continue
			}
			allowed := answer{422, "UNSUPPORTED"}
			if _, ofUnit := ups.ParamsOf(string(action)); ofUnit || action == policy.SupportBundle {
				allowed = answer{201, ""}
			}
			trial := onDevice(0, "", "/orders", obj{"action": action, "params": params(action)})
			for _, plan := range policy.Plans {
				for _, role := range rolesThatExist {
					want := m.wants(action, role, plan, allowed)
					if got := q.try("POST", trial, role, plan); got != want {
						t.Errorf("%s by %s on %s: %d %s, the table says %d %s", action, role, plan, got.status, got.reason, want.status, want.reason)
					}
				}
			}
		}
	})
}

// TestPERM1WhatIsNoCommandIsNoOrder, and what nobody knows neither; a stranger is told of neither (ROLE-6).
func TestPERM1WhatIsNoCommandIsNoOrder(t *testing.T) {
	q := newQuarter(t, storetest.Open(t, storetest.SQLite(t)))
	for _, action := range append(policy.Actions(), "reboot.everything", "") {
		if action.Command() {
			continue
		}
		for role, want := range map[string]answer{
			"owner": {422, "UNKNOWN_ACTION"}, "shared": {422, "UNKNOWN_ACTION"}, "nobody": {404, "NOT_FOUND"}, anonymous: {401, "UNAUTHENTICATED"},
		} {
			if got := q.try("POST", onDevice(0, "", "/orders", obj{"action": action}), role, policy.Basic); got != want {
				t.Errorf("%q by %s: %+v, want %+v", action, role, got, want)
			}
		}
	}
}

// params are parameters with which an action can be ordered.
func params(action policy.Action) obj {
	out := obj{}
	for k, v := range upstest.Params(string(action)) {
		out[k] = v
	}
	return out
}
