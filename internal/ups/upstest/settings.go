package upstest

import (
	"strings"
	"testing"
	"time"

	"upsedge/internal/ups"
)

// Orders for settings: one of which much depends, one of which nothing does, one that the unit refuses.
var (
	delay       = configure(ups.SOG0TurnOnDelay, "30")
	name        = configure(ups.Name, "rack 4")
	refusedTest = configure(ups.TestInterval, "StartUpAndEvery7Days")
)

func configure(p ups.Point, value string) ups.Command {
	return ups.Command{Action: ups.ActionConfigure, Params: map[string]string{ups.ParamSetting: p.String(), ups.ParamValue: value}}
}

// What they write.
const (
	delayWritten = "16 1035 0x001E"
	nameWritten  = "16 596 0x7261 0x636B 0x2034 0x2020 0x2020 0x2020 0x2020 0x2020"
	testRefused  = "16 1024 0x0004 !4"
)

// settingTests are those of orders that configure.
var settingTests = []controlTest{
	{"ASettingIsWrittenOnceAndReadBack", func(t *testing.T, w ControlWorld) { w.runs(t, delay, w.settings(delayWritten)) }},
	{"ANameIsWrittenOnceAndReadBack", func(t *testing.T, w ControlWorld) { w.runs(t, name, w.settings(nameWritten)) }},
	{"ASettingThatIsSoIsNotWritten", settingAlready},
	{"ASettingThatIsNotAcceptedIsAFailure", settingKept},
	{"ASettingThatIsRefusedIsAFailure", settingRefused},
	{"ALostAnswerToASetting", settingLostAnswer},
	{"ALostWriteOfASetting", settingLostWrite},
	{"ASettingIsNotChangedOnBattery", settingOnBattery},
	{"ASettingIsNotChangedWhileAnythingIsPending", settingPending},
	{"ASettingIsJudgedByReading", settingJudged},
	{"ASettingIsNotTakenBack", settingTakenBack},
	{"WritesNoSettingItWasNotAskedFor", strangeSettings},
}

// settings is what is written where the unit is to be told anything at all.
func (w ControlWorld) settings(writes string) string {
	if w.Keep == nil {
		return ""
	}
	return writes
}

func settingAlready(t *testing.T, w ControlWorld) {
	writes := w.settings(delayWritten)
	w.ends(t, w.Control.Execute(t.Context(), delay, w.check(t, delay, writes), nil), ups.Done)
	before := w.check(t, delay, writes)
	for _, out := range []ups.Outcome{w.Control.Execute(t.Context(), delay, before, nil), w.Control.Judge(t.Context(), delay, before)} {
		if w.ends(t, out, ups.Done); !strings.HasPrefix(out.Detail, ups.AlreadySo) {
			t.Errorf("it ended %q", out.Detail)
		}
	}
	w.wrote(t, writes)
}

// settingKept: the unit says yes and the item reads as before. After a crash that is told as what it is, too.
func settingKept(t *testing.T, w ControlWorld) {
	before := w.check(t, delay, w.settings(delayWritten))
	w.Keep(true)
	out := w.Control.Execute(t.Context(), delay, before, nil)
	if w.ends(t, out, ups.Failed); out.Reason != ups.ReasonUPSRefused || !strings.Contains(out.Detail, "not accepted") {
		t.Errorf("outcome %+v, want %s", out, ups.ReasonUPSRefused)
	}
	w.ends(t, w.Control.Judge(t.Context(), delay, before), ups.Failed)
	w.wrote(t, delayWritten)
}

func settingRefused(t *testing.T, w ControlWorld) {
	out := w.Control.Execute(t.Context(), refusedTest, w.check(t, refusedTest, w.settings(testRefused)), nil)
	if w.ends(t, out, ups.Failed); out.Reason != ups.ReasonUPSRefused || !strings.Contains(out.Detail, "exception 4") {
		t.Errorf("outcome %+v, want %s", out, ups.ReasonUPSRefused)
	}
	w.wrote(t, testRefused)
}

func settingLostAnswer(t *testing.T, w ControlWorld) {
	before := w.check(t, delay, w.settings(delayWritten))
	w.Lose()
	w.ends(t, w.Control.Execute(t.Context(), delay, before, nil), ups.Done)
	w.wrote(t, delayWritten)
}

