package upssim

import (
	"fmt"
	"strconv"
	"time"
)

// batteryVerbs are what happens to the battery.
var batteryVerbs = []verb{
	{"charge", "PART", "state of charge, 0 to 1", number(0, 1, (*Unit).SetCharge)},
	{"low-battery", "", "leaves two minutes of runtime", plain(func(u *Unit) { u.SetRuntime(2 * time.Minute) })},
	{"battery-bad", "", "the next battery test fails", plain(func(u *Unit) { u.SetBatteryBad(true) })},
	{"battery-good", "", "the battery is good again", plain(func(u *Unit) { u.SetBatteryBad(false) })},
	{"battery-replace", "", "a new, full battery, with today as its date", plain(then((*Unit).replaceBattery))},
	{"battery-life", "DAYS", "days left until the battery is due, negative when it was", days},
	{"battery-worn", "", "its measured capacity is near its end", plain(then(func(u *Unit) { u.battery.worn, u.battery.acked = true, 0 }))},
	{"battery-disconnect", "", "the battery is taken away", plain(then(func(u *Unit) { u.setDisconnected(true) }))},
	{"battery-connect", "", "and put back", plain(then(func(u *Unit) { u.setDisconnected(false) }))},
	{"charger-bad", "", "the charger fails and the battery stays as it is", plain(then(func(u *Unit) { u.setCharger(true) }))},
	{"charger-good", "", "and works again", plain(then(func(u *Unit) { u.setCharger(false) }))},
	{"capacity", "PART", "what is left of the runtime of a full battery, 0.05 to 1; no bit tells", number(0.05, 1, func(u *Unit, v float64) { u.do(func() { u.battery.capacity = v }) })},
	{"sag", "PART", "how much more than a good one's the battery's voltage falls in use, 0 to 0.5; no bit tells", number(0, 0.5, func(u *Unit, v float64) { u.do(func() { u.battery.sag = v }) })},
	{"heat", "CELSIUS", "temperature of the battery and around it; warning from 45, critical from 55, 24 is usual", number(-20, mostWarmth, func(u *Unit, c float64) { u.do(func() { u.setHeat(c) }) })},
}

func days(s string) (func(*Unit), error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < -10000 || n > 10000 {
		return nil, fmt.Errorf("%q is not a number of days", s)
	}
	return then(func(u *Unit) { u.setLifeLeft(n) }), nil
}

func (u *Unit) setCharger(bad bool) {
	if u.battery.uncharged != bad {
		u.battery.uncharged = bad
		u.cause = errorCause(bad, causeBatteryError)
	}
}

// testVerbs start and stop tests.
var testVerbs = []verb{
	{"self-test", "[SOURCE]", "battery test, 20 s: from the panel, or with protocol or internal as its source", source(func(u *Unit, by uint32) { u.startTest(by) })},
	{"calibrate", "[SOURCE]", "runtime calibration, until the battery is low", source(func(u *Unit, by uint32) { u.startCalibration(by) })},
	{"abort", "", "aborts a test or calibration from the panel", plain(then(func(u *Unit) { u.press(); u.abort(&u.test, byLocalUI); u.abort(&u.cal, byLocalUI) }))},
}

func source(f func(u *Unit, by uint32)) func(string) (func(*Unit), error) {
	return func(s string) (func(*Unit), error) {
		by, ok := map[string]uint32{"": byLocalUI, "panel": byLocalUI, "protocol": byProtocol, "internal": byInternal}[s]
		if !ok {
			return nil, fmt.Errorf("%q is not panel, protocol or internal", s)
		}
		return then(func(u *Unit) {
			if by == byLocalUI {
				u.press()
			}
			f(u, by)
		}), nil
	}
}
