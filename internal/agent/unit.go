package agent

import (
	"log/slog"
	"maps"
	"sync"
	"time"

	"upsedge/internal/alarm"
	"upsedge/internal/config"
	"upsedge/internal/local"
	"upsedge/internal/metrics"
	"upsedge/internal/sampler"
	"upsedge/internal/ups"
	"upsedge/internal/ups/smartups"
)

// A unit is what the agent knows of one UPS: the latest values, the alarms, the counters of this run and the samples that wait
// for the next flush. The line's goroutine writes it, scrapes and the status page read it.
type unit struct {
	cfg     config.Unit
	line    string // name of the line: of the first unit on it
	log     *slog.Logger
	batch   *sampler.Batch
	hasten  func(unit string, d time.Duration) // starts a burst; nil: the unit is on no line
	again   func(unit string, t ups.Tier)      // reads a tier before its time; nil: as hasten
	control *smartups.Control                  // nil: the unit is on no line
	album   album                              // guarded by mu
	// stretch is by how much the rates of the line are stretched, at most 1 where they fit; guarded by mu, it follows what is measured.
	stretch float64
	turn    sync.Mutex // held from a judgement to its place in the recorder's queue: what was judged first is written first

	mu        *sync.Mutex // the one that takes its place shares it with what it guards; see adopt
	state     *ups.State
	alarms    *alarm.Engine
	outages   uint64 // raises of 101 that transfers counts
	transfers map[string]uint64
	onBattery time.Duration
	energy    energy
	answered  time.Time // last good read
	live      time.Time // last good read of the live tier
	missed    int       // live reads missed since
	lost      bool      // the sampler tries to connect
	failure   error     // of the last failed read, nil after a good one
	failures  int       // reads that failed since the last good one
	changed   time.Time // condition or alarms last changed
	shown     ups.Status
	outside   int // what the engine had left out when that was logged

	failed  failed     // the last read that failed, also after good ones
	power   ups.Status // what it has been on since powered; see powers
	powered time.Time  // zero: it was never read
	turned  bool       // that changed in this run: powered is exact
	pace    pace       // how often it is read
	history *local.History

	owners *owners       // nil: there is no cloud
	owner  sampler.Owner // whose what is read is
	since  time.Time     // since when it is that owner's, zero: since before this run
	fresh  bool          // its owner has nothing of it yet: the first samples are not to wait
}

func newUnit(cfg config.Unit, line string, batch *sampler.Batch, alarms *alarm.Engine, log *slog.Logger) *unit {
	return &unit{
		mu: new(sync.Mutex), cfg: cfg, line: line, log: log, batch: batch, alarms: alarms, state: ups.NewState(), energy: energy{total: ups.Absent},
		transfers: map[string]uint64{}, lost: true, history: &local.History{},
	}
}

// adopt returns the unit that takes the place of u, whose line has ended, under another configuration: what is known, what is
// active, what is counted and since when goes on. u may still be read.
func (u *unit) adopt(cfg config.Unit, line string) *unit {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.alarms.Limit(limits(cfg))
	return &unit{
		cfg: cfg, line: line, log: u.log, batch: u.batch, album: u.album, mu: u.mu,
		state: u.state, alarms: u.alarms, outages: u.outages, transfers: u.transfers, onBattery: u.onBattery, energy: u.energy,
		answered: u.answered, live: u.live, missed: u.missed, lost: u.lost, failure: u.failure, failures: u.failures,
		changed: u.changed, shown: u.shown, outside: u.outside,
		failed: u.failed, power: u.power, powered: u.powered, turned: u.turned, pace: u.pace, history: u.history,
		owners: u.owners, owner: u.owner, since: u.since, fresh: u.fresh,
	}
}

// An outcome is what a reading or a miss led to.
type outcome struct {
	owner     sampler.Owner    // whose it is
	parting   []ups.Event      // instead, of who was the owner until now
	was       sampler.Owner    // that one
	events    []ups.Event      // copies
	saved     []byte           // alarm state to be kept with them; nil: as before
	condition bool             // the condition shown to others changed
	picture   *sampler.Picture // what led to the event at the index of; nil: none
	of        int
	flush     bool // samples that wait are to be put before their time
	burst     bool // something happens to the unit
}

