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
	"upsedge/internal/command"
	"upsedge/internal/config"
	"upsedge/internal/doctor"
	"upsedge/internal/local"
	"upsedge/internal/metrics"
	"upsedge/internal/store"
	"upsedge/internal/trust"
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
	scrape net.Listener        // of /metrics, wherever metrics.listen is
	driver string              // of the database
	shown  func(local.Sources) // is told who answers what the agent shows on site; nil: nobody asks
}

// stopWithin is how long the recorder may try to write the last events when the store refuses them.
const stopWithin = 5 * time.Second

type agent struct {
	Options // Config is the one of the start
	started time.Time
	clock   *clock.Clock
	disk    *disk
	owners  *owners
	site    *site
	own     *own
	series  *metrics.Agent
	metrics *metrics.Server // nil: off
	local   *local.Server
	orders  *command.Executor // nil: before it was opened
	remote  atomic.Bool       // there is a cloud that can give orders
	// shownOrders is the same for who shows it: a request may come while the journal is changed for another.
	shownOrders atomic.Pointer[command.Executor]
	current     atomic.Pointer[config.Config] // the one applied last
	ring        *doctor.Ring                  // of the log
	registry    *metrics.Registry
	bundling    sync.Mutex // held while a support bundle is made and sent on an order
	link        link
	ready       atomic.Bool
	connected   atomic.Bool
	turned      atomic.Int64 // when connected last changed, ns of Unix; 0: not since the start

	mu      sync.Mutex
	flushed time.Time // the flush loop last came round
}

// Run builds the agent and works until ctx ends; it returns nil then. Units and brokers that do not answer are states, and so is
// a disk that refuses or a database that breaks: see disk. An error is something only a person can mend: a state directory in
// use, an address taken, a file that cannot be read.
func Run(ctx context.Context, o Options) error {
	err := run(ctx, o)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil // stopped before it was ready
	}
	return err
}

func run(ctx context.Context, o Options) error {
	ring := doctor.NewRing()
	o.Log = slog.New(ring.Beside(o.Log.Handler()))
	a := &agent{Options: o, started: time.Now(), flushed: time.Now(), ring: ring}
	a.current.Store(o.Config)
	var err error
	newClock := clock.New
	if o.outside.clock != nil {
		newClock = o.outside.clock
	}
	if a.clock, err = newClock(); err != nil {
		return err
	}
	rememberErr := a.clock.Remember(o.Config.StateDir, o.Built)
	a.owners = &owners{}
	a.owners.enrolled.Store(o.Config.Uplink != nil && trust.Enrolled(o.Config.StateDir))
	a.disk = newDisk(a.open, o.Log)
	a.disk.unowned = a.owners.cloud
	if err := a.disk.start(ctx); err != nil {
		return err
	}
	if rememberErr != nil { // costs what earlier runs knew of the time
		o.Log.Error("the earliest that it can be is when this program was built", "err", rememberErr)
	}
	if err := a.build(ctx, o.Config); err != nil {
		return errors.Join(err, a.closeOrders(), a.disk.close())
	}
	return errors.Join(a.run(ctx), a.closeOrders(), a.disk.close()) // what was not sent waits for the next start
}

// open opens the store.
func (a *agent) open(ctx context.Context) (*store.Store, error) {
	s, err := store.Open(ctx, a.Config.StateDir, store.Options{
		BootID: a.clock.Boot(), Now: func() wire.Stamp { return a.clock.Stamp(time.Now()) }, MaxBytes: a.Config.Spool.MaxBytes, Log: a.Log,
		Accepted: a.Accepted, Units: a.named(), Before: a.disk.last(),
	}.Through(a.outside.driver))
	if err != nil || !a.owners.cloud() {
		return s, err
	}
	if err := a.eraseForeign(ctx, s); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %w", store.ErrDisk, err), s.Close())
	}
	return s, nil
}

// named are the names of the units.
func (a *agent) named() (names []string) {
	if a.site == nil { // at the start
		for _, u := range a.Config.Units {
			names = append(names, u.Name)
		}
		return names
	}
	for _, u := range a.site.all() {
		names = append(names, u.cfg.Name)
	}
	return names
}

func (a *agent) build(ctx context.Context, cfg *config.Config) error {
	up, err := a.newUpstream(ctx, cfg.Uplink)
	if err != nil {
		return err
	}
	a.link.take(up)
	var names []string
	for _, l := range lines(cfg.Units) {
		names = append(names, l[0].Name)
	}
	reg, series := metrics.New(a.sources(), names)
	a.series, a.registry = series, reg
	flusher := newFlusher(a.disk, a.clock, series, a.Log)
	rec := newRecorder(flusher, a.Log)
	a.site = &site{
		store: a.disk, clock: a.clock, series: series, recorder: rec, flusher: flusher, log: a.Log,
		changed: make(chan struct{}, 1), link: a.outside.link, owners: a.owners,
	}
	a.site.fedBy.Store(&a.Config.Orders.FedBy)
	a.own = newOwn(ctx, a.site, a.disk, a.Log)
	a.own.orders = a.ordersFill
	a.disk.tell = func(s Storage) { a.own.stored(s.Err) }
	if err := a.openOrders(ctx, nil); err != nil {
		return err
	}
	if l := a.outside.scrape; l != nil {
		a.metrics = metrics.On(l, cfg.Metrics.WebConfig, reg, a.healthy, a.isReady)
	} else if cfg.Metrics.Listen != "" {
		if a.metrics, err = metrics.Listen(cfg.Metrics.Listen, cfg.Metrics.WebConfig, reg, a.healthy, a.isReady); err != nil {
			return err
		}
	}
	shown := local.Sources{Status: a.status, Unit: a.shownUnit, Layouts: a.site.flusher.layouts.all, Bundle: a.localBundle, Order: a.order}
	if a.outside.shown != nil {
		a.outside.shown(shown)
	}
	a.local, err = local.Listen(a.ways(cfg.Local), shown)
	return err
}

