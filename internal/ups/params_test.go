package ups_test

import (
	"errors"
	"maps"
	"testing"

	"upsedge/internal/ups"
	"upsedge/internal/ups/upstest"
)

var unitActions = []string{
	ups.ActionReboot, ups.ActionRebootGroup, ups.ActionOutlet, ups.ActionDiagnostics, ups.ActionMute, ups.ActionAck, ups.ActionConfigure,
}

// TestParametersAreCompleteOrRefusedByName: what is not given has its default, and what is wrong is named.
func TestParametersAreCompleteOrRefusedByName(t *testing.T) {
	for _, row := range []struct {
		action string
		given  map[string]string
		want   map[string]string
		wrong  string
	}{
		{ups.ActionReboot, nil, map[string]string{"delay": "configured"}, ""},
		{ups.ActionReboot, map[string]string{"delay": "30"}, nil, "delay"},
		{ups.ActionReboot, map[string]string{"when": "now"}, nil, "when"},
		{ups.ActionRebootGroup, nil, nil, "group"},
		{ups.ActionRebootGroup, map[string]string{"group": "main,sog0"}, map[string]string{"group": "main,sog0", "delay": "configured"}, ""},
		{ups.ActionRebootGroup, map[string]string{"group": "sog0,main"}, nil, "group"},
		{ups.ActionRebootGroup, map[string]string{"group": "sog0,sog0"}, nil, "group"},
		{ups.ActionRebootGroup, map[string]string{"group": "sog3"}, nil, "group"},
		{ups.ActionRebootGroup, map[string]string{"group": ""}, nil, "group"},
		{ups.ActionRebootGroup, map[string]string{"group": "sog0,"}, nil, "group"},
		{ups.ActionOutlet, map[string]string{"group": "sog1", "to": "off"}, map[string]string{"group": "sog1", "to": "off", "delay": "configured"}, ""},
		{ups.ActionOutlet, map[string]string{"group": "sog1"}, nil, "to"},
		{ups.ActionDiagnostics, map[string]string{"test": "calibration", "do": "abort"}, map[string]string{"test": "calibration", "do": "abort"}, ""},
		{ups.ActionDiagnostics, nil, nil, "test"},
		{ups.ActionMute, nil, map[string]string{"mute": "on"}, ""},
		{ups.ActionAck, map[string]string{"alarm": "all"}, nil, "alarm"},
		{ups.ActionConfigure, map[string]string{"setting": "output_frequency_setting", "value": "2"}, nil, "setting"},
		{ups.ActionConfigure, map[string]string{"setting": "name", "value": "seventeen letters"}, nil, "value"},
		{"restore.factory", map[string]string{"x": "y"}, nil, "x"},
	} {
		got, err := ups.CheckParams(row.action, row.given)
		var wrong *ups.ParamError
		if errors.As(err, &wrong); (wrong == nil) != (row.wrong == "") || wrong != nil && wrong.Param != row.wrong {
			t.Errorf("%s %v: %v, want %q to be wrong", row.action, row.given, err, row.wrong)
		}
		if row.want != nil && !maps.Equal(got, row.want) {
			t.Errorf("%s %v: %v, want %v", row.action, row.given, got, row.want)
		}
	}
	for _, a := range unitActions {
		if _, err := ups.CheckParams(a, upstest.Params(a)); err != nil {
			t.Errorf("the example of %s: %v", a, err)
		}
	}
}

// TestR10TurningOnIsNeverLimited: what switches off is, and what takes that back is not.
func TestR10TurningOnIsNeverLimited(t *testing.T) {
	for to, want := range map[string]bool{ups.ToOn: false, ups.ToCancel: false, ups.ToOff: true, ups.ToShutdown: true} {
		if got := ups.DropsLoad(ups.ActionOutlet, map[string]string{ups.ParamTo: to}); got != want {
			t.Errorf("%s drops the load: %v", to, got)
		}
	}
	if !ups.DropsLoad(ups.ActionReboot, nil) || !ups.DropsLoad(ups.ActionRebootGroup, nil) || ups.DropsLoad(ups.ActionDiagnostics, nil) {
		t.Error("reboots drop the load, tests do not")
	}
}

// TestTheOutputFrequencyIsNoSetting: it is never written (protocol reference, section 6.16).
func TestTheOutputFrequencyIsNoSetting(t *testing.T) {
	for _, s := range ups.Settings {
		if p := s.Point; p == ups.OutputFrequencySetting || p == ups.OutputVoltageSetting || p == ups.OutputVoltageSettingWide {
			t.Errorf("%v can be written", s.Point)
		}
	}
}

// TestAChangeIsReadAsItWasSaid: of every setting, and of nothing that only looks like it.
func TestAChangeIsReadAsItWasSaid(t *testing.T) {
	for _, s := range ups.Settings {
		was, is := ups.SettingValue{Raw: 1}, ups.SettingValue{Raw: 2}
		if s.Point.Info().Kind == ups.Text {
			was, is = ups.SettingValue{}, ups.SettingValue{Text: "x, is y; z"}
		}
		setting, old, now, ok := ups.ReadChange(s.SayChange(was, is) + "; written: 1035 = 30")
		if !ok || setting != s.Point.String() || old != s.Say(was) || now != s.Say(is) {
			t.Errorf("%q is read as %q, %q, %q", s.SayChange(was, is), setting, old, now)
		}
	}
	for _, text := range []string{"", "not accepted: the unit said yes, and x was 0 s, is 0 s", "x was 0 s, was to be 3 s and is 4 s", "already so: x is 4 s"} {
		if _, _, _, ok := ups.ReadChange(text); ok {
			t.Errorf("%q is read as a change", text)
		}
	}
}
