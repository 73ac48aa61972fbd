package ups

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// The parameters of actions and their values (design, section 7). A delay is the one set in the unit or none; a number is refused, and
// ActionConfigure changes the setting.
const (
	ParamDelay      = "delay"
	DelayConfigured = "configured" // the off and on delays set in the unit; the default
	DelayNone       = "none"

	ParamGroup = "group" // one or more outlet groups: "sog0", "main,sog0"; in this order, each once

	ParamTo    = "to"
	ToOn       = "on"
	ToOff      = "off"      // until somebody turns it on
	ToShutdown = "shutdown" // off, and on again when the mains are there and the runtime suffices
	ToCancel   = "cancel"   // what is pending on the groups is taken back, whoever began it

	ParamTest       = "test"
	TestSelf        = "self"        // the unit's own test of its battery
	TestCalibration = "calibration" // discharges the battery deeply under the real load
	TestPanel       = "panel"       // lights and beeper

	ParamDo = "do"
	DoStart = "start" // the default
	DoAbort = "abort" // whoever began it

	ParamMute = "mute"
	MuteOn    = "on" // the default
	MuteOff   = "off"

	ParamAlarm   = "alarm"
	AlarmBattery = "battery"
	AlarmWiring  = "wiring" // of the site

	ParamSetting = "setting" // a point of Settings
	ParamValue   = "value"
)

// A Param is one parameter of an action.
type Param struct {
	Name   string
	Values []string // it is one of these; nil: Form says
	Form   string   // what it is where it is not one of a few values, for people
	// Default is what it is where it is not given. "" is none: it must be given.
	Default string

	check func(string) error
}

// Check returns why a value is none of this parameter's.
func (p *Param) Check(value string) error {
	if p.Values != nil && !slices.Contains(p.Values, value) {
		return fmt.Errorf("it is one of %s", strings.Join(p.Values, ", "))
	}
	if p.check != nil {
		return p.check(value)
	}
	return nil
}

var (
	delayParam = Param{Name: ParamDelay, Values: []string{DelayConfigured, DelayNone}, Default: DelayConfigured}
	groupParam = Param{Name: ParamGroup, Form: "one or more of main, sog0, sog1, sog2, with commas between, in this order", check: func(v string) error {
		_, err := ParseGroups(v)
		return err
	}}
)

// params are those of each action. Cloud and agent both take them from here.
var params = map[string][]Param{
	ActionReboot:      {delayParam},
	ActionRebootGroup: {delayParam, groupParam},
	ActionOutlet:      {delayParam, groupParam, {Name: ParamTo, Values: []string{ToOn, ToOff, ToShutdown, ToCancel}}},
	ActionDiagnostics: {
		{Name: ParamDo, Values: []string{DoStart, DoAbort}, Default: DoStart},
		{Name: ParamTest, Values: []string{TestSelf, TestCalibration, TestPanel}},
	},
	ActionMute: {{Name: ParamMute, Values: []string{MuteOn, MuteOff}, Default: MuteOn}},
	ActionAck:  {{Name: ParamAlarm, Values: []string{AlarmBattery, AlarmWiring}}},
	ActionConfigure: {
		{Name: ParamSetting, Values: settingNames()},
		{Name: ParamValue, Form: "by the setting: a whole number in its unit, the name of a choice, a date as 2026-03-01, or a text of 1 to 16 characters"},
	},
}

// ParamsOf returns the parameters of an action, by name; ok is false for one that no unit carries out.
func ParamsOf(action string) (all []Param, ok bool) {
	all, ok = params[action]
	return slices.Clone(all), ok
}

// A ParamError is why the parameters of a command are none.
type ParamError struct {
	Param string // its name
	Why   string
}

func (e *ParamError) Error() string { return fmt.Sprintf("parameter %q: %s", e.Param, e.Why) }

// CheckParams returns the parameters of an action, complete: with the defaults of what is not given. The error is a *ParamError for the
// first that is unknown, missing or of no known value. An action that no unit carries out has none.
func CheckParams(action string, given map[string]string) (map[string]string, error) {
	want := params[action]
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if !slices.ContainsFunc(want, func(p Param) bool { return p.Name == name }) {
			return nil, &ParamError{name, action + " has no such parameter"}
		}
	}
	out := map[string]string{}
	for _, p := range want {
		value, ok := given[p.Name]
		if !ok {
			if value = p.Default; value == "" {
				return nil, &ParamError{p.Name, "it has to be given"}
			}
		}
		if err := p.Check(value); err != nil {
			return nil, &ParamError{p.Name, err.Error()}
		}
		out[p.Name] = value
	}
	if action == ActionConfigure {
		if _, _, err := ParseSetting(out); err != nil {
			return nil, &ParamError{ParamValue, err.Error()}
		}
	}
	return out, nil
}

// DropsLoad reports whether a command switches off what the unit feeds, for a while or for good: how often that may be is limited (T-07).
// Turning on and taking back never are (R10). A calibration drops nothing: it leaves little to bridge a power failure with, and limits itself,
// as the next one wants a full battery (EDGE-8).
func DropsLoad(action string, params map[string]string) bool {
	switch action {
	case ActionReboot, ActionRebootGroup:
		return true
	case ActionOutlet:
		return params[ParamTo] != ToOn && params[ParamTo] != ToCancel
	}
	return false
}

// ParseGroups reads the value of ParamGroup. The fourth switched group is none that can be ordered about: no unit with it is known
// (protocol reference, D2).
func ParseGroups(text string) (all []Group, err error) {
	for name := range strings.SplitSeq(text, ",") {
		g := Group(0)
		for _, of := range Groups[:4] {
			if of.String() == name {
				g = of
			}
		}
		switch {
		case g == NoGroup:
			return nil, fmt.Errorf("%.20q is no outlet group: main, sog0, sog1 or sog2", name)
		case len(all) > 0 && g <= all[len(all)-1]:
			return nil, fmt.Errorf("groups are named once, in the order main, sog0, sog1, sog2")
		}
		all = append(all, g)
	}
	return all, nil
}
