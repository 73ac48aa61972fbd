package alarm

import (
	"fmt"
	"time"

	"upsedge/internal/ups"
)

// Limits are what an owner can set for a unit. Zero or less means the default.
type Limits struct {
	LowBatteryRuntime time.Duration // 201 at this runtime or less; default 2 min
	OverloadFor       time.Duration // 301 after the load was above 100 % for this long, and ends after as long below; default 10 s
	LostAfter         time.Duration // 801 not before this long after the last good poll; default 30 s
}

func (l Limits) withDefaults() Limits {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&l.LowBatteryRuntime, 2*time.Minute)
	def(&l.OverloadFor, 10*time.Second)
	def(&l.LostAfter, 30*time.Second)
	return l
}

// neverRead is how long after the first good poll a point that was not read yet may still come: the slowest of the tiers that
// rules look at has had its turn then. After it, a point that this unit or configuration does not give keeps no alarm active.
const neverRead = time.Minute

// An Engine holds the alarms of one unit. Use New.
type Engine struct {
	unit   string
	device string // serial number, "" until it is read
	limits Limits

	began    time.Time // first call; the engine's time line begins here
	back     time.Time // first good poll since the program began or communication was lost
	lastGood time.Time // zero: none yet

	look        look
	ever        pointSet // points read since the program began
	active      activeSet
	streaks     []streak
	words       [len(resultWords)]wordState
	links       [len(linkRules)]linkState
	calibrating bool // the last calibration word read says that one runs

	events []ups.Event
	dirty  bool // what State returns has changed since
	blob   []byte
}

// New returns the engine of the unit of that name. saved is what State returned before a restart, nil for a unit that never
// had one: its alarms stay active without being raised again, and are cleared when the first polls show that they are gone.
// With saved that cannot be read New returns an error and, all the same, an engine that begins afresh; its state is marked
// as changed so that the damaged one is replaced.
func New(unit string, l Limits, saved []byte) (*Engine, error) {
	e := &Engine{unit: unit, limits: l.withDefaults(), streaks: make([]streak, streaks)}
	e.look.limits, e.look.active = &e.limits, &e.active
	if saved == nil {
		return e, nil
	}
	if err := e.load(saved); err != nil {
		e.dirty = true
		return e, fmt.Errorf("saved alarm state of unit %s: %w", unit, err)
	}
	return e, nil
}

// Observe judges a successful read, which has been applied to st, and returns what came of it in order. The events are valid
// until the next call of Observe or Missed. It does not allocate while nothing happens.
func (e *Engine) Observe(st *ups.State, r *ups.Reading) []ups.Event {
	e.begin(r.At)
	x := &e.look
	x.st, x.at, x.now = st, r.At, r.At.Sub(e.began)
	x.read = pointSet{}
	for i := range r.Layout.Columns {
		x.read.add(r.Layout.Columns[i].Point)
	}
	if !x.plausible() {
		return e.Missed(r.At, ups.FailureImplausible) // READ-7
	}
	e.device = st.Text(ups.Serial)
	e.ever.join(&x.read)
	if x.read.has(ups.Calibration) {
		e.noteCalibration(x.bits(ups.Calibration, ups.TInProgress))
	}
	if e.back.IsZero() {
		e.back = r.At
	}
	e.judgeLink(r.At, good, 0)
	e.lastGood = r.At
	for i := range rules {
		e.judge(&rules[i])
	}
	e.judgeResults()
	return e.events
}

// Missed judges a read that failed at the time at, and returns what came of it, as Observe does.
func (e *Engine) Missed(at time.Time, f ups.Failure) []ups.Event {
	e.begin(at)
	o := set(f)
	e.judgeLink(at, o, f)
	if e.lost() && o&failed != 0 {
		e.back = time.Time{}
		e.forgetStreaks()
	}
	return e.events
}

func (e *Engine) begin(at time.Time) {
	e.events = e.events[:0]
	if e.began.IsZero() {
		e.began = at
	}
}

func (e *Engine) noteCalibration(runs bool) {
	e.dirty = e.dirty || runs != e.calibrating
	e.calibrating = runs
}

// Is reports whether an alarm is active.
func (e *Engine) Is(id ups.AlarmID) bool { return e.active.has(id) }

// Active returns the active alarms in ascending order.
func (e *Engine) Active() []ups.AlarmID {
	out := make([]ups.AlarmID, len(e.active))
	for i := range e.active {
		out[i] = e.active[i].ID
	}
	return out
}

