package agent

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"upsedge/internal/alarm"
	"upsedge/internal/clock"
	"upsedge/internal/config"
	"upsedge/internal/metrics"
	"upsedge/internal/sampler"
	"upsedge/internal/store"
	"upsedge/internal/ups/modbus"
	"upsedge/internal/wire"
)

// A site runs the lines of the configuration and replaces those whose units have changed, leaving the others alone.
type site struct {
	store    keeps
	clock    *clock.Clock
	series   *metrics.Agent
	recorder *recorder
	flusher  *flusher
	owners   *owners
	log      *slog.Logger
	changed  chan struct{}                                                // the condition of a unit changed; holds at most one
	link     func(config.Unit) func(context.Context) (modbus.Link, error) // nil: the port or address of the unit
	fedBy    atomic.Pointer[config.FedBy]                                 // what this box hangs on; nil: not known

	applying sync.Mutex        // held while lines are replaced or ended
	alarms   map[string][]byte // alarm state of units whose lines ended in this run; guarded by applying

	mu      sync.Mutex
	units   []*unit // in the order of the configuration
	running []*running
}

// keeps is what a site needs of a store.
type keeps interface {
	AlarmState(ctx context.Context, unit string) ([]byte, error)
	Begin(ctx context.Context, unit string, at wire.Stamp) error
	End(ctx context.Context, unit string) error
}

// running is a line at work.
type running struct {
	cfg   []config.Unit
	units []*unit
	line  *line
	stop  context.CancelFunc
	done  chan error
}

// apply makes the lines those of cfg. Lines whose units are the same go on undisturbed, with other limits for their alarms if
// only those have changed; of the others the samples are flushed before they end, and units that are still there go on with all
// that is known of them. After an error the lines that run are known all the same, so that endAll can end them.
func (s *site) apply(ctx context.Context, cfg []config.Unit) error {
	s.applying.Lock()
	defer s.applying.Unlock()
	lines, err := s.replace(ctx, cfg)
	s.set(cfg, lines)
	return err
}

func (s *site) replace(ctx context.Context, cfg []config.Unit) (kept []*running, err error) {
	wanted := lines(cfg)
	var ending []*running
	for _, r := range s.list() {
		if i := slices.IndexFunc(wanted, r.goesOn); i >= 0 {
			r.limit(wanted[i])
			kept = append(kept, r)
			continue
		}
		r.stop() // all at once: one that waits for a deaf unit holds up no other
		ending = append(ending, r)
	}
	was := map[string]*unit{}
	for _, r := range ending {
		err = errors.Join(err, s.end(ctx, r, cfg))
		for _, u := range r.units {
			was[u.cfg.Name] = u
		}
	}
	if err != nil {
		return kept, err
	}
	before, assumed := kept, Budgets(cfg)
	for i, l := range wanted {
		if slices.ContainsFunc(before, func(r *running) bool { return r.goesOn(l) }) {
			continue
		}
		r, err := s.begin(ctx, assumed[i], time.Duration(i)*apart, was)
		if err != nil {
			return kept, err
		}
		kept = append(kept, r)
	}
	return kept, nil
}

// goesOn reports whether the line is that of cfg, but for what can be changed while it works.
func (r *running) goesOn(cfg []config.Unit) bool {
	return slices.EqualFunc(r.cfg, cfg, func(a, b config.Unit) bool {
		a.Thresholds, a.Card, b.Thresholds, b.Card = config.Thresholds{}, nil, config.Thresholds{}, nil
		return reflect.DeepEqual(a, b)
	})
}

// limit gives the units of a line that goes on the limits of cfg.
func (r *running) limit(cfg []config.Unit) {
	for i, u := range r.units {
		if r.cfg[i].Thresholds != cfg[i].Thresholds {
			u.mu.Lock()
			u.alarms.Limit(limits(cfg[i]))
			u.mu.Unlock()
		}
	}
	r.cfg = cfg
}

// begin starts a line of which that is assumed, after a pause where it is on TCP. was are the units, by name, whose lines have
// ended for it.
func (s *site) begin(ctx context.Context, assumed Budget, pause time.Duration, was map[string]*unit) (*running, error) {
	cfg := assumed.Units
	r := &running{cfg: cfg, done: make(chan error, 1)}
	units := map[string]*unit{}
	stretch := assumed.Stretch()
	for _, c := range cfg {
		u, err := s.newUnit(ctx, c, cfg[0].Name, was[c.Name])
		if err != nil {
			return nil, err
		}
		u.stretch = stretch
		units[c.Name] = u
		r.units = append(r.units, u)
	}
	l := newLine(r.units, &sink{units: units, recorder: s.recorder, changed: s.notify}, s.link, s.series, s.log)
	if cfg[0].TCP != nil {
		l.pause = pause
	}
	over, stop := context.WithCancel(ctx)
	r.line, r.stop = l, stop
	l.assumed, l.told, l.judged = assumed, assumed.Load, assumed.Load
	go func() { r.done <- l.run(over) }()
	return r, nil
}

