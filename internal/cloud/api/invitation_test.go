package api

import (
	"context"
	"testing"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/policy"
)

// invitedBodyRead is what is read of an answer.
type invitedBodyRead struct {
	Invitation struct {
		ID, Email, State string
		Devices          []struct {
			Device, State string
			Number        int
		}
	}
	Outcomes []outcomeBody
}

// ask is what Ada sends to share a device of hers.
func (s *street) ask(email string, devices ...string) obj {
	return obj{"devices": devices, "email": email}
}

func TestINV1AndINV4ADeviceIsSharedOverHTTP(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := newStreet(t, db)
		ada, bob, id := s.hers["bearer"], s.his["bearer"], s.hers[ofDevice]
		key := "Idempotency-Key: once"
		e := s.want(201, "POST", "/api/v1/invitations", s.ask(" Bob@Example.com", id, cloud.NewID("d_")), ada, key)
		var in invitedBodyRead
		e.into(t, &in)
		if len(in.Outcomes) != 2 || in.Outcomes[0].Outcome != "invited" || *in.Outcomes[0].Free != 3 || in.Outcomes[1].Reason != policy.NotFound || in.Outcomes[1].Free != nil {
			t.Errorf("outcomes %+v", in.Outcomes)
		}
		code := s.code("Bob@example.com", 1)
		if again := s.want(201, "POST", "/api/v1/invitations", s.ask(" Bob@Example.com", id, in.Outcomes[1].Device), ada, key); string(again.body) != string(e.body) {
			t.Errorf("the same key brings %s", again.body)
		}
		s.want(404, "GET", "/api/v1/devices/"+id, nil, bob)
		s.want(204, "POST", "/api/v1/invitations/decline", obj{"code": code}, bob)
		s.want(410, "POST", "/api/v1/invitations/accept", obj{"code": code}, bob)
		s.want(201, "POST", "/api/v1/invitations", s.ask("bob@example.com", id), ada)
		e = s.want(200, "POST", "/api/v1/invitations/accept", obj{"code": s.code("bob@example.com", 2)}, bob) // behind that of the sign-up
		var accepted acceptedBody
		e.into(t, &accepted)
		if len(accepted.Outcomes) != 1 || accepted.Outcomes[0].Outcome != "accepted" || accepted.Outcomes[0].Device != id {
			t.Errorf("%s", e.body)
		}
		var d struct{ Role policy.Role }
		s.want(200, "GET", "/api/v1/devices/"+id, nil, bob).into(t, &d)
		if d.Role != policy.Shared {
			t.Errorf("bob is %s", d.Role)
		}
		must(t, db.Read(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			var letters int
			err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM answers WHERE key = 'once'`).Scan(&letters)
			if letters != 1 {
				t.Errorf("%d answers are kept", letters)
			}
			return err
		}))
	})
}

func TestSHARE5WhereNothingIsSharedTheProblemHasTheOutcomes(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := newStreet(t, db)
		none := cloud.NewID("d_")
		e := s.want(409, "POST", "/api/v1/invitations", s.ask("guest-of-ada@example.com", s.hers[ofDevice], none), s.hers["bearer"])
		var p struct{ Outcomes []outcomeBody }
		e.into(t, &p)
		if e.reason() != policy.AlreadyInvited || len(p.Outcomes) != 2 || p.Outcomes[0].Outcome != "refused" || p.Outcomes[0].Reason != policy.AlreadyInvited || p.Outcomes[1].Reason != policy.NotFound {
			t.Errorf("%s", e.body)
		}
		// Of an id that is none, the answer is the same.
		for _, id := range []string{s.his[ofDevice], none, "x", "d_ü\u200b"} {
			if e := s.want(404, "POST", "/api/v1/invitations", s.ask("mia@example.com", id), s.hers["bearer"]); e.reason() != policy.NotFound {
				t.Errorf("%q: %s", id, e.body)
			}
		}
		for body, want := range map[string]policy.Reason{
			`{"devices":["x"],"email":""}`: policy.EmailRequired, `{"devices":["x"],"email":"a@example.com;b@example.com"}`: policy.EmailInvalid,
			`{"devices":[],"email":"a@example.com"}`: policy.Malformed, `{"devices":["x","x"],"email":"a@example.com"}`: policy.Malformed,
			`{"email":"a@example.com"}`: policy.Malformed, `{"devices":"x"}`: policy.Malformed,
		} {
			if e := s.do("POST", "/api/v1/invitations", body, s.hers["bearer"]); e.reason() != want {
				t.Errorf("%s: %s", body, e.body)
			}
		}
	})
}
