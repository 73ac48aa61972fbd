// Package sampler decides when to read what on one line: tiers with deadlines, several units per line, back-off of units that
// do not answer. It asks for one block at a time and waits for it, so that it stays the scheduler and commands can go between
// two reads. What a block is, and what it costs, the driver says; what a reading means, others decide.
//
// One Sampler serves one line and is used by one goroutine. Source: design, section 4.
package sampler

import (
	"context"
	"log/slog"
	"time"

	"upsedge/internal/ups"
)

// A Source is a unit that can be read.
type Source interface {
	// Connect finds out who the unit is and returns its read plan. It is called before the first Read and again after the unit
	// was lost.
	Connect(ctx context.Context) ([]ups.Block, error)
	// Connected returns the readings that Connect made: identity and settings, which need not be read twice.
	Connected() []*ups.Reading
	// Read performs one block of the plan of the last Connect.
	Read(ctx context.Context, b ups.Block, dst *ups.Reading) error
}

// A Coster is a Source that notices when its reads take longer, or less, than they did when it connected.
type Coster interface {
	// Costs returns the plan of the last Connect with what its blocks cost now. It is called between two reads, and not often.
	Costs() []ups.Block
}

// A Sink takes what a Sampler reads. It is called on the sampler's goroutine, between two requests: it must not wait.
type Sink interface {
	// Put takes a reading; it is valid until Put returns.
	Put(r *ups.Reading)
	// Missed is told of every read that failed.
	Missed(unit string, tier ups.Tier, at time.Time, err error)
	// Unconnected is told of every attempt to connect that failed: until a Put the unit is not read at all.
	Unconnected(unit string, at time.Time, err error)
}

// A Unit is one unit of the line.
type Unit struct {
	Name   string
	Source Source
	Rates  [ups.TierCount]time.Duration // 0 = off
}

// Config is what a Sampler works with.
type Config struct {
	Units []Unit
	Sink  Sink
	Late  func(t ups.Tier, by time.Duration) // how late each read started; nil = nobody wants to know
	Log   *slog.Logger                       // nil = discard
}

// Back-off of a unit that does not answer: after lostAfter failed reads in a row it is asked again after backOffLeast; what
// follows a failed attempt begins at backOffLeast too and doubles up to backOffMost. A dead unit thus costs the others on its line one time-out per period.
const (
	lostAfter    = 3
	backOffLeast = time.Second
	backOffMost  = 10 * time.Second
)

// A Sampler reads the units of one line. Use New.
type Sampler struct {
	cfg      Config
	units    []*unit
	schedule schedule
}

type unit struct {
	Unit
	connected bool
	failed    int           // reads in a row
	backOff   time.Duration // before the next attempt to connect
	tasks     []*task
	reading   map[int]*ups.Reading // by block index, reused
	wordSeen  time.Time            // when the status word was last asked for
	costed    time.Time            // when its blocks were last asked what they cost
	lostSince time.Time
	attempts  int
}

// New returns a Sampler for one line. It starts nothing.
func New(cfg Config) *Sampler {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Sampler{cfg: cfg}
	for _, u := range cfg.Units {
		s.units = append(s.units, &unit{Unit: u})
	}
	return s
}

// Run reads until ctx ends and returns nil. A unit or a line that fails is a state, not an error.
func (s *Sampler) Run(ctx context.Context) error {
	start := time.Now()
	for _, u := range s.units {
		u.lose(start, 0)
	}
	s.gather()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		t, wait := s.schedule.next(time.Now())
		if t == nil {
			timer.Reset(wait)
			select {
			case <-ctx.Done():
			case <-timer.C:
			}
			continue
		}
		s.perform(ctx, t)
	}
	return nil
}

func (s *Sampler) perform(ctx context.Context, t *task) {
	start := time.Now()
	if !t.unit.connected {
		s.connect(ctx, t.unit)
		return
	}
	if s.cfg.Late != nil {
		s.cfg.Late(t.block.Tier, start.Sub(t.due))
	}
	u := t.unit
	if start.Sub(u.costed) >= costsEvery {
		s.recost(u, start)
	}
	r := u.reading[t.block.Index]
	if err := u.Source.Read(ctx, t.block, r); err != nil {
		if ctx.Err() == nil {
			s.missed(u, t, err)
		}
		return
	}
	u.failed = 0
	u.read(t, start)
	s.cfg.Sink.Put(r)
}