// Unconfirmed reports whether the active set may not be what the unit would say now: before the first good poll, while
// communication is lost, and until the unit has been heard about each alarm that was active before (READ-8).
func (e *Engine) Unconfirmed() bool {
	if e.back.IsZero() || e.lost() {
		return true
	}
	for i := range e.active {
		if e.active[i].unconfirmed {
			return true
		}
	}
	return false
}

// judge judges one rule by the read in hand.
func (e *Engine) judge(r *rule) {
	switch {
	case e.Is(r.id):
		if e.ends(r) {
			e.finish(r, e.endOf(r.id))
		}
	case r.while != 0 && !e.Is(r.while):
		e.forget(r)
	case e.begins(r):
		e.start(r)
	}
}

// begins counts the tests that raise r and reports whether one of them has held long enough.
func (e *Engine) begins(r *rule) bool {
	for i := range r.raise {
		t, s := &r.raise[i], &e.streaks[r.slot+i]
		if !e.look.read.meets(&t.on) {
			continue
		}
		if !t.is(&e.look) {
			s.n = 0
			continue
		}
		s.count(e.look.now)
		if s.enough(t, &e.look) {
			return true
		}
	}
	return false
}

// ends counts the tests that clear r and reports whether all have held long enough.
func (e *Engine) ends(r *rule) bool {
	all, polled := true, false
	for i := range r.clear {
		t, s := &r.clear[i], &e.streaks[r.slot+i]
		if e.look.read.meets(&t.on) {
			polled = true
			if t.is(&e.look) {
				s.count(e.look.now)
			} else {
				s.n = 0
				e.active.confirm(r.id)
			}
		}
		all = all && (s.enough(t, &e.look) || e.neverComes(t))
	}
	return all && polled
}

func (e *Engine) neverComes(t *test) bool {
	return !e.ever.meets(&t.on) && e.look.at.Sub(e.back) >= neverRead
}

func (e *Engine) start(r *rule) {
	x := &e.look
	e.raise(r.id, ups.AlarmByID(r.id).Severity, r.detail(x), x.raw(r.raw))
	e.forget(r)
	for i := range rules {
		if o := &rules[i]; o.yieldTo == r.id && e.Is(o.id) {
			e.finish(o, x.at)
		}
	}
}

// endOf returns when an alarm that is seen to be over ended: now, or with the first good poll if nobody was there to see it
// (READ-8).
func (e *Engine) endOf(id ups.AlarmID) time.Time {
	if e.active.find(id).unconfirmed {
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
	e.clear(r.id, at, detail, x.raw(r.raw))
	e.forget(r)
	if r.then != 0 && (r.thenIf == nil || r.thenIf(x)) {
		e.moment(r.then, at, detail, x.raw(r.raw))
	}
	for i := range rules {
		if o := &rules[i]; o.while == r.id && e.Is(o.id) {
			e.finish(o, at)
		}
	}
}

func (e *Engine) forget(r *rule) {
	for i := range max(len(r.raise), len(r.clear)) {
		e.streaks[r.slot+i].n = 0
	}
}

func (e *Engine) forgetStreaks() {
	for i := range e.streaks {
		e.streaks[i].n = 0
	}
}

func (e *Engine) raise(id ups.AlarmID, s ups.Severity, detail string, raw []ups.RawValue) {
	e.raiseAt(activeAlarm{ID: id, Severity: s}, e.look.at, detail, raw)
}

func (e *Engine) raiseAt(a activeAlarm, at time.Time, detail string, raw []ups.RawValue) {
	e.active.add(a)
	e.emit(ups.Event{ID: a.ID, Kind: ups.Raise, Severity: a.Severity, At: at, Detail: detail, Raw: raw})
}

// clear ends an active alarm, with the severity it was raised with.
func (e *Engine) clear(id ups.AlarmID, at time.Time, detail string, raw []ups.RawValue) {
	severity := e.active.find(id).Severity
	e.active.remove(id)
	e.emit(ups.Event{ID: id, Kind: ups.Clear, Severity: severity, At: at, Detail: detail, Raw: raw})
}

func (e *Engine) moment(id ups.AlarmID, at time.Time, detail string, raw []ups.RawValue) {
	e.emit(ups.Event{ID: id, Kind: ups.Moment, Severity: ups.AlarmByID(id).Severity, At: at, Detail: detail, Raw: raw})
}

func (e *Engine) emit(v ups.Event) {
	v.Unit, v.Device, v.Text = e.unit, e.device, ups.AlarmByID(v.ID).Text
	e.events = append(e.events, v)
	e.dirty = true
}
