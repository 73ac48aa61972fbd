package smartups

import (
	"context"
	"fmt"
	"time"

	"upsedge/internal/ups"
)

// A goalDeed asks for a state of the unit, whoever brings it about: the beeper is muted, no test runs. Where it is so already nothing is
// written, and where it shows behind the write the order is done. No lock stands in its way: each only ends or silences something, and is
// wanted most when the unit is not well.
type goalDeed struct {
	write order
	shows []ups.Point // where it shows
	// reached tells whether it is so, and how it is, in words. was is what was seen before the write, nil while there is none.
	reached func(was *seenNote, s *ups.State) (reach, string)
}

// A reach says whether a goal is reached.
type reach uint8

const (
	notReached reach = iota
	reached
	perhaps // it looks so now; it counts when it still does after a while
	untold  // no status item tells
)

// A seenNote is what evidence keeps of the status block for tests and alarms.
type seenNote struct {
	Calibration uint32 `json:"calibration"` // 24, which is sticky
	Life        uint32 `json:"life"`        // 25
	Panel       uint32 `json:"panel"`       // 26
	Runtime     int64  `json:"runtime"`     // s; of a calibration
}

// note keeps what the status block shows.
func (n *seenNote) note(s *ups.State) {
	n.Calibration, n.Life, n.Panel = s.Flags(ups.Calibration), s.Flags(ups.BatteryLife), s.Flags(ups.UserInterface)
}

func (g goalDeed) plan(_ context.Context, _ *Control, e *eye, _ map[string]string, ev *evidence) error {
	ev.Addr, ev.Word = g.write.addr, g.write.v
	return e.family()
}

func (g goalDeed) may(ev *evidence, s *ups.State, _ profile) error {
	if r, how := g.reached(nil, s); r == reached || r == perhaps {
		ev.Already = how
	}
	ev.Seen.note(s)
	return nil
}

func (goalDeed) looks(e *eye, _ *evidence) []*read { return e.status() }
func (g goalDeed) follow(*evidence) step           { return &reaching{g} }
func (g goalDeed) shown(*evidence) []ups.Point     { return g.shows }

func (goalDeed) back(*evidence, *ups.State) (order, error) {
	return order{}, unsupported("it is over at once, and nothing is left to be taken back")
}

// saidNo is the end where the unit refused: it may have been so a moment before, and that is why.
func (g goalDeed) saidNo(f *following, reason, said string) ups.Outcome {
	is, how := g.reached(&f.ev.Seen, f.last)
	if is == reached {
		return f.end(ups.Done, "", "already so: "+how+"; "+said)
	}
	return f.end(ups.Failed, reason, said+"; "+how)
}

// Reaching waits for a goal.
type reaching struct{ goalDeed }

func (r *reaching) see(f *following, s *ups.State, after time.Duration) *ups.Outcome {
	f.tell(50, "written; the unit is watched")
	is, how := r.reached(&f.ev.Seen, s)
	if (f.judging || !f.answered) && (is == reached || is == perhaps) { // the write may never have come to the unit
		how = "by this order or already before it: " + how
	}
	var out ups.Outcome
	switch {
	case is == reached:
		out = f.end(ups.Done, "", how)
	case after < begins:
		return nil
	case is == perhaps:
		out = f.end(ups.Done, "", how)
	case is == untold:
		out = f.end(ups.Unknown, "", how)
	case f.missed(begins):
		out = f.end(ups.Unknown, "", how+": it was not written, came to nothing, or somebody was there since")
	case !f.answered:
		out = f.end(ups.Failed, "", "no answer came, and "+how+"; it is not repeated")
	default:
		out = f.end(ups.Failed, ups.ReasonUPSRefused, "the unit said yes, and "+how)
	}
	return &out
}

func (r *reaching) limit(*following) time.Duration { return begins + slack }

func (r *reaching) over(f *following) ups.Outcome {
	return f.end(ups.Unknown, "", fmt.Sprintf("not seen within %v", r.limit(f)))
}
