package alarm

import (
	"fmt"
	"time"

	"upsedge/internal/ups"
)

// neverRead is how long after the first good poll a point that was not read yet may still come: the slowest of the tiers that
// rules look at has had its turn then. After it, a point that this unit or configuration does not give keeps no alarm active.
const neverRead = time.Minute

// An Engine holds the alarms of one unit. Use New.
type Engine struct {
	unit   string
	device string // serial number, "" until it is read
	limits Limits

	began    time.Time     // first call; the engine's time line begins here
	back     time.Time     // first good poll since the program began or communication was lost
	lastGood time.Time     // zero: none yet
	now      time.Duration // of the last call
	wall     time.Time     // of the last call

	set         *ruleSet
	plans       []*plan
	look        look
	heldFor     *ups.State // of the last read: another one holds nothing of what was read before
	values      []int64    // of the last read by point, to see what changes
	ever        pointSet   // points read since the program began
	heard       pointSet   // points read since the program began or communication was lost
	active      activeSet
	streaks     streaks
	restless    rowSet // rules that have to be judged at their next poll; of the others nothing they look at has changed
	words       []wordState
	edges       []edgeState
	links       []linkState
	turn        turnState
	boot        bootState
	settings    []settingState
	configured  mark // the unit said that its configuration changed, and no setting was seen to
	orderedAt   mark // the last order that wrote a setting ended
	again       [ups.TierCount]bool
	asked       [ups.TierCount]mark
	mem         memory
	calibrating bool // the last calibration word read says that one runs
	outside     int
	came        map[ups.AlarmID]uint64
	recent      map[ups.AlarmID]*recent // of ids that came in this run
	floods      []flood

	registered string // fingerprint of the serial number of the unit that belongs here, "" until one was seen
	answering  string // of the one that answered last
	told       uint32 // see Told

	wallTime func(time.Time) time.Time // see TrustClock
	clockAt  time.Duration             // when to ask next
	savedAt  time.Time                 // wall time of the saved state, zero while that was not to be trusted

	agent *savedAgent // of the agent itself, nil in the engine of a unit

	events    []ups.Event
	inferring bool // what is told now was found and not seen
	doubting  bool // or concluded from what is not confirmed
	dirty     bool // what State returns has changed since
	blob      []byte
}

// New returns the engine of the unit of that name. saved is what State returned before a restart, nil for a unit that never
// had one: its alarms stay active without being raised again, and are cleared when the first polls show that they are gone.
// With saved that cannot be read New returns an error and, all the same, an engine that begins afresh; its state is marked
// as changed so that the damaged one is replaced.
func New(unit string, l Limits, saved []byte) (*Engine, error) {
	return newEngine(theRules, unit, l, saved)
}

func newEngine(set *ruleSet, unit string, l Limits, saved []byte) (*Engine, error) {
	e := &Engine{
		unit: unit, limits: l.withDefaults(), set: set, values: make([]int64, valueRoom), restless: set.all,
		words: make([]wordState, len(set.words)), edges: make([]edgeState, len(set.edges)), links: make([]linkState, len(set.links)),
	}
	e.came = map[ups.AlarmID]uint64{}
	e.look.limits, e.look.active, e.look.mem = &e.limits, &e.active, &e.mem
	if saved == nil {
		return e, nil
	}
	if err := e.load(saved); err != nil {
		e.dirty = true
		return e, fmt.Errorf("saved alarm state of unit %s: %w", unit, err)
	}
	return e, nil
}

// Limit makes other limits hold from the next read on. What is active and what is counted goes on.
func (e *Engine) Limit(l Limits) { e.limits, e.restless = l.withDefaults(), e.set.all }

