package smartups

import (
	"context"
	"time"

	"upsedge/internal/ups"
)

// selfTestDeed starts the unit's own test of its battery. 1541 is marked for every family, and SURTD is read-only (D12).
type selfTestDeed struct{}

func (selfTestDeed) plan(_ context.Context, _ *Control, e *eye, _ map[string]string, ev *evidence) error {
	ev.Addr, ev.Word = testCommand, startTrial
	return e.family()
}

func (selfTestDeed) may(ev *evidence, s *ups.State, p profile) error {
	ev.Seen.note(s)
	return locked(s, p)
}

func (selfTestDeed) looks(e *eye, _ *evidence) []*read { return e.status() }
func (selfTestDeed) follow(*evidence) step             { return &trying{trial: selfTest} }
func (selfTestDeed) shown(*evidence) []ups.Point       { return []ups.Point{ups.BatteryTest} }

func (selfTestDeed) back(_ *evidence, s *ups.State) (order, error) { return selfTest.back(s) }

// A test takes about 20 s where it was seen (section 8.4); more is allowed for larger batteries.
const longestTest = 5 * time.Minute

var selfTest = &trial{
	name: "self-test", command: testCommand, word: ups.BatteryTest,
	// The bit of the status word is that of a calibration as well.
	runs: func(s *ups.State) bool {
		return s.Flags(ups.BatteryTest)&ups.TInProgress != 0 || s.Flags(ups.StatusFlags)&ups.UTest != 0 && s.Flags(ups.Calibration)&trialBusy == 0
	},
	before: func(ev *evidence) uint32 { return ev.Test },
	// The word is that of the last test; where it names the protocol as its source and a test has ended since, that one was by protocol. A
	// calibration ends with the same cause, and would have left its own word.
	since: func(ev *evidence, s *ups.State) bool {
		return testEnded(ev, s) && s.Flags(ups.Calibration) == ev.Seen.Calibration
	},
	most: func(*evidence) time.Duration { return longestTest },
	pace: func(p profile, ran bool, after time.Duration) time.Duration {
		if !ran && !p.card && after < earlyFor {
			return earlyEvery
		}
		return lookEvery
	},
	say: func(_ *trying, f *following, _ *ups.State) { f.tell(50, "the self-test runs") },
}

// In the first seconds behind the write the unit is read more often, so that a test that is over at once is seen (8.4: Pending may be too
// short to see). Half of a line of 9600 baud, not through a card, which is to be asked little (section 12).
const (
	earlyEvery = 200 * time.Millisecond
	earlyFor   = 5 * time.Second
)
