package command

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"upsedge/internal/clock"
	"upsedge/internal/policy"
	"upsedge/internal/trust"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// A Sink takes results into the store.
type Sink interface {
	// Put stores results of a journal, in their order, in one commit. What it has taken before, by the number, it leaves out: after a
	// crash the same come again.
	Put(ctx context.Context, journal wire.ID, results []Outgoing) error
}

// Options is what an Executor works with.
type Options struct {
	Dir string // state directory
	// From are directories of journals of other enrolments, and of the time without any: what they know of loads that were dropped, and of orders
	// given on site that have not ended, is taken over.
	From []string
	// Before is the Executor whose place this one takes, closed: what it knows of loads that were dropped is taken over, though its journal may be
	// gone. nil: none.
	Before *Executor
	Policy Policy
	Clock  *clock.Clock
	// Find returns the unit that reports the serial number, if there is one now.
	Find func(serial string) (Target, bool)
	// Box returns what carries out an order that is the box's own, support.bundle, which is about the unit of that name ("": none here reports
	// the device now). Judge is asked of another one than Execute was: after a crash. nil: such orders are UNSUPPORTED.
	Box  func(order wire.ID, unit string) Unit
	Sink Sink
	// Alone says that there is no cloud: what is ordered on site is told in epoch 0.
	Alone bool
	// Alarm is told of security events that are about no order that is known by its id. It must not wait. nil: nobody asks.
	Alarm func(ups.Event)
	// Dropped is told behind the commit that says that a load is dropped. It must not wait. nil: nobody asks.
	Dropped func()
	// Ended counts how orders ended. reason is "" where there is none. nil: nobody counts.
	Ended func(action string, state wire.OrderState, reason policy.Reason)
	Log   *slog.Logger // nil discards

	driver string // tests: a SQLite driver that fails
	most   int64  // tests: orders in the journal
	rows   *atomic.Int64
}

const (
	// waitingOrders bounds what waits to be judged. Only what the cloud has signed gets that far; what comes beyond is dropped and
	// counted, and the cloud sends it again as long as it lives.
	waitingOrders = 256
	// atOnce is how many orders are looked into and written down at a time.
	atOnce = 64
	// maxForeign is of how many erasures that nobody may order it is remembered that they were reported.
	maxForeign = 256
)

// An Executor judges orders and carries them out. Use Open.
type Executor struct {
	o      Options
	log    *slog.Logger
	queue  chan *Order
	news   chan struct{} // there are results for the store
	lose   chan struct{} // the journal failed
	slots  chan struct{}
	repeat *rate.Limiter // of answers to orders that are known
	alarms alarms
	bound  atomic.Pointer[map[string]Bind] // nil: not known yet
	works  sync.WaitGroup
	rows   atomic.Int64 // of the journal
	shown  shown
	follow *follow
	limits limits
	onSite *rate.Limiter // of local orders

	applying sync.Mutex       // one statement at a time
	foreign  map[wire.ID]bool // erasures that were reported, at most maxForeign

	mu      sync.Mutex
	policy  Policy
	j       *journal // nil: none is open
	suspect bool     // it came to harm: it is not used again
	before  bool     // one was open before
	counter uint64   // highest seen
	binds   map[string]*bind
	hands   map[string]*hand // what is in hand, by device
	active  map[wire.ID]bool // orders that somebody is at work on
	left    []*hand          // found in the journal, of nobody
	session uint64           // of the last statement
	named   map[string]bool  // devices bound by statements of that session
	told    time.Time        // the cloud's time in the last statement ...
	toldAt  time.Duration    // ... and when that came
	dropped uint64
}

// Open makes an Executor and opens its journal. A disk that refuses is a state: no order is obeyed until Run has opened one. The error is
// ErrNewer.
func Open(ctx context.Context, o Options) (*Executor, error) {
	o = o.complete()
	x := &Executor{
		o: o, log: o.Log, policy: o.Policy, queue: make(chan *Order, waitingOrders), news: make(chan struct{}, 1), lose: make(chan struct{}, 1),
		slots: make(chan struct{}, atOnce), repeat: rate.NewLimiter(repeatEvery, repeatBurst), alarms: newAlarms(o.Alarm),
		binds: map[string]*bind{}, hands: map[string]*hand{}, active: map[wire.ID]bool{}, named: map[string]bool{}, foreign: map[wire.ID]bool{},
	}
	x.follow, x.onSite = newFollow(), rate.NewLimiter(localEvery, localBurst)
	x.shown.setPolicy(o.Policy)
	x.o.rows = &x.rows
	if err := x.openJournal(ctx); errors.Is(err, ErrNewer) {
		return nil, err
	} else if err != nil {
		x.log.Error("no remote order can be obeyed: the journal of orders cannot be opened", "err", err)
	}
	return x, nil
}

// SetPolicy takes another policy of the site; it counts from the next check on.
func (x *Executor) SetPolicy(p Policy) {
	x.shown.setPolicy(p)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.policy = p
}

// Accept takes an order that is verified. It never waits.
func (x *Executor) Accept(o Order) {
	select {
	case x.queue <- &o:
	default:
		x.mu.Lock()
		x.dropped++
		x.mu.Unlock()
	}
}

// Rejected is told of a message that is no order of the cloud to this agent, and of nobody knows whom (R8).
func (x *Executor) Rejected(r *trust.Refusal) {
	x.countRejected(r)
	x.count("", wire.OrderRefused, policy.Reason(r.Code))
	x.security(622, "", r.Error())
}