// settingLostWrite: unlike with a command the item tells that nothing was set.
func settingLostWrite(t *testing.T, w ControlWorld) {
	before := w.check(t, delay, w.settings(delayWritten))
	w.Drop()
	w.ends(t, w.Control.Execute(t.Context(), delay, before, nil), ups.Failed)
	w.wrote(t)
}

func settingOnBattery(t *testing.T, w ControlWorld) {
	w.check(t, delay, w.settings(delayWritten))
	w.Mains(false)
	time.Sleep(5 * time.Second)
	_, err := w.Control.Check(t.Context(), delay)
	refused(t, err, ups.ReasonSafetyLock)
	w.runs(t, name, nameWritten) // nothing depends on it
}

func settingPending(t *testing.T, w ControlWorld) {
	w.check(t, delay, w.settings(delayWritten))
	before := w.check(t, reboot, w.Reboot)
	ended := make(chan ups.Outcome)
	go func() { ended <- w.Control.Execute(t.Context(), reboot, before, nil) }()
	time.Sleep(3 * time.Second)
	_, err := w.Control.Check(t.Context(), delay)
	refused(t, err, ups.ReasonBusy)
	w.ends(t, <-ended, ups.Done)
	w.wrote(t, w.Reboot)
}

// settingJudged: after a crash, before the write or behind it, the item says how it is. Nothing is called done that did not happen, and
// nothing unknown that can be read.
func settingJudged(t *testing.T, w ControlWorld) {
	before := w.check(t, delay, w.settings(delayWritten))
	w.ends(t, w.Control.Judge(t.Context(), delay, before), ups.Failed)
	w.wrote(t)
	w.ends(t, w.Control.Execute(t.Context(), delay, w.check(t, delay, delayWritten), nil), ups.Done) // whose end nobody wrote down
	w.ends(t, w.Control.Judge(t.Context(), delay, before), ups.Done)
	third := configure(ups.SOG0TurnOnDelay, "45")
	w.ends(t, w.Control.Execute(t.Context(), third, w.check(t, third, delayWritten), nil), ups.Done)
	w.ends(t, w.Control.Judge(t.Context(), delay, before), ups.Unknown)
	w.wrote(t, delayWritten, "16 1035 0x002D")
}

func settingTakenBack(t *testing.T, w ControlWorld) {
	before := w.check(t, delay, w.settings(delayWritten))
	w.Keep(true)
	ended := make(chan ups.Outcome)
	go func() { ended <- w.Control.Execute(t.Context(), delay, before, nil) }()
	time.Sleep(3 * time.Second)
	refused(t, w.Control.Cancel(t.Context(), delay), ups.ReasonUnsupported)
	w.ends(t, <-ended, ups.Failed)
	w.wrote(t, delayWritten)
}

func strangeSettings(t *testing.T, w ControlWorld) {
	for _, c := range []ups.Command{
		{Action: ups.ActionConfigure},
		configure(ups.OutputFrequencySetting, "50Hz"), configure(ups.OutputVoltageSetting, "230V"), configure(ups.SOG0ShedTime, "60"),
		configure(ups.SOG0ShedConfig, "0"), configure(ups.SOG3TurnOffDelay, "60"), configure(ups.Serial, "AS1"), configure(ups.Manufactured, "2024-01-01"),
		configure(ups.SOG0TurnOnDelay, "-1"), configure(ups.SOG0TurnOnDelay, "32768"), configure(ups.SOG0TurnOnDelay, "3e1"), configure(ups.SOG0TurnOnDelay, "030"),
		configure(ups.SOG0StayOffDelay, "3"), configure(ups.SOG0StayOffDelay, "301"), configure(ups.TestInterval, "16"), configure(ups.TestInterval, ""),
		configure(ups.UpperTransfer, "299"), configure(ups.LowerTransfer, "61"), configure(ups.BatteryInstalled, "2026-02-30"),
		configure(ups.Name, "seventeen letters"), configure(ups.Name, "naïve"), configure(ups.Name, " x"), configure(ups.Name, ""), configure(ups.Name, "a\x00b"),
	} {
		_, err := w.Control.Check(t.Context(), c)
		refused(t, err, ups.ReasonUnsupported)
	}
	w.wrote(t)
}
