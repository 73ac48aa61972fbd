package alarm

import (
	"fmt"
	"time"

	"upsedge/internal/ups"
)

// outcomes is a set of what a read can end with: bit f for ups.Failure f, and good.
type outcomes uint32

const good outcomes = 1 << 31

func set(fs ...ups.Failure) outcomes {
	var o outcomes
	for _, f := range fs {
		o |= 1 << f
	}
	return o
}

var (
	// exception: the unit heard the question and said no. That is communication, and it is no state. Read among good ones (a
	// block this unit does not have) it means nothing; where it is all the unit says it is an unusable answer, 805.
	exception = set(ups.FailureException)
	// failed: no state was read. An implausible answer is one of them, READ-7: what the unit says is not known.
	failed = ^good &^ exception
	// connected: the unit, or something in its place, took the connection and answered.
	connected = good | exception | set(ups.FailureGarbled, ups.FailureImplausible, ups.FailureUnsupported, ups.FailureAnotherUnit)
)

// A linkRule is an alarm about the communication. Outcomes in neither set leave a count as it is.
type linkRule struct {
	id       ups.AlarmID
	counts   outcomes // towards raising
	breaks   outcomes // begin the count anew
	polls    int
	hold     func(*Limits) time.Duration // the count must have gone on for; nil: no time asked
	fromGood bool                        // that time begins with the last breaking outcome, not with the first counted one
	clears   outcomes                    // two of them in a row (TIMING-2)
	spoils   outcomes                    // begin the count of those anew
}

const (
	linkClears = 2
	lostPolls  = 3
	// refusedPolls: "5 times over 2 min" is read as at least five, spread over two minutes at least: a unit that takes one master
	// refuses five connections in a second whenever someone else asks it briefly.
	refusedPolls = 5
	uselessPolls = 3
	foreignPolls = 2 // TIMING-1
)

var linkRules = []linkRule{
	{
		id: 801, counts: failed, breaks: good | exception, polls: lostPolls,
		hold: func(l *Limits) time.Duration { return l.LostAfter }, fromGood: true,
		clears: good, spoils: failed,
	},
	{
		id: 804, counts: set(ups.FailureRefused), breaks: connected, polls: refusedPolls,
		hold:   func(l *Limits) time.Duration { return l.RefusedFor },
		clears: connected, spoils: ^connected,
	},
	{
		// Another unit's answers are well usable: 714 tells of it, once it is known who it is.
		id: 805, counts: exception | set(ups.FailureImplausible), breaks: good, polls: uselessPolls,
		clears: good, spoils: failed,
	},
	{
		// What answers is no unit of a map that is known; 805 is about a unit that is known and whose answers cannot be. Only a
		// good poll shows that it is another one now, or that the program knows it: silence in between says nothing.
		id: 806, counts: set(ups.FailureUnsupported), breaks: good | set(ups.FailureImplausible), polls: foreignPolls,
		clears: good, spoils: set(ups.FailureUnsupported),
	},
}

// aboutLink reports whether an alarm is about the communication and not a word of the unit.
func aboutLink(id ups.AlarmID) bool {
	return id == 801 || id == 802 || id == 804 || id == 805 || id == 806
}

// A linkState is how far a linkRule has come.
type linkState struct {
	n       int           // outcomes counted
	since   time.Duration // when the time began, on the engine's time line
	started bool          // since is set
	ok      int           // clearing outcomes in a row
	okAt    time.Time     // the first of them
	last    ups.Failure   // of the last counted outcome
}

// count takes over one outcome of a rule that is not active and reports whether it is to be raised.
func (s *linkState) count(r *linkRule, o outcomes, f ups.Failure, now time.Duration, l *Limits) bool {
	switch {
	case o&r.breaks != 0:
		s.n, s.since, s.started = 0, now, r.fromGood
	case o&r.counts != 0:
		if !s.started {
			s.since, s.started = now, true
		}
		s.n++
		s.last = f
		return s.due(r, now, l)
	}
	return false
}

// due reports whether what was counted is enough, and has gone on for long enough at now.
func (s *linkState) due(r *linkRule, now time.Duration, l *Limits) bool {
	return s.n >= r.polls && (r.hold == nil || now-s.since >= r.hold(l))
}

// recovered takes over one outcome of a rule that is active and reports whether it is to be cleared.
func (s *linkState) recovered(r *linkRule, o outcomes, at time.Time) bool {
	switch {
	case o&r.clears != 0:
		if s.ok == 0 {
			s.okAt = at
		}
		s.ok++
		return s.ok >= linkClears
	case o&r.spoils != 0:
		s.ok = 0
	}
	return false
}

