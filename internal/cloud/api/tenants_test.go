package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/authority"
	"upsedge/internal/cloud/bundle"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/eventlog"
	"upsedge/internal/cloud/invitation"
	"upsedge/internal/cloud/job"
	"upsedge/internal/cloud/notify"
	"upsedge/internal/cloud/order"
	"upsedge/internal/cloud/secret"
	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// What a route names that can be somebody else's. Each route of the table has an entry in tenants; one without fails the test.
const (
	ofDevice     = "device"
	ofOrder      = "order"
	ofAgent      = "agent"
	ofToken      = "enrolment token"
	ofInvitation = "invitation"
	ofShare      = "invitation to share"
	ofPolicy     = "notification policy"
	ofRecipient  = "recipient of a notification policy"
	ofJob        = "job"
	ofNothing    = "nothing but who asks"
	ofConnection = "what the certificate of the connection is good for" // TestT67AnAgentSendsTheBundlesOfItsOwnOrdersAlone
)

var tenants = map[string]string{
	"GET /api/v1/openapi.json": ofNothing, "POST /api/v1/signup": ofNothing, "POST /api/v1/signup/verify": ofNothing, "POST /api/v1/password/reset": ofNothing,
	"POST /api/v1/password/reset/confirm": ofNothing, "POST /api/v1/session": ofNothing, "GET /api/v1/session": ofNothing, "DELETE /api/v1/session": ofNothing,
	"DELETE /api/v1/sessions": ofNothing, "POST /api/v1/session/factor": ofNothing, "GET /api/v1/account": ofNothing, "PATCH /api/v1/account": ofNothing,
	"POST /api/v1/account/password": ofNothing, "POST /api/v1/account/totp": ofNothing, "POST /api/v1/account/totp/confirm": ofNothing,
	"POST /api/v1/account/totp/remove": ofNothing, "GET /api/v1/organisation": ofNothing, "PATCH /api/v1/organisation": ofNothing,
	"GET /api/v1/organisation/members": ofNothing, "GET /api/v1/organisation/invitations": ofNothing, "POST /api/v1/organisation/invitations": ofNothing,
	"DELETE /api/v1/organisation/invitations/{invitation}": ofInvitation, "POST /api/v1/organisation/invitations/{invitation}/resend": ofInvitation,
	"POST /api/v1/organisation/invitations/accept": ofNothing, "POST /api/v1/organisation/invitations/decline": ofNothing, "POST /api/v1/agents/tokens": ofNothing, "GET /api/v1/agents": ofNothing, "GET /api/v1/agents/tokens": ofNothing, "DELETE /api/v1/agents/tokens/{id}": ofToken,
	"DELETE /api/v1/agents/{id}": ofAgent, "POST /api/v1/enrol": ofNothing, "POST /api/v1/agents/self/certificate": ofNothing,
	"GET /api/v1/sightings": ofNothing, "POST /api/v1/devices": ofNothing, "GET /api/v1/devices": ofNothing, "GET /api/v1/devices/{id}": ofDevice,
	"PATCH /api/v1/devices/{id}": ofDevice, "GET /api/v1/devices/{id}/log": ofDevice, "GET /api/v1/devices/{id}/log/head": ofDevice,
	"GET /api/v1/devices/{id}/log.csv": ofDevice, "GET /api/v1/devices/{id}/log.json": ofDevice, "GET /api/v1/log": ofNothing, "GET /api/v1/log.csv": ofNothing,
	"GET /api/v1/log.json": ofNothing, "GET /api/v1/devices/{id}/status": ofDevice, "GET /api/v1/devices/{id}/history": ofDevice,
	"GET /api/v1/devices/{id}/incidents": ofDevice, "GET /api/v1/devices/{id}/inventory": ofDevice, "GET /api/v1/points": ofNothing,
	"POST /api/v1/devices/{id}/orders": ofDevice, "POST /api/v1/devices/{id}/orders/preview": ofDevice, "GET /api/v1/devices/{id}/orders": ofDevice, "GET /api/v1/devices/{id}/events": ofDevice,
	"GET /api/v1/invitations": ofNothing, "POST /api/v1/invitations": ofNothing, "DELETE /api/v1/invitations/{invitation}": ofShare,
	"POST /api/v1/invitations/{invitation}/resend": ofShare, "POST /api/v1/invitations/accept": ofNothing, "POST /api/v1/invitations/decline": ofNothing,
	"POST /api/v1/devices/{id}/licences": ofDevice, "GET /api/v1/devices/{id}/licences": ofDevice,
	"GET /api/v1/notification-policies": ofNothing, "POST /api/v1/notification-policies": ofNothing,
	"GET /api/v1/notification-policies/{policy}": ofPolicy, "PATCH /api/v1/notification-policies/{policy}": ofPolicy,
	"DELETE /api/v1/notification-policies/{policy}": ofPolicy, "PUT /api/v1/notification-policies/{policy}/devices/{device}": ofPolicy,
	"DELETE /api/v1/notification-policies/{policy}/devices/{device}": ofPolicy, "GET /api/v1/notification-policies/{policy}/deliveries": ofPolicy,
	"POST /api/v1/notification-policies/{policy}/recipients": ofPolicy, "PATCH /api/v1/notification-policies/{policy}/recipients/{recipient}": ofPolicy,
	"DELETE /api/v1/notification-policies/{policy}/recipients/{recipient}": ofPolicy, "POST /api/v1/notification-policies/{policy}/recipients/{recipient}/resend": ofPolicy,
	"POST /api/v1/notification-policies/{policy}/recipients/{recipient}/secret": ofPolicy, "POST /api/v1/notification-policies/{policy}/recipients/{recipient}/test": ofPolicy,
	"POST /api/v1/notification-recipients/confirm": ofNothing, "POST /api/v1/notification-recipients/leave": ofNothing,
	"GET /api/v1/devices/{id}/shares": ofDevice, "DELETE /api/v1/devices/{id}/shares/{share}": ofDevice, "POST /api/v1/devices/{id}/leave": ofDevice,
	"DELETE /api/v1/devices/{id}": ofDevice, "GET /api/v1/orders/{id}": ofOrder, "POST /api/v1/orders/{id}/cancel": ofOrder, "GET /api/v1/orders/{id}/events": ofOrder,
	"POST /api/v1/jobs": ofNothing, "GET /api/v1/jobs": ofNothing, "GET /api/v1/jobs/{job}": ofJob, "POST /api/v1/jobs/{job}/cancel": ofJob,
	"GET /api/v1/orders/{id}/bundle": ofOrder, "PUT /api/v1/agents/self/bundles/{order}": ofConnection, "GET /api/v1/agents/self/bundles/{order}": ofConnection,
}

