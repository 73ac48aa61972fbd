package order

import (
	"context"
	"errors"
	"maps"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/eventlog"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
	"upsedge/internal/wire"
)

// strange takes a result of an order that was not made here: somebody gave it on site (LOG-4), or it was asked for before our database was
// lost. It happened to the device, so the device's log has it.
func (b *Book) strange(ctx context.Context, tx *store.Tx, agent string, epoch uint32, r report) error {
	if !r.State.Final() && r.State != wire.OrderAccepted {
		return nil
	}
	d, err := device.BySerial(ctx, tx, agent, r.Device, epoch)
	if err != nil || d == nil {
		return ignoreGone(err)
	}
	e := eventlog.Entry{
		Device: d.ID, At: r.at, Arrived: r.arrived, Actor: cloud.LocalRef, Role: policy.Role(r.Role), Action: r.Action,
		Params: map[string]string{"order": r.Order.String()}, Outcome: outcomes[r.State], Reason: policy.Reason(r.Reason), Request: r.Order.String(),
		Plan: policy.Plan(r.Plan), Decided: eventlog.ByAgent,
	}
	changed(e.Params, r.Result)
	if r.Actor != wire.OnSite || r.Role != wire.OnSite {
		if err := b.tell(ctx, tx, agent, NeverSent, r.Device, "order "+r.Order.String()+" is "+string(r.State)+" there, and is not known here"); err != nil {
			return err
		}
		e.Action, e.Actor, e.Params = logNeverSent, cloud.SystemRef, map[string]string{"order": r.Order.String(), "action": cut(r.Action, 64), "state": string(r.State)}
	}
	if !eventlog.Known(e.Action) {
		e.Action, e.Params = logStrange, maps.Clone(map[string]string{"action": cut(r.Action, 64)})
	}
	e.Params = eventlog.Allowed(e.Action, e.Params)
	return eventlog.Append(ctx, tx, e)
}

// ignoreGone drops the error that says there is no such device.
func ignoreGone(err error) error {
	var gone *cloud.Error
	if errors.As(err, &gone) {
		return nil
	}
	return err
}
