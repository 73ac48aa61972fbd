// Package agent composes the upsagent: it builds every part, owns every lifetime and is the only package that knows all of
// them. Run reads from the disk inwards: store, lines, uplink, what is shown locally.
package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"upsedge/internal/clock"
	"upsedge/internal/config"
	"upsedge/internal/local"
	"upsedge/internal/metrics"
	"upsedge/internal/store"
	"upsedge/internal/ups/modbus"
	"upsedge/internal/wire"
)

// Options is what Run works with.
type Options struct {
	Config  *config.Config
	Version string
	Built   time.Time     // when the source of the program was last changed: no clock that is right says less. Zero: not known
	Reload  <-chan Reload // configurations read anew; nil: never
	Ready   func()        // called once every part was ready once; nil: nobody waits
	Alive   func()        // called now and then while the agent makes progress; nil: no watchdog
	Log     *slog.Logger
	// Accepted is told of every record that the store has put, before it goes anywhere; see store.Options. nil: nobody asks.
	Accepted func([]wire.Record)
	outside  outside
}

// A Reload is a configuration that was read anew.
type Reload struct {
	Config *config.Config // one that passed its checks, nil without
	Err    error          // why there is none
	Done   func()         // called when it is applied, or will not be; may be nil
}

// outside is what an agent reaches for beyond its process. What is nil is that of this machine; tests on a clock of their own
// put the ends of pipes in its place, since that clock stands still while a socket is waited for.
type outside struct {
	clock  func() (*clock.Clock, error)
	link   func(config.Unit) func(context.Context) (modbus.Link, error) // opens the line of a unit
	broker func(ctx context.Context, address string) (net.Conn, error)
	scrape net.Listener // of /metrics, wherever metrics.listen is
	driver string       // of the database
}

// stopWithin is how long the recorder may try to write the last events when the store refuses them.
const stopWithin = 5 * time.Second

type agent struct {
	Options                   // Config is the one of the start
	latest    **config.Config // the one applied last
	started   time.Time
	clock     *clock.Clock
	store     *store.Store
	site      *site
	own       *own
	series    *metrics.Agent
	metrics   *metrics.Server // nil: off
	local     *local.Server
	link      link
	name      string // the agent's id
	ready     atomic.Bool
	connected atomic.Bool
	broken    chan struct{} // closed when the database is beyond use
	breakOnce sync.Once

	mu      sync.Mutex
	flushed time.Time // the flush loop last came round
}

// Run builds the agent and works until ctx ends; it returns nil then. Units and brokers that do not answer are states. An
// error is something only a person can mend: a state directory in use, an address taken, a file that cannot be read.
//
// When the database breaks while it is in use everything is built anew on a fresh one: the store sets the broken file aside
// when it is opened, and a new stream begins.
func Run(ctx context.Context, o Options) error {
	for {
		err := runOnce(ctx, &o)
		if ctx.Err() != nil && errors.Is(err, context.Canceled) {
			return nil // stopped before it was ready
		}
		if !errors.Is(err, store.ErrBroken) || ctx.Err() != nil {
			return err
		}
		o.Log.Error("the agent starts anew with a fresh database", "err", err)
	}
}

// runOnce leaves the configuration that was applied last in o, for the next time.
func runOnce(ctx context.Context, o *Options) error {
	a := &agent{Options: *o, latest: &o.Config, started: time.Now(), flushed: time.Now(), broken: make(chan struct{})}
	var err error
	newClock := clock.New
	if o.outside.clock != nil {
		newClock = o.outside.clock
	}
	if a.clock, err = newClock(); err != nil {
		return err
	}
	cfg := o.Config
	rememberErr := a.clock.Remember(cfg.StateDir, o.Built)
	a.store, err = store.Open(ctx, cfg.StateDir, store.Options{
		BootID: a.clock.Boot(), Now: func() wire.Stamp { return a.clock.Stamp(time.Now()) }, MaxBytes: cfg.Spool.MaxBytes, Log: o.Log,
		Accepted: o.Accepted,
	}.Through(o.outside.driver))
	if err != nil {
		return fmt.Errorf("state_dir: %w", err)
	}
	if rememberErr != nil { // costs what earlier runs knew of the time
		o.Log.Error("the earliest that it can be is when this program was built", "err", rememberErr)
	}
	if err := a.build(ctx, cfg); err != nil {
		return errors.Join(err, a.store.Close())
	}
	return errors.Join(a.run(ctx), a.store.Close()) // what was not sent waits for the next start
}

