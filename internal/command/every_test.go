package command_test

import (
	"maps"
	"slices"
	"testing"

	"upsedge/internal/trust"
	"upsedge/internal/ups"
	"upsedge/internal/ups/upstest"
)

// A kind is one thing that can be ordered of a device.
type kind struct {
	action string
	params map[string]string
}

// kinds is everything that can be ordered: each action, with each of its values that makes a difference. order.cancel is about another
// order, and firmware is for a later version.
var kinds = []kind{
	{"reboot.ups", nil},
	{"reboot.ups", map[string]string{"delay": "none"}},
	{"reboot.group", map[string]string{"group": "sog0"}},
	{"control.outlet", map[string]string{"group": "sog0", "to": "on"}},
	{"control.outlet", map[string]string{"group": "sog0", "to": "off"}},
	{"control.outlet", map[string]string{"group": "sog0", "to": "shutdown"}},
	{"control.outlet", map[string]string{"group": "sog0", "to": "cancel"}},
	{"diagnostics.run", map[string]string{"test": "self"}},
	{"diagnostics.run", map[string]string{"test": "self", "do": "abort"}},
	{"diagnostics.run", map[string]string{"test": "calibration"}},
	{"diagnostics.run", map[string]string{"test": "calibration", "do": "abort"}},
	{"diagnostics.run", map[string]string{"test": "panel"}},
	{"alarm.mute", nil},
	{"alarm.mute", map[string]string{"mute": "off"}},
	{"alarm.ack", map[string]string{"alarm": "battery"}},
	{"alarm.ack", map[string]string{"alarm": "wiring"}},
	{"configure.device", upstest.Params("configure.device")},
	{"support.bundle", nil},
}

// of makes a command one of this kind.
func (k kind) of(c trust.Command) trust.Command {
	c.Action, c.Params = k.action, map[string]string{}
	maps.Copy(c.Params, k.params)
	return c
}

func (k kind) String() string {
	out := k.action
	for _, name := range slices.Sorted(maps.Keys(k.params)) {
		out += " " + k.params[name]
	}
	return out
}

// waits reports whether it can be taken back until it has its effect (PLAN-11).
func (k kind) waits() bool {
	return slices.Contains([]string{"reboot.ups", "reboot.group", "control.outlet", "support.bundle"}, k.action)
}

// drops reports whether orders.min_interval and orders.daily_max hold for it (T-07).
func (k kind) drops() bool { return ups.DropsLoad(k.action, k.params) }

// goal reports whether it asks for a state, which may have come about otherwise: of what was to be written before a crash that shows.
func (k kind) goal() bool {
	return k.params["do"] == "abort" || k.params["to"] == "on" || k.params["to"] == "cancel" ||
		slices.Contains([]string{"alarm.mute", "alarm.ack", "configure.device"}, k.action)
}

// TestEveryActionIsAmongTheKinds, so that what tries all of them leaves none out.
func TestEveryActionIsAmongTheKinds(t *testing.T) {
	for action, carriedOut := range passing {
		if carriedOut && action != "order.cancel" && !slices.ContainsFunc(kinds, func(k kind) bool { return k.action == action }) {
			t.Errorf("%s is not tried", action)
		}
	}
	run(t, func(t *testing.T, s *site) {
		s.policyFree()
		for i, k := range kinds {
			s.give(k.of(s.command(byte(i+1), "AS1")))
			s.want(byte(i+1), "done")
		}
	})
}

// policyFree allows everything, as often as anybody likes.
func (s *site) policyFree() {
	p := s.policy
	p.MinInterval, p.DailyMax = 0, 1<<30
	s.x.SetPolicy(p)
}
