package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"upsedge/internal/command"
	"upsedge/internal/config"
	"upsedge/internal/policy"
	"upsedge/internal/store"
	"upsedge/internal/trust"
	"upsedge/internal/uplink"
	"upsedge/internal/ups"
	"upsedge/internal/ups/smartups"
	"upsedge/internal/wire"
)

// openOrders makes the executor of orders: of those that are given on site, and where the agent has a cloud of those from afar.
// before is the one whose place it takes, closed; nil at the start.
func (a *agent) openOrders(ctx context.Context, before *command.Executor) (err error) {
	up := a.link.up.Load()
	a.owners.ask(nil)
	a.shownOrders.Store(nil)
	a.orders = nil
	a.remote.Store(up.cfg != nil && trust.Enrolled(a.Config.StateDir))
	a.orders, err = command.Open(ctx, command.Options{
		Dir: a.ordersDir(up), From: a.journals(), Before: before, Policy: ordersPolicy(a.current.Load().Orders), Clock: a.clock, Find: a.site.target, Sink: resultSink{a.disk},
		Alone: !a.remote.Load(), Dropped: a.site.notify,
		Alarm: a.tellAlarm, Log: a.Log, Box: a.box,
		Ended: func(action string, s wire.OrderState, r policy.Reason) { a.series.OrderEnded(action, s, string(r)) },
	})
	if err != nil {
		return err
	}
	if a.remote.Load() { // what was said before a restart holds until it is said anew
		a.owners.ask(a.orders.Binds)
	}
	a.shownOrders.Store(a.orders)
	return nil
}

// ordersFill returns how many orders the journal knows, and from how many on it refuses others; 0: there is none.
func (a *agent) ordersFill() (known, most int64) {
	if x := a.shownOrders.Load(); x != nil {
		return x.Fill()
	}
	return 0, 0
}

// reopenOrders closes the journal of one upstream and opens that of the next, of another cloud or not. Nothing of either works meanwhile.
func (a *agent) reopenOrders(ctx context.Context, another bool) error {
	if err := a.closeOrders(); err != nil {
		a.Log.Error("the journal of orders does not close well", "err", err)
	}
	if another {
		if err := command.Forget(ctx, command.Options{Dir: a.Config.StateDir, Clock: a.clock, Log: a.Log}); err != nil {
			a.Log.Error("what the cloud before ordered cannot be forgotten", "err", err)
		}
	}
	return a.openOrders(ctx, a.orders)
}

// closeOrders closes the journal.
func (a *agent) closeOrders() error {
	if a.orders == nil {
		return nil
	}
	return a.orders.Close()
}

// allowed are the groups of orders that are obeyed now. Whoever speaks to the cloud asks while the configuration changes.
func (a *agent) allowed() []string { return a.current.Load().Orders.Allow }

// orderRules are what the full state says of the rules of the site, nil where no cloud asks.
func (a *agent) orderRules() *wire.OrderRules {
	x := a.shownOrders.Load()
	if x == nil || !a.remote.Load() {
		return nil
	}
	p := x.ShownPolicy()
	_, zone := time.Now().Zone()
	return &wire.OrderRules{Hours: p.Hours.String(), Zone: time.Duration(zone) * time.Second, MinInterval: p.MinInterval, DailyMax: uint32(max(p.DailyMax, 0))}
}

// drops is what the full state says of how soon the load of a unit may be dropped again.
func (a *agent) drops(serial string) *wire.Drops {
	x := a.shownOrders.Load()
	if x == nil {
		return nil
	}
	l, known := x.Limit(serial)
	if !known {
		return nil
	}
	return &wire.Drops{Wait: l.Wait, Left: uint32(l.Left)}
}

// ordersPolicy is what the configuration allows. It was checked when it was read.
func ordersPolicy(c config.Orders) command.Policy {
	p := command.Policy{MinInterval: c.MinInterval, DailyMax: c.DailyMax}
	p.Hours, _ = policy.ParseHours(c.Hours)
	for _, g := range c.Allow {
		p.Allow = append(p.Allow, policy.Group(g))
	}
	return p
}

// tellAlarm records an event of the executor: of the unit that reports the device, or the agent's own.
func (a *agent) tellAlarm(e ups.Event) {
	out := outcome{}
	if u := a.site.reporting(e.Device); u != nil && !u.belongs().Local {
		e.Unit, out.owner = u.cfg.Name, u.belongs()
	} else {
		e.Device = "" // nobody's, or whoever sent it chose the text
	}
	out.events = []ups.Event{e}
	a.site.recorder.add(e.Unit, out)
}

