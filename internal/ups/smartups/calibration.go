package smartups

import (
	"context"
	"fmt"
	"time"

	"upsedge/internal/ups"
)

// calibrationDeed starts a runtime calibration: the unit runs on its battery under the real load until that is nearly empty, and learns how
// long it lasts (protocol reference, sections 6.9, 7.6 and 8.5). Until it is charged again, for hours, a power failure finds it nearly empty.
type calibrationDeed struct{}

func (calibrationDeed) plan(_ context.Context, _ *Control, e *eye, _ map[string]string, ev *evidence) error {
	ev.Addr, ev.Word = calibrationCommand, startTrial
	return e.family()
}

// Which charge and load a unit wants is not public; it says no by itself with a modifier. EDGE-8 wants 100 % of charge. The vendor's manual
// of a larger family (Galaxy VL) wants 10 % of load at least, and below that the time measured says little of any other load.
const (
	leastCalibrationCharge = 100.0 // %
	leastCalibrationLoad   = 10.0  // % of the real power rating
)

func (calibrationDeed) may(ev *evidence, s *ups.State, p profile) error {
	if err := locked(s, p); err != nil {
		return err
	}
	ev.Seen.note(s)
	no := func(format string, args ...any) error {
		return &ups.Refusal{Reason: ups.ReasonSafetyLock, Detail: fmt.Sprintf(format, args...)}
	}
	charge, hasCharge := s.Value(ups.Charge)
	load, hasLoad := s.Value(ups.LoadReal)
	runtime, hasRuntime := s.Raw(ups.Runtime)
	switch errors := s.Flags(ups.BatteryError); {
	case !hasCharge || !hasLoad || !hasRuntime:
		return unsupported("it shows no charge, load or runtime, and a calibration is judged by them")
	case errors != 0: // a weak battery that is discharged drops the load
		return no("the battery has an error (0x%04X)", errors)
	case charge < leastCalibrationCharge:
		return no("the charge is %.1f %%, and a calibration needs %.0f %%", charge, leastCalibrationCharge)
	case load < leastCalibrationLoad:
		return no("the load is %.1f %%, and a calibration needs %.0f %%", load, leastCalibrationLoad)
	}
	ev.Seen.Runtime = runtime
	return nil
}

// looks are the status block, and charge, runtime and load.
func (calibrationDeed) looks(e *eye, _ *evidence) []*read {
	pl := newPlanner(e.d.timing(), e.about.profile)
	pl.holes = !e.about.noHoles
	return append(e.status(), pl.reads(ups.TierLive, []*register{registerOf(ups.Runtime), registerOf(ups.Charge), registerOf(ups.LoadReal)})...)
}

func (calibrationDeed) follow(*evidence) step { return &trying{trial: calibration} }
func (calibrationDeed) shown(*evidence) []ups.Point {
	return []ups.Point{ups.Calibration, ups.Charge, ups.Runtime}
}

func (calibrationDeed) back(_ *evidence, s *ups.State) (order, error) { return calibration.back(s) }

// The runtime a unit expects may be wrong by much, which is why it is calibrated; the limit only ends the watching. The cloud waits 24 h.
const (
	calibrationSlack   = time.Hour
	longestCalibration = 20 * time.Hour
)

var calibration = &trial{
	name: "runtime calibration", command: calibrationCommand, word: ups.Calibration,
	runs:   func(s *ups.State) bool { return s.Flags(ups.Calibration)&ups.TInProgress != 0 },
	before: func(ev *evidence) uint32 { return ev.Seen.Calibration },
	// Of what ends as a test does, a calibration alone leaves so little charge; the self-test's word is the one from before.
	since: func(ev *evidence, s *ups.State) bool {
		charge, ok := s.Value(ups.Charge)
		return testEnded(ev, s) && s.Flags(ups.BatteryTest) == ev.Test && ok && charge < dischargedBy
	},
	most: func(ev *evidence) time.Duration {
		if ev.Seen.Runtime < 0 || ev.Seen.Runtime > int64(longestCalibration/time.Second) {
			return longestCalibration
		}
		return min(2*time.Duration(ev.Seen.Runtime)*time.Second+calibrationSlack, longestCalibration)
	},
	pace: func(_ profile, ran bool, after time.Duration) time.Duration {
		if ran && after > time.Minute {
			return calibrationEvery
		}
		return lookEvery
	},
	say: sayCalibration,
}

const (
	dischargedBy = 90.0 // %: a self-test takes a percent or two
	// calibrationEvery leaves the line to the others: for hours, and what it waits for stays to be seen.
	calibrationEvery = 5 * time.Second
)

// sayCalibration tells how far it is by the charge, in steps of 5 %: however long it takes, that is twenty records.
func sayCalibration(t *trying, f *following, s *ups.State) {
	charge, ok := s.Value(ups.Charge)
	if !ok {
		f.tell(5, "the runtime calibration runs")
		return
	}
	step := int(charge)/5 + 1
	if step == t.told {
		return
	}
	t.told = step
	detail := fmt.Sprintf("the runtime calibration runs, the charge is %.0f %%", charge)
	if runtime, ok := s.Raw(ups.Runtime); ok {
		detail += fmt.Sprintf("; the unit expects %d min more", (runtime+30)/60)
	}
	f.tell(min(max(5, 100-int(charge)), 99), detail)
}
