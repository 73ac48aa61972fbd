package api

import (
	"strings"
	"testing"

	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/policy"
	"upsedge/internal/ups"
)

// jobRead is what a test reads of a job.
type jobRead struct {
	ID, State, Detail string
	Final             bool
	Devices           int
	Counts, Known     map[string]int
	Items             []struct{ Device, State, Reason, Order string }
	Next              string
}

type askedRead struct {
	Job      jobRead
	Outcomes []struct{ Device, Outcome, Reason string }
}

func TestAJobIsMadeShownAndCancelled(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := newStreet(t, db)
		ada, mine := s.hers["bearer"], s.hers[ofDevice]
		body := obj{
			"devices": []string{mine, s.his[ofDevice]}, "action": "reboot.ups", "on_offline": "queue", "at_once": 3, "abort": obj{"failures_percent": 50, "after": 2},
			"start_within": 600,
		}
		var made, again askedRead
		e := s.want(201, "POST", "/api/v1/jobs", body, ada, "Idempotency-Key: j1")
		e.into(t, &made)
		if e.header.Get("Location") != "/api/v1/jobs/"+made.Job.ID || made.Job.Devices != 1 || made.Job.State != "running" || len(made.Outcomes) != 2 ||
			made.Outcomes[0].Outcome != "accepted" || made.Outcomes[1].Reason != "NOT_FOUND" {
			t.Errorf("made: %s", e.body)
		}
		s.want(201, "POST", "/api/v1/jobs", body, ada, "Idempotency-Key: j1").into(t, &again)
		if again.Job.ID != made.Job.ID {
			t.Error("the same key made another job")
		}
		path := "/api/v1/jobs/" + made.Job.ID
		var first, second, gone jobRead
		s.want(200, "GET", path+"?limit=1", nil, ada).into(t, &first)
		s.want(200, "GET", path+"?limit=1&cursor="+first.Next, nil, ada).into(t, &second)
		if first.Counts["waiting"] != 1 || first.Counts["refused"] != 1 || first.Items[0].Device != mine || second.Items[0].State != "refused" || second.Next != "" {
			t.Errorf("read: %+v, then %+v", first, second)
		}
		var list List[jobRead]
		s.want(200, "GET", "/api/v1/jobs?limit=1", nil, ada).into(t, &list)
		if len(list.Items) != 1 || list.Items[0].ID != made.Job.ID || list.Next == "" {
			t.Errorf("listed: %+v", list)
		}
		s.want(200, "GET", "/api/v1/jobs?limit=1&cursor="+list.Next, nil, ada).into(t, &list)
		if len(list.Items) != 1 || list.Items[0].ID != s.hers[ofJob] {
			t.Errorf("listed behind that: %+v", list)
		}
		s.want(200, "POST", path+"/cancel", nil, ada).into(t, &gone)
		if gone.State != "cancelled" || !strings.Contains(gone.Detail, "by who asked") {
			t.Errorf("cancelled: %+v", gone)
		}
		if e := s.do("POST", path+"/cancel", nil, ada); e.answer() != (answer{409, "CONFLICT"}) {
			t.Errorf("cancelled twice: %d %s", e.status, e.body)
		}
	})
}

// TestPERM9AJobOfDevicesOfOthersIsRefusedWithItsOutcomes: the problem document has them, as that of invitations, and all of them are of what is
// not there.
func TestPERM9AJobOfDevicesOfOthersIsRefusedWithItsOutcomes(t *testing.T) {
	s := newStreet(t, storetest.Open(t, storetest.SQLite(t)))
	e := s.do("POST", "/api/v1/jobs", obj{"devices": []string{s.hers[ofDevice], s.none[ofDevice], "x\ty"}, "action": "reboot.ups"}, s.his["bearer"])
	var p problem
	e.into(t, &p)
	if e.status != 404 || len(p.Outcomes) != 3 || p.Outcomes[0].Reason != "NOT_FOUND" || p.Outcomes[0].Detail != p.Outcomes[1].Detail || p.Outcomes[2].Reason != "NOT_FOUND" {
		t.Errorf("%d %s", e.status, e.body)
	}
}

