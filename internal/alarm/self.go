package alarm

import (
	"fmt"
	"time"

	"upsedge/internal/ups"
)

// ownRules are those of the agent itself: none. What it raises it is told, one method for each condition.
var ownRules = func() *ruleSet {
	s := newRuleSet(nil, nil, nil, nil)
	s.own = true
	return s
}()

const (
	unlinkedFor   = time.Minute         // 820: no session for so long
	certificateBy = 30 * 24 * time.Hour // 823: less than this is left
	clockOff      = time.Minute         // 833: by more than this, or back
	clockBack     = time.Second         // what a time service corrects by less than this is no step
	// 830 and 831, in percent of the room: raised at the one, cleared below the other.
	fullAt    = 80
	roomAgain = 70
)

// A Self holds the alarms of the agent itself (event catalogue, section 9: 810 to 833, and 834 of these): what of its link, its
// store and its clock it is told, with the delays and the hysteresis of the catalogue. It is an Engine of no unit and without
// rules: events have no unit, what is active survives a restart, and what comes too often is held back alike. Use NewSelf.
//
// What its methods return is valid until the next call of one that returns events. Details name no address, no file and no host.
type Self struct {
	e        *Engine
	unlinked time.Time // since when there has been no session, zero with one, or without a broker
	dropped  uint64    // of the last Fill: counted since the program began
}

// A savedAgent is what of a Self survives a restart beside its alarms.
type savedAgent struct {
	Version string `json:"version,omitempty"`
	Boot    string `json:"boot,omitempty"`    // of the operating system
	Running bool   `json:"running,omitempty"` // no 811 since the last 810
	Dropped uint64 `json:"dropped,omitempty"` // records, since 831 was raised
	From    string `json:"from,omitempty"`    // of those
}

// NewSelf returns the alarms of the agent. saved is as for New.
func NewSelf(saved []byte) (*Self, error) {
	e, err := newEngine(ownRules, "", Limits{}, saved)
	if err != nil {
		err = fmt.Errorf("saved state of the agent itself: %w", err)
	}
	if e.agent == nil {
		e.agent = &savedAgent{}
	}
	return &Self{e: e}, err
}

// TrustClock is that of Engine.
func (s *Self) TrustClock(wall func(time.Time) time.Time) { s.e.TrustClock(wall) }

// State is that of Engine.
func (s *Self) State() (blob []byte, changed bool) { return s.e.State() }

// Active is that of Engine.
func (s *Self) Active() []Active { return s.e.Active() }

// Is is that of Engine.
func (s *Self) Is(id ups.AlarmID) bool { return s.e.Is(id) }

// Started tells that the agent works: 812 when the run before did not end in order, 813 when it was of another version, 810.
// boot names this boot of the operating system; anew says why there is no state of a run before, "" for a first start.
func (s *Self) Started(at time.Time, version, boot, anew string) []ups.Event {
	was := *s.e.agent
	s.e.begin(at)
	s.e.agent.Version, s.e.agent.Boot, s.e.agent.Running = version, boot, true
	s.end(814, "") // it runs on a configuration that was read now
	reason := "after an orderly stop"
	switch {
	case was.Version == "" && anew != "":
		reason = anew
	case was.Version == "":
		reason = "first start"
	case was.Running:
		reason = "after it was stopped without warning"
		how := "the machine ran on"
		if was.Boot != boot {
			how = "the machine was started anew since"
		}
		s.moment(812, how)
	}
	if was.Version != "" && was.Version != version {
		s.moment(813, fmt.Sprintf("from version %s to %s", was.Version, version))
	}
	s.moment(810, fmt.Sprintf("version %s, %s", version, reason))
	return s.e.events
}

// Stopping tells of an orderly end: 811. The next start finds it.
func (s *Self) Stopping(at time.Time, reason string) []ups.Event {
	s.e.begin(at)
	s.e.agent.Running = false
	s.moment(811, reason)
	return s.e.events
}

// Reloaded tells what came of a new configuration: problem says where the first mistake is, "" that it is in use.
func (s *Self) Reloaded(at time.Time, problem string) []ups.Event {
	return s.set(at, 814, problem != "", problem)
}

// Unlinked tells that there is no session with the broker. It may be told again and again; Elapsed raises 820 in time.
func (s *Self) Unlinked(at time.Time) []ups.Event {
	s.e.begin(at)
	if s.unlinked.IsZero() {
		s.unlinked = at
	}
	return s.e.events
}

// Linked tells that there is a session, and that so many records wait for it: the broker has accepted the agent.
func (s *Self) Linked(at time.Time, waiting uint64) []ups.Event {
	s.e.begin(at)
	s.unlinked = time.Time{}
	s.end(824, "")
	a := s.e.active.find(key{id: 820})
	if a == nil {
		return s.e.events
	}
	without, known := s.e.between(a, at)
	s.end(820, "")
	detail := ups.Count(waiting, "record") + " waiting"
	if known {
		detail = fmt.Sprintf("without a session for %s, %s", round(without), detail)
	}
	s.moment(821, detail)
	return s.e.events
}

// Distrusted tells that the broker's certificate was refused, and Trusted that it was accepted: 822.
func (s *Self) Distrusted(at time.Time, why string) []ups.Event { return s.set(at, 822, true, why) }

// Trusted see Distrusted.
func (s *Self) Trusted(at time.Time) []ups.Event { return s.set(at, 822, false, "") }

