package command_test

import (
	"slices"
	"testing"

	"upsedge/internal/command"
	"upsedge/internal/policy"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// TestEveryEndIsToldOnce: of each state and reason at most one event of 620 to 627, and of a setting 710 where it was changed and 712 where
// the unit did not accept it, and at most one of these.
func TestEveryEndIsToldOnce(t *testing.T) {
	for _, row := range []struct {
		r    wire.Result
		want []int
	}{
		{wire.Result{State: wire.OrderAccepted}, []int{620}},
		{wire.Result{State: wire.OrderDone, Detail: "name is a text of 6 characters"}, []int{621, 710}},
		{wire.Result{State: wire.OrderDone, Detail: ups.AlreadySo + ", nothing was written"}, []int{621}},
		{wire.Result{State: wire.OrderDone, Repeated: true}, []int{627}},
		{wire.Result{State: wire.OrderFailed, Reason: string(policy.UPSRefused)}, []int{624, 712}},
		{wire.Result{State: wire.OrderFailed, Reason: string(policy.Unsupported)}, []int{624, 712}},
		{wire.Result{State: wire.OrderFailed}, []int{712}},
		{wire.Result{State: wire.OrderFailed, Repeated: true}, []int{627}},
		{wire.Result{State: wire.OrderRefused, Reason: string(policy.Unsupported)}, []int{622}},
		{wire.Result{State: wire.OrderRefused, Reason: string(policy.SafetyLock)}, []int{623}},
		{wire.Result{State: wire.OrderRefused, Reason: string(policy.Expired)}, []int{626}},
		{wire.Result{State: wire.OrderUnknown, Reason: string(policy.UPSUnreachable)}, []int{625}},
		{wire.Result{State: wire.OrderExpired}, []int{626}},
		{wire.Result{State: wire.OrderCancelled, Reason: string(policy.Cancelled)}, nil},
		{wire.Result{State: wire.OrderReceived}, nil},
		{wire.Result{State: wire.OrderRunning}, nil},
	} {
		for _, action := range []string{ups.ActionConfigure, ups.ActionReboot} {
			row.r.Action = action
			want := slices.DeleteFunc(slices.Clone(row.want), func(id int) bool { return id >= 700 && action != ups.ActionConfigure })
			var got []int
			for _, e := range command.EventsOf(row.r) {
				got = append(got, int(e.ID))
				if e.Text == "" || e.Severity == 0 || e.Kind != ups.Moment {
					t.Errorf("%+v: %+v", row.r, e)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s %s %s, repeated %v: %v, want %v", action, row.r.State, row.r.Reason, row.r.Repeated, got, want)
			}
		}
	}
}
