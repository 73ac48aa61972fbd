package command

import (
	"upsedge/internal/policy"
	"upsedge/internal/trust"
)

// ofBox reports whether an action is carried out by the box itself and not by the unit the order names (T-67): that may be away, which is
// when somebody wants to know more.
func ofBox(action string) bool { return policy.Action(action) == policy.SupportBundle }

// find returns what carries out a command now: the unit that reports the device, or the box. The Name of a box's is that of the unit, "" while
// none here reports the device.
func (x *Executor) find(c *trust.Command) (Target, bool) {
	t, ok := x.o.Find(c.Device)
	if !ofBox(c.Action) {
		return t, ok
	}
	if x.o.Box == nil {
		return Target{}, false
	}
	return Target{Name: t.Name, Unit: x.o.Box(c.ID, t.Name)}, true
}