func (s *site) newUnit(ctx context.Context, c config.Unit, line string, was *unit) (*unit, error) {
	if was != nil { // its samples were flushed, and the store counts on more of them
		return was.adopt(c, line), nil
	}
	saved, known := s.alarms[c.Name] // the recorder may not have written it yet
	if !known {
		var err error
		saved, err = s.store.AlarmState(ctx, c.Name)
		if damaged := (*store.CorruptError)(nil); errors.As(err, &damaged) {
			s.log.Error("the saved alarms are damaged; alarms begin anew", "unit", c.Name, "err", err)
		} else if err != nil && !errors.Is(err, errNoStore) { // without a store they are taken over when there is one
			s.log.Error("the saved alarms cannot be had; alarms begin anew", "unit", c.Name, "err", err)
		}
	}
	engine, err := alarm.New(c.Name, limits(c), saved)
	if err != nil {
		s.log.Error("the saved alarms cannot be read; alarms begin anew", "unit", c.Name, "err", err)
	}
	engine.TrustClock(s.clock.Time)
	// A full disk is a state: the unit is polled and shown all the same, and the flusher tries on.
	if err := s.store.Begin(ctx, c.Name, s.clock.Stamp(time.Now())); err != nil && !errors.Is(err, errNoStore) {
		s.log.Error("the store refuses; the unit is polled all the same", "unit", c.Name, "err", err)
	}
	u := newUnit(c, line, sampler.NewBatch(s.clock.Mono), engine, s.log)
	u.owners, u.owner = s.owners, s.owners.was(engine)
	return u, nil
}

func limits(c config.Unit) alarm.Limits {
	return alarm.Limits{
		LowBatteryRuntime: c.Thresholds.LowBatteryRuntime, BatteryTemperature: c.Thresholds.BatteryTemperature, Load: c.Thresholds.Load,
	}
}

// end stops a line and puts what its units still hold. Units that next still has go on on another line.
func (s *site) end(ctx context.Context, r *running, next []config.Unit) error {
	r.stop()
	if err := <-r.done; err != nil {
		return err
	}
	s.series.Forget(r.cfg[0].Name)
	s.flusher.flush(ctx, r.units)
	for _, u := range r.units {
		s.keepAlarms(u)
		if slices.ContainsFunc(next, func(c config.Unit) bool { return c.Name == u.cfg.Name }) {
			continue
		}
		s.release(u)
		if err := s.store.End(context.WithoutCancel(ctx), u.cfg.Name); err != nil && !errors.Is(err, errNoStore) { // costs a gap record that says more than was lost
			s.log.Error("the store refuses to end a unit", "unit", u.cfg.Name, "err", err)
		}
	}
	return nil
}

// release forgets who a unit is that was taken out of the configuration: added again it may be another one.
func (s *site) release(u *unit) {
	u.mu.Lock()
	u.alarms.Release()
	saved, _ := u.alarms.State()
	u.mu.Unlock()
	s.recorder.add(u.cfg.Name, outcome{saved: saved})
	s.alarms[u.cfg.Name] = saved
}

// keepAlarms remembers the alarms of a unit whose line has ended, for its next one.
func (s *site) keepAlarms(u *unit) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if s.alarms == nil {
		s.alarms = map[string][]byte{}
	}
	s.alarms[u.cfg.Name], _ = u.alarms.State()
}

// endAll stops every line at once and flushes once.
func (s *site) endAll(ctx context.Context) error {
	s.applying.Lock()
	defer s.applying.Unlock()
	all := s.list()
	for _, r := range all {
		r.stop()
	}
	var failed error
	for _, r := range all {
		if err := <-r.done; err != nil {
			failed = err
		}
	}
	s.flusher.flush(ctx, s.all())
	return failed
}

// passTime lets the units' alarms see that time passes until ctx ends: a unit that is lost is asked ever less often, and its
// alarm must not wait for that. Every ten seconds it looks at what the lines can carry.
func (s *site) passTime(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			if !s.applying.TryLock() { // lines are being replaced; a second later is soon enough
				continue
			}
			for _, u := range s.all() {
				s.elapse(u, now)
			}
			if n%10 == 0 {
				reconsider(s.list(), s.log)
				for _, u := range s.all() {
					u.measure(now)
				}
			}
			s.applying.Unlock()
			s.rebind() // a journal that could not be read at the start can be later
		}
	}
}

func (s *site) elapse(u *unit, now time.Time) {
	u.turn.Lock()
	defer u.turn.Unlock()
	out := u.elapse(now)
	s.recorder.add(u.cfg.Name, out)
	if out.condition {
		s.notify()
	}
}

func (s *site) list() []*running {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.running)
}

// all returns the units in the order of the configuration.
func (s *site) all() []*unit {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.units)
}

// standing returns the line that has had one read in hand for longest, and for how long.
func (s *site) standing() (line string, most time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.running {
		if d := r.line.sampler.Standing(); d > most {
			line, most = r.line.name, d
		}
	}
	return line, most
}

func (s *site) set(cfg []config.Unit, lines []*running) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running, s.units = lines, nil
	for _, c := range cfg {
		for _, r := range lines {
			for _, u := range r.units {
				if u.cfg.Name == c.Name {
					s.units = append(s.units, u)
				}
			}
		}
	}
}

func (s *site) notify() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}