// A street is the whole interface with two accounts of two organisations, each with an agent, a device, an order and an invitation.
type street struct {
	*town
	devices *device.Registry
	bundles *bundle.Service
	routes  []route
	hers    map[string]string // ids of ada's, by what they are of
	his     map[string]string // bob's
	none    map[string]string // of nobody
}

func newStreet(t *testing.T, db *store.DB) *street {
	w := newTown(t, db)
	accounts := w.accounts
	dir := t.TempDir()
	_, err := authority.Init(dir, []string{"localhost"})
	must(t, err)
	agents, err := authority.Open(dir, authority.Options{DB: db, Brokers: []string{"tls://localhost:8883"}})
	must(t, err)
	const enough = 1 << 20
	book, err := order.New(order.Config{DB: db, Signer: unsigned{}, Limits: order.Limits{Actor: enough, ActorDay: enough, Device: enough, DeviceDay: enough, Load: enough, LoadDay: enough, Waiting: enough}})
	must(t, err)
	desk, err := job.New(job.Config{DB: db, Orders: book, Limits: job.Limits{Open: enough, Day: enough, LoadDay: enough}})
	must(t, err)
	w.signedOut = desk.SignedOut
	devices := device.New(device.Config{})
	invitations, err := invitation.New(invitation.Options{DB: db, Mail: w.mails, Devices: devices, URL: "https://cloud.example"})
	must(t, err)
	notifier, err := notify.New(notify.Options{DB: db, Mail: w.mails, URL: "https://cloud.example"})
	must(t, err)
	bundles, err := bundle.New(bundle.Options{DB: db, Secrets: secret.Random()})
	must(t, err)
	a, err := New(Config{
		DB: db, Authenticate: accounts.Authenticate, Accounts: accounts, Agents: agents, Orders: book, Jobs: desk, Devices: devices, Invitations: invitations,
		Licences: licences(t, db, devices), Notify: notifier, Bundles: bundles,
		Heads: eventlog.NewSigner(func(p []byte) (string, error) { return fmt.Sprintf("e30.%x.AA", p), nil }, nil, nil),
	})
	must(t, err)
	w.site = serveSite(t, a)
	s := &street{town: w, routes: a.routes, devices: devices, bundles: bundles, none: map[string]string{
		ofDevice: cloud.NewID("d_"), ofAgent: cloud.NewID("g_"), ofToken: cloud.NewID("t_"), ofInvitation: cloud.NewID("i_"), ofShare: cloud.NewID("si_"), ofOrder: strings.Repeat("7", 32),
		ofPolicy: cloud.NewID("np_"), ofRecipient: cloud.NewID("nr_"), ofJob: cloud.NewID("j_"),
	}}
	s.hers, s.his = s.household("ada", devices), s.household("bob", devices)
	return s
}

