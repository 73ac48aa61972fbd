package upssim

import (
	"fmt"
	"slices"
	"strings"
)

// outletVerbs turn things off and on.
var outletVerbs = []verb{
	{"outlet", "ACTION[:GROUPS]", "cancel, on, off, shutdown or reboot from the panel, with the delays set: outlet=reboot:sog0,sog1. Without groups all", outlet},
	{"shutdown", "", "the unit is asked to shut down: off after the delays, back with good mains", plain(then((*Unit).requestShutdown))},
	{"off", "", "the power button: everything off at once, for good", plain(then(func(u *Unit) { u.press(); u.button(false) }))},
	{"on", "", "the power button: everything on, each with its delay", plain(then(func(u *Unit) { u.press(); u.button(true) }))},
}

// button is the power button.
func (u *Unit) button(on bool) {
	word := uint32(2)
	if on {
		word = 4
	}
	if !u.signallingCommand(word) {
		return
	}
	u.cause = causeLocalUI
	for _, g := range u.groups {
		g.restart = causeLocalUI
	}
}

// groupWords names the groups as people write them, in the order of the bits of 590.
var groupWords = []string{"mog", "sog0", "sog1", "sog2"}

// outletActions are the words of OutletCommand_BF with the delays, but for what they do not take.
var outletActions = map[string]uint32{
	"cancel": cmdCancel, "on": cmdOn | cmdUseOn, "off": cmdOff | cmdUseOff, "shutdown": cmdShutdown | cmdUseOff | cmdUseOn,
	"reboot": cmdReboot | cmdUseOff | cmdUseOn,
}

const cmdLocalUser = 1 << 13

func outlet(s string) (func(*Unit), error) {
	action, names, _ := strings.Cut(s, ":")
	word, ok := outletActions[action]
	if !ok {
		return nil, fmt.Errorf("%q is not cancel, on, off, shutdown or reboot", action)
	}
	var targets uint32
	for name := range strings.SplitSeq(names, ",") {
		if name == "" {
			continue
		}
		i := slices.Index(groupWords, name)
		if i < 0 {
			return nil, fmt.Errorf("%q is not one of %s", name, strings.Join(groupWords, ", "))
		}
		targets |= targetBit[i]
	}
	return then(func(u *Unit) {
		u.press()
		t := targets
		if t == 0 {
			t = u.everyTarget()
		}
		u.outletWord(word | t | cmdLocalUser)
	}), nil
}

// everyTarget returns the target bits of the groups of 590.
func (u *Unit) everyTarget() (out uint32) {
	for i, bit := range targetBit {
		if u.fam.groups&(1<<i) != 0 {
			out |= bit
		}
	}
	return out
}

// panelVerbs are the display and the beeper.
var panelVerbs = []verb{
	{"mute", "", "silences the beeper, and ends a panel test", plain(then(func(u *Unit) { u.press(); u.panelCommand(1 << 2); u.panel.continuous = false }))},
	{"unmute", "", "and back", panelWord(1 << 3)},
	{"panel-test", "", "lights and beeper, until panel-test-end", panelWord(1 << 1)},
	{"panel-test-end", "", "ends that", panelWord(1 << 0)},
	{"ack-battery", "", "acknowledges what the battery has to say", panelWord(1 << 5)},
	{"ack-wiring", "", "acknowledges the site wiring", panelWord(1 << 6)},
	{"button", "", "someone presses a button that does nothing", plain(then((*Unit).press))},
	{"alert", "", "an informational alert (SMT and SMX)", plain(then(func(u *Unit) { u.setAlert(true) }))},
	{"alert-end", "", "and its end", plain(then(func(u *Unit) { u.setAlert(false) }))},
}

func panelWord(v uint32) func(string) (func(*Unit), error) {
	return plain(then(func(u *Unit) { u.press(); u.panelCommand(v) }))
}

func (u *Unit) setAlert(on bool) {
	if u.alert != on {
		u.alert, u.cause = on, causeAlertCleared
		if on {
			u.cause = causeAlert
		}
	}
}