func (a *agent) build(ctx context.Context, cfg *config.Config) error {
	name, expiry, err := agentID(ctx, cfg.Uplink, a.store)
	if err != nil {
		return err
	}
	a.name = name
	a.link.certExpiry.Store(expiry)
	var names []string
	for _, l := range lines(cfg.Units) {
		names = append(names, l[0].Name)
	}
	reg, series := metrics.New(a.sources(), names)
	a.series = series
	flusher := newFlusher(a.store, a.clock, series, a.breakDown, a.Log)
	rec := newRecorder(flusher, a.breakDown, a.Log)
	a.site = &site{
		store: a.store, clock: a.clock, series: series, recorder: rec, flusher: flusher, log: a.Log,
		changed: make(chan struct{}, 1), link: a.outside.link,
	}
	if a.own, err = newOwn(ctx, a.site, a.Log); err != nil {
		return err
	}
	flusher.health = a.own.stored
	if cfg.Uplink != nil {
		if secure(cfg.Uplink) {
			if a.link.files, err = brokerTLS(cfg.Uplink); err != nil {
				return err
			}
		}
		a.link.session, err = newUplink(uplinkParts{
			cfg: cfg.Uplink, files: a.link.files, agent: a.name, version: a.Version, allow: cfg.Orders.Allow, store: a.store, clock: a.clock, series: series,
			units: a.site.all, own: a.own, changed: a.site.changed, seen: a.connected.Store, dial: a.outside.broker, log: a.Log,
			enrolled: isEnrolled(cfg.StateDir), order: a.newOrder(cfg.StateDir),
		})
		if err != nil {
			return err
		}
	}
	if l := a.outside.scrape; l != nil {
		a.metrics = metrics.On(l, cfg.Metrics.WebConfig, reg, a.healthy, a.isReady)
	} else if cfg.Metrics.Listen != "" {
		if a.metrics, err = metrics.Listen(cfg.Metrics.Listen, cfg.Metrics.WebConfig, reg, a.healthy, a.isReady); err != nil {
			return err
		}
	}
	a.local, err = local.Listen(cfg.Local.Listen, cfg.Local.Socket, local.Sources{Status: a.status, Layouts: a.site.flusher.layouts.all})
	return err
}

func (a *agent) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	rest := context.WithoutCancel(ctx)
	recording, recorded := context.WithCancel(rest) // ends after the lines: their last events are written, too
	sending, sent := context.WithCancel(rest)       // ends after the recorder: "offline" is said when nothing is written any more

	a.own.started(a.Version, a.Config.Uplink != nil)
	err := a.begin(ctx)
	g.Go(func() error { return err }) // an error ends all that is started below as any other end does
	g.Go(func() error {
		defer sent()
		return a.site.recorder.run(recording, stopWithin)
	})
	g.Go(func() error { return a.site.flusher.run(ctx, a.Config.Spool.Flush, a.turn) })
	g.Go(func() error { return a.reload(ctx) })
	g.Go(func() error {
		select {
		case <-ctx.Done():
			return nil
		case <-a.broken:
			return store.ErrBroken
		}
	})
	g.Go(func() error { return a.watch(ctx) })
	g.Go(func() error { return a.site.passTime(ctx) })
	g.Go(func() error { return a.own.run(ctx) })
	g.Go(func() error { return a.followTime(ctx) })
	if u := a.Config.Uplink; u != nil {
		g.Go(func() error { return a.link.session.Run(sending) })
		if a.link.files != nil {
			g.Go(func() error { return a.link.followFiles(ctx, a.own.certificate, a.Log) })
		}
	}
	g.Go(func() error { return a.local.Run(ctx) })
	if a.metrics != nil {
		g.Go(func() error { return a.metrics.Run(ctx) })
	}
	g.Go(func() error {
		<-ctx.Done()
		defer recorded()
		err := a.site.endAll(ctx)
		a.own.stopping(endOf(ctx))
		return err
	})
	if err == nil {
		a.announce()
	}
	return g.Wait()
}

// begin starts the lines and reports the gaps of earlier runs, in this order: a gap ends where samples are collected again,
// and a run that ends before that, because an address is taken or because it crashes, must not have ended it.
func (a *agent) begin(ctx context.Context) error {
	now := a.clock.Stamp(time.Now())
	if err := a.site.apply(ctx, a.Config.Units); err != nil {
		return err
	}
	a.warnOfRates(a.Config.Units)
	return a.reportGaps(ctx, now)
}

// endOf says why a run ends whose context has.
func endOf(ctx context.Context) string {
	if errors.Is(context.Cause(ctx), context.Canceled) {
		return "it was told to"
	}
	return "an error that its log names"
}