// TestPERM2AndPERM4AndPERM6EveryJobIsAnsweredAsItsCellSays: each command of the matrix as a job of one device, by each role on each plan.
func TestPERM2AndPERM4AndPERM6EveryJobIsAnsweredAsItsCellSays(t *testing.T) {
	m := readTable(t)
	q := newQuarter(t, storetest.Open(t, storetest.SQLite(t)))
	for _, action := range policy.Actions() {
		if !action.Command() || action == policy.OrderCancel { // a job takes orders back by a route of its own
			continue
		}
		allowed := answer{422, "UNSUPPORTED"}
		if _, ofUnit := ups.ParamsOf(string(action)); ofUnit || action == policy.SupportBundle {
			allowed = answer{201, ""}
		}
		trial := trial{ask: func(*quarter, string, string) (string, any) {
			return "/jobs", obj{"devices": []string{q.device.ID}, "action": action, "params": params(action)}
		}}
		for _, plan := range policy.Plans {
			for _, role := range rolesThatExist {
				want := m.wants(action, role, plan, allowed)
				if got := q.try("POST", trial, role, plan); got != want {
					t.Errorf("%s by %s on %s: %d %s, the table says %d %s", action, role, plan, got.status, got.reason, want.status, want.reason)
				}
			}
		}
	}
}

// TestT07SigningOutEverywhereStopsJobs, and so does what else ends all sessions.
func TestT07SigningOutEverywhereStopsJobs(t *testing.T) {
	s := newStreet(t, storetest.Open(t, storetest.SQLite(t)))
	var before, after jobRead
	s.want(200, "GET", "/api/v1/jobs/"+s.hers[ofJob], nil, s.hers["bearer"]).into(t, &before)
	s.want(204, "DELETE", "/api/v1/sessions", nil, s.hers["bearer"])
	s.want(200, "GET", "/api/v1/jobs/"+s.hers[ofJob], nil, s.token("ada@example.com", "")).into(t, &after)
	if before.State != "running" || after.State != "cancelled" || after.Counts["cancelled"] != 1 {
		t.Errorf("%+v, then %+v", before, after)
	}
	s.want(200, "GET", "/api/v1/jobs/"+s.his[ofJob], nil, s.his["bearer"]).into(t, &after)
	if after.State != "running" {
		t.Errorf("bob's is %s", after.State)
	}
}

// TestEDGE11AnOrderSaysWhetherItWaits: an agent that is away is a reason of its own, and what is neither word is none.
func TestEDGE11AnOrderSaysWhetherItWaits(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := orderSite(t, db)
		for word, want := range map[string]answer{"queue": {201, ""}, "": {201, ""}, "reject": {409, policy.UPSUnreachable}, "wait": {400, policy.Malformed}} {
			body := obj{"action": "alarm.mute"}
			if word != "" {
				body["on_offline"] = word
			}
			if e := s.do("POST", "/api/v1/devices/d_1/orders", body, ada); e.answer() != want {
				t.Errorf("%q: %d %s", word, e.status, e.body)
			}
		}
		e := s.do("GET", "/api/v1/log?action=alarm.mute", nil, ada)
		if !strings.Contains(string(e.body), `"UPS_UNREACHABLE"`) {
			t.Errorf("the refusal is not logged: %s", e.body)
		}
	})
}

// TestPERM10AKeptAnswerIsNotGivenAgainBehindTheEndOfARight: it would tell of a device that is none for who asks.
func TestPERM10AKeptAnswerIsNotGivenAgainBehindTheEndOfARight(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := newStreet(t, db)
		share, bob, key := s.shareWithBob(), s.his["bearer"], "Idempotency-Key: k"
		path := "/api/v1/devices/" + s.hers[ofDevice] + "/orders"
		var made, again orderRead
		s.want(201, "POST", path, obj{"action": "alarm.mute"}, bob, key).into(t, &made)
		cancel := "/api/v1/orders/" + made.ID + "/cancel"
		s.want(200, "POST", cancel, nil, bob, key+"2")
		s.want(201, "POST", path, obj{"action": "alarm.mute"}, bob, key).into(t, &again)
		s.want(200, "POST", cancel, nil, bob, key+"2")
		if made.ID != again.ID {
			t.Error("it was made twice")
		}
		s.want(204, "DELETE", "/api/v1/devices/"+s.hers[ofDevice]+"/shares/"+share, nil, s.hers["bearer"])
		for _, e := range []exchange{s.do("POST", path, obj{"action": "alarm.mute"}, bob, key), s.do("POST", cancel, nil, bob, key+"2")} {
			if e.answer() != (answer{404, policy.NotFound}) {
				t.Errorf("behind the revocation: %d %s", e.status, e.body)
			}
		}
	})
}

// TestSHARE8WhoHasLeftMayHearAgainThatTheyHave: an answer without a body tells nothing.
func TestSHARE8WhoHasLeftMayHearAgainThatTheyHave(t *testing.T) {
	s := newStreet(t, storetest.Open(t, storetest.SQLite(t)))
	s.shareWithBob()
	for range 2 {
		s.want(204, "POST", "/api/v1/devices/"+s.hers[ofDevice]+"/leave", nil, s.his["bearer"], "Idempotency-Key: k")
	}
}
