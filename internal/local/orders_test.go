package local

import (
	"strings"
	"testing"
	"time"

	"upsedge/internal/policy"
)

// orderStatus is a site with some orders behind it.
func orderStatus() Status {
	at := func(s int) *time.Time {
		t := time.Date(2026, 3, 1, 12, 0, s, 0, time.UTC)
		return &t
	}
	s := testStatus(true)
	s.Broker, s.Clock.Trusted = Broker{Configured: true, Connected: true}, true
	s.Units[0].Plan = &Plan{Plan: "advanced", Until: *at(0), Ended: true}
	s.Units = append(s.Units, Unit{Name: "rack-b", Condition: []string{"online"}, Plan: &Plan{Plan: "standard", Until: at(0).AddDate(1, 0, 0)}}, Unit{Name: "rack-c", Serial: "AS3"}, Unit{Name: "rack-d"})
	s.Orders = &Orders{
		Remote: true, InHand: []OrderStep{{Order: "07", Unit: "rack-b", Action: "reboot.ups", State: "running", Progress: 40}},
		Allow: []string{"reboot", "diagnostics"}, Hours: "08:00-18:00",
		Ended: []Order{
			{Time: at(9), Unit: "rack-a", Action: "reboot.ups", Role: "shared", Outcome: "refused", Reason: "PLAN_BASIC", Detail: "role shared on plan basic"},
			{Time: at(5), Unit: "rack-a", Action: "reboot.ups", Role: "owner", Outcome: "cancelled", Reason: "GRANT_STALE", Detail: "taken back before the outlets went off"},
			{Unit: "rack-b", Action: "diagnostics.run", Role: "owner", Outcome: "done", Detail: "the self-test passed"},
		},
		Rejected: Rejected{Count: 7, Reason: "BAD_SIGNATURE", Time: at(30)},
	}
	return s
}

// TestLOG1ThePageSaysWhatWasRefusedAndWhy to somebody without an account: in words, and nobody by name.
func TestLOG1ThePageSaysWhatWasRefusedAndWhy(t *testing.T) {
	s := orderStatus()
	body := pageOfStatus(t, s, view{page: 1})
	for _, want := range []string{
		">Orders</h2>", "Allowed from afar: reboot, diagnostics, from 08:00 to 18:00", "rack-a: plan advanced, ended ", ": counts as basic", "rack-b: plan standard until ",
		"rack-c: plan none stated", "rack-d: plan not known before the unit has answered", "<strong>rack-a reboot.ups</strong> <span>refused, ordered by: shared; the plan Basic has no remote control (role shared on plan basic)</span>",
		"who ordered it has no right to the unit any more (taken back", "time not known</span> <strong>rack-b diagnostics.run", "7 messages since the start were no orders",
		"the cloud has not signed it", "In hand: rack-b: reboot.ups running 40 %</p>",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q on the page", want)
		}
	}
	s.Orders = &Orders{Remote: true}
	if body := pageOfStatus(t, s, view{page: 1}); !strings.Contains(body, "nothing: orders.allow is empty") || !strings.Contains(body, "None has come yet") {
		t.Error("an empty log is not said")
	}
	for _, s.Orders = range []*Orders{nil, {}} {
		if body := pageOfStatus(t, s, view{page: 1}); strings.Contains(body, "\"orders\"") {
			t.Error("a stand-alone agent on which none was given speaks of orders")
		}
	}
}

// TestEachReasonHasItsWords.
func TestEachReasonHasItsWords(t *testing.T) {
	for _, r := range []policy.Reason{
		policy.PlanBasic, policy.PlanStandard, policy.OwnerOnly, policy.RoleReadOnly, policy.NotFound, policy.MFARequired, policy.UnknownAction, policy.RateLimit,
		policy.Malformed, policy.Expired, policy.Cancelled, policy.BadSignature, policy.NotBound, policy.OutOfOrder, policy.GrantStale, policy.LocalPolicy, policy.Busy,
		policy.SafetyLock, policy.Unsupported, policy.UPSRefused, policy.UPSUnreachable,
	} {
		if reasons[string(r)] == "" {
			t.Errorf("%s has no words", r)
		}
	}
}

// TestBusyNamesNoOtherOrder: most of what keeps a unit busy is no order, a group that is off already or the unit's own countdown, and the words
// stand before the detail that says which it was.
func TestBusyNamesNoOtherOrder(t *testing.T) {
	if got := InWords("BUSY", "group main is off already"); strings.Contains(got, "order") || !strings.Contains(got, "under way") {
		t.Error(got)
	}
}
