package agent

import (
	"context"
	"time"

	"upsedge/internal/alarm"
	"upsedge/internal/clock"
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