// newOrder returns what judges the messages of the topic orders, nil where the agent has no cloud.
func (a *agent) newOrder(stateDir string) func(context.Context, uplink.Order) (bool, error) {
	root, err := trust.LoadRoot(stateDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		a.Log.Error("nothing from the cloud can be verified", "err", err)
		return func(context.Context, uplink.Order) (bool, error) { return false, err }
	}
	verifier := trust.New(a.link.id(), root, trust.InState(stateDir))
	return func(_ context.Context, o uplink.Order) (bool, error) {
		if trust.Purpose(o.JWS) != trust.ForCommand {
			return a.stated(verifier, o)
		}
		c, err := verifier.Command(o.JWS)
		if err != nil {
			if r := (*trust.Refusal)(nil); errors.As(err, &r) && a.remote.Load() {
				a.orders.Rejected(r)
			}
			return false, fmt.Errorf("command: %w", err)
		}
		if !a.remote.Load() { // enrolled since the start
			return false, errors.New("command: orders are obeyed after the next start")
		}
		a.orders.Accept(command.Order{Command: c, Session: o.Session, Announced: o.Announced})
		return false, nil
	}
}

// stated takes a statement: the time, and what it says of devices.
func (a *agent) stated(v *trust.Verifier, o uplink.Order) (bool, error) {
	var at time.Time
	s, err := v.Statement(o.JWS, func(nonce wire.ID) (age time.Duration, ok bool) {
		at, ok = o.Announced(nonce)
		return a.clock.Mono(o.Came) - a.clock.Mono(at), ok // asleep or awake
	})
	if err != nil {
		if r := (*trust.Refusal)(nil); errors.As(err, &r) && a.remote.Load() {
			a.orders.Rejected(r)
		}
		return false, fmt.Errorf("statement: %w", err)
	}
	if s.Age <= trust.ClockAge {
		a.clock.Told(s.Time, at, o.Came)
	}
	if !a.remote.Load() {
		return true, nil
	}
	if _, err := a.orders.Apply(o.Session, s, o.Came); err != nil {
		// It counts as a statement all the same: nothing is obeyed without a journal, and monitoring does not wait for it.
		a.Log.Error("what the cloud says of units cannot be kept", "err", err)
	}
	a.site.rebind()
	return true, nil
}

// resultSink puts results of orders into the store.
type resultSink struct{ disk *disk }

// Put is for command.Sink.
func (s resultSink) Put(ctx context.Context, journal wire.ID, results []command.Outgoing) error {
	var out []store.Result
	for _, r := range results {
		payload, err := wire.EncodeResult(r.Result)
		if err != nil {
			return err
		}
		o := store.Result{Number: r.Number, Unit: r.Unit, Epoch: r.Epoch, Stamp: r.Stamp, Payload: payload}
		for _, e := range command.EventsOf(r.Result) {
			e.Unit = r.Unit
			o.Events = append(o.Events, e)
		}
		out = append(out, o)
	}
	return s.disk.PutResults(ctx, journal, out)
}

// target returns the unit that reports a serial number, for orders.
func (s *site) target(serial string) (command.Target, bool) {
	u := s.reporting(serial)
	if u == nil || u.control == nil {
		return command.Target{}, false
	}
	return command.Target{Name: u.cfg.Name, Unit: seat{u.control, serial, s, u}}, true
}

// reporting returns the unit that reports a serial number, nil if none does.
func (s *site) reporting(serial string) *unit {
	for _, u := range s.all() {
		u.mu.Lock()
		is := u.state.Text(ups.Serial)
		u.mu.Unlock()
		if serial != "" && is == serial {
			return u
		}
	}
	return nil
}

// A seat carries out orders for one unit, and not for another one that was put in its place since it was looked for.
type seat struct {
	*smartups.Control
	serial string
	site   *site
	unit   *unit
}

func (p seat) is() error {
	if p.Serial() != p.serial {
		return &ups.Refusal{Reason: ups.ReasonUnreachable, Detail: "the unit is not connected"}
	}
	return nil
}

// Check is for command.Unit.
func (p seat) Check(ctx context.Context, c ups.Command) ([]byte, error) {
	if err := p.is(); err != nil {
		return nil, err
	}
	if err := p.site.lasts(p.unit.cfg.Name, c); err != nil {
		return nil, err
	}
	return p.Control.Check(ctx, c)
}

// Execute is for command.Unit.
func (p seat) Execute(ctx context.Context, c ups.Command, before []byte, progress func(int, string)) ups.Outcome {
	if err := p.is(); err != nil {
		return ups.Outcome{State: ups.Refused, Reason: ups.ReasonUnreachable, Detail: "the unit is not connected"}
	}
	return p.configuring(c, func() ups.Outcome { return p.Control.Execute(ctx, c, before, progress) })
}

// Judge is for command.Unit.
func (p seat) Judge(ctx context.Context, c ups.Command, before []byte) ups.Outcome {
	if err := p.is(); err != nil {
		return ups.Outcome{State: ups.Unknown, Reason: ups.ReasonUnreachable, Detail: "the unit is not connected"}
	}
	return p.configuring(c, func() ups.Outcome { return p.Control.Judge(ctx, c, before) })
}

// Witnessed is for command.Witness. That the box was off says something of outlets that it hangs on, and of no others.
func (p seat) Witnessed(c ups.Command, progress int, rebooted bool) {
	p.Control.Witnessed(c, progress, rebooted && p.site.hangs(p.unit.cfg.Name, c))
}

// Cancel is for command.Canceller.
func (p seat) Cancel(ctx context.Context, c ups.Command) error {
	if err := p.is(); err != nil {
		return err
	}
	return p.Control.Cancel(ctx, c)
}
