package command

import (
	"fmt"
	"maps"
	"slices"

	"upsedge/internal/policy"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// An action is what this version knows of one that passes through the agent.
type action struct {
	params func(map[string]string) error // strictly; nil: this version carries it out at no unit
	limit  bool                          // orders.min_interval and orders.daily_max hold for it
	waits  bool                          // the unit may wait before it acts: until then it can be taken back (PLAN-11)
}

// paramOrder is the parameter of order.cancel: which order.
const paramOrder = "order"

// actions are the commands of the matrix. A test holds the list against it.
var actions = map[policy.Action]action{
	policy.RebootUPS:       {params: choice(ups.ParamDelay, false, ups.DelayConfigured, ups.DelayNone), limit: true, waits: true},
	policy.DiagnosticsRun:  {params: choice(ups.ParamTest, true, ups.TestSelf)},
	policy.OrderCancel:     {params: cancelParams},
	policy.RebootGroup:     {limit: true, waits: true},
	policy.ControlOutlet:   {limit: true, waits: true},
	policy.ConfigureDevice: {},
	policy.AlarmMute:       {},
	policy.AlarmAck:        {},
	policy.SupportBundle:   {},
	policy.FirmwareUpgrade: {},
}

// choice is of an action with one parameter that has one of a few values.
func choice(name string, must bool, values ...string) func(map[string]string) error {
	return func(params map[string]string) error {
		for _, k := range slices.Sorted(maps.Keys(params)) {
			if k != name {
				return fmt.Errorf("the parameter %q is unknown", k)
			}
		}
		v, given := params[name]
		if must && !given || given && !slices.Contains(values, v) {
			return fmt.Errorf("the parameter %q is not one of %v", name, values)
		}
		return nil
	}
}

func cancelParams(params map[string]string) error {
	if _, err := orderToCancel(params); err != nil || len(params) != 1 {
		return fmt.Errorf("order.cancel has the parameter %q alone, 32 hexadecimal digits", paramOrder)
	}
	return nil
}

// orderToCancel reads the parameter of order.cancel. An id has one form: lower case.
func orderToCancel(params map[string]string) (id wire.ID, err error) {
	text := params[paramOrder]
	if err := id.UnmarshalText([]byte(text)); err != nil {
		return id, err
	}
	if id.String() != text {
		return id, fmt.Errorf("%q is not in lower case", text)
	}
	return id, nil
}