// Observe judges a successful read, which has been applied to st, and returns what came of it in order. The events are valid
// until the next call of an Engine's method that returns events. It does not allocate while nothing happens.
func (e *Engine) Observe(st *ups.State, r *ups.Reading) []ups.Event {
	e.begin(r.At)
	x, p := &e.look, e.planOf(r.Layout)
	x.st, x.read, x.at, x.now = st, p.read, r.At, r.At.Sub(e.began)
	if !x.plausible() {
		return e.Missed(r.At, ups.FailureImplausible) // READ-7
	}
	e.device = st.Text(ups.Serial)
	if r.Text != nil {
		x.family = ups.FamilyOf(st.Text(ups.SKU))
		e.restless = e.set.all
		e.identify(x)
	}
	e.lookAtClock(x)
	e.ever.join(&x.read)
	if x.read.has(ups.Calibration) {
		e.noteCalibration(x.bits(ups.Calibration, ups.TInProgress))
	}
	if e.back.IsZero() {
		e.back = r.At
	}
	e.judgeLink(r.At, good, 0)
	e.lastGood = r.At
	e.compare(r)
	e.noteTurn(x)
	e.noteBoot(x)
	e.noteConfigured(x)
	e.compareSettings(x, r)
	e.track(x)
	for i := e.restless.next(&p.rules, 0); i >= 0; i = e.restless.next(&p.rules, i+1) {
		if rule := &e.set.rules[i]; !e.judge(rule) {
			e.restless.remove(i)
		}
	}
	e.judgeResults(p)
	e.judgeEdges(p)
	e.heard.join(&x.read)
	e.passFloods()
	return e.events
}

// compare marks the rules that look at what has changed since the last read. Most reads change nothing, and hardly a rule.
func (e *Engine) compare(r *ups.Reading) {
	if e.look.st != e.heldFor {
		e.heldFor, e.restless = e.look.st, e.set.all
		for i := range e.values {
			e.values[i] = ups.Absent // as the new state has it: a first 0 is news
		}
	}
	for i, c := range r.Layout.Columns {
		if int(c.Point) < len(e.values) && e.values[c.Point] != r.Raw[i] {
			e.values[c.Point] = r.Raw[i]
			e.restless.join(&e.set.sees[c.Point])
		}
	}
}

// Missed judges a read that failed at the time at, and returns what came of it, as Observe does.
func (e *Engine) Missed(at time.Time, f ups.Failure) []ups.Event {
	e.begin(at)
	o := set(f)
	e.judgeLink(at, o, f)
	if e.lost() && o&failed != 0 {
		e.back = time.Time{}
		e.forgetPolls()
	}
	e.passFloods()
	return e.events
}

func (e *Engine) begin(at time.Time) {
	e.events = e.events[:0]
	if e.began.IsZero() {
		e.began = at
		e.countAbsence(at)
	}
	e.now, e.wall = at.Sub(e.began), at
}

func (e *Engine) noteCalibration(runs bool) {
	e.dirty = e.dirty || runs != e.calibrating
	e.calibrating = runs
}

// Is reports whether an alarm is active, of the unit or of any of its outlet groups.
func (e *Engine) Is(id ups.AlarmID) bool { return e.active.any(id, id) }

// Active returns the active alarms in ascending order of ids and groups.
func (e *Engine) Active() []Active {
	out := make([]Active, len(e.active))
	for i, a := range e.active {
		out[i] = Active{a.ID, a.Group, a.Severity, a.unconfirmed}
	}
	return out
}

// Came returns how often an alarm was raised or a moment came since the program began, told or held back (TIMING-4).
func (e *Engine) Came(id ups.AlarmID) uint64 { return e.came[id] }

// Outside returns how often a unit said what units of its family do not have (READ-10), since the program began.
func (e *Engine) Outside() int { return e.outside }

// judge judges one rule by the read in hand and reports whether it has to be judged at its next poll, too, even if nothing that
// it looks at changes: something happened, or is on its way.
func (e *Engine) judge(r *rule) bool {
	a := e.active.find(r.key())
	switch {
	case a != nil:
		if e.ends(r) {
			e.finish(r, e.endOf(r.key()))
			return true
		}
		return r.byTime || a.unconfirmed || e.pending(r, r.clear)
	case r.while != 0 && !e.active.has(r.while):
		e.forget(r)
		return false // a raise makes every rule restless
	case e.begins(r):
		e.start(r)
		return true
	}
	return r.byTime || e.pending(r, r.raise)
}

