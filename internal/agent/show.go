package agent

import (
	"reflect"
	"time"

	"upsedge/internal/clock"
	"upsedge/internal/config"
	"upsedge/internal/local"
	"upsedge/internal/metrics"
	"upsedge/internal/store"
	"upsedge/internal/wire"
)

// sources are what a scrape is told.
func (a *agent) sources() metrics.Sources {
	src := metrics.Sources{
		Version: a.Version, ClockTrusted: a.clock.Trusted, Spool: a.spool, Serial: a.Config.Metrics.SerialLabel,
		CertExpiry: a.link.certExpiry.Load, Uplink: a.hasLink,
		Units: func() []metrics.Unit {
			now := time.Now()
			var out []metrics.Unit
			for _, u := range a.site.all() {
				out = append(out, u.metrics(now, a.clock.Time))
			}
			return out
		},
	}
	return src
}

// hasLink tells whether there is to be a session with a broker, and whether there is.
func (a *agent) hasLink() (configured, connected bool) {
	up := a.link.up.Load()
	return up != nil && up.cfg != nil, a.connected.Load()
}

func (a *agent) spool() metrics.Spool {
	st := a.disk.stats()
	out := metrics.Spool{Bytes: st.FileBytes}
	for _, l := range wire.Lanes {
		out.Lanes = append(out.Lanes, a.lane(l, st.Lane(l)))
	}
	return out
}

func (a *agent) lane(l wire.Lane, s store.LaneStats) metrics.Lane {
	m := metrics.Lane{Name: l.String(), Records: uint64(s.Records), Dropped: s.Dropped}
	if s.Records > 0 {
		m.Oldest = a.clock.Complete(s.Oldest).Wall
	}
	return m
}

func showClock(st clock.Status) local.Clock {
	c := local.Clock{Trusted: st.State != wire.ClockUnset, State: st.State.String()}
	if st.Error > 0 {
		s := st.Error.Round(time.Millisecond).Seconds()
		c.Error = &s
	}
	return c
}

// status is what the socket and the page show.
func (a *agent) status(values bool) local.Status {
	now, st := time.Now(), a.disk.stats()
	s := local.Status{
		Version: a.Version, Agent: a.link.id(), Stream: a.disk.stream(), Started: a.started.UTC().Round(time.Second),
		Now:   now.UTC().Round(time.Second),
		Clock: showClock(a.clock.Status()), Broker: a.showBroker(), Certificate: a.link.certExpiry.Load(),
		Alarms: a.own.shown(), Units: []local.Unit{}, Disk: a.showDisk(st), Lines: a.showLines(now),
	}
	if words := a.own.failed.Load(); words != nil {
		s.Broker.Failure = *words
	}
	for _, l := range wire.Lanes {
		s.Spool = append(s.Spool, a.waiting(l, st.Lane(l), now))
	}
	for _, u := range a.site.all() {
		s.Units = append(s.Units, a.withPlan(u.local(now, values)))
	}
	s.Orders = a.showOrders()
	return s
}

// waiting is what is told of a lane.
func (a *agent) waiting(l wire.Lane, s store.LaneStats, now time.Time) local.Lane {
	out := local.Lane{Name: l.String(), Records: uint64(s.Records), Bytes: s.Bytes}
	if at := a.clock.Stamp(now); s.Records > 0 && s.Oldest.BootID == at.BootID {
		age := (at.Mono - s.Oldest.Mono).Round(time.Second).Seconds()
		out.Age = &age
	}
	for why, n := range s.Dropped {
		if why != wire.GapErasure { // what was erased on purpose, as that of nobody's unit when it gets an owner, is not lost
			out.Dropped += n
		}
	}
	return out
}

// withPlan adds what the cloud has stated of a unit's plan.
func (a *agent) withPlan(u local.Unit) local.Unit {
	b, ok := a.owners.bind(u.Serial)
	if x := a.shownOrders.Load(); ok && x != nil {
		u.Plan = &local.Plan{Plan: string(b.Plan), Until: b.ValidUntil, Ended: x.PlanEnded(b)}
	}
	return u
}

// showOrders is what is told on site of orders, nil where none can be given now.
func (a *agent) showOrders() *local.Orders {
	x := a.shownOrders.Load()
	if x == nil {
		return nil
	}
	ended, rejected := x.Local()
	cfg := x.ShownPolicy()
	out := &local.Orders{Remote: a.remote.Load(), Allow: []string{}, Hours: cfg.Hours.String(), Ended: []local.Order{}, InHand: []local.OrderStep{}}
	for _, r := range x.Unended() {
		out.InHand = append(out.InHand, showStep(r))
	}
	for _, g := range cfg.Allow {
		out.Allow = append(out.Allow, string(g))
	}
	for _, e := range ended {
		out.Ended = append(out.Ended, local.Order{
			Time: instant(e.At), Unit: e.Unit, Action: e.Action, Role: e.Role, Outcome: string(e.State), Reason: string(e.Reason), Detail: e.Detail,
		})
	}
	out.Rejected = local.Rejected{Count: rejected.Count, Reason: string(rejected.Reason), Time: instant(rejected.At)}
	return out
}

// instant is an instant in whole seconds, nil where it is not known.
func instant(at time.Time) *time.Time {
	if at.IsZero() {
		return nil
	}
	at = at.UTC().Truncate(time.Second)
	return &at
}

// restartKeys are the sections and keys that differ and are not applied while the agent runs: all but the units, orders and log.level.
func restartKeys(was, is *config.Config) (keys []string) {
	for _, k := range []struct {
		name  string
		value func(*config.Config) any
	}{
		{"state_dir", func(c *config.Config) any { return c.StateDir }},
		{"spool.max_bytes", func(c *config.Config) any { return c.Spool.MaxBytes }},
		{"spool.flush", func(c *config.Config) any { return c.Spool.Flush }},
		{"metrics", func(c *config.Config) any { return c.Metrics }},
		{"local", func(c *config.Config) any { return c.Local }},
		{"log.format", func(c *config.Config) any { return c.Log.Format }},
	} {
		if !reflect.DeepEqual(k.value(was), k.value(is)) {
			keys = append(keys, k.name)
		}
	}
	return keys
}