func (a *agent) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	rest := context.WithoutCancel(ctx)
	recording, recorded := context.WithCancel(rest) // ends after the lines: their last events are written, too
	sending, sent := context.WithCancel(rest)       // ends after the recorder: "offline" is said when nothing is written any more

	a.own.started(a.Version, a.Config.Uplink)
	err := a.begin(ctx)
	g.Go(func() error { return err }) // an error ends all that is started below as any other end does
	g.Go(func() error {
		defer sent()
		err := a.site.recorder.run(recording, stopWithin)
		a.site.flusher.flush(rest, nil) // what was refused before a disk came back at the last moment
		return err
	})
	g.Go(func() error { return a.disk.run(ctx, a.arrived) })
	g.Go(func() error { return a.site.flusher.run(ctx, a.Config.Spool.Flush, a.turn) })
	g.Go(func() error { return a.reload(ctx, func(u *config.Uplink) error { return a.lead(ctx, sending, g, u) }) })
	g.Go(func() error { return a.watch(ctx) })
	g.Go(func() error { return a.site.passTime(ctx) })
	g.Go(func() error { return a.own.run(ctx) })
	g.Go(func() error { return a.followTime(ctx) })
	g.Go(func() error { return a.settleGaps(ctx) })
	a.startUpstream(ctx, sending, g)
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
	if s, _, err := a.disk.now(); err == nil {
		if err := a.reportGaps(ctx, s, func(string) wire.Stamp { return now }); errors.Is(err, store.ErrBroken) {
			a.disk.drop(s, err)
		}
	}
	return nil
}

// endOf says why a run ends whose context has.
func endOf(ctx context.Context) string {
	if errors.Is(context.Cause(ctx), context.Canceled) {
		return "it was told to"
	}
	return "an error that its log names"
}

func (a *agent) announce() {
	a.ready.Store(true)
	where := []any{"version", a.Version, "units", len(a.Config.Units)}
	if s, _, err := a.disk.now(); err == nil {
		where = append(where, "boot", s.Boot())
	}
	if a.metrics != nil {
		where = append(where, "metrics", a.metrics.Addr())
	}
	a.Log.Info("agent started", where...)
	if len(a.Config.Units) == 0 {
		a.Log.Warn("no units are configured; upsagent setup finds them")
	}
	for _, w := range a.Config.Warnings() {
		a.Log.Warn(w)
	}
	if a.Ready != nil {
		a.Ready()
	}
}

// reload applies changes of units and of the uplink. Those of most other keys need a restart, and the log says which.
func (a *agent) reload(ctx context.Context, lead func(*config.Uplink) error) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case next := <-a.Reload:
			err := a.apply(ctx, next, lead)
			if next.Done != nil {
				next.Done()
			}
			if err != nil && ctx.Err() == nil { // else stopped meanwhile
				return fmt.Errorf("apply the new configuration: %w", err)
			}
		}
	}
}

func (a *agent) apply(ctx context.Context, r Reload, lead func(*config.Uplink) error) error {
	if r.Err != nil {
		a.Log.Error("configuration rejected, the old one is kept", "err", oneLine(r.Err))
		a.own.reloaded(r.Err)
		return nil
	}
	next := r.Config
	if err := a.site.apply(ctx, next.Units); err != nil {
		return err
	}
	a.current.Store(next)
	if err := lead(next.Uplink); err != nil {
		return err
	}
	a.warnOfRates(next.Units)
	a.site.fedBy.Store(&next.Orders.FedBy)
	if a.orders != nil {
		a.orders.SetPolicy(ordersPolicy(next.Orders))
	}
	if keys := restartKeys(a.Config, next); keys != nil {
		a.Log.Warn("changes of these keys need a restart; all others are applied", "keys", strings.Join(keys, ", "))
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

// standstill is how long a step of the work may take. Every wait for a line, a disk or a peer is bounded by much less.
const standstill = time.Minute

// healthy reports whether the work goes on: the loop that puts samples comes round, which goes through the store, the lines' batches and
// the disk, and no line has had one read in hand for too long (T-65). Where one of them stands still a restart is what helps.
func (a *agent) healthy() error {
	a.mu.Lock()
	behind := time.Since(a.flushed) - a.Config.Spool.Flush
	a.mu.Unlock()
	if behind > standstill {
		return fmt.Errorf("samples have not been stored for %v", behind.Round(time.Second))
	}
	if line, d := a.site.standing(); d > standstill {
		return fmt.Errorf("the line of %s has had one read in hand for %v", line, d.Round(time.Second))
	}
	return nil
}

func (a *agent) isReady() error {
	if !a.ready.Load() {
		return errors.New("starting")
	}
	if st := a.disk.state(); st.Err != nil {
		return fmt.Errorf("the disk refuses; alarms and samples are kept in memory: %w", st.Err)
	}
	return a.healthy()
}