// costsEvery is how often the schedule takes over what blocks cost.
const costsEvery = 10 * time.Second

func (s *Sampler) recost(u *unit, now time.Time) {
	u.costed = now
	c, ok := u.Source.(Coster)
	if !ok {
		return
	}
	for _, b := range c.Costs() {
		for _, t := range u.tasks {
			if t.block.Index == b.Index && t.block.Name == b.Name {
				t.block = b
			}
		}
	}
	s.gather()
}

// read notes that the block of t was read by an exchange that began at start. The watch is due one period after the word was
// last seen, however it was seen: what counts is how old the word can get, not when reads happen.
func (u *unit) read(t *task, start time.Time) {
	t.done(start)
	if t.block.Tier > ups.TierStatus {
		return
	}
	u.wordSeen = start
	for _, w := range u.tasks {
		if w.block.Tier == ups.TierWatch {
			w.due = start.Add(w.period)
			if w != t {
				w.pass += w.period // and it has had this turn
			}
		}
	}
}

func (s *Sampler) missed(u *unit, t *task, err error) {
	now := time.Now()
	t.done(now)
	s.cfg.Sink.Missed(u.Name, t.block.Tier, now, err)
	switch f := ups.FailureOf(err); {
	case f == ups.FailureException: // the unit is there; it only refuses this block
		return
	case f == ups.FailureUnsupported:
		u.failed = lostAfter // another device answers: find out who it is
	default:
		u.failed++
	}
	if u.failed < lostAfter {
		return
	}
	s.cfg.Log.Warn("unit lost", "unit", u.Name, "err", err)
	u.lose(now, backOffLeast)
	s.gather()
}

// lose makes connecting, after a pause, the only task of u.
func (u *unit) lose(now time.Time, pause time.Duration) {
	u.connected, u.backOff, u.lostSince, u.attempts = false, backOffLeast, now, 0
	u.tasks = []*task{{unit: u, block: ups.Block{Tier: ups.TierIdentity}, period: time.Second, due: now.Add(pause)}}
}

func (s *Sampler) connect(ctx context.Context, u *unit) {
	u.attempts++
	plan, err := u.Source.Connect(ctx)
	now := time.Now()
	if err != nil {
		if ctx.Err() != nil {
			return
		}
		if u.attempts == 1 {
			s.cfg.Log.Warn("unit does not answer", "unit", u.Name, "err", err)
		}
		s.cfg.Sink.Unconnected(u.Name, now, err)
		u.tasks[0].due = now.Add(u.backOff)
		u.backOff = min(2*u.backOff, backOffMost)
		return
	}
	s.cfg.Log.Info("unit connected", "unit", u.Name, "down", now.Sub(u.lostSince).Round(time.Millisecond), "attempts", u.attempts)
	u.connect(now, plan)
	s.gather()
	for _, texts := range []bool{true, false} { // first who the unit is: what follows is judged and kept as its own
		for _, r := range u.Source.Connected() {
			if (r.Text != nil) == texts {
				s.cfg.Sink.Put(r)
			}
		}
	}
}

// connect makes tasks of the plan. What Connect has just read is due after its period, everything else at once.
func (u *unit) connect(now time.Time, plan []ups.Block) {
	u.connected, u.failed, u.tasks = true, 0, nil
	u.wordSeen, u.costed = now, now
	u.reading = make(map[int]*ups.Reading, len(plan))
	read := map[ups.Tier]bool{}
	for _, r := range u.Source.Connected() {
		read[r.Tier] = true
	}
	for _, b := range plan {
		u.reading[b.Index] = &ups.Reading{Unit: u.Name}
		if u.Rates[b.Tier] == 0 {
			continue
		}
		t := &task{unit: u, block: b, period: u.Rates[b.Tier], due: now}
		if read[b.Tier] {
			t.due = now.Add(t.period)
		}
		u.tasks = append(u.tasks, t)
	}
}

// gather takes the tasks of all units over, after a unit connected or was lost.
func (s *Sampler) gather() {
	tasks := s.schedule.tasks[:0]
	for _, u := range s.units {
		tasks = append(tasks, u.tasks...)
	}
	s.schedule.set(tasks)
}