// Binds returns what the cloud has said last of each device, by serial number. known is false while the journal has not been read yet. It
// never waits, for a disk that stands still neither: who reads units asks it.
func (x *Executor) Binds() (binds map[string]Bind, known bool) {
	if p := x.bound.Load(); p != nil {
		return *p, true
	}
	return nil, false
}

// Apply takes what a verified statement says of devices. It is on disk when Apply returns. session is the one that it came on, came when.
// From now on orders of that session may name the devices it binds, and no others.
func (x *Executor) Apply(session uint64, s *trust.Statement, came time.Time) ([]Change, error) {
	x.applying.Lock()
	defer x.applying.Unlock()
	x.foreignErasures(s)
	next, changes := x.join(s)
	if len(changes) > 0 {
		err := x.write("keep what a statement says", func(t *tx) {
			for _, c := range changes {
				t.saveBind(c.device(), next[c.device()])
			}
		})
		if err != nil {
			return nil, err
		}
	}
	x.take(session, s, came, next)
	x.recallLost()
	return changes, nil
}

// foreignErasures reports erasures that were ordered for somebody who may not (SHARE-9, PERM-11): nothing ends by them. A statement comes
// again and again; each order is reported once in a run.
func (x *Executor) foreignErasures(s *trust.Statement) {
	for _, e := range s.Entries {
		if e.Erase == nil || mayErase(e.Erase.Role) || x.foreign[e.Erase.Order] {
			continue
		}
		if len(x.foreign) < maxForeign {
			x.foreign[e.Erase.Order] = true
		}
		x.security(841, e.Device, fmt.Sprintf("the cloud signed an erasure for %s; here it is %s", e.Erase.Role, policy.OwnerOnly))
	}
}

func (c Change) device() string { return c.After.Device }

// join returns the binds as a statement leaves them, and what it changed.
func (x *Executor) join(s *trust.Statement) (map[string]*bind, []Change) {
	x.mu.Lock()
	defer x.mu.Unlock()
	next, changed := maps.Clone(x.binds), map[string]bool{}
	var order []string
	for _, erase := range []bool{true, false} { // an old owner goes before a new one comes
		for _, e := range s.Entries {
			if (e.Erase != nil) != erase {
				continue
			}
			was := next[e.Device]
			if was == nil {
				was = &bind{Bind: Bind{Device: e.Device}}
			}
			b, news := was.join(e)
			if !news {
				continue
			}
			if next[e.Device] = b; !changed[e.Device] {
				changed[e.Device], order = true, append(order, e.Device)
			}
		}
	}
	var out []Change
	for _, device := range order {
		before := Bind{Device: device}
		if b := x.binds[device]; b != nil {
			before = b.Bind
		}
		out = append(out, Change{Before: before, After: next[device].Bind})
	}
	return next, out
}

// take makes a statement the one that counts.
func (x *Executor) take(session uint64, s *trust.Statement, came time.Time, next map[string]*bind) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.setBinds(next)
	if session != x.session {
		x.session, x.named = session, map[string]bool{}
	}
	for _, e := range s.Entries {
		if b := next[e.Device]; e.Bind != nil && b.Epoch == e.Bind.Epoch {
			x.named[e.Device] = true
		}
	}
	// It never goes back: what was signed earlier and comes later, or again, prolongs no plan (PLAN-9).
	if at := x.o.Clock.Mono(came); x.told.IsZero() || s.Time.After(x.told.Add(at-x.toldAt)) {
		x.told, x.toldAt = s.Time, at
		x.shown.setTime(s.Time, at)
	}
}

// setBinds puts the binds in place. The caller holds mu.
func (x *Executor) setBinds(binds map[string]*bind) {
	x.binds = binds
	if x.j == nil && len(binds) == 0 {
		return // nothing is known yet
	}
	shown := map[string]Bind{}
	for device, b := range binds {
		if b.Epoch != 0 {
			shown[device] = b.Bind
		}
	}
	x.bound.Store(&shown)
}

// Run judges and carries out orders, and hands results to the store, until ctx ends. What is in hand then is finished or, where it runs in
// a unit, judged by the next run.
func (x *Executor) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { x.keepJournal(ctx) })
	wg.Go(func() { x.report(ctx) })
	defer x.follow.end()
	defer x.works.Wait()
	tick, watch := time.NewTicker(alarmEvery), time.NewTicker(watchEvery)
	defer tick.Stop()
	defer watch.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case o := <-x.queue:
			x.decide(ctx, o)
		case <-watch.C:
			x.recallLost()
		case <-tick.C:
			x.alarms.total()
			x.sayDropped()
		}
	}
}

func (x *Executor) sayDropped() {
	x.mu.Lock()
	n := x.dropped
	x.dropped = 0
	x.mu.Unlock()
	if n > 0 {
		x.log.Warn("orders were dropped: they come faster than they can be judged", "orders", n)
	}
}

// Close closes the journal. Run must have returned.
func (x *Executor) Close() error {
	x.mu.Lock()
	j := x.j
	x.j = nil
	x.mu.Unlock()
	x.follow.end()
	if j == nil {
		return nil
	}
	return j.close()
}

func (x *Executor) count(action string, s wire.OrderState, r policy.Reason) {
	if x.o.Ended != nil {
		x.o.Ended(action, s, r)
	}
}

// stamp is now, as records carry it.
func (x *Executor) stamp() wire.Stamp { return x.o.Clock.Stamp(time.Now()) }

func describe(e *entry) string { return fmt.Sprintf("%s %v", e.cmd.Action, e.cmd.ID) }