// put takes a reading over.
func (u *unit) put(r *ups.Reading) outcome {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.replaced(r)
	u.count(r)
	word, had := u.state.Raw(ups.StatusFlags)
	u.state.Apply(r)
	u.answered, u.lost, u.failure, u.failures = r.At, false, nil, 0
	if r.Tier == ups.TierLive {
		u.live, u.missed = r.At, 0
		u.energy.see(u.state)
	}
	u.note(r)
	was, told := u.owner, []ups.Event(nil)
	if r.Text != nil || u.owner.Device != u.state.Text(ups.Serial) {
		told = u.belong(r.At)
	}
	much := u.batch.Put(r, u.reader())
	events := u.alarms.Observe(u.state, r)
	for _, t := range []ups.Tier{ups.TierSettings, ups.TierIdentity} {
		if u.alarms.Again(t) {
			u.reread(t)
		}
	}
	if told != nil {
		events = append(told, copied(events)...)
	}
	out := u.settle(r.At, events)
	out.part(was)
	if u.fresh && r.Tier == ups.TierLive {
		u.fresh, much = false, true
	}
	out.flush = out.flush || much
	out.burst = u.stirred(r, word, had) || pictured(out.events) >= 0
	return out
}

// replaced forgets what the unit before said when r names another one in its place. Its alarms go on: they are the place's
// until the new unit says otherwise.
func (u *unit) replaced(r *ups.Reading) {
	was := u.state.Text(ups.Serial)
	if was == "" || r.Text == nil {
		return
	}
	for i, c := range r.Layout.Columns {
		if c.Point == ups.Serial && r.Text[i] != was {
			u.log.Warn("another unit answers here", "unit", u.cfg.Name)
			u.state, u.energy = ups.NewState(), energy{total: ups.Absent}
			*u.history, u.power, u.turned = local.History{}, 0, false
		}
	}
}

// miss takes note of a read that failed.
func (u *unit) miss(tier ups.Tier, at time.Time, err error) outcome {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.failure, u.failed = err, failed{err, at}
	u.failures++
	if tier == ups.TierLive {
		u.missed++
	}
	return u.settle(at, u.alarms.Missed(at, ups.FailureOf(err)))
}

// unconnected takes note of an attempt to connect that failed.
func (u *unit) unconnected(at time.Time, err error) outcome {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.failure, u.failed, u.lost = err, failed{err, at}, true
	return u.settle(at, u.alarms.Missed(at, ups.FailureOf(err)))
}

// elapse takes note of the passing of time.
func (u *unit) elapse(at time.Time) outcome {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.settle(at, u.alarms.Elapsed(at))
}

// settle copies what the alarm engine said and finds out whether the condition changed.
func (u *unit) settle(at time.Time, events []ups.Event) outcome {
	out := outcome{owner: u.owner, events: copied(events)}
	for i := range out.events {
		if e := &out.events[i]; e.Device == "" {
			e.Device = u.owner.Device
		}
	}
	if n := u.alarms.Came(101); n != u.outages { // told or held back
		u.outages = n
		cause, _ := u.state.Raw(ups.StatusCause)
		u.transfers[metrics.Cause(cause)]++
	}
	if i := pictured(out.events); i >= 0 {
		out.picture, out.of, out.flush = u.album.take(u.batch, at), i, true
	}
	if n := u.alarms.Outside(); n > 0 && u.outside == 0 { // once: steady state is no news
		u.log.Info("the unit sets bits that units of its family do not have; they raise no alarm", "unit", u.cfg.Name, "sku", u.state.Text(ups.SKU))
		u.outside = n
	}
	if blob, changed := u.alarms.State(); changed {
		out.saved = blob
	}
	if now := u.status(at); now != u.shown || len(events) > 0 {
		u.shown, u.changed, out.condition = now, at, true
	}
	return out
}

// count adds the time on battery since the last reading that held the status word.
func (u *unit) count(r *ups.Reading) {
	last := u.state.At(ups.TierWatch)
	if r.Tier > ups.TierStatus || last.IsZero() || u.state.Flags(ups.StatusFlags)&ups.UOnBattery == 0 {
		return
	}
	u.onBattery += min(r.At.Sub(last), maxStep)
}

// maxStep bounds what one pair of readings may add to the time on battery: after a silence nobody knows.
const maxStep = 10 * time.Second

