package api

import (
	"context"
	"slices"
	"strings"
	"testing"

	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/policy"
)

func TestNOTE1PoliciesOverHTTP(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := newStreet(t, db)
		bearer, dev := s.hers["bearer"], s.hers[ofDevice]
		const all = "/api/v1/notification-policies"
		for body, field := range map[string]string{
			`{"name":"x"}`: "events", `{"name":"","least_severity":"warning"}`: "name", `{"name":"x","least_severity":"loud"}`: "least_severity",
			`{"name":"x","events":["820"]}`: "events", `{"name":"x","account":"a_1","no_communication":true}`: "account",
		} {
			if e := s.want(400, "POST", all, body, bearer); !strings.Contains(string(e.body), `"field":"`+field+`"`) {
				t.Errorf("%s: %s", body, e.body)
			}
		}
		e := s.want(201, "POST", all, obj{"name": "nights", "least_severity": "critical", "events": []string{"101", "battery"}, "cleared": false}, bearer)
		id := strings.TrimPrefix(e.header.Get("Location"), all+"/")
		one := all + "/" + id
		s.want(204, "PUT", one+"/devices/"+dev, nil, bearer)
		s.want(204, "PUT", one+"/devices/"+dev, nil, bearer)
		s.want(200, "PATCH", one, obj{"name": "days", "enabled": false}, bearer)
		if e := s.want(200, "GET", one, nil, bearer); !strings.Contains(string(e.body), `"name":"days","enabled":false,"least_severity":"critical","events":["101","battery"],"raised":true,"cleared":false,"no_communication":false,"devices":[{"device":"`+dev) {
			t.Errorf("%s", e.body)
		}

		var hook struct{ ID, Secret string }
		for _, url := range []string{"http://hooks.example/", "https://127.0.0.1/", "https://u@hooks.example/", "https://hooks.example/#a"} {
			s.want(400, "POST", one+"/recipients", obj{"kind": "webhook", "url": url}, bearer)
		}
		s.want(201, "POST", one+"/recipients", obj{"kind": "webhook", "url": "https://hooks.example/x"}, bearer).into(t, &struct{ ID, Secret *string }{&hook.ID, &hook.Secret})
		if !strings.HasPrefix(hook.Secret, "whsec_") {
			t.Errorf("no secret: %+v", hook)
		}
		s.want(409, "POST", one+"/recipients", obj{"kind": "webhook", "url": "https://hooks.example/x"}, bearer)
		for _, path := range []string{one, all} {
			if e := s.want(200, "GET", path, nil, bearer); strings.Contains(string(e.body), "whsec_") {
				t.Error("the secret is told again")
			}
		}
		if e := s.want(200, "POST", one+"/recipients/"+hook.ID+"/secret", nil, bearer); !strings.Contains(string(e.body), "whsec_") || strings.Contains(string(e.body), hook.Secret) {
			t.Errorf("%s", e.body)
		}
		s.want(202, "POST", one+"/recipients/"+hook.ID+"/test", nil, bearer)
		if e := s.want(200, "GET", one+"/deliveries", nil, bearer); !strings.Contains(string(e.body), `"kind":"test","state":"waiting"`) {
			t.Errorf("%s", e.body)
		}
		s.want(200, "PATCH", one+"/recipients/"+hook.ID, obj{"enabled": false}, bearer)
		s.want(409, "POST", one+"/recipients/"+hook.ID+"/test", nil, bearer)
		var guard struct{ ID string }
		s.want(422, "POST", one+"/recipients", obj{"kind": "mail", "email": "a@b.example, c@d.example"}, bearer)
		s.want(201, "POST", one+"/recipients", obj{"kind": "mail", "email": "guard@example.org"}, bearer).into(t, &struct{ ID *string }{&guard.ID})
		s.want(200, "POST", one+"/recipients/"+guard.ID+"/resend", nil, bearer)
		s.want(429, "POST", one+"/recipients/"+guard.ID+"/resend", nil, bearer)
		for _, what := range []string{"confirm", "leave"} {
			if e := s.want(422, "POST", "/api/v1/notification-recipients/"+what, obj{"recipient": guard.ID, "code": "2345-6789-ABCD"}); e.reason() != policy.CodeUnknown {
				t.Errorf("%s: %s", what, e.body)
			}
		}
		s.want(204, "DELETE", one+"/recipients/"+guard.ID, nil, bearer)
		s.want(204, "DELETE", one+"/devices/"+dev, nil, bearer)
		s.want(404, "DELETE", one+"/devices/"+dev, nil, bearer)
		s.want(204, "DELETE", one, nil, bearer)
		s.want(404, "GET", one, nil, bearer)

		log := s.told("/api/v1/devices/"+dev+"/log", bearer)
		for _, want := range []string{"notify.add_device done", "notify.remove_device done"} {
			if !slices.Contains(log, want) {
				t.Errorf("no %q in %q", want, log)
			}
		}
		log = s.told("/api/v1/log", bearer)
		for _, want := range []string{"notification.policy_create done", "notification.recipient_add done", "notification.secret_rotate done", "notification.policy_delete done"} {
			if !slices.Contains(log, want) {
				t.Errorf("no %q in %q", want, log)
			}
		}
	})
}

// TestPERM4OnBasicNoDeviceIsPutIntoAPolicyAndThatIsLogged (LOG-1).
func TestPERM4OnBasicNoDeviceIsPutIntoAPolicyAndThatIsLogged(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := newStreet(t, db)
		dev := s.hers[ofDevice]
		must(t, db.Write(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Exec(ctx, `UPDATE devices SET plan = 'basic' WHERE id = $1`, dev)
			return err
		}))
		if e := s.want(402, "PUT", "/api/v1/notification-policies/"+s.hers[ofPolicy]+"/devices/"+dev, nil, s.hers["bearer"]); e.reason() != policy.PlanBasic {
			t.Errorf("%s", e.body)
		}
		if log := s.told("/api/v1/devices/"+dev+"/log", s.hers["bearer"]); log[0] != "notify.add_device refused PLAN_BASIC" {
			t.Errorf("%q", log)
		}
	})
}
