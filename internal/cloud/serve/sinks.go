package serve

import (
	"context"
	"time"

	"upsedge/internal/cloud/authority"
	"upsedge/internal/cloud/history"
	"upsedge/internal/cloud/ingest"
	"upsedge/internal/cloud/job"
	"upsedge/internal/cloud/notify"
	"upsedge/internal/cloud/order"
	"upsedge/internal/cloud/store"
	"upsedge/internal/trust"
	"upsedge/internal/wire"
)

// sinks says who is told of what agents publish, in the order in which they rest on each other: who owns what, then what was said of it,
// then who is told of it, then what was ordered.
func (s *Server) sinks() ingest.Sinks {
	return ingest.Sinks{
		Keep: s.devices.Keep,
		Event: func(ctx context.Context, tx *store.Tx, agent string, at ingest.Stored, e *wire.PublishedEvent) error {
			if err := history.TakeEvent(ctx, tx, agent, at, e); err != nil {
				return err
			}
			if err := s.notify.Event(ctx, tx, agent, at, e); err != nil {
				return err
			}
			return s.orders.Result(ctx, tx, agent, at, e)
		},
		State: func(ctx context.Context, tx *store.Tx, agent string, full *wire.FullState, at time.Time) error {
			if err := s.devices.State(ctx, tx, agent, full, at); err != nil {
				return err
			}
			if err := history.TakeState(ctx, tx, agent, full, at); err != nil {
				return err
			}
			return s.orders.State(ctx, tx, agent, full, at)
		},
		Session: s.orders.Session,
		Presence: func(ctx context.Context, tx *store.Tx, agent string, online bool, at time.Time) error {
			if err := s.notify.Presence(ctx, tx, agent, online, at); err != nil { // asks what was known before
				return err
			}
			if err := s.devices.Presence(ctx, tx, agent, online, at); err != nil {
				return err
			}
			return s.orders.Presence(ctx, tx, agent, online, at)
		},
	}
}

// tellOrdered has people told of an order that can switch off what they rely on.
func (s *Server) tellOrdered(ctx context.Context, tx *store.Tx, o *order.Order) error {
	return s.notify.Ordered(ctx, tx, notify.Ordered{Devices: []string{o.Device}, Actor: o.Actor, Action: o.Action, Params: o.Params, At: o.RequestedAt, Expires: o.ExpiresAt})
}

// tellJob has people told of a job that can.
func (s *Server) tellJob(ctx context.Context, tx *store.Tx, j *job.Job, devices []string) error {
	return s.notify.Ordered(ctx, tx, notify.Ordered{Devices: devices, Actor: j.Actor, Action: j.Action, Params: j.Params, At: j.RequestedAt, Expires: j.StartUntil})
}

// A signer has the authority sign what package order has judged.
type signer struct{ *authority.Authority }

func (s signer) Command(_ context.Context, _ *store.Tx, c trust.Command) (string, error) {
	b, err := s.SignCommand(c)
	return string(b), err
}

func (s signer) Statement(_ context.Context, _ *store.Tx, agent string, nonce wire.ID, st trust.Statement) (string, error) {
	b, err := s.SignStatement(agent, nonce, st)
	return string(b), err
}
