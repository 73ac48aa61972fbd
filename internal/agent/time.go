package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"upsedge/internal/alarm"
	"upsedge/internal/clock"
	"upsedge/internal/trust"
	"upsedge/internal/uplink"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// followTime watches the wall clock until ctx ends. What is news of it goes into the log, to the alarms, and with a new full state
// to the receiver, who places with it what was stamped before.
func (a *agent) followTime(ctx context.Context) error {
	return a.clock.Watch(ctx, func(n clock.Change) {
		st := a.clock.Status()
		switch {
		case n.Step != 0:
			a.Log.Warn("the wall clock was set", "by", n.Step, "state", n.State.String())
		case n.Off != 0:
			a.Log.Warn("the wall clock was wrong", "by", n.Off, "state", n.State.String())
		default:
			a.Log.Info("wall clock", "state", n.State.String(), "error", st.Error)
		}
		off, synced := n.Step, n.State == wire.ClockSynced
		if n.Off != 0 {
			off = n.Off
		}
		a.own.tell(func(s *alarm.Self, now time.Time) []ups.Event { return s.Clock(now, off, synced) })
		a.site.notify()
	})
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
		var at time.Time
		s, err := verifier.Statement(o.JWS, func(nonce wire.ID) (age time.Duration, ok bool) {
			at, ok = o.Announced(nonce)
			return a.clock.Mono(o.Came) - a.clock.Mono(at), ok // asleep or awake
		})
		if err != nil {
			return false, fmt.Errorf("statement: %w", err)
		}
		if s.Age <= trust.ClockAge {
			a.clock.Told(s.Time, at, o.Came)
		}
		if n := len(s.Entries); n > 0 {
			a.Log.Warn("the cloud orders to bind or erase units, which this version does not do", "entries", n)
		}
		return true, nil
	}
}