// Rejected tells that the broker refused the agent, its certificate or its name: 824, until Linked.
func (s *Self) Rejected(at time.Time, why string) []ups.Event { return s.set(at, 824, true, why) }

// Certificate tells when the agent's own certificate ends, by a clock that says now: 823.
func (s *Self) Certificate(at, now, ends time.Time) []ups.Event {
	left := ends.Sub(now)
	detail := "it ends on " + ends.UTC().Format(time.DateOnly)
	if left <= 0 {
		detail = "it ended on " + ends.UTC().Format(time.DateOnly)
	}
	return s.set(at, 823, left < certificateBy, detail)
}

// A Fill is how full the buffer is.
type Fill struct {
	Used, Room int64  // bytes
	Orders     int64  // that the journal of orders knows ...
	MostOrders int64  // ... and from how many on it refuses others; 0: there is none
	Dropped    uint64 // records of samples removed for room since the program began
	// From and To are when the first and the last of those removed since the Fill before were read, as people read them; "" if
	// that is not known.
	From, To string
}

// Spool tells how full the buffer is: 830, of the journal of orders, too, and 831.
func (s *Self) Spool(at time.Time, f Fill) []ups.Event {
	s.e.begin(at)
	percent := int64(0)
	if f.Room > 0 {
		percent = 100 * f.Used / f.Room
	}
	orders := int64(0)
	if f.MostOrders > 0 {
		orders = 100 * f.Orders / f.MostOrders
	}
	switch {
	case percent >= fullAt:
		s.raise(830, fmt.Sprintf("%d %% of %d MiB", percent, f.Room>>20))
	case orders >= fullAt:
		s.raise(830, fmt.Sprintf("%d %% of the %d orders that are remembered for a week; when it is full, orders are refused", orders, f.MostOrders))
	case percent < roomAgain && orders < roomAgain:
		s.end(830, "")
	}
	if n := f.Dropped - s.dropped; n > 0 {
		s.drop(n, &f)
	} else if percent < roomAgain && s.e.Is(831) {
		g := s.e.agent
		s.end(831, phrase(ups.Count(g.Dropped, "record")+" in all", since(g.From)))
		g.Dropped, g.From = 0, ""
	}
	s.dropped = f.Dropped
	return s.e.events
}

// drop counts records that were removed. What goes on while 831 is active is told with its end; the gap records tell all of it.
func (s *Self) drop(n uint64, f *Fill) {
	g := s.e.agent
	if g.Dropped == 0 {
		g.From = f.From
	}
	g.Dropped += n
	s.e.dirty = true
	span := since(f.From)
	if f.To != "" {
		span += " to " + f.To
	}
	s.raise(831, phrase(ups.Count(g.Dropped, "record")+" so far", span))
}

func since(from string) string {
	if from == "" {
		return ""
	}
	return "from " + from
}

// Storage tells whether the store takes what it is given: problem says why not, "" that it does. 832
func (s *Self) Storage(at time.Time, problem string) []ups.Event {
	return s.set(at, 832, problem != "", problem)
}

// Clock tells that the wall clock was found to be off by so much, negative when it was set back, and whether it can be trusted
// now: 833.
func (s *Self) Clock(at time.Time, off time.Duration, trusted bool) []ups.Event {
	s.e.begin(at)
	switch {
	case off <= -clockBack:
		s.raise(833, fmt.Sprintf("it was set back by %s", round(-off)))
	case off > clockOff:
		s.raise(833, fmt.Sprintf("it was off by %s", round(off)))
	}
	if trusted {
		s.end(833, "")
	}
	return s.e.events
}

// Elapsed tells that time passes.
func (s *Self) Elapsed(at time.Time) []ups.Event {
	s.e.begin(at)
	if !s.unlinked.IsZero() && at.Sub(s.unlinked) >= unlinkedFor && !s.e.Is(820) {
		s.e.raiseAt(s.row(820, s.unlinked), at, "", nil)
	}
	s.e.passFloods()
	return s.e.events
}

// Over clears what cannot be any more: of a broker, a certificate that the configuration no longer has.
func (s *Self) Over(at time.Time, ids ...ups.AlarmID) []ups.Event {
	s.e.begin(at)
	for _, id := range ids {
		if s.end(id, ""); id == 820 {
			s.unlinked = time.Time{}
		}
	}
	return s.e.events
}

func (s *Self) set(at time.Time, id ups.AlarmID, on bool, detail string) []ups.Event {
	s.e.begin(at)
	if on {
		s.raise(id, detail)
	} else {
		s.end(id, "")
	}
	return s.e.events
}

func (s *Self) raise(id ups.AlarmID, detail string) {
	if !s.e.Is(id) {
		s.e.raiseAt(s.row(id, s.e.wall), s.e.wall, detail, nil)
	}
}

func (s *Self) row(id ups.AlarmID, since time.Time) activeAlarm {
	return activeAlarm{ID: id, Severity: ups.AlarmByID(id).Severity, Since: since.UTC()}
}

func (s *Self) end(id ups.AlarmID, detail string) {
	if s.e.Is(id) {
		s.e.clear(key{id: id}, s.e.wall, detail, nil)
	}
}

func (s *Self) moment(id ups.AlarmID, detail string) {
	s.e.moment(key{id: id}, s.e.wall, detail, nil)
}