// household makes everything that somebody can have.
func (s *street) household(name string, devices *device.Registry) map[string]string {
	s.t.Helper()
	s.member(name + "@example.com")
	bearer := s.token(name+"@example.com", "")
	var who accountBodyRead
	s.want(200, "GET", "/api/v1/account", nil, bearer).into(s.t, &who)
	has := map[string]string{"bearer": bearer, ofAgent: cloud.NewID("g_"), "serial": "SERIAL-OF-" + name, "email": name + "@example.com", "org": who.Organisation.ID}
	var token struct{ ID string }
	s.want(201, "POST", "/api/v1/agents/tokens", obj{}, bearer).into(s.t, &token)
	has[ofToken] = token.ID
	must(s.t, s.db.Write(s.t.Context(), func(ctx context.Context, tx *store.Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO enrolled_agents (agent, org, name, public_key, enrolled_at) VALUES ($1, $2, $3, $4, 1)`,
			has[ofAgent], who.Organisation.ID, "cellar", []byte(name)); err != nil {
			return err
		}
		full := &wire.FullState{Agent: has[ofAgent], Units: []wire.UnitState{
			{Unit: "unit-of-" + name, Serial: has["serial"], Model: "Smart-UPS", Condition: ups.Online}, {Unit: "more-of-" + name, Serial: "MORE-OF-" + name, Condition: ups.Online},
		}}
		return devices.State(ctx, tx, has[ofAgent], full, time.Now())
	}))
	id := func(e exchange) string {
		var made struct{ ID string }
		e.into(s.t, &struct{ ID *string }{&made.ID})
		return made.ID
	}
	has[ofDevice] = id(s.want(201, "POST", "/api/v1/devices", obj{"serial": has["serial"]}, bearer))
	has[ofOrder] = id(s.want(201, "POST", "/api/v1/devices/"+has[ofDevice]+"/orders", obj{"action": "diagnostics.run", "params": obj{"test": "self"}}, bearer, "Idempotency-Key: of-"+name))
	var job struct{ Job struct{ ID string } }
	made := s.want(201, "POST", "/api/v1/jobs", obj{"devices": []string{has[ofDevice]}, "action": "alarm.mute"}, bearer)
	must(s.t, json.Unmarshal(made.body, &job))
	has[ofJob] = job.Job.ID
	has[ofInvitation] = id(s.want(201, "POST", "/api/v1/organisation/invitations", obj{"email": "guest-of-" + name + "@example.com"}, bearer))
	var shared invitedBodyRead
	s.want(201, "POST", "/api/v1/invitations", obj{"devices": []string{has[ofDevice]}, "email": "guest-of-" + name + "@example.com"}, bearer).into(s.t, &shared)
	has[ofShare] = shared.Invitation.ID
	var policy struct {
		ID         string
		Recipients []struct{ ID string }
	}
	s.want(201, "POST", "/api/v1/notification-policies", obj{"name": "policy-of-" + name, "least_severity": "warning"}, bearer).into(s.t, &struct {
		ID         *string
		Recipients *[]struct{ ID string }
	}{&policy.ID, &policy.Recipients})
	has[ofPolicy], has[ofRecipient] = policy.ID, policy.Recipients[0].ID
	s.want(204, "PUT", "/api/v1/notification-policies/"+policy.ID+"/devices/"+has[ofDevice], nil, bearer)
	return has
}

// body is what a route that changes something is sent.
func body(r *route, serial string) any {
	switch {
	case r.method == http.MethodGet || r.method == http.MethodDelete || strings.HasSuffix(r.pattern, "/cancel") || strings.HasSuffix(r.pattern, "/resend") || strings.HasSuffix(r.pattern, "/leave"):
		return nil
	case strings.HasSuffix(r.pattern, "/orders"), strings.HasSuffix(r.pattern, "/orders/preview"):
		return `{"action":"diagnostics.run","params":{"test":"self"}}`
	case r.pattern == "/api/v1/devices":
		return obj{"serial": serial}
	case strings.HasSuffix(r.pattern, "/recipients"):
		return obj{"kind": "own"}
	case strings.HasSuffix(r.pattern, "/recipients/{recipient}"):
		return obj{"enabled": false}
	}
	return `{"name":"mine"}`
}

// age finds what differs between two answers of the same.
var age = regexp.MustCompile(`"age_s":[0-9.e+-]+|"agent_connected":\w+`)

// view is everything ada can read of what is hers.
func (s *street) view() (out string) {
	s.t.Helper()
	for _, path := range []string{
		"/devices/" + s.hers[ofDevice], "/devices/" + s.hers[ofDevice] + "/log", "/orders/" + s.hers[ofOrder], "/devices/" + s.hers[ofDevice] + "/orders",
		"/jobs", "/jobs/" + s.hers[ofJob],
		"/notification-policies", "/agents", "/organisation", "/organisation/members", "/organisation/invitations", "/invitations", "/log", "/sightings", "/account",
	} {
		e := s.want(200, "GET", "/api/v1"+path, nil, s.hers["bearer"])
		out += path + ": " + age.ReplaceAllString(string(e.body), "") + "\n"
	}
	return out
}

// TestT80AndPERM9EveryRouteTellsNothingOfOtherTenants goes through the table of routes as bob. With what is ada's in place of an id each answer is the one
// for what does not exist; no other answer has anything of hers in it; and nothing of hers has changed.
func TestT80AndPERM9EveryRouteTellsNothingOfOtherTenants(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := newStreet(t, db)
		before := s.view()
		bob := s.his["bearer"]
		var secrets []string
		for what, text := range s.hers {
			if what != "bearer" {
				secrets = append(secrets, text)
			}
		}
		cursors := s.cursors(s.hers["bearer"])
		for i := range s.routes {
			r := &s.routes[i]
			of, known := tenants[r.method+" "+r.pattern]
			if !known {
				t.Errorf("%s %s: say in tenants what of others it can name", r.method, r.pattern)
				continue
			}
			if strings.Contains(r.pattern, "{") == (of == ofNothing) {
				t.Errorf("%s %s: is not of %s", r.method, r.pattern, of)
			}
			if of == ofNothing {
				s.lists(r, bob, cursors, secrets)
			}
		}
		for _, ask := range s.questions() {
			s.alike(ask)
		}
		if after := s.view(); after != before {
			t.Errorf("what is ada's has changed from\n%s\nto\n%s", before, after)
		}
	})
}

// A question is a request about something of somebody: what, has says.
type question struct {
	method, what string
	ask          func(has map[string]string) (path string, body any)
}

// questions has one for every route that names something, and for each name of others in a body or a query.
func (s *street) questions() (out []question) {
	add := func(method, what string, ask func(has map[string]string) (string, any)) {
		out = append(out, question{method, what, ask})
	}
	for i := range s.routes {
		r := &s.routes[i]
		of := tenants[r.method+" "+r.pattern]
		if of == ofNothing || of == ofConnection || of == "" {
			continue
		}
		add(r.method, r.pattern, func(has map[string]string) (string, any) {
			path := r.pattern
			for _, m := range pathName.FindAllStringSubmatch(path, -1) {
				what := of
				if of == ofPolicy && m[1] != "policy" {
					what = map[string]string{"device": ofDevice, "recipient": ofRecipient}[m[1]]
				}
				path = strings.Replace(path, m[0], has[what], 1)
			}
			if strings.HasSuffix(path, "/history") {
				path += "?point=battery_runtime"
			}
			return path, body(r, "")
		})
	}
	add("POST", "serial of /devices", func(has map[string]string) (string, any) { return "/api/v1/devices", obj{"serial": has["serial"]} })
	add("POST", "agent of /devices", func(has map[string]string) (string, any) {
		return "/api/v1/devices", obj{"serial": "MORE-OF-bob", "agent": has[ofAgent]}
	})
	add("POST", "order of an order.cancel", func(has map[string]string) (string, any) {
		return "/api/v1/devices/" + s.his[ofDevice] + "/orders", obj{"action": "order.cancel", "params": obj{"order": has[ofOrder]}}
	})
	add("POST", "device of /invitations", func(has map[string]string) (string, any) {
		return "/api/v1/invitations", obj{"devices": []string{has[ofDevice]}, "email": "guest@example.com"}
	})
	add("POST", "device of /jobs", func(has map[string]string) (string, any) {
		return "/api/v1/jobs", obj{"devices": []string{has[ofDevice]}, "action": "alarm.mute"}
	})
	add("GET", "device of /invitations", func(has map[string]string) (string, any) { return "/api/v1/invitations?device=" + has[ofDevice], nil })
	add("PUT", "device of a policy", func(has map[string]string) (string, any) {
		return "/api/v1/notification-policies/" + s.his[ofPolicy] + "/devices/" + has[ofDevice], nil
	})
	add("PATCH", "recipient of a policy", func(has map[string]string) (string, any) {
		return "/api/v1/notification-policies/" + s.his[ofPolicy] + "/recipients/" + has[ofRecipient], obj{"enabled": false}
	})
	for _, what := range []string{ofDevice, ofOrder, ofAgent} {
		add("GET", what+" of /log", func(has map[string]string) (string, any) { return "/api/v1/log?device=" + has[what], nil })
	}
	return out
}

// strange asks as bob for what somebody has.
func (s *street) strange(ask question, has map[string]string) exchange {
	s.t.Helper()
	path, body := ask.ask(has)
	headers := []string{s.his["bearer"]}
	if ask.method == http.MethodPost {
		headers = append(headers, "Idempotency-Key: of-ada") // with which she has an answer
	}
	return s.do(ask.method, path, body, headers...)
}

// alike asks as bob for something of ada's and for what does not exist, and wants one answer: status, headers but for id and date, and body.
func (s *street) alike(ask question) {
	s.t.Helper()
	var answers []string
	for _, has := range []map[string]string{s.none, s.hers} {
		e := s.strange(ask, has)
		text := strings.ReplaceAll(string(e.body), e.header.Get("X-Request-Id"), "")
		text = strings.ReplaceAll(text, has[ofDevice], "DEVICE") // an answer may say what the question said
		if e.status == http.StatusOK {
			text = age.ReplaceAllString(text, "")
			e.header.Del("Content-Length") // ages have digits
		} else if e.status != http.StatusNotFound {
			s.t.Errorf("%s %s: %d %s", ask.method, ask.what, e.status, e.body)
		}
		e.header.Del("X-Request-Id")
		e.header.Del("Date")
		answers = append(answers, fmt.Sprintf("%d %v %s", e.status, e.header, text))
	}
	if answers[0] != answers[1] {
		s.t.Errorf("%s %s: %s, of what does not exist: %s", ask.method, ask.what, answers[1], answers[0])
	}
}

// lists asks for what is bob's own, also with cursors of ada's, and wants nothing of hers in it.
func (s *street) lists(r *route, bob string, cursors, secrets []string) {
	s.t.Helper()
	if r.method != http.MethodGet {
		return // it names nobody's; its tests are those of accounts and agents
	}
	for _, c := range append([]string{""}, cursors...) {
		e := s.do("GET", r.pattern+"?cursor="+c, nil, bob)
		if e.status >= 500 {
			s.t.Errorf("%s: %d %s", r.pattern, e.status, e.body)
		}
		if i := slices.IndexFunc(secrets, func(secret string) bool { return strings.Contains(string(e.body), secret) }); i >= 0 && !strings.HasPrefix(r.pattern, "/api/v1/log") {
			s.t.Errorf("%s with cursor %q tells %s: %s", r.pattern, c, secrets[i], e.body)
		}
	}
}

// cursors are those that ada was given.
func (s *street) cursors(bearer string) (out []string) {
	s.t.Helper()
	for _, path := range []string{"/api/v1/log", "/api/v1/devices/" + s.hers[ofDevice] + "/log"} {
		var page List[any]
		s.want(200, "GET", path+"?limit=1", nil, bearer).into(s.t, &page)
		if page.Next != "" {
			out = append(out, page.Next)
		}
	}
	return out
}
