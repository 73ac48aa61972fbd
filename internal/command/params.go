package command

import (
	"fmt"

	"upsedge/internal/policy"
	"upsedge/internal/trust"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// An action is what this version knows of one that passes through the agent.
type action struct {
	params func(map[string]string) error // strictly; nil: this version does not carry it out
	waits  bool                          // it may take a while before it has its effect: until then it can be taken back (PLAN-11)
}

// limited tells whether orders.min_interval and orders.daily_max hold for a command (T-07).
func limited(c *trust.Command) bool { return ups.DropsLoad(c.Action, c.Params) }

// paramOrder is the parameter of order.cancel: which order.
const paramOrder = "order"

// actions are the commands of the matrix. A test holds the list against it.
var actions = map[policy.Action]action{
	policy.RebootUPS:       {params: ofUnit(ups.ActionReboot), waits: true},
	policy.RebootGroup:     {params: ofUnit(ups.ActionRebootGroup), waits: true},
	policy.ControlOutlet:   {params: ofUnit(ups.ActionOutlet), waits: true},
	policy.DiagnosticsRun:  {params: ofUnit(ups.ActionDiagnostics)},
	policy.AlarmMute:       {params: ofUnit(ups.ActionMute)},
	policy.AlarmAck:        {params: ofUnit(ups.ActionAck)},
	policy.ConfigureDevice: {params: ofUnit(ups.ActionConfigure)},
	policy.OrderCancel:     {params: cancelParams},
	policy.SupportBundle:   {params: ofUnit(string(policy.SupportBundle)), waits: true},
	policy.FirmwareUpgrade: {},
}

// ofUnit checks the parameters of what a unit carries out.
func ofUnit(action string) func(map[string]string) error {
	return func(params map[string]string) error {
		_, err := ups.CheckParams(action, params)
		return err
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
