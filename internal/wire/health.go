package wire

import (
	"fmt"
	"time"
)

// Waiting is what the agent holds of a lane: the records First to Last, less what gaps name. First is Last + 1 while nothing
// waits: everything up to Last was acknowledged. Both zero: not told.
type Waiting struct{ First, Last uint64 }

// A ClockState says what the wall clock of the agent rests on (T-27).
type ClockState uint8

// The states of the clock.
const (
	ClockUnset    ClockState = iota // nobody has set it since the boot: records carry no time
	ClockSynced                     // a time service or the cloud sets it
	ClockHoldover                   // it was set in this boot, and runs on alone
)

var clockStates = [...]string{ClockUnset: "unset", ClockSynced: "synced", ClockHoldover: "holdover"}

func (c ClockState) String() string {
	if int(c) < len(clockStates) {
		return clockStates[c]
	}
	return fmt.Sprintf("clock state %d", uint8(c))
}

func (b *builder) putClock(s *FullState) {
	b.name("clock")
	b.open()
	b.put("trusted", !s.Now.Wall.IsZero())
	b.put("state", s.Clock.String())
	if s.ClockError > 0 {
		b.put("error_ms", uint64(s.ClockError.Milliseconds()))
	}
	b.putStamp(s.Now)
	b.close()
}

func (b *builder) putLanes(lanes [len(Lanes)]Waiting) {
	b.name("lanes")
	b.open()
	for i, l := range Lanes {
		b.name(l.String())
		b.open()
		b.put("first", lanes[i].First)
		b.put("last", lanes[i].Last)
		b.close()
		if w := lanes[i]; (w.First == 0 || w.First-1 > w.Last) && b.err == nil {
			b.err = fmt.Errorf("lane %v holds %d to %d", l, w.First, w.Last)
		}
	}
	b.close()
}

// clock reads the state of the clock; one that is not known is no better than none.
func (o *object) clock(s *FullState) {
	var trusted bool
	o.want("trusted", &trusted)
	s.Now = o.stamp()
	if o.err == nil && trusted == s.Now.Wall.IsZero() {
		o.fail(fmt.Errorf("trusted is %v, against the time", trusted))
	}
	var name string
	o.may("state", &name)
	for i, known := range clockStates {
		if name == known {
			s.Clock = ClockState(i)
		}
	}
	var ms uint64
	if o.may("error_ms", &ms); o.err == nil && ms > maxSeconds*1000 {
		o.fail(fmt.Errorf("error of %d ms", ms))
	}
	s.ClockError = time.Duration(ms) * time.Millisecond
}

func (o *object) lanes(s *FullState) {
	all := o.object("lanes")
	if all == nil {
		return
	}
	for i, l := range Lanes {
		if in := all.object(l.String()); in != nil {
			w := &s.Lanes[i]
			in.want("first", &w.First)
			in.want("last", &w.Last)
			if in.err == nil && (w.First == 0 || w.First-1 > w.Last) {
				in.fail(fmt.Errorf("first is %d and last %d", w.First, w.Last))
			}
			all.adopt(l.String(), in)
		}
	}
	o.adopt("lanes", all)
}
