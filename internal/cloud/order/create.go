package order

import (
	"context"
	"crypto/rand"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

// A Request asks for an order.
type Request struct {
	Device string // its id
	Action policy.Action
	Params map[string]string
	Reject bool   // on_offline: it is refused, and ends, where the agent is away, instead of waiting for it
	Job    string // whose turn it is: it was judged as a whole, with the second factor and the limits of its actor. "": a request by itself
}

// Created is an order that was taken, with what whoever asked should know.
type Created struct {
	*Order
	Warnings []Warning
}

// A Warning says why an order that was taken may come to nothing.
type Warning struct {
	Reason policy.Reason
	Detail string
}

// Create takes an order, which then waits for delivery, and logs it in the transaction. The error is a *cloud.Error where it is refused:
// the first reason in the order existence, role, second factor, plan, form, fresh second factor, limits, an agent that is away where the request
// does not want to wait for it (rules, section 14; D-18). The
// transaction is then given up, and Refused logs it in another one.
func (b *Book) Create(ctx context.Context, tx *store.Tx, actor cloud.Actor, r Request) (*Created, error) {
	if r.Action == policy.OrderCancel {
		return b.createCancel(ctx, tx, actor, r)
	}
	o, err := b.draft(ctx, tx, actor, r)
	if err != nil {
		return nil, err
	}
	if err := b.begin(ctx, tx, o); err != nil {
		return nil, err
	}
	if b.drops != nil && o.dropsLoad() && o.Job == "" { // of a job people were told when it was asked for
		if err := b.drops(ctx, tx, o); err != nil {
			return nil, err
		}
	}
	warnings, err := b.warnings(ctx, tx, o)
	return &Created{o, warnings}, err
}

// Check says what Create would say, and writes nothing.
func (b *Book) Check(ctx context.Context, tx *store.Tx, actor cloud.Actor, r Request) error {
	_, err := b.draft(ctx, tx, actor, r)
	return err
}

// draft judges a request and returns the order that would be made of it.
func (b *Book) draft(ctx context.Context, tx *store.Tx, actor cloud.Actor, r Request) (*Order, error) {
	now := b.now()
	d, right, err := b.may(ctx, tx, actor, r.Device, r.Action, now)
	if err != nil {
		return nil, err
	}
	params, err := checkParams(r.Action, r.Params)
	if err != nil {
		return nil, err
	}
	if r.Action.Sensitive() && r.Job == "" {
		if err := actor.StepUp(now); err != nil {
			return nil, err
		}
	}
	o := newOrder(d, actor, right, r.Action, params, now)
	o.Job, o.Reject = r.Job, r.Reject
	if err := b.limits.check(ctx, tx, o); err != nil {
		return nil, err
	}
	return o, mustBeThere(ctx, tx, o)
}

// may returns a device that the actor may order to do something now, and as what: NOT_FOUND where that is nobody, whatever the truth (ROLE-6).
func (b *Book) may(ctx context.Context, tx *store.Tx, actor cloud.Actor, id string, action policy.Action, now time.Time) (*device.Device, device.Right, error) {
	d, err := device.GetFor(ctx, tx, actor, id)
	if err != nil {
		return nil, device.Right{Role: policy.Nobody}, err
	}
	right, err := mayOrder(ctx, tx, actor, d, action, now)
	return d, right, err
}

var errNoOrder = cloud.Refuse(policy.NotFound, "there is no such order")

// mayOrder asks the matrix. An action that is no command of a unit is none that can be ordered.
func mayOrder(ctx context.Context, tx *store.Tx, actor cloud.Actor, d *device.Device, action policy.Action, now time.Time) (device.Right, error) {
	right, err := device.Judge(ctx, tx, actor, d, action, now)
	if !action.Command() && right.Role != policy.Nobody {
		return right, cloud.RefuseField(policy.UnknownAction, "action", "%q is nothing that a device can be ordered to do", cut(string(action), 40))
	}
	return right, err
}

func newOrder(d *device.Device, actor cloud.Actor, right device.Right, action policy.Action, params map[string]string, now time.Time) *Order {
	now = now.UTC().Truncate(time.Millisecond)
	o := &Order{
		Device: d.ID, Serial: d.Serial, Epoch: d.Epoch, Agent: d.Agent, Org: d.Org, Action: action, Params: params, Actor: actor, Role: right.Role, Plan: right.Plan, Grant: d.GrantVersion,
		Request: actor.Request, RequestedAt: now, ExpiresAt: now.Add(Life(action)), State: Pending, Decided: ByCloud, UpdatedAt: now,
	}
	_, _ = rand.Read(o.ID[:]) // it does not fail: the program ends instead
	o.due = o.ExpiresAt
	return o
}

// begin writes a new order down, with its event and its entry in the log, and has it delivered behind the commit.
func (b *Book) begin(ctx context.Context, tx *store.Tx, o *Order) error {
	if err := o.insert(ctx, tx); err != nil {
		return err
	}
	if err := b.record(ctx, tx, o, o.event("")); err != nil {
		return err
	}
	tx.After(b.wake)
	return logRequest(ctx, tx, o)
}

// event is what the present state of an order is in its history.
func (o *Order) event(kind string) Event {
	return Event{At: o.UpdatedAt, Arrived: o.UpdatedAt, State: o.State, Reason: o.Reason, Progress: o.Progress, Detail: o.Detail, Decided: o.Decided, Kind: kind}
}

// warnings are told beside an order that was taken: the site decides itself, and it may be away.
func (b *Book) warnings(ctx context.Context, tx *store.Tx, o *Order) (out []Warning, err error) {
	all, err := b.site(ctx, tx, o)
	for _, w := range all {
		out = append(out, Warning{w.Reason, w.Detail})
	}
	return out, err
}
