package upssim

import (
	"fmt"
	"time"
)

// powerVerbs are what happens to the mains and the load.
var powerVerbs = []verb{
	{"mains-fail", "", "the input fails; the unit goes on battery", plain(func(u *Unit) { u.SetMains(false) })},
	{"mains-return", "", "the input is back; the unit returns after 3 s", plain(func(u *Unit) { u.SetMains(true) })},
	{"dip", "[CAUSE]", "the input fails for a second: a transfer for RapidChangeOfInputVoltage, or for that cause of section 6.2", dipFor},
	{"input", "VOLTS", "voltage of the mains; 0 = nominal. Boost and trim near, on battery beyond the transfer points", number(0, 500, (*Unit).SetInput)},
	{"wave", "NAME", "what is wrong with the input: Distorted, FrequencyTooLow, FrequencyTooHigh, FreqAndPhaseNotLocked, PhaseDeltaOutOfRange, NeutralNotConnected, or good", wave},
	{"load", "PART", "load as a part of the rating, 0 to 1.5", number(0, 1.5, (*Unit).SetLoad)},
	{"overload", "", "the same as load=1.2", plain(func(u *Unit) { u.SetLoad(1.2) })},
	{"wiring-bad", "", "line and neutral are crossed", plain(then(func(u *Unit) { u.setWiring(true) }))},
	{"wiring-good", "", "the wiring was put right", plain(then(func(u *Unit) { u.setWiring(false) }))},
	{"epo", "", "emergency power off: the output goes off and stays off", plain(then(func(u *Unit) { u.setEPO(true) }))},
	{"epo-release", "", "the emergency power off is released and acknowledged; on brings the output back", plain(then(func(u *Unit) { u.setEPO(false) }))},
}

func dipFor(s string) (func(*Unit), error) {
	cause := uint16(causeRapidChange)
	if s != "" {
		var err error
		if cause, err = causeNamed(s); err != nil {
			return nil, err
		}
	}
	return then(func(u *Unit) {
		u.power.dip = dip{until: u.at.Add(time.Second), cause: cause}
		u.power.input = 0
	}), nil
}

func wave(s string) (func(*Unit), error) {
	if s == "good" {
		return then(func(u *Unit) { u.power.wave = 0 }), nil
	}
	mask, ok := bitNamed("Input.InputStatus_BF", s)
	for _, w := range waveCauses {
		if ok && w.bit == mask {
			return then(func(u *Unit) { u.power.wave |= mask }), nil
		}
	}
	return nil, fmt.Errorf("%q is nothing that is wrong with an input", s)
}

// feedVerbs are what happens to the electronics and the bypass. Models without a bypass ignore its words.
var feedVerbs = []verb{
	{"bypass", "", "someone at the panel puts the unit into bypass", plain(then(func(u *Unit) { u.press(); u.commandBypass(true, causeLocalUI) }))},
	{"bypass-end", "", "and back", plain(then(func(u *Unit) { u.press(); u.commandBypass(false, causeLocalUI) }))},
	{"bypass-feed", "VOLTS", "voltage of the bypass input; 0 = that of the mains", number(0, 500, func(u *Unit, v float64) { u.do(func() { u.power.feed.own = v }) })},
	{"bypass-expire", "", "the time on bypass by fault is over: the output goes off", plain(then(func(u *Unit) { u.power.expired = u.power.bypassed && !u.power.commanded }))},
	{"inverter-bad", "", "the inverter fails: bypass where there is one", plain(then(func(u *Unit) { u.fault(&u.power.broken, true, causePowerError, causeErrorCleared) }))},
	{"inverter-good", "", "it works again, its output too", plain(then(func(u *Unit) {
		u.fault(&u.power.broken, false, causePowerError, causeErrorCleared)
		u.fault(&u.power.distorted, false, causeInverterDistorted, causeInverterGood)
	}))},
	{"inverter-distorted", "", "the inverter's output is distorted: bypass where there is one", plain(then(func(u *Unit) { u.fault(&u.power.distorted, true, causeInverterDistorted, causeInverterGood) }))},
	{"overheat", "", "the electronics are too hot", plain(then(func(u *Unit) { u.fault(&u.power.hot, true, causePowerError, causeErrorCleared) }))},
	{"cool", "", "they are cool again", plain(then(func(u *Unit) { u.fault(&u.power.hot, false, causePowerError, causeErrorCleared) }))},
}
