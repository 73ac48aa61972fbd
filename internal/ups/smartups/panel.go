package smartups

import (
	"context"
	"time"

	"upsedge/internal/ups"
)

// panelDeed tests lights and beeper: it turns the continuous test on, waits until register 26 shows it, and after a while ends it by the
// short one. The short test alone would show nowhere (protocol reference, sections 6.11 and 7.7).
type panelDeed struct{}

func (panelDeed) plan(_ context.Context, _ *Control, e *eye, _ map[string]string, ev *evidence) error {
	ev.Addr, ev.Word = panelCommand, continuousTest
	return e.family()
}

// may: it does nothing to the output, but whoever hears it on battery or in a fault takes it for the alarm, and whoever ends it at the
// unit mutes that.
func (panelDeed) may(ev *evidence, s *ups.State, p profile) error {
	ev.Seen.note(s)
	switch k := ev.Seen.Panel; {
	case k&ups.KPanelTest != 0:
		return &ups.Refusal{Reason: ups.ReasonBusy, Detail: "a panel test runs"}
	case k&ups.KAlarmSounds != 0:
		return &ups.Refusal{Reason: ups.ReasonSafetyLock, Detail: "an alarm sounds, and the panel test would drown it"}
	}
	return locked(s, p)
}

func (panelDeed) looks(e *eye, _ *evidence) []*read { return e.status() }
func (panelDeed) follow(*evidence) step             { return &panelTest{} }
func (panelDeed) shown(*evidence) []ups.Point       { return []ups.Point{ups.UserInterface} }

func (panelDeed) back(_ *evidence, s *ups.State) (order, error) {
	if s.Flags(ups.UserInterface)&ups.KPanelTest == 0 {
		return order{}, unsupported("no panel test runs")
	}
	return endPanelDeed.write, nil
}

// endPanelDeed ends a panel test, whoever began it.
var endPanelDeed = goalDeed{
	write: order{panelCommand, shortTest},
	shows: []ups.Point{ups.UserInterface},
	reached: func(_ *seenNote, s *ups.State) (reach, string) {
		if s.Flags(ups.UserInterface)&ups.KPanelTest != 0 {
			return notReached, "the panel test runs on; the mute button of the unit ends it"
		}
		return reached, "no panel test runs"
	},
}

// panelHolds is how long lights and beeper are on, for somebody who stands before them.
const panelHolds = 5 * time.Second

// A panelTest follows one, and ends it.
type panelTest struct {
	ran     bool
	since   time.Duration // it was first seen
	ended   bool          // the unit was told to end it
	endedAt time.Duration
	no      uint8 // and refused that
}

func (t *panelTest) see(f *following, s *ups.State, after time.Duration) *ups.Outcome {
	on := s.Flags(ups.UserInterface)&ups.KPanelTest != 0
	if on && !t.ran {
		t.ran, t.since = true, after
	}
	var out ups.Outcome
	switch {
	case on && f.judging:
		out = f.end(ups.Failed, "", "the panel test runs and was not ended: order its abort, or press mute at the unit")
	case on && t.no != 0:
		out = f.end(ups.Failed, ups.ReasonUPSRefused, "the panel test runs, and the unit refused to end it: press mute at the unit")
	case on && t.ended && after-t.endedAt > begins:
		out = f.end(ups.Failed, "", "the panel test was told to end and runs on: order its abort, or press mute at the unit")
	case on:
		f.tell(50, "the panel test runs")
		return nil
	case t.ran && f.control.cancelled.Load():
		out = f.end(ups.Cancelled, ups.ReasonCancelled, "the panel test was taken back")
	case t.ran && t.ended:
		out = f.end(ups.Done, "", "lights and beeper were on and were turned off")
	case t.ran:
		out = f.end(ups.Done, "", "lights and beeper were on and were turned off at the unit")
	case after < begins:
		return nil
	case f.missed(begins):
		out = f.end(ups.Unknown, "", "no panel test runs; whether one ran was not seen")
	case !f.answered:
		out = f.end(ups.Unknown, "", "no answer came, and no panel test runs; it is not repeated")
	default:
		out = f.end(ups.Failed, ups.ReasonUPSRefused, "the unit said yes and no panel test began")
	}
	return &out
}

func (t *panelTest) next(f *following, after time.Duration) (order, bool) {
	return endPanelDeed.write, t.ran && !t.ended && after-t.since >= panelHolds && !f.control.cancelled.Load()
}

func (t *panelTest) wrote(err error, after time.Duration) {
	t.no = exception(err)
	t.ended, t.endedAt = sent(err), after
}

// limit is long: a unit that is lost beeps, and is told to stop as soon as it is found.
func (t *panelTest) limit(*following) time.Duration { return 10 * time.Minute }

func (t *panelTest) over(f *following) ups.Outcome {
	return f.end(ups.Unknown, "", "the panel test may run on: order its abort, or press mute at the unit")
}