// breakDown ends the run when the database is beyond use; the first to find that out is logged.
func (a *agent) breakDown(err error) {
	a.breakOnce.Do(func() {
		a.Log.Error("the database broke", "err", err)
		close(a.broken)
	})
}

func (a *agent) announce() {
	a.ready.Store(true)
	where := []any{"version", a.Version, "units", len(a.Config.Units), "boot", a.store.Boot()}
	if a.metrics != nil {
		where = append(where, "metrics", a.metrics.Addr())
	}
	a.Log.Info("agent started", where...)
	if len(a.Config.Units) == 0 {
		a.Log.Warn("no units are configured; upsagent probe finds them")
	}
	for _, w := range a.Config.Warnings() {
		a.Log.Warn(w)
	}
	if a.Ready != nil {
		a.Ready()
	}
}

// reportGaps turns what earlier runs left unfinished into gap records: the cloud learns which samples will never come.
func (a *agent) reportGaps(ctx context.Context, now wire.Stamp) error {
	if name := a.store.SetAside(); name != "" {
		a.Log.Error("the database was broken; it was set aside and a new stream has begun", "file", name)
		if err := a.reportLostStream(ctx, now); err != nil {
			return err
		}
	}
	for _, i := range a.store.Crashed() {
		to := i.Resumed
		if (to == wire.Stamp{}) {
			to = now
		}
		err := a.store.PutGap(ctx, wire.Gap{Unit: i.Unit, From: i.Last, To: to, Reason: wire.GapCrash}, now)
		if errors.Is(err, store.ErrBroken) {
			return err
		} else if err != nil { // it stays owed: the next start tries again
			a.Log.Error("a gap record cannot be stored", "unit", i.Unit, "err", err)
			continue
		}
		a.Log.Warn("the agent was stopped without warning; a gap record names the samples that are lost", "unit", i.Unit)
	}
	return nil
}

// reportLostStream says in a new stream that what the one before held of each unit may never come: since when nobody knows, so
// the gap begins with the zero stamp.
func (a *agent) reportLostStream(ctx context.Context, now wire.Stamp) error {
	if a.store.Boot() != 1 {
		return nil // said before
	}
	for _, u := range a.Config.Units {
		err := a.store.PutGap(ctx, wire.Gap{Unit: u.Name, To: now, Reason: wire.GapDamage}, now)
		if errors.Is(err, store.ErrBroken) {
			return err
		} else if err != nil { // a full disk keeps no unit from being polled
			a.Log.Error("a gap record cannot be stored", "unit", u.Name, "err", err)
		}
	}
	return nil
}

// reload applies changes of units. Other changes need a restart, and the log says so.
func (a *agent) reload(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case next := <-a.Reload:
			err := a.apply(ctx, next)
			if next.Done != nil {
				next.Done()
			}
			if err != nil && ctx.Err() == nil { // else stopped meanwhile
				return fmt.Errorf("apply the new configuration: %w", err)
			}
		}
	}
}

func (a *agent) apply(ctx context.Context, r Reload) error {
	if r.Err != nil {
		a.Log.Error("configuration rejected, the old one is kept", "err", oneLine(r.Err))
		a.own.reloaded(r.Err)
		return nil
	}
	next := r.Config
	if err := a.site.apply(ctx, next.Units); err != nil {
		return err
	}
	*a.latest = next
	a.warnOfRates(next.Units)
	if restartNeeded(a.Config, next) {
		a.Log.Warn("only changes of units are applied; the other changes of the configuration need a restart")
	}
	a.own.reloaded(nil)
	a.site.notify()
	a.Log.Info("configuration applied", "units", len(next.Units))
	return nil
}

// oneLine is an error of several as one line.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

// turn returns the units for a flush and notes that the loop goes round.
func (a *agent) turn() []*unit {
	a.mu.Lock()
	a.flushed = time.Now()
	a.mu.Unlock()
	return a.site.all()
}

// watch feeds the service manager's watchdog while the agent makes progress.
func (a *agent) watch(ctx context.Context) error {
	if a.Alive == nil {
		return nil
	}
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for {
		if a.healthy() == nil {
			a.Alive()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// healthy reports whether the loop that puts samples comes round. It goes through the store, the lines' batches and the disk;
// where it stands still a restart is what helps.
func (a *agent) healthy() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if behind := time.Since(a.flushed) - a.Config.Spool.Flush; behind > time.Minute {
		return fmt.Errorf("samples have not been stored for %v", behind.Round(time.Second))
	}
	return nil
}

func (a *agent) isReady() error {
	if !a.ready.Load() {
		return errors.New("starting")
	}
	if a.site.recorder.stuck() {
		return errors.New("events cannot be stored: is the disk full?")
	}
	return a.healthy()
}
