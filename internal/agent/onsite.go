package agent

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"upsedge/internal/command"
	"upsedge/internal/local"
	"upsedge/internal/policy"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// order carries out what somebody on site orders. It is for local.Sources.
func (a *agent) order(ctx context.Context, r local.OrderRequest, step func(local.OrderStep)) error {
	l := command.LocalOrder{Action: r.Action, Params: r.Params}
	if err := l.ID.UnmarshalText([]byte(r.ID)); err != nil {
		return &local.WrongOrder{Reason: string(policy.Malformed), Detail: "its id is not 32 hexadecimal digits"}
	}
	u := a.site.unit(r.Unit)
	if u == nil {
		return &local.WrongOrder{Reason: string(policy.NotFound), Detail: fmt.Sprintf("no unit %.40q; there are: %s", r.Unit, strings.Join(a.named(), ", "))}
	}
	u.mu.Lock()
	l.Device = u.state.Text(ups.Serial)
	u.mu.Unlock()
	x := a.shownOrders.Load()
	if x == nil {
		return command.ErrStopped // between two clouds
	}
	err := x.OnSite(ctx, l, func(res wire.Result) { step(showStep(res)) })
	if no := (*ups.Refusal)(nil); errors.As(err, &no) {
		return &local.WrongOrder{Reason: no.Reason, Detail: no.Detail}
	}
	return err
}

func showStep(r wire.Result) local.OrderStep {
	return local.OrderStep{
		Order: r.Order.String(), Unit: r.Unit, Action: r.Action, State: string(r.State), Final: r.State.Final(), Reason: r.Reason, Progress: r.Progress, Detail: r.Detail,
	}
}

// unit returns the unit of a name, nil if there is none.
func (s *site) unit(name string) *unit {
	for _, u := range s.all() {
		if u.cfg.Name == name {
			return u
		}
	}
	return nil
}
