package ups

import "errors"

// Settings are the points that ActionConfigure can write: what the unit lets users set (protocol reference, sections 5.3, 5.4 and 9). The
// output frequency (593) is none of them and never will be: on some units writing it changes the frequency of the output.
var Settings = []Point{
	BatteryInstalled, Name, MainName, SOG0Name, SOG1Name, SOG2Name,
	TestInterval, UpperTransfer, LowerTransfer, Sensitivity,
	MainTurnOffDelay, MainTurnOnDelay, MainStayOffDelay, MainMinRuntime,
	SOG0TurnOffDelay, SOG0TurnOnDelay, SOG0StayOffDelay, SOG0MinRuntime,
	SOG1TurnOffDelay, SOG1TurnOnDelay, SOG1StayOffDelay, SOG1MinRuntime,
	SOG2TurnOffDelay, SOG2TurnOnDelay, SOG2StayOffDelay, SOG2MinRuntime,
}

func settingNames() (out []string) {
	for _, p := range Settings {
		out = append(out, p.String())
	}
	return out
}

// checkSetting returns why a text is no value of a setting, whatever the unit.
func checkSetting(_, value string) error {
	if value == "" || len(value) > 16 {
		return errors.New("it has 1 to 16 characters")
	}
	return nil
}
