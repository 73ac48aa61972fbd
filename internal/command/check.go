package command

import (
	"fmt"
	"time"

	"upsedge/internal/policy"
	"upsedge/internal/trust"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// An Order is a command that package trust has verified, as it came.
type Order struct {
	Command *trust.Command
	Session uint64 // that it came on
	// Announced returns when a nonce was announced on that session, before it left, with the monotonic clock. ok is false for every
	// nonce that is not alive.
	Announced func(nonce wire.ID) (at time.Time, ok bool)

	local bool // given on site: it has none of these, see LocalOrder
}

func refuse(r policy.Reason, format string, args ...any) *ups.Refusal {
	return &ups.Refusal{Reason: string(r), Detail: fmt.Sprintf(format, args...)}
}

// judge makes the checks between "id known" and "safety", in their order (design, section 7). What e gets to know of the order on
// the way stays in it, refused or not. The caller holds mu.
func (x *Executor) judge(o *Order, e *entry) *ups.Refusal {
	if o.local {
		return x.judgeLocal(o, e)
	}
	if r := asked(o.Command); r != nil {
		return r
	}
	b, r := x.boundTo(o, e)
	if r != nil {
		return r
	}
	if r := x.fresh(o); r != nil {
		return r
	}
	if c := o.Command.Counter; c <= x.counter {
		return refuse(policy.OutOfOrder, "its counter is %d, %d was seen before", c, x.counter)
	}
	x.counter, e.counted = o.Command.Counter, o.Command.Counter
	x.differs(b, o.Command)
	if r := x.mayStill(b, o, e); r != nil {
		return r
	}
	if o.Command.Action == string(policy.OrderCancel) {
		return nil
	}
	if r := x.tooOften(o.Command); r != nil {
		return r
	}
	if x.hands[o.Command.Device] != nil {
		return refuse(policy.Busy, "another order of this device is in hand")
	}
	return nil
}

// again makes those checks once more whose answer may have changed since (PERM-10). The caller holds mu.
func (x *Executor) again(o *Order, e *entry) *ups.Refusal {
	if o.local {
		return nil
	}
	b, r := x.boundTo(o, e)
	if r != nil {
		return r
	}
	if r := x.fresh(o); r != nil {
		return r
	}
	return x.mayStill(b, o, e)
}

// asked checks what is asked for: the last of what an order says that can be malformed.
func asked(c *trust.Command) *ups.Refusal {
	a, known := actions[policy.Action(c.Action)]
	if !known {
		return refuse(policy.UnknownAction, "no action of this name passes through the agent")
	}
	if a.params != nil {
		if err := a.params(c.Params); err != nil {
			return refuse(policy.Malformed, "%v", err)
		}
	}
	return nil
}

// boundTo checks that the device is the cloud's to order about: bound under this epoch, by a statement of this session (EDGE-3, EDGE-5).
func (x *Executor) boundTo(o *Order, e *entry) (*bind, *ups.Refusal) {
	c := o.Command
	b := x.binds[c.Device]
	switch {
	case b == nil || b.Epoch == 0:
		return nil, refuse(policy.NotBound, "the device is bound to nobody")
	case b.Epoch != c.Epoch:
		return nil, refuse(policy.NotBound, "it is of epoch %d", c.Epoch)
	case x.session != o.Session:
		return nil, refuse(policy.NotBound, "no statement has come in this session yet")
	case !x.named[c.Device]:
		return nil, refuse(policy.NotBound, "no statement of this session has named the device")
	}
	e.bound = true
	return b, nil
}

// fresh checks the age of the order (EDGE-4). A journal that began after the nonce was announced may have forgotten that it was used.
func (x *Executor) fresh(o *Order) *ups.Refusal {
	at, ok := o.Announced(o.Command.Nonce)
	if !ok {
		return refuse(policy.Expired, "it is for another session")
	}
	if x.j != nil && at.Before(x.j.born) {
		return refuse(policy.Expired, "it is older than the journal")
	}
	age := x.o.Clock.Mono(time.Now()) - x.o.Clock.Mono(at)
	if age < 0 || age > o.Command.MaxAge {
		return refuse(policy.Expired, "it is %v old, and was to be at most %v", age.Round(time.Second), o.Command.MaxAge)
	}
	return nil
}

// mayStill checks grant, role, second factor, plan and what the site allows.
func (x *Executor) mayStill(b *bind, o *Order, e *entry) *ups.Refusal {
	c := o.Command
	if b.stale(c.Actor, c.GrantVersion) {
		return refuse(policy.GrantStale, "grant version %d of the actor has ended", c.GrantVersion)
	}
	if c.GrantVersion > b.GrantVersion { // EDGE-10: nothing that was stated says that there is such a grant
		return refuse(policy.GrantStale, "grant version %d was not stated yet, %d was", c.GrantVersion, b.GrantVersion)
	}
	now := time.Now()
	e.plan = policy.Lesser(x.planOf(b, now), policy.Plan(c.Plan))
	group := policy.Action(c.Action).Group()
	if d := policy.Decide(policy.Action(c.Action), policy.Role(c.Role), e.plan, c.MFA); !d.Allowed {
		return refuse(d.Reason, "role %s on plan %s", c.Role, e.plan)
	}
	if c.Action == string(policy.OrderCancel) {
		target, r := x.target(c)
		if r != nil {
			return r
		}
		group = policy.Action(target.Action).Group()
	}
	if detail := x.policy.refusal(group, x.o.Clock.Time(now)); detail != "" {
		return refuse(policy.LocalPolicy, "%s", detail)
	}
	return nil
}

// planOf is the plan of a bind that is in force now (PLAN-9).
func (x *Executor) planOf(b *bind, now time.Time) policy.Plan {
	return b.plan(x.o.Clock.Time(now), x.signed(now))
}

// differs reports what the cloud signed and no race explains (PERM-11). The stricter decision holds in any case.
//
// By its own word the matrix does not allow it: role, plan and second factor stand in the command, and time changes none of them. Or it
// claims a higher plan than was stated with the very grant version it carries: each change of a plan has a version of its own, and
// without one a plan only falls. A plan or grant that was lost, or gained, since the last statement has another version, and is told by
// the result alone.
func (x *Executor) differs(b *bind, c *trust.Command) {
	own := policy.Decide(policy.Action(c.Action), policy.Role(c.Role), policy.Plan(c.Plan), c.MFA)
	switch {
	case !own.Allowed:
		x.security(841, c.Device, fmt.Sprintf("the cloud signed %s for %s on plan %s; here it is %s", c.Action, c.Role, c.Plan, own.Reason))
	case c.GrantVersion == b.GrantVersion && policy.Lesser(policy.Plan(c.Plan), b.Plan) != policy.Plan(c.Plan):
		x.security(841, c.Device, fmt.Sprintf("the cloud signed %s on plan %s, and stated %s with grant version %d", c.Action, c.Plan, b.Plan, c.GrantVersion))
	}
}

// signed is the time now by the last statement, zero without one in this session.
func (x *Executor) signed(now time.Time) time.Time {
	if x.told.IsZero() {
		return time.Time{}
	}
	return x.told.Add(x.o.Clock.Mono(now) - x.toldAt)
}

// tooOften checks the limits of orders that drop the load (T-07): they hold over restarts, in time the agent has run.
func (x *Executor) tooOften(c *trust.Command) *ups.Refusal {
	if !limited(c) {
		return nil
	}
	today, last, err := x.j.drops(c.Device)
	switch {
	case err != nil:
		return refuse(policy.LocalPolicy, "the journal of orders cannot be read")
	case last >= 0 && last < x.policy.MinInterval:
		return refuse(policy.RateLimit, "the last one was %v ago, orders.min_interval is %v", last.Round(time.Second), x.policy.MinInterval)
	case today >= x.policy.DailyMax:
		return refuse(policy.RateLimit, "%d in 24 hours, orders.daily_max is %d", today, x.policy.DailyMax)
	}
	return nil
}

// target returns the order that order.cancel is about: of the same device, and one's own but for the owner and for who is on site.
func (x *Executor) target(c *trust.Command) (*trust.Command, *ups.Refusal) {
	id, err := orderToCancel(c.Params)
	if err != nil {
		return nil, refuse(policy.Malformed, "%v", err)
	}
	h := x.hands[c.Device]
	if h == nil || h.e.cmd.ID != id {
		return nil, refuse(policy.NotFound, "no such order of this device is in hand")
	}
	if t := h.e.cmd; t.Actor == c.Actor || c.Role == string(policy.Owner) || c.Role == wire.OnSite {
		return t, nil
	}
	return nil, refuse(policy.OwnerOnly, "it is the order of somebody else")
}
