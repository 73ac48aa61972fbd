package order

import (
	"context"
	"errors"
	"maps"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/eventlog"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// Actions of the Event Log that are none of the matrix.
var (
	// logStrange is a request for an action that is none.
	logStrange = eventlog.Declare("order.request", eventlog.ByReaders, "action", "device")
	// logDiffers is event 841 (PERM-11).
	logDiffers = eventlog.Declare("policy.differ", eventlog.ByReaders, "order", "action", "cloud", "agent")
	// logNeverSent is an order that an agent carried out though it was never sent.
	logNeverSent = eventlog.Declare("order.never_sent", eventlog.ByReaders, "order", "action", "state")
)

// outcomes of the Event Log, by state.
var outcomes = map[wire.OrderState]string{
	Pending: eventlog.Accepted, wire.OrderAccepted: eventlog.Accepted, wire.OrderRunning: eventlog.Accepted, wire.OrderRefused: eventlog.Refused,
	wire.OrderDone: eventlog.Done, wire.OrderFailed: eventlog.Failed, wire.OrderCancelled: eventlog.Cancelled, wire.OrderExpired: eventlog.Expired,
	wire.OrderUnknown: eventlog.Unknown,
}

// entry is what the log says of an order in its present state.
func (o *Order) entry() eventlog.Entry {
	params := maps.Clone(o.Params)
	if o.Action != policy.OrderCancel {
		params["order"] = o.ID.String()
	}
	if o.Job != "" {
		params["job"] = o.Job
	}
	return eventlog.Entry{
		Device: o.Device, At: o.UpdatedAt, Actor: o.Actor.Ref, Role: o.Role, Action: string(o.Action), Params: eventlog.Allowed(string(o.Action), params),
		Outcome: outcomes[o.State], Reason: o.Reason, Request: o.Request, Decided: o.Decided,
	}
}

// logRequest logs that an order was taken.
func logRequest(ctx context.Context, tx *store.Tx, o *Order) error {
	e := o.entry()
	e.Plan = o.Plan
	return eventlog.Append(ctx, tx, e)
}

// logEnd logs the final state that the cloud gave.
func logEnd(ctx context.Context, tx *store.Tx, o *Order) error {
	e := o.entry()
	e.Own = true
	return eventlog.Append(ctx, tx, e)
}

// Refused logs a request that Create or Cancel refused (LOG-1), in a transaction of its own. Where who asked has no right on the device, it
// stands in the log of their own organisation, with what they have named and nothing else: for them there is no such device, and its
// owner's log is not theirs to fill (PERM-9).
func (b *Book) Refused(ctx context.Context, tx *store.Tx, actor cloud.Actor, r Request, refusal *cloud.Error) error {
	return b.refused(ctx, tx, actor, r, r.Device, refusal)
}

// RefusedCancel is Refused for a request that names an order alone.
func (b *Book) RefusedCancel(ctx context.Context, tx *store.Tx, actor cloud.Actor, id string, refusal *cloud.Error) error {
	r := Request{Action: policy.OrderCancel, Params: map[string]string{targetParam: cut(id, 64)}}
	var err error
	if r.Device, err = deviceOf(ctx, tx, id); err != nil {
		return err
	}
	return b.refused(ctx, tx, actor, r, "", refusal)
}

// asked are the parameters of a request that its action has: an entry of a refusal says nothing of another order or device because somebody
// wrote so (T-85).
func asked(r Request) map[string]string {
	params := maps.Clone(r.Params)
	maps.DeleteFunc(params, func(name, _ string) bool {
		return name == "device" || name == "job" || name == targetParam && r.Action != policy.OrderCancel
	})
	if r.Job != "" {
		if params == nil {
			params = map[string]string{}
		}
		params["job"] = r.Job
	}
	return params
}

// refused logs a request for r.Device. named is what the request said of it.
func (b *Book) refused(ctx context.Context, tx *store.Tx, actor cloud.Actor, r Request, named string, refusal *cloud.Error) error {
	action := string(r.Action)
	e := eventlog.Entry{
		Device: r.Device, At: b.now(), Actor: actor.Ref, Action: action, Params: eventlog.Allowed(action, asked(r)), Outcome: eventlog.Refused,
		Reason: refusal.Reason, Request: actor.Request,
	}
	if !r.Action.Command() {
		e.Action, e.Params = logStrange, map[string]string{"action": cut(action, 64)}
	}
	d, err := device.GetFor(ctx, tx, actor, r.Device)
	if err == nil {
		e.Role, err = device.Role(ctx, tx, actor, d)
	}
	if errors.Is(err, device.ErrNone) || err == nil && e.Role == policy.Nobody {
		e.Device, e.Org, e.Role, err = "", actor.Org, policy.Nobody, nil
		if e.Params == nil {
			e.Params = map[string]string{}
		}
		if named != "" {
			e.Params["device"] = cut(named, 64)
		}
	}
	if err != nil {
		return err
	}
	return eventlog.Append(ctx, tx, e)
}

// logReport logs what an agent has told, with the time of the box and that of the arrival (LOG-6).
func logReport(ctx context.Context, tx *store.Tx, o *Order, r *wire.Result, at, arrived time.Time) error {
	e := o.entry()
	e.At, e.Arrived, e.Decided = at, arrived, eventlog.ByAgent
	e.Outcome, e.Reason, e.Plan = outcomes[r.State], policy.Reason(r.Reason), policy.Plan(r.Plan)
	changed(e.Params, r)
	return eventlog.Append(ctx, tx, e)
}

// changed adds what a setting was and is, as the agent has read it back (LOG-3).
func changed(params map[string]string, r *wire.Result) {
	setting, was, is, ok := ups.ReadChange(r.Detail)
	if ok && r.Action == string(policy.ConfigureDevice) && r.State == wire.OrderDone {
		params["setting"], params["old"], params["new"] = setting, was, is
	}
}
