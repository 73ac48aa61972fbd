package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/policy"
)

// section14 is the table of reason codes as rules, section 14 has it, and its last paragraph.
var section14 = map[policy.Reason]int{
	"EMAIL_REQUIRED": 422, "EMAIL_INVALID": 422, "ALREADY_INVITED": 409, "ALREADY_SHARED": 409, "SELF_SHARE": 409, "SHARE_LIMIT": 409,
	"PLAN_BASIC": 402, "PLAN_STANDARD": 402, "CODE_UNKNOWN": 422, "CODE_EXPIRED": 410, "CODE_USED": 410, "CODE_LOCKED": 429,
	"OWNER_ONLY": 403, "ROLE_READ_ONLY": 403, "NOT_FOUND": 404, "ALREADY_REGISTERED": 409, "PARTNER_NOT_QUALIFIED": 403, "PARTNER_NOT_APPROVED": 403,
	"MFA_REQUIRED": 401, "UNAUTHENTICATED": 401, "STEP_UP_REQUIRED": 403, "RATE_LIMIT": 429, "TOKEN_INVALID": 403,
}

// TestSection14EachReasonHasItsStatus through HTTP, with the document held against each answer.
func TestSection14EachReasonHasItsStatus(t *testing.T) {
	for reason, status := range section14 {
		p, ours := problemOf(fmt.Errorf("wrapped: %w", cloud.Refuse(reason, "because")), "r_1")
		if p.Status != status || p.Reason != reason || !ours {
			t.Errorf("%s: %d %s, want %d", reason, p.Status, p.Reason, status)
		}
	}
	for reason, status := range statuses {
		if want, known := section14[reason]; known && want != status {
			t.Errorf("%s is answered with %d", reason, status)
		}
	}
	if p, ours := problemOf(errors.New("the disk is gone"), "r_1"); p.Status != http.StatusInternalServerError || ours || strings.Contains(p.Detail, "disk") {
		t.Errorf("our own affair: %+v", p)
	}
}

// TestSection14TheChecksOfARequestComeInTheirOrder: of a request of which everything is wrong the first check says so, and mended there, the
// next: identity, existence, role, plan, form, second factor, limits. What is signed comes at the site (internal/command).
func TestSection14TheChecksOfARequestComeInTheirOrder(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		q := newQuarter(t, db)
		q.share(q.cleo)
		q.setPlan(policy.Basic)
		const bad = `{"action":"reboot.ups","params":{"delay":"30"}}`
		path := "/api/v1/devices/" + q.device.ID + "/orders"
		for _, step := range []struct {
			what string
			ask  func() exchange
			want answer
		}{
			{"nobody is signed in", func() exchange { return q.do("POST", path, bad) }, answer{401, "UNAUTHENTICATED"}},
			{"a stranger, on Basic, in a wrong form", func() exchange { return q.do("POST", path, bad, q.who["nobody"]) }, answer{404, "NOT_FOUND"}},
			{"a role that may not, on Basic", func() exchange {
				return q.do("POST", path, `{"action":"support.bundle"}`, q.who["shared"])
			}, answer{403, "OWNER_ONLY"}},
			{"Basic, in a wrong form", func() exchange { return q.do("POST", path, bad, q.who["shared"]) }, answer{402, "PLAN_BASIC"}},
			{"a wrong form", func() exchange { q.setPlan(policy.Advanced); return q.do("POST", path, bad, q.who["shared"]) }, answer{400, "MALFORMED"}},
			{"all is well", func() exchange { return q.do("POST", path, `{"action":"reboot.ups"}`, q.who["shared"]) }, answer{201, ""}},
		} {
			if got := step.ask().answer(); got != step.want {
				t.Errorf("%s: %+v, want %+v", step.what, got, step.want)
			}
		}
		// Shares: who asks, role, plan, then places.
		q.setPlan(policy.Basic)
		for q.want(200, "GET", "/api/v1/devices/"+q.device.ID+"/shares", nil, q.who["owner"]); q.free() > 0; {
			q.change(func(ctx context.Context, tx *store.Tx) error {
				invited++
				_, err := q.devices.Share(ctx, tx, q.device, fmt.Sprintf("a_guest%d", invited), fmt.Sprintf("u_guest%d", invited), "x@example.com")
				return err
			})
		}
		ask := obj{"devices": []string{q.device.ID}, "email": "one-more@example.com"}
		for _, step := range []struct {
			role string
			plan policy.Plan
			want answer
		}{
			{anonymous, policy.Basic, answer{401, "UNAUTHENTICATED"}},
			{"nobody", policy.Basic, answer{404, "NOT_FOUND"}},
			{"shared", policy.Basic, answer{403, "OWNER_ONLY"}},
			{"owner", policy.Basic, answer{402, "PLAN_BASIC"}},
			{"owner", policy.Standard, answer{409, "SHARE_LIMIT"}},
		} {
			q.setPlan(step.plan)
			if got := q.do("POST", "/api/v1/invitations", ask, q.who[step.role]).answer(); got != step.want {
				t.Errorf("an invitation by %s on %s: %+v, want %+v", step.role, step.plan, got, step.want)
			}
		}
	})
}

// free are the places left.
func (q *quarter) free() int {
	var b struct {
		Free int `json:"free_places"`
	}
	q.want(200, "GET", "/api/v1/devices/"+q.device.ID+"/shares", nil, q.who["owner"]).into(q.t, &b)
	return b.Free
}
