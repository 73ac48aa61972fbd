// Package sampler decides when to read what on one line: tiers with deadlines, several units per line, bursts of units to which
// something happens, back-off of units that do not answer. It asks for one block at a time and waits for it, so that it stays the
// scheduler and commands can go between two reads. What a block is, and what it costs, the driver says; what a reading means, and
// that something happened, others decide. It also keeps what was read until it is stored, and the last 30 s of it (Batch).
//
// One Sampler serves one line and is used by one goroutine, but for Burst. Source: design, section 4.
package sampler

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"upsedge/internal/ups"
)

// A Source is a unit that can be read.
type Source interface {
	// Connect finds out who the unit is and returns its read plan. It is called before the first Read and again after the unit
	// was lost, and ends with the first request that meets silence where nothing answered before. It hands what it reads on the
	// way to seen: that need not be read twice.
	Connect(ctx context.Context, seen func(*ups.Reading)) ([]ups.Block, error)
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
	Units   []Unit
	Sink    Sink
	Fastest time.Duration                      // between two reads of a block in a burst, at least; 0 = FastestRead
	Calm    func(unit string)                  // told when the burst of a unit is over; nil = nobody wants to know
	Late    func(t ups.Tier, by time.Duration) // how late each read started; nil = nobody wants to know
	Log     *slog.Logger                       // nil = discard
}

// A Sampler reads the units of one line. Use New.
type Sampler struct {
	cfg      Config
	units    []*unit
	byName   map[string]*unit
	began    time.Time
	wake     chan struct{} // holds at most one
	reading  ups.Reading   // the one in hand; all blocks of all units use it, one after the other
	schedule schedule
	inHand   atomic.Int64 // nanoseconds after began at which what is in hand was begun, and one; 0: nothing is
}

type unit struct {
	Unit
	connected bool
	silence
	burst
	tasks     []*task
	wordSeen  time.Time // when the status word was last asked for
	costed    time.Time // when its blocks were last asked what they cost
	lostSince time.Time
	attempts  int // to connect
}

// New returns a Sampler for one line. It starts nothing.
func New(cfg Config) *Sampler {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Fastest == 0 {
		cfg.Fastest = FastestRead
	}
	s := &Sampler{cfg: cfg, byName: map[string]*unit{}, began: time.Now(), wake: make(chan struct{}, 1)}
	s.schedule.fastest = cfg.Fastest
	for _, u := range cfg.Units {
		fresh := &unit{Unit: u}
		s.units = append(s.units, fresh)
		s.byName[u.Name] = fresh
	}
	return s
}

// Run reads until ctx ends and returns nil. A unit or a line that fails is a state, not an error.
func (s *Sampler) Run(ctx context.Context) error {
	start := time.Now()
	for _, u := range s.units {
		u.lose(start)
	}
	s.gather()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		now := time.Now()
		calm := s.bursts(now)
		t, wait := s.schedule.next(now)
		if t != nil {
			s.inHand.Store(int64(now.Sub(s.began)) + 1)
			s.perform(ctx, t)
			s.inHand.Store(0)
			continue
		}
		timer.Reset(min(wait, calm))
		select {
		case <-ctx.Done():
		case <-s.wake:
		case <-timer.C:
		}
	}
	return nil
}

// Standing returns for how long one read, with what is made of it, has been in hand; 0 where none is. Any goroutine may ask.
func (s *Sampler) Standing() time.Duration {
	since := s.inHand.Load()
	if since == 0 {
		return 0
	}
	return time.Since(s.began) - time.Duration(since-1)
}

func (s *Sampler) perform(ctx context.Context, t *task) {
	start := time.Now()
	u := t.unit
	if !u.connected {
		s.connect(ctx, u)
		return
	}
	if s.cfg.Late != nil {
		s.cfg.Late(t.block.Tier, start.Sub(t.due))
	}
	if start.Sub(u.costed) >= costsEvery {
		s.recost(u, start)
	}
	r := &s.reading
	r.Unit = u.Name
	if err := u.Source.Read(ctx, t.block, r); err != nil {
		if ctx.Err() == nil {
			s.missed(u, t, start, err)
		}
		return
	}
	u.answered()
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
	t.done(start, start)
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

func (s *Sampler) missed(u *unit, t *task, start time.Time, err error) {
	now := time.Now()
	t.done(start, now)
	s.cfg.Sink.Missed(u.Name, t.block.Tier, now, err)
	switch ups.FailureOf(err) {
	case ups.FailureException: // the unit is there; it only refuses this block
		u.answered()
		return
	case ups.FailureUnsupported, ups.FailureAnotherUnit: // another device answers: find out who it is
		u.failed = lostAfter
	case ups.FailureGarbled, ups.FailureImplausible: // that took no longer than an answer does
		u.failed++
	default:
		u.failed++
		if s.shared() {
			t.pass -= t.period // its turn came to nothing: of a unit that answers every second request some blocks were never read
			s.suspect(u, now)
		}
	}
	if u.failed < lostAfter {
		return
	}
	if u.until.Before(now) {
		s.suspect(u, now)
	}
	s.cfg.Log.Warn("unit lost", "unit", u.Name, "failed", u.failed, "asked_again_in", u.until.Sub(now), "err", err)
	u.lose(now)
	s.gather()
}

// lose makes connecting the only task of u.
func (u *unit) lose(now time.Time) {
	u.connected, u.lostSince, u.attempts = false, now, 0
	due := now
	if u.until.After(now) {
		due = u.until
	}
	u.tasks = []*task{{unit: u, block: ups.Block{Tier: ups.TierIdentity}, period: time.Second, due: due}}
}

func (s *Sampler) connect(ctx context.Context, u *unit) {
	u.attempts++
	var seen [ups.TierCount]bool
	var model, firmware string
	plan, err := u.Source.Connect(ctx, func(r *ups.Reading) {
		seen[r.Tier] = true
		model, firmware = textOf(r, ups.Model, model), textOf(r, ups.Firmware, firmware)
		s.cfg.Sink.Put(r)
	})
	now := time.Now()
	if err != nil {
		if ctx.Err() != nil {
			return
		}
		s.suspect(u, now)
		if u.attempts == 1 && u.failed == 0 {
			s.cfg.Log.Warn("unit does not answer", "unit", u.Name, "asked_again_in", u.until.Sub(now), "err", err)
		}
		s.cfg.Sink.Unconnected(u.Name, now, err)
		return
	}
	s.cfg.Log.Info("unit connected", "unit", u.Name, "model", model, "firmware", firmware,
		"down", now.Sub(u.lostSince).Round(time.Millisecond), "attempts", u.attempts)
	u.connect(now, plan, &seen)
	s.gather()
}

// textOf returns the text of p in r, or otherwise.
func textOf(r *ups.Reading, p ups.Point, otherwise string) string {
	for i, c := range r.Layout.Columns {
		if c.Point == p && r.Text != nil {
			return r.Text[i]
		}
	}
	return otherwise
}

// connect makes tasks of the plan. What Connect has just read is due after its period, everything else at once.
func (u *unit) connect(now time.Time, plan []ups.Block, seen *[ups.TierCount]bool) {
	u.answered()
	u.connected, u.tasks = true, nil
	u.wordSeen, u.costed = now, now
	for _, b := range plan {
		if u.Rates[b.Tier] == 0 {
			continue
		}
		t := &task{unit: u, block: b, period: u.Rates[b.Tier], due: now}
		if seen[b.Tier] {
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