// status is the condition at the time at, with what one reading cannot tell.
func (u *unit) status(at time.Time) ups.Status {
	s := u.state.Status()
	if u.alarms.Is(201) {
		s |= ups.LowBattery
	}
	if u.stale(at) {
		if s |= ups.Stale; s&ups.OnBattery != 0 {
			s |= ups.CriticalUnknown // last on battery and then silence
		}
	}
	return s
}

// told is the condition as people and receivers are told of it: that a silent unit was on line is not said of it any more
// (T-52). The metrics keep every last state beside stale (design, section 10).
func (u *unit) told(at time.Time) ups.Status {
	s := u.status(at)
	if s&ups.Stale != 0 {
		s &^= ups.Online
	}
	return s
}

// stale reports whether two cycles were missed (design, section 10), of the live tier or of the status word: a unit is not
// online because it was when it was last asked. A second is added, so that one read repeated after a silence is no news.
func (u *unit) stale(at time.Time) bool {
	if u.lost || u.missed >= 2 || u.answered.IsZero() {
		return true
	}
	live, word := u.cfg.Poll[ups.TierLive], u.wordPeriod()
	limit := time.Duration(2*max(u.stretch, 1)*float64(max(live, word))) + time.Second
	return live > 0 && at.Sub(u.live) > limit || word > 0 && at.Sub(u.state.At(ups.TierWatch)) > limit
}

// wordPeriod is how often the status word is asked for, 0 for never.
func (u *unit) wordPeriod() time.Duration {
	watch, status := u.cfg.Poll[ups.TierWatch], u.cfg.Poll[ups.TierStatus]
	if watch == 0 || status != 0 && status < watch {
		return status
	}
	return watch
}

// metrics copies what a scrape shows.
func (u *unit) metrics(now time.Time, wall func(time.Time) time.Time) metrics.Unit {
	u.mu.Lock()
	defer u.mu.Unlock()
	st := *u.state
	m := metrics.Unit{
		Name: u.cfg.Name, State: &st, Status: u.status(now), Active: map[ups.AlarmID]bool{},
		Raised: map[ups.AlarmID]uint64{}, Transfers: maps.Clone(u.transfers), OnBattery: u.onBattery, Energy: u.energy.total,
	}
	m.Up = m.Status&ups.Stale == 0
	for _, a := range ups.Alarms {
		if n := u.alarms.Came(a.ID); n > 0 {
			m.Raised[a.ID] = n
		}
	}
	for _, a := range u.alarms.Active() {
		m.Active[a.ID] = true // of any outlet group
	}
	for t := range ups.TierCount {
		if at := st.At(t); !at.IsZero() {
			m.Sampled[t] = wall(at)
		}
	}
	return m
}

// failing is how many reads in a row have to fail before somebody is told what to do about it: one is missed now and then on every line, and
// the next says that all is well.
const failing = 3

// local copies what the status page and the socket show.
func (u *unit) local(now time.Time, values bool) local.Unit {
	u.mu.Lock()
	defer u.mu.Unlock()
	id := u.state.Identity()
	out := local.Unit{
		Name: u.cfg.Name, Line: u.line, Model: id.Model, SKU: id.SKU, Serial: id.Serial, Firmware: id.Firmware,
		Condition: []string{}, Alarms: []local.Alarm{},
	}
	if names := u.told(now).Names(); names != nil {
		out.Condition = names
	}
	for _, a := range u.alarms.Active() {
		row := ups.AlarmByID(a.ID)
		shown := local.Alarm{ID: int(a.ID), Severity: a.Severity.String(), Text: row.Text, Do: row.Do, Unconfirmed: a.Unconfirmed}
		if a.Group != ups.NoGroup {
			shown.Group = a.Group.String()
		}
		out.Alarms = append(out.Alarms, shown)
	}
	if u.failure != nil && (u.failures >= failing || u.stale(now)) {
		out.Failure = Advice(u.cfg, u.failure)
		_, out.Do = Advise(u.cfg, u.failure)
	}
	if !u.answered.IsZero() {
		age := now.Sub(u.answered).Seconds()
		out.Age = &age
	}
	u.show(&out, now)
	if values {
		out.Values = local.ValuesAt(u.state, now)
	}
	return out
}
