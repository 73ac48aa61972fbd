package command

import (
	"context"
	"errors"
	"maps"
	"time"

	"golang.org/x/time/rate"

	"upsedge/internal/policy"
	"upsedge/internal/trust"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// A LocalOrder is one that somebody at the box gives, over its socket. No cloud has to do with it: it has no session, no nonce, no plan and no
// grant, and orders.allow and orders.hours are about orders from afar. All else holds for it as for any other (rules, section 13): the
// journal, one write, one result, orders.min_interval and orders.daily_max, one order of a device at a time, and what the unit says of its
// own state.
type LocalOrder struct {
	ID     wire.ID // drawn by who asks; one that is known is answered, and does nothing (EDGE-6)
	Device string  // serial number
	Action string
	Params map[string]string // order.cancel without its parameter is about what is in hand
}

// ErrStopped says that the executor stopped before it told how an order ended.
var ErrStopped = errors.New("the agent stopped, or changed its cloud, before the order ended")

// How many orders are taken on site: 30 at once, then one in 30 s, so that a script that has gone astray does not fill the journal, which would
// keep orders from afar out for days (20,160 in a week, of 25,000 that there is room for). What turns on or takes back always goes.
const localBurst = 30

var localEvery = rate.Every(30 * time.Second)

// OnSite carries out a local order. tell is called, by this goroutine, for each state that it takes, in their order; behind the final one
// OnSite returns nil. When ctx ends nobody watches any more, and the order goes on. The error is that of ctx, ErrStopped, or a *ups.Refusal of
// what is no order at all, of which no trace is kept.
func (x *Executor) OnSite(ctx context.Context, l LocalOrder, tell func(wire.Result)) error {
	if r := l.check(); r != nil {
		return r
	}
	news, leave := x.follow.watch(l.ID)
	defer leave()
	params := maps.Clone(l.Params)
	if params == nil {
		params = map[string]string{}
	}
	c := &trust.Command{ID: l.ID, Device: l.Device, Action: l.Action, Params: params, Actor: wire.OnSite, Role: wire.OnSite, IssuedAt: x.o.Clock.Time(time.Now())}
	select {
	case x.queue <- &Order{Command: c, local: true}:
	case <-x.follow.over:
		return ErrStopped
	case <-ctx.Done():
		return ctx.Err()
	}
	for {
		var r wire.Result
		select {
		case r = <-news: // first: what was written at the last moment is told
		default:
			select {
			case r = <-news:
			case <-x.follow.over:
				if len(news) > 0 {
					continue
				}
				return ErrStopped
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if tell(r); r.State.Final() {
			return nil
		}
	}
}

// check refuses what cannot be written down as an order.
func (l *LocalOrder) check() *ups.Refusal {
	if l.ID == (wire.ID{}) {
		return refuse(policy.Malformed, "it has no id")
	}
	if l.Device == "" || len(l.Device) > maxSerial {
		return refuse(policy.UPSUnreachable, "the unit has not said its serial number yet")
	}
	if l.Action == string(policy.OrderCancel) && len(l.Params) == 0 {
		return nil
	}
	return asked(&trust.Command{Action: l.Action, Params: l.Params})
}

// maxSerial is the longest serial number, in characters, as of commands.
const maxSerial = 64

// judgeLocal is judge for an order that was given on site. The caller holds mu.
func (x *Executor) judgeLocal(o *Order, e *entry) *ups.Refusal {
	c := o.Command
	e.local = true
	x.ownLocal(e)
	h := x.hands[c.Device]
	if _, given := c.Params[paramOrder]; !given && h != nil && c.Action == string(policy.OrderCancel) {
		c.Params[paramOrder] = h.e.cmd.ID.String()
	}
	if c.Action == string(policy.OrderCancel) && len(c.Params) == 0 {
		return refuse(policy.NotFound, "no order of this unit is in hand")
	}
	if r := asked(c); r != nil {
		return r
	}
	if ofBox(c.Action) {
		return refuse(policy.Unsupported, "on site the command for it is upsagent doctor")
	}
	if c.Action == string(policy.OrderCancel) {
		_, r := x.target(c)
		return r
	}
	if r := x.tooOften(c); r != nil {
		return r
	}
	if h != nil {
		return refuse(policy.Busy, "another order of this unit is in hand: %v", describe(h.e))
	}
	return nil
}

// ownLocal finds out whose the record of a local order is: that of the device's owner, as of now; without a cloud the broker's. Of a unit that
// nobody owns nothing is recorded outside of the journal (design, section 5).
func (x *Executor) ownLocal(e *entry) {
	if x.o.Alone {
		e.bound = true
		return
	}
	if b := x.binds[e.cmd.Device]; b != nil && b.Epoch != 0 {
		e.bound, e.cmd.Epoch = true, b.Epoch
	}
}

// flood refuses a local order that is one too many. It does not go into the journal.
func (x *Executor) flood(o *Order) *ups.Refusal {
	c := o.Command
	takesBack := c.Action == string(policy.OrderCancel) || c.Params[ups.ParamTo] == ups.ToOn || c.Params[ups.ParamTo] == ups.ToCancel || c.Params[ups.ParamDo] == ups.DoAbort
	if !o.local || takesBack || x.onSite.Allow() {
		return nil
	}
	return refuse(policy.RateLimit, "too many orders were given on site; one in 30 s is taken")
}

// private reports whether a result of the entry stays on the box.
func (e *entry) private() bool { return e.local && !e.bound }
