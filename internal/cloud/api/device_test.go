package api

import (
	"context"
	"encoding/csv"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/eventlog"
	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/policy"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// deviceSite serves a cloud in which agent g_ada of o_ada and g_bob of o_bob report units. Who is called "stale" in the token has a second
// factor set up, and has not given it.
func deviceSite(t *testing.T, db *store.DB, units map[string][]string) *site {
	t.Helper()
	r := device.New(device.Config{})
	err := db.Write(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		for agent, serials := range units {
			_, err := tx.Exec(ctx, `INSERT INTO enrolled_agents (agent, org, name, public_key, enrolled_at) VALUES ($1, $2, '', $3, 1)`,
				agent, "o_"+strings.TrimPrefix(agent, "g_"), []byte(agent))
			if err != nil {
				return err
			}
			full := &wire.FullState{Agent: agent}
			for i, s := range serials {
				full.Units = append(full.Units, wire.UnitState{
					Unit: fmt.Sprintf("rack-%d", i), Serial: s, Model: "Smart-UPS <1500>", Firmware: "09.3", Condition: ups.Online,
				})
			}
			if err := r.State(ctx, tx, agent, full, time.Now()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	sign := func(payload []byte) (string, error) { return fmt.Sprintf("e30.%x.AA", payload), nil }
	return newSite(t, db, func(c *Config) {
		c.Licences = licences(t, db, r)
		c.Devices, c.Heads = r, eventlog.NewSigner(sign, nil, nil)
		c.Authenticate = func(r *http.Request) (cloud.Actor, error) {
			actor, err := known(r)
			if actor.Ref == "u_stale" {
				actor.Ref, actor.Account, actor.Org, actor.HasFactor = "u_ada", "a_ada", "o_ada", true
			}
			return actor, err
		}
	})
}

const stale = "Authorization: Bearer test-stale"

func (s *site) register(serial string) (d deviceBody) {
	s.t.Helper()
	e := s.do("POST", "/api/v1/devices", map[string]string{"serial": serial}, ada)
	if e.status != 201 || e.header.Get("Location") == "" {
		s.t.Fatalf("register: %d %s", e.status, e.body)
	}
	e.into(s.t, &struct{ ID *string }{&d.ID})
	return d
}

// told lists what a page of a log says: action, outcome and reason, newest first.
func (s *site) told(path, who string) (out []string) {
	s.t.Helper()
	e := s.do("GET", path, nil, who)
	if e.status != 200 {
		s.t.Fatalf("%s: %d %s", path, e.status, e.body)
	}
	var page List[eventlog.Line]
	e.into(s.t, &page)
	for _, l := range page.Items {
		out = append(out, strings.TrimSpace(l.Action+" "+l.Outcome+" "+l.Reason))
	}
	return out
}

func TestDEV1AUnitIsSeenRegisteredAndNamed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := deviceSite(t, db, map[string][]string{"g_ada": {"AS1", "AS2", "AS3"}, "g_bob": {"AS9"}})
		var first, second List[map[string]any]
		s.do("GET", "/api/v1/sightings?limit=2", nil, ada).into(t, &first)
		s.do("GET", "/api/v1/sightings?limit=2&cursor="+first.Next, nil, ada).into(t, &second)
		if len(first.Items) != 2 || len(second.Items) != 1 || second.Items[0]["serial"] != "AS3" || second.Next != "" {
			t.Errorf("sightings: %v, then %v", first, second)
		}
		d := s.register("AS1")
		s.register("AS2")
		for serial, want := range map[string]policy.Reason{"AS1": policy.AlreadyRegistered, "AS9": policy.NotFound, "none": policy.NotFound, "\x01\n": policy.NotFound, "\x00": policy.Malformed} {
			if e := s.do("POST", "/api/v1/devices", map[string]string{"serial": serial}, ada); e.reason() != want {
				t.Errorf("%q: %d %s", serial, e.status, e.body)
			}
		}
		e := s.do("PATCH", "/api/v1/devices/"+d.ID, map[string]string{"name": "hall", "notes": "a\nb"}, ada)
		var got struct {
			Name, State, Plan string
			Condition         []string
		}
		e.into(t, &got)
		if e.status != 200 || got.Name != "hall" || got.State != "online" || got.Plan != "advanced" || !slices.Equal(got.Condition, []string{"online"}) {
			t.Errorf("named: %d %s", e.status, e.body)
		}
		if e := s.do("PATCH", "/api/v1/devices/"+d.ID, `{"owner":"a_bob"}`, ada); e.reason() != policy.Malformed {
			t.Errorf("%d %s", e.status, e.body)
		}
		s.do("GET", "/api/v1/devices?limit=1", nil, ada).into(t, &first)
		s.do("GET", "/api/v1/devices?limit=1&cursor="+first.Next, nil, ada).into(t, &second)
		if len(first.Items) != 1 || len(second.Items) != 1 || first.Items[0]["id"] == second.Items[0]["id"] || second.Next != "" {
			t.Errorf("devices: %v, then %v", first, second)
		}
		if want := []string{"configure.label done", "configure.label done", "device.register done"}; !slices.Equal(s.told("/api/v1/devices/"+d.ID+"/log", ada), want) {
			t.Errorf("log: %q", s.told("/api/v1/devices/"+d.ID+"/log", ada))
		}
	})
}

// byPath has every route about one device, as it is called.
func byPath(a *API) (out [][2]string) {
	for _, r := range a.routes {
		if strings.Contains(r.pattern, "/devices/{id}") {
			out = append(out, [2]string{r.method, r.pattern})
		}
	}
	return out
}

func TestT80WhoHasNoRightIsToldTheSameOfEveryDevice(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := deviceSite(t, db, map[string][]string{"g_ada": {"AS1"}})
		d := s.register("AS1")
		a, err := New(Config{DB: db, Authenticate: known})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range byPath(a) {
			if strings.Contains(r[1], "/orders") || strings.HasSuffix(r[1], "/events") {
				continue // they have a test like this one beside them
			}
			var answers [2]string
			for i, id := range []string{d.ID, cloud.NewID("d_")} {
				var body any
				if r[0] != http.MethodGet {
					body = `{"name":"mine"}`
				}
				path := strings.Replace(r[1], "{id}", id, 1)
				if strings.HasSuffix(path, "/history") {
					path += "?point=load"
				}
				e := s.do(r[0], path, body, bob)
				if e.status != 404 || e.reason() != policy.NotFound {
					t.Errorf("%s %s: %d %s", r[0], r[1], e.status, e.body)
				}
				answers[i] = strings.ReplaceAll(string(e.body), e.header.Get("X-Request-Id"), "")
			}
			if answers[0] != answers[1] {
				t.Errorf("%s %s: %s, of none: %s", r[0], r[1], answers[0], answers[1])
			}
		}
		if got := s.told("/api/v1/devices/"+d.ID+"/log", ada); !slices.Equal(got, []string{"device.register done"}) {
			t.Errorf("PERM-9: the owner's log tells %q", got)
		}
		got := s.told("/api/v1/log?outcome=refused", bob)
		if len(got) < 10 || slices.ContainsFunc(got, func(s string) bool { return !strings.HasSuffix(s, " refused NOT_FOUND") }) {
			t.Errorf("LOG-1: the log of who asked tells %q", got)
		}
		for _, who := range []string{"GET /api/v1/devices", "GET /api/v1/sightings", "GET /api/v1/log?device=" + d.ID} {
			method, path, _ := strings.Cut(who, " ")
			var list List[any]
			if s.do(method, path, nil, bob).into(t, &list); len(list.Items) != 0 {
				t.Errorf("%s: %v", who, list.Items)
			}
		}
	})
}

