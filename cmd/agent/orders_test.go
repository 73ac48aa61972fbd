package main

import (
	"strings"
	"testing"
	"time"

	"upsedge/internal/local"
)

// TestLOG1StatusSaysWhatWasOrderedFromAfar: the last ten, what may be ordered, plan and end.
func TestLOG1StatusSaysWhatWasOrderedFromAfar(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.Local)
	st := &local.Status{
		Units:  []local.Unit{{Name: "rack-a", Plan: &local.Plan{Plan: "standard", Until: at}}, {Name: "rack-b", Serial: "AS2"}, {Name: "rack-c"}},
		Orders: &local.Orders{Remote: true, Allow: []string{"reboot"}, Rejected: local.Rejected{Count: 2, Reason: "MALFORMED", Time: &at}},
	}
	for range 12 {
		st.Orders.Ended = append(st.Orders.Ended, local.Order{Time: &at, Unit: "rack-a", Action: "reboot.ups", Role: "shared", Outcome: "refused", Reason: "PLAN_BASIC"})
	}
	var out strings.Builder
	printStatus(&out, st)
	for _, want := range []string{
		"remote orders allowed here: reboot\n", "rack-a: plan standard until 2026-03-01 12:00\n", "rack-b: plan none stated", "rack-c: plan not known before the unit has answered", "2 messages since the start",
		"2026-03-01 12:00:00  rack-a  reboot.ups  shared  refused  the plan Basic has no remote control\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if n := strings.Count(out.String(), "reboot.ups"); n != 10 {
		t.Errorf("%d orders", n)
	}
	st.Orders = nil
	out.Reset()
	if printStatus(&out, st); strings.Contains(out.String(), "remote orders") {
		t.Error("a stand-alone agent speaks of remote orders")
	}
}
