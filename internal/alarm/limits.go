package alarm

import "time"

// Limits are what an owner can set for a unit, and the times of the catalogue that are no confirmation of a read. Zero or less
// means the default.
type Limits struct {
	LowBatteryRuntime  time.Duration // 201, 203 at this runtime or less; default 2 min
	BatteryTemperature float64       // °C; 208 above it; default 40
	Load               float64       // percent; 303 above it; default 80

	BadInputFor   time.Duration // 113 after the input was bad for this long; default 30 s
	LongOnBattery time.Duration // 119 after this long on battery; default 10 min
	Settled       time.Duration // 121, 122 after the mode was stable for this long; default 10 min
	HotFor        time.Duration // 208 after the battery was too warm for this long; default 5 min
	OverloadFor   time.Duration // 301 after the load was above 100 % for this long, and ends after as long below; default 10 s
	LoadHighFor   time.Duration // 303 likewise; default 60 s
	BadBypassFor  time.Duration // 315 after the bypass input was bad for this long; default 10 s
	LostAfter     time.Duration // 801 not before this long after the last good poll; default 30 s
	RefusedFor    time.Duration // 804 after refusals over this long; default 2 min
	Day           time.Duration // what 118 counts over and 222 waits for; default 24 h
	Week          time.Duration // of the interval of self-tests, 507; default 7 days
	TestOverdue   time.Duration // 507 not before this long without a test that passed; default 30 days
}

func (l Limits) withDefaults() Limits {
	for _, f := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&l.LowBatteryRuntime, 2 * time.Minute},
		{&l.BadInputFor, 30 * time.Second},
		{&l.LongOnBattery, 10 * time.Minute},
		{&l.Settled, 10 * time.Minute},
		{&l.HotFor, 5 * time.Minute},
		{&l.OverloadFor, 10 * time.Second},
		{&l.LoadHighFor, time.Minute},
		{&l.BadBypassFor, 10 * time.Second},
		{&l.LostAfter, 30 * time.Second},
		{&l.RefusedFor, 2 * time.Minute},
		{&l.Day, day},
		{&l.Week, 7 * day},
		{&l.TestOverdue, 30 * day},
	} {
		if *f.field <= 0 {
			*f.field = f.value
		}
	}
	if !(l.BatteryTemperature > 0) {
		l.BatteryTemperature = 40
	}
	if !(l.Load > 0) {
		l.Load = 80
	}
	return l
}

const day = 24 * time.Hour