// judgeLink judges the alarms about the communication after an outcome; f says which failure it was.
func (e *Engine) judgeLink(at time.Time, o outcomes, f ups.Failure) {
	now := at.Sub(e.began)
	for i := range e.set.links {
		r, s := &e.set.links[i], &e.links[i]
		id := e.variant(r.id)
		switch {
		case e.Is(id):
			if s.recovered(r, o, at) {
				e.linkBack(id, s.okAt)
				*s = linkState{since: now, started: r.fromGood}
			}
		case s.count(r, o, f, now, &e.limits):
			e.linkGone(id, at, f, s.n)
		}
	}
}

// Elapsed judges what the passing of time alone brings: a unit that is asked ever less often is lost 30 s after its last good
// poll, not at the next failed one. It is no poll itself. The events are valid as those of Observe.
func (e *Engine) Elapsed(at time.Time) []ups.Event {
	e.begin(at)
	for i := range e.set.links {
		r, s := &e.set.links[i], &e.links[i]
		if id := e.variant(r.id); r.fromGood && !e.Is(id) && s.due(r, at.Sub(e.began), &e.limits) {
			e.linkGone(id, at, s.last, s.n)
			e.back = time.Time{}
		}
	}
	for i := range e.set.rules {
		if r := &e.set.rules[i]; r.elapses && e.active.has(r.while) {
			e.elapse(r, at)
		}
	}
	e.passFloods()
	return e.events
}

// elapse raises what has come by time alone. It is unconfirmed where the alarm it goes with is.
func (e *Engine) elapse(r *rule, at time.Time) {
	x := &e.look
	x.at, x.now = at, at.Sub(e.began)
	if e.active.find(r.key()) != nil || !r.raise[0].is(x) {
		return
	}
	e.doubting = e.active.find(key{id: r.while}).unconfirmed
	e.start(r)
	e.active.find(r.key()).unconfirmed = e.doubting
	e.doubting = false
}

// variant returns which of 801 and 802 is or would be active; any other id is itself. 802 is lost while on battery, or in a
// calibration; by the state when it is raised.
func (e *Engine) variant(id ups.AlarmID) ups.AlarmID {
	switch {
	case id != 801 || e.Is(801):
		return id
	case e.Is(802) || e.Is(101) || e.inCalibration():
		return 802
	}
	return id
}

func (e *Engine) inCalibration() bool { return e.calibrating && e.Is(103) }

func (e *Engine) lost() bool { return e.Is(801) || e.Is(802) }

func (e *Engine) linkGone(id ups.AlarmID, at time.Time, f ups.Failure, n int) {
	severity := ups.AlarmByID(id).Severity
	detail := fmt.Sprintf("%s, %s", f, ups.Count(n, "time"))
	if id == 802 && !e.Is(101) {
		severity = ups.Warning // event catalogue, 802: a calibration ends by itself
	}
	if id != 801 && id != 802 {
		e.raiseAt(activeAlarm{ID: id, Severity: severity}, at, detail, nil)
		return
	}
	since := e.lastGood
	if since.IsZero() {
		since = e.began
		detail = fmt.Sprintf("%s, never reached in %s", f, round(at.Sub(since)))
	} else {
		detail = fmt.Sprintf("%s, no good reading for %s", f, round(at.Sub(since)))
	}
	if e.inCalibration() && id == 802 {
		detail = phrase(detail, "in a calibration")
	}
	e.raiseAt(activeAlarm{ID: id, Severity: severity, Since: since.UTC()}, at, detail, nil)
	e.active.doubt() // READ-8
	e.forgetPolls()
}

// linkBack clears an alarm about the communication, with the time of the first good poll: the second only proves it.
func (e *Engine) linkBack(id ups.AlarmID, at time.Time) {
	without, known := e.between(e.active.find(key{id: id}), at)
	e.clear(key{id: id}, at, "", nil)
	if id != 801 && id != 802 {
		return
	}
	detail := ""
	if known {
		detail = fmt.Sprintf("without communication for %s", round(without))
	}
	e.moment(key{id: 803}, at, detail, nil)
}

// round leaves what people read: tenths below a minute, seconds above.
func round(d time.Duration) time.Duration {
	if d < time.Minute {
		return d.Round(100 * time.Millisecond)
	}
	return d.Round(time.Second)
}