func TestLOG8LogsAreFilteredAndPaged(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := deviceSite(t, db, map[string][]string{"g_ada": {"AS1", "AS2"}})
		d := s.register("AS1")
		other := s.register("AS2")
		for i := range 5 {
			s.do("PATCH", "/api/v1/devices/"+d.ID, map[string]string{"name": fmt.Sprintf("n%d", i)}, ada)
		}
		log := "/api/v1/devices/" + d.ID + "/log"
		var all []string
		for path, pages := log+"?limit=4", 0; path != ""; pages++ {
			var page List[eventlog.Line]
			s.do("GET", path, nil, ada).into(t, &page)
			for _, l := range page.Items {
				all = append(all, l.Action+l.Params["new"])
			}
			if path = ""; page.Next != "" && pages < 9 {
				path = log + "?limit=4&cursor=" + page.Next
			}
		}
		if want := []string{"configure.labeln4", "configure.labeln3", "configure.labeln2", "configure.labeln1", "configure.labeln0", "device.register"}; !slices.Equal(all, want) {
			t.Errorf("in pages: %q", all)
		}
		for query, want := range map[string]int{
			"": 7, "?device=" + other.ID: 1, "?action=configure.label": 5, "?actor=u_ada&outcome=done": 7, "?actor=u_bob": 0, "?outcome=refused": 0,
			"?from=2026-01-01T00:00:00Z": 7, "?to=2020-01-01T00:00:00Z": 0,
		} {
			if got := s.told("/api/v1/log"+query, ada); len(got) != want {
				t.Errorf("log%s: %q, want %d", query, got, want)
			}
		}
		for _, bad := range []string{"?from=yesterday", "?cursor=x", "?limit=0", "?action=%00", "?actor=" + strings.Repeat("x", 65)} {
			if e := s.do("GET", log+bad, nil, ada); e.reason() != policy.Malformed {
				t.Errorf("%s: %d %s", bad, e.status, e.body)
			}
		}
	})
}

