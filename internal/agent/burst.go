package agent

import (
	"time"

	"upsedge/internal/config"
	"upsedge/internal/sampler"
	"upsedge/internal/ups"
)

// cardFastest is between two reads of a block in a burst through a network card: it is asked every 3 s otherwise.
const cardFastest = time.Second

// fastest is between two reads of a block in a burst of a unit; 0: what the sampler thinks.
func fastest(u config.Unit) time.Duration {
	if u.OverCard() {
		return cardFastest
	}
	return 0
}

// stirred reports whether something happens to the unit, so that it is to be read as fast as the line allows for a while (event
// catalogue, TIMING-5), as far as r tells, which state holds already: the status word is not what it was, if it had been read, or
// a test or calibration runs. The caller holds mu.
func (u *unit) stirred(r *ups.Reading, was int64, had bool) bool {
	if r.Tier > ups.TierStatus {
		return false
	}
	now, _ := u.state.Raw(ups.StatusFlags)
	return had && now != was || now&ups.UTest != 0 ||
		u.state.Flags(ups.BatteryTest)&ups.TInProgress != 0 || u.state.Flags(ups.Calibration)&ups.TInProgress != 0
}

// burst has the unit read as fast as its line allows, where it is on one. It is what a command under way asks for, too.
func (u *unit) burst() {
	if u.hasten != nil {
		u.hasten(u.cfg.Name, sampler.BurstFor)
	}
}
