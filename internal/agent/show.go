package agent

import (
	"fmt"
	"reflect"
	"time"

	"upsedge/internal/config"
	"upsedge/internal/local"
	"upsedge/internal/metrics"
	"upsedge/internal/store"
	"upsedge/internal/ups"
	"upsedge/internal/ups/modbus"
	"upsedge/internal/ups/smartups"
	"upsedge/internal/wire"
)

// sources are what a scrape is told.
func (a *agent) sources() metrics.Sources {
	src := metrics.Sources{
		Version: a.Version, ClockTrusted: a.clock.Trusted, Spool: a.spool, Serial: a.Config.Metrics.SerialLabel,
		CertExpiry: a.link.certExpiry.Load,
		Units: func() []metrics.Unit {
			now := time.Now()
			var out []metrics.Unit
			for _, u := range a.site.all() {
				out = append(out, u.metrics(now, a.wall))
			}
			return out
		},
	}
	return src
}

// wall returns the wall time of t, zero while the clock is not trusted.
func (a *agent) wall(t time.Time) time.Time { return a.clock.Stamp(t).Wall }

func (a *agent) spool() metrics.Spool {
	st := a.store.Stats()
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

// status is what the socket and the page show.
func (a *agent) status(values bool) local.Status {
	now, st := time.Now(), a.store.Stats()
	s := local.Status{
		Version: a.Version, Agent: a.name, Stream: a.store.Stream().String(), Started: a.started.UTC().Round(time.Second),
		Clock:  local.Clock{Trusted: a.clock.Trusted()},
		Broker: local.Broker{Configured: a.link.session != nil, Connected: a.connected.Load()},
		Units:  []local.Unit{},
	}
	for _, l := range wire.Lanes {
		s.Spool = append(s.Spool, local.Lane{Name: l.String(), Records: uint64(st.Lane(l).Records)})
	}
	for _, u := range a.site.all() {
		s.Units = append(s.Units, u.local(now, values))
	}
	return s
}

// warnOfRates logs lines that cannot carry what is asked of them.
func (a *agent) warnOfRates(units []config.Unit) {
	for _, b := range Budgets(units) {
		if b.Load > 1 {
			a.Log.Warn("the rates do not fit the line and are stretched", "line", b.Line, "asked", fmt.Sprintf("%.0f%%", b.Load*100),
				"stretched_by", fmt.Sprintf("%.2f", b.Load))
		}
	}
}

// A Budget is what the units of a line ask of it.
type Budget struct {
	Line   string
	Units  []config.Unit
	Timing modbus.Timing
	Plan   []ups.Block // of one unit, every outlet group taken as present
	Load   float64     // share of the line's time that is asked for; above 1 it does not fit
}

// Budgets computes the load of every line from the configuration alone.
func Budgets(units []config.Unit) []Budget {
	var out []Budget
	for _, group := range lines(units) {
		b := Budget{Line: group[0].Name, Units: group, Timing: OpenLine(group[0], group[0].Name, nil, nil).Timing(group[0].UnitID)}
		b.Timing.Turnaround = assumedTurnaround(group[0])
		for _, u := range group {
			b.Plan = smartups.DefaultPlan(b.Timing, u.OverCard())
			for _, block := range b.Plan {
				if period := u.Poll[block.Tier]; period > 0 {
					b.Load += float64(block.Cost) / float64(period)
				}
			}
		}
		out = append(out, b)
	}
	return out
}

// assumedTurnaround is how long a unit is taken to think before its first reply has been measured. On the unit's own ports
// nothing is published but upper bounds; of a card replies just under 500 ms were seen (protocol reference, section 2).
func assumedTurnaround(u config.Unit) time.Duration {
	switch {
	case u.Serial != nil:
		return 10 * time.Millisecond
	case u.OverCard():
		return 500 * time.Millisecond
	}
	return 20 * time.Millisecond
}

// restartNeeded reports whether anything but the units differs.
func restartNeeded(was, is *config.Config) bool {
	a, b := *was, *is
	a.Units, b.Units = nil, nil
	return !reflect.DeepEqual(a, b)
}
