package upstest

import (
	"maps"

	"upsedge/internal/ups"
)

// examples are parameters that a command has to have, of the harmless kind where there is one.
var examples = map[string]map[string]string{
	ups.ActionRebootGroup: {ups.ParamGroup: "sog0"},
	ups.ActionOutlet:      {ups.ParamGroup: "sog0", ups.ParamTo: ups.ToOff},
	ups.ActionDiagnostics: {ups.ParamTest: ups.TestSelf},
	ups.ActionAck:         {ups.ParamAlarm: ups.AlarmBattery},
	ups.ActionConfigure:   {ups.ParamSetting: ups.SOG0TurnOnDelay.String(), ups.ParamValue: "30"},
}

// Params returns parameters with which an action can be ordered; nil for one that needs none.
func Params(action string) map[string]string { return maps.Clone(examples[action]) }