func TestT88ALogIsTakenAwayByItsOwnerWithAFreshFactor(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := deviceSite(t, db, map[string][]string{"g_ada": {"AS1"}})
		d := s.register("AS1")
		s.do("PATCH", "/api/v1/devices/"+d.ID, map[string]string{"name": "=HYPERLINK(\"x\"),\"y\"", "notes": "-1\n@x"}, ada)
		log := "/api/v1/devices/" + d.ID + "/log"
		for _, path := range []string{log + ".csv", log + ".json", "/api/v1/log.csv", "/api/v1/log.json"} {
			if e := s.do("GET", path, nil, stale); e.status != 403 || e.reason() != policy.StepUpRequired {
				t.Errorf("%s without a fresh factor: %d %s", path, e.status, e.body)
			}
		}
		e := s.do("GET", log+".csv", nil, ada)
		rows, err := csv.NewReader(strings.NewReader(string(e.body))).ReadAll()
		if err != nil || len(rows) != 7 || !strings.Contains(e.header.Get("Content-Type"), "text/csv") || e.header.Get("X-Log-Head") == "" {
			t.Fatalf("%d rows, %v, %v", len(rows), err, e.header)
		}
		for _, row := range rows {
			for _, field := range row {
				if strings.ContainsAny(field, "\r\n") || field != "" && strings.ContainsRune("=+-@", rune(field[0])) {
					t.Errorf("T-54: the field %q", field)
				}
			}
		}
		var out struct {
			Head     string
			Complete bool
			Entries  []eventlog.Line
		}
		s.do("GET", log+".json?action=configure.label", nil, ada).into(t, &out)
		if !out.Complete || len(out.Entries) != 2 || out.Head == "" || out.Entries[1].Number <= out.Entries[0].Number {
			t.Errorf("as JSON: %+v", out)
		}
		s.do("GET", "/api/v1/log.json", nil, ada).into(t, &out)
		if len(out.Entries) != 10 || out.Entries[9].Action != "eventlog.read" || out.Entries[9].Params["format"] != "json" {
			t.Errorf("LOG-3: of the organisation: %d entries, the last %+v", len(out.Entries), out.Entries[len(out.Entries)-1])
		}
		var head headBody
		if s.do("GET", log+"/head", nil, ada).into(t, &head); head.Head == "" {
			t.Error("no head is handed out")
		}
	})
}