// pending reports whether one of these tests of r is on its way: its streak has begun, or it holds and has not been polled.
func (e *Engine) pending(r *rule, tests []test) bool {
	for i := range tests {
		if e.streaks.of(r.slot+i).n > 0 || tests[i].is(&e.look) {
			return true
		}
	}
	return false
}

// begins counts the tests that raise r and reports whether one of them has held long enough.
func (e *Engine) begins(r *rule) bool {
	for i := range r.raise {
		t := &r.raise[i]
		if !e.polls(t) {
			continue
		}
		if !t.is(&e.look) {
			e.streaks.end(r.slot + i)
			continue
		}
		s := e.streaks.count(r.slot+i, e.look.now)
		if t.only != 0 && e.look.family != 0 && t.only&e.look.family == 0 {
			if int(s.n) == t.polls {
				e.outside++ // READ-10
			}
			continue
		}
		if s.enough(t, &e.look) {
			return true
		}
	}
	return false
}

// polls reports whether the read in hand is a poll of t.
func (e *Engine) polls(t *test) bool {
	return e.look.read.meets(&t.on) && (t.when == nil || t.when(&e.look))
}

// ends counts the tests that clear r and reports whether all have held long enough.
func (e *Engine) ends(r *rule) bool {
	all, polled := true, false
	for i := range r.clear {
		t := &r.clear[i]
		if e.polls(t) {
			polled = true
			if t.is(&e.look) {
				e.streaks.count(r.slot+i, e.look.now)
			} else {
				e.streaks.end(r.slot + i)
				e.active.confirm(r.key())
			}
		}
		s := e.streaks.of(r.slot + i)
		all = all && (s.enough(t, &e.look) || e.neverComes(t))
	}
	return all && polled
}

func (e *Engine) neverComes(t *test) bool {
	return !e.ever.meets(&t.on) && e.look.at.Sub(e.back) >= neverRead
}

func (e *Engine) start(r *rule) {
	x, detail := &e.look, ""
	if r.detail != nil {
		detail = r.detail(x)
	}
	e.forget(r)
	if ups.AlarmByID(r.id).Moment {
		e.moment(r.key(), x.at, detail, x.raw(r.raw))
		return
	}
	e.raise(r.key(), detail, x.raw(r.raw))
	for i := range e.set.rules {
		if o := &e.set.rules[i]; o.yieldTo == r.id && e.active.find(o.key()) != nil {
			e.finish(o, x.at)
		}
	}
}

// endOf returns when an alarm that is seen to be over ended: now, or with the first good poll if nobody was there to see it
// (READ-8).
func (e *Engine) endOf(k key) time.Time {
	if e.active.find(k).unconfirmed {
		return e.back
	}
	return e.look.at
}

// finish clears r, and with it what can be active only beside it.
func (e *Engine) finish(r *rule, at time.Time) {
	x, detail := &e.look, ""
	if r.ended != nil {
		detail = r.ended(x)
	}
	outer := e.inferring
	e.inferring = outer || e.active.find(r.key()).unconfirmed
	defer func() { e.inferring = outer }()
	e.clear(r.key(), at, detail, x.raw(r.raw))
	e.forget(r)
	if r.then != 0 && (r.thenIf == nil || r.thenIf(x)) {
		e.moment(key{id: r.then}, at, detail, x.raw(r.raw))
	}
	for i := range e.set.rules {
		if o := &e.set.rules[i]; o.while == r.id && e.active.find(o.key()) != nil {
			e.finish(o, at)
		}
	}
}

func (e *Engine) forget(r *rule) {
	for i := range max(len(r.raise), len(r.clear)) {
		e.streaks.end(r.slot + i)
	}
}

// forgetPolls forgets what has been counted and not been told: communication is lost, and the polls before and after it are
// not in a row.
func (e *Engine) forgetPolls() {
	e.streaks = e.streaks[:0]
	e.restless, e.turn, e.heard, e.boot.lost, e.boot.n = e.set.all, turnState{}, pointSet{}, true, 0
	for i := range e.words {
		e.words[i].n = 0
	}
	for i := range e.edges {
		e.edges[i].n = 0
	}
}
