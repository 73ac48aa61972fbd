package api

import (
	"slices"
	"strings"
	"testing"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/eventlog"
	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/policy"
)

// sharesRead is what is read of a device's shares.
type sharesRead struct {
	Shares []struct{ ID, Name, Email, Actor string }
	Free   int `json:"free_places"`

	Invitations []struct{ ID, Email string }
}

// shareWithBob has ada's device shared with bob, by invitation, and returns the share.
func (s *street) shareWithBob() string {
	s.t.Helper()
	s.want(201, "POST", "/api/v1/invitations", obj{"devices": []string{s.hers[ofDevice]}, "email": "Bob@example.com"}, s.hers["bearer"])
	s.want(200, "POST", "/api/v1/invitations/accept", obj{"code": s.code("Bob@example.com", 1)}, s.his["bearer"])
	return s.shares().Shares[0].ID
}

func (s *street) shares() (out sharesRead) {
	s.t.Helper()
	s.want(200, "GET", "/api/v1/devices/"+s.hers[ofDevice]+"/shares", nil, s.hers["bearer"]).into(s.t, &out)
	return out
}

// roles lists the devices that somebody sees, with the own role on each, a page of one at a time.
func (s *street) roles(bearer string) (out []string) {
	s.t.Helper()
	for path := "/api/v1/devices?limit=1"; path != ""; {
		var page struct {
			Items []struct{ ID, Role string }
			Next  string
		}
		s.want(200, "GET", path, nil, bearer).into(s.t, &page)
		for _, d := range page.Items {
			out = append(out, d.ID+" "+d.Role)
		}
		if path = ""; page.Next != "" {
			path = "/api/v1/devices?limit=1&cursor=" + page.Next
		}
	}
	return out
}

// SHARE-7, TIME-1, PERM-9: with the commit of the revocation the next request is answered as of a device that does not exist.
func TestSHARE7ARevokedUserIsNobodyAtTheNextRequest(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := newStreet(t, db)
		id, ada, bob := "/api/v1/devices/"+s.hers[ofDevice], s.hers["bearer"], s.his["bearer"]
		share := s.shareWithBob()
		list := s.shares()
		if len(list.Shares) != 1 || list.Shares[0].Email != "Bob@example.com" || list.Shares[0].Name == "" || len(list.Invitations) != 1 || list.Free != 3 {
			t.Errorf("the owner is told %+v", list)
		}
		if got := s.roles(bob); !slices.Equal(got, []string{s.hers[ofDevice] + " shared", s.his[ofDevice] + " owner"}) {
			t.Errorf("bob sees %q", got)
		}
		s.want(404, "DELETE", id+"/shares/"+cloud.NewID("sh_"), nil, ada)
		s.want(204, "DELETE", id+"/shares/"+share, nil, ada)
		s.want(404, "DELETE", id+"/shares/"+share, nil, ada)
		var answers []string
		for _, d := range []string{s.hers[ofDevice], s.none[ofDevice]} {
			e := s.want(404, "GET", "/api/v1/devices/"+d, nil, bob)
			answers = append(answers, strings.ReplaceAll(string(e.body), e.header.Get("X-Request-Id"), ""))
		}
		if answers[0] != answers[1] {
			t.Errorf("PERM-9: %s, of none %s", answers[0], answers[1])
		}
		s.want(404, "POST", id+"/orders", obj{"action": "diagnostics.run", "params": obj{"test": "self"}}, bob)
		s.want(404, "POST", id+"/leave", nil, bob)
		if got := s.roles(bob); !slices.Equal(got, []string{s.his[ofDevice] + " owner"}) {
			t.Errorf("bob sees %q", got)
		}
		if list := s.shares(); len(list.Shares) != 0 || list.Free != 4 {
			t.Errorf("SHARE-10: the owner is told %+v", list)
		}
	})
}

// SHARE-6, SHARE-8, SHARE-9.
func TestSHARE9ASharedUserLeavesAndDeletesNothing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := newStreet(t, db)
		id, ada, bob := "/api/v1/devices/"+s.hers[ofDevice], s.hers["bearer"], s.his["bearer"]
		share := s.shareWithBob()
		for _, r := range [][2]string{{"GET", id + "/shares"}, {"DELETE", id + "/shares/" + share}, {"DELETE", id}} {
			e := s.want(403, r[0], r[1], nil, bob)
			if e.reason() != policy.OwnerOnly {
				t.Errorf("%s %s: %s", r[0], r[1], e.body)
			}
			if r[1] == id && !strings.Contains(string(e.body), "/leave") {
				t.Errorf("SHARE-9: nothing says how to leave: %s", e.body)
			}
		}
		if e := s.want(403, "POST", id+"/leave", nil, ada); e.reason() != policy.OwnerOnly {
			t.Errorf("the owner leaves: %s", e.body)
		}
		if e := s.want(409, "DELETE", id, nil, ada); e.reason() != policy.Conflict {
			t.Errorf("the owner deletes: %s", e.body)
		}
		s.want(204, "POST", id+"/leave", nil, bob)
		s.want(404, "GET", id, nil, bob)
		s.want(200, "GET", id, nil, ada)
		told := s.told(id+"/log", ada)
		for _, want := range []string{"share.leave done", "share.leave refused OWNER_ONLY", "share.revoke refused OWNER_ONLY", "share.list refused OWNER_ONLY", "device.delete refused OWNER_ONLY", "device.delete refused CONFLICT"} {
			if !slices.Contains(told, want) {
				t.Errorf("LOG-1: the log has no %q: %q", want, told)
			}
		}
	})
}

// LOG-7, SHARE-12: the log, orders and events begin with the own share.
func TestLOG7ASharedUsersLogBeginsWithTheOwnShare(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := newStreet(t, db)
		id, bob := "/api/v1/devices/"+s.hers[ofDevice], s.his["bearer"]
		s.shareWithBob()
		s.want(200, "PATCH", id, obj{"name": "hall"}, s.hers["bearer"])
		e := s.want(200, "GET", id+"/log", nil, bob)
		var page List[eventlog.Line]
		e.into(t, &page)
		for _, l := range page.Items {
			if l.Action != "configure.label" && l.Action != "share.accept" {
				t.Errorf("a shared user is told of %s by %s", l.Action, l.Name)
			}
		}
		if len(page.Items) == 0 || page.Items[0].Name == "" {
			t.Errorf("SHARE-12: what is done from then on is told with who did it: %s", e.body)
		}
		s.want(404, "GET", "/api/v1/orders/"+s.hers[ofOrder], nil, bob)
		var orders List[any]
		if s.want(200, "GET", id+"/orders", nil, bob).into(t, &orders); len(orders.Items) != 0 {
			t.Errorf("orders of before: %v", orders.Items)
		}
		for _, format := range []string{"csv", "json"} {
			if e := s.want(403, "GET", id+"/log."+format, nil, bob); e.reason() != policy.OwnerOnly {
				t.Errorf("T-88: %s", e.body)
			}
		}
		for _, path := range []string{id, id + "/log", "/api/v1/organisation/members", "/api/v1/devices"} {
			if e := s.want(200, "GET", path, nil, bob); strings.Contains(string(e.body), "ada@example.com") || strings.Contains(string(e.body), "guest-of-ada") {
				t.Errorf("SHARE-12: %s tells an address: %s", path, e.body)
			}
		}
	})
}
