package api

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/licence"
	"upsedge/internal/cloud/mail"
	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/policy"
)

// licences are those of a registry, whose letters wait in the database.
func licences(t testing.TB, db *store.DB, r *device.Registry) *licence.Service {
	t.Helper()
	q, err := mail.New(db, mail.Config{}, mail.Options{})
	must(t, err)
	s, err := licence.New(licence.Config{Devices: r, Mail: q, URL: "https://cloud.example"})
	must(t, err)
	return s
}

// issue makes a code for 30 days of a plan, for some devices.
func issue(t testing.TB, db *store.DB, plan policy.Plan, uses int) (code string) {
	t.Helper()
	s := licences(t, db, device.New(device.Config{}))
	must(t, db.Write(t.Context(), func(ctx context.Context, tx *store.Tx) (err error) {
		_, code, err = s.Issue(ctx, tx, licence.Issue{Plan: plan, Days: 30, Uses: uses})
		return err
	}))
	return code
}

// setPlan is the operator's.
func setPlan(t testing.TB, db *store.DB, id string, plan policy.Plan) {
	t.Helper()
	must(t, db.Write(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		d, err := device.Get(ctx, tx, id)
		if err != nil {
			return err
		}
		return device.New(device.Config{}).SetPlan(ctx, tx, cloud.System(""), "", d, plan, device.Forever)
	}))
}

// planRead is what is read of a device, or of an answer to a licence.
type planRead struct {
	Plan  policy.Plan `json:"plan"`
	Until *time.Time  `json:"valid_until"`
	Next  *struct {
		Plan  policy.Plan `json:"plan"`
		Until *time.Time  `json:"valid_until"`
	} `json:"next_plan"`
	Version int `json:"grant_version"`
	Applied *struct {
		Licence string
		Days    int
		Role    policy.Role
	}
}

func TestPERM5ALicenceIsAppliedOnBasicOverHTTP(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := deviceSite(t, db, map[string][]string{"g_ada": {"AS1"}})
		id := s.register("AS1").ID
		setPlan(t, db, id, policy.Basic)
		path := "/api/v1/devices/" + id
		history := path + "/history?point=battery_error"
		var before, applied, after planRead
		s.do("GET", path, nil, ada).into(t, &before)
		if before.Plan != policy.Basic || before.Until != nil || before.Next != nil {
			t.Errorf("basic: %+v", before)
		}
		if e := s.do("GET", history, nil, ada); e.status != 402 || e.reason() != policy.PlanBasic {
			t.Errorf("D-15: history on basic: %d %s", e.status, e.body)
		}
		code := issue(t, db, policy.Advanced, 1)
		key := "Idempotency-Key: one"
		first := s.do("POST", path+"/licences", map[string]string{"code": code}, ada, key)
		first.into(t, &applied)
		if first.status != 200 || applied.Plan != policy.Advanced || applied.Until == nil || applied.Next == nil || applied.Next.Plan != policy.Basic || applied.Next.Until != nil ||
			applied.Version != before.Version+1 || applied.Applied.Days != 30 || applied.Applied.Role != policy.Owner || strings.Contains(string(first.body), code) {
			t.Fatalf("%d %s", first.status, first.body)
		}
		for _, header := range []string{key, "Idempotency-Key: two", "X-None: x"} {
			if e := s.do("POST", path+"/licences", map[string]string{"code": code}, ada, header); e.status != 200 || strings.TrimSpace(string(e.body)) != strings.TrimSpace(string(first.body)) {
				t.Errorf("LIC-2, %s: %d %s, first %s", header, e.status, e.body, first.body)
			}
		}
		s.do("GET", path, nil, ada).into(t, &after)
		if !after.Until.Equal(*applied.Until) || after.Plan != policy.Advanced || after.Version != applied.Version {
			t.Errorf("the device: %+v, the answer: %+v", after, applied)
		}
		if e := s.do("GET", history, nil, ada); e.status != 200 {
			t.Errorf("D-15: history behind the upgrade: %d %s", e.status, e.body)
		}
		var list List[planRead]
		if s.do("GET", path+"/licences?limit=1", nil, ada).into(t, &list); len(list.Items) != 1 || list.Next != "" {
			t.Errorf("licences: %+v", list)
		}
	})
}

func TestLIC2EachWrongCodeHasItsReasonOverHTTP(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := deviceSite(t, db, map[string][]string{"g_ada": {"AS1", "AS2"}})
		id, other := s.register("AS1").ID, s.register("AS2").ID
		code := issue(t, db, policy.Standard, 1)
		apply := func(id, code, who string, status int, want policy.Reason) {
			t.Helper()
			e := s.do("POST", "/api/v1/devices/"+id+"/licences", map[string]string{"code": code}, who)
			if e.status != status || e.reason() != want || code != "" && strings.Contains(string(e.body), code) {
				t.Errorf("%d %s", e.status, e.body)
			}
		}
		apply(other, code, ada, 200, "")
		apply(id, code, ada, 410, policy.CodeUsed)
		apply(id, code, bob, 404, policy.NotFound)
		apply(cloud.NewID("d_"), code, ada, 404, policy.NotFound)
		for range 20 {
			apply(id, "ABCD-EFGH", ada, 422, policy.CodeUnknown)
		}
		apply(id, "ABCD-EFGH", ada, 429, policy.RateLimit)
		if e := s.do("POST", "/api/v1/devices/"+id+"/licences", `{"code":7}`, ada); e.reason() != policy.Malformed {
			t.Errorf("%d %s", e.status, e.body)
		}
		told := s.told("/api/v1/devices/"+id+"/log?action=licence.apply", ada)
		if len(told) == 0 || !slices.Contains(told, "licence.apply refused CODE_USED") || !slices.Contains(told, "licence.apply refused CODE_UNKNOWN") || !slices.Contains(told, "licence.apply refused RATE_LIMIT") {
			t.Errorf("LOG-1: %q", told)
		}
	})
}

// TestLIC1ASharedUserAppliesALicenceOverHTTP, and sees of the list what came since the own acceptance (LOG-7).
func TestLIC1ASharedUserAppliesALicenceOverHTTP(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := deviceSite(t, db, map[string][]string{"g_ada": {"AS1"}})
		id := s.register("AS1").ID
		path := "/api/v1/devices/" + id + "/licences"
		if e := s.do("POST", path, map[string]string{"code": issue(t, db, policy.Standard, 1)}, ada); e.status != 200 {
			t.Fatalf("%d %s", e.status, e.body)
		}
		time.Sleep(2 * time.Millisecond) // instants are of milliseconds
		must(t, db.Write(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			d, err := device.Get(ctx, tx, id)
			if err != nil {
				return err
			}
			_, err = device.New(device.Config{}).Share(ctx, tx, d, "a_bob", "u_bob", "bob@example.com")
			return err
		}))
		setPlan(t, db, id, policy.Basic)
		e := s.do("POST", path, map[string]string{"code": issue(t, db, policy.Advanced, 1)}, bob)
		var applied planRead
		if e.into(t, &applied); e.status != 200 || applied.Plan != policy.Advanced || applied.Applied.Role != policy.Shared {
			t.Errorf("%d %s", e.status, e.body)
		}
		var hers, his List[planRead]
		s.do("GET", path, nil, ada).into(t, &hers)
		s.do("GET", path, nil, bob).into(t, &his)
		if len(hers.Items) != 2 || len(his.Items) != 1 {
			t.Errorf("the owner sees %+v, the shared user %+v", hers.Items, his.Items)
		}
	})
}
