package agent

import (
	"net"
	"net/http"
	"time"

	"upsedge/internal/config"
	"upsedge/internal/local"
	"upsedge/internal/metrics"
	"upsedge/internal/store"
	"upsedge/internal/ups"
)

// What the status page shows beyond what the agent keeps for its work: since when, how often, the last failure, the plots.

// A failed read: of a line's units the latest is the line's last failure.
type failed struct {
	err error
	at  time.Time
}

// powers are the states of which one is said "since when".
const powers = ups.Online | ups.OnBattery | ups.Bypass | ups.OutputOff

// A pace is how often the tiers of a unit are read: counts, and what they were when they were last looked at. As watch counts every
// read of the status word.
type pace struct {
	count, was [ups.TierCount]uint32
	at         time.Time // of was
	hertz      [ups.TierCount]float32
	measured   bool
}

// note takes over what the page wants of a reading that state has taken. It allocates nothing. The caller holds mu.
func (u *unit) note(r *ups.Reading) {
	u.pace.count[r.Tier]++
	if r.Tier == ups.TierStatus {
		u.pace.count[ups.TierWatch]++
	}
	if r.Tier > ups.TierLive {
		return
	}
	u.history.Note(r.At, u.state, r.Tier == ups.TierLive)
	if on := u.state.Status() & powers; on != 0 && on != u.power && r.Tier != ups.TierLive {
		u.turned = u.power != 0
		u.power, u.powered = on, r.At
	}
}

// measure finds out how often the unit was read since it was last called.
func (u *unit) measure(now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	p := &u.pace
	if since := now.Sub(p.at).Seconds(); !p.at.IsZero() && since > 0 {
		for t := range p.count {
			p.hertz[t] = float32(float64(p.count[t]-p.was[t]) / since)
		}
		p.measured = true
	}
	p.was, p.at = p.count, now
}

// seldom is the period from which a rate is not measured: ten seconds say nothing about it.
const seldom = 10 * time.Second

// show adds what the page shows of a unit. The caller holds mu.
func (u *unit) show(out *local.Unit, now time.Time) {
	if !u.powered.IsZero() && u.power != 0 {
		since := max(now.Sub(u.powered).Seconds(), 0)
		out.Since, out.AtLeast = &since, !u.turned
	}
	value := func(p ups.Point) *float64 {
		if v, ok := u.state.Value(p); ok {
			return &v
		}
		return nil
	}
	out.Now = local.Now{
		Runtime: value(ups.Runtime), Charge: value(ups.Charge), Load: value(ups.LoadReal), Temperature: value(ups.BatteryTemperature),
		InputVoltage: value(ups.InputVoltage), OutputVoltage: value(ups.OutputVoltage), OutputHertz: value(ups.OutputFrequency),
		NominalWatts: value(ups.NominalPower), NominalVA: value(ups.NominalApparentPower),
	}
	for t, period := range u.cfg.Poll {
		if period == 0 {
			continue
		}
		r := local.Rate{Tier: ups.Tier(t).String(), Wanted: 1 / period.Seconds()}
		if u.pace.measured && period < seldom {
			hertz := float64(u.pace.hertz[t])
			r.Real = &hertz
		}
		out.Rates = append(out.Rates, r)
	}
}

// shownUnit is one unit with its values and its plots; false where there is none of that name.
func (a *agent) shownUnit(name string) (out local.Unit, spans []local.Span, ok bool) {
	now := time.Now()
	for _, u := range a.site.all() {
		if u.cfg.Name != name {
			continue
		}
		out = a.withPlan(u.local(now, true))
		u.mu.Lock()
		copied := *u.history
		u.mu.Unlock()
		return out, copied.Spans(now), true
	}
	return out, nil, false
}

// ways is how the page is reached.
func (a *agent) ways(cfg config.Local) local.Ways {
	w := local.Ways{Address: cfg.Listen, Socket: cfg.Socket, Names: cfg.Names}
	if cfg.WebConfig != "" {
		w.Serve = func(l net.Listener, s *http.Server) error { return metrics.ServeWeb(l, s, cfg.WebConfig) }
	}
	return w
}

// linked takes note of the beginning and the end of a session with the broker.
func (a *agent) linked(on bool) {
	if a.connected.Swap(on) != on {
		a.turned.Store(time.Now().UnixNano())
	}
}

func (a *agent) showBroker() local.Broker {
	up := a.link.up.Load()
	if up.cfg == nil {
		return local.Broker{}
	}
	out := local.Broker{Configured: true, Connected: a.connected.Load(), Address: up.cfg.Broker, Cloud: a.owners.cloud()}
	since := a.started
	if at := a.turned.Load(); at != 0 {
		since = time.Unix(0, at)
	}
	out.Since = instant(since)
	return out
}

func (a *agent) showDisk(st store.Stats) local.Disk {
	out := local.Disk{Bytes: st.FileBytes, Used: st.Used, Limit: st.Limit}
	if now := a.disk.state(); now.Err != nil {
		out.Error, out.Since = now.Err.Error(), instant(now.Since)
	}
	return out
}

// showLines is what the lines at work have to bear.
func (a *agent) showLines(now time.Time) []local.Line {
	out := []local.Line{}
	for _, r := range a.site.list() {
		b := r.line.budget()
		l := local.Line{
			Name: r.line.name, Units: len(r.units), Load: b.Load, Gap: b.Timing.Gap.Seconds(), Turnaround: b.Timing.Turnaround.Seconds(),
			Requests: a.series.Line(r.line.name).Requests(),
		}
		l.Kind, l.Where = kindOf(r.units[0].cfg)
		var last failed
		for _, u := range r.units {
			u.mu.Lock()
			if u.failed.at.After(last.at) {
				last = u.failed
			}
			u.mu.Unlock()
		}
		if last.err != nil {
			age := max(now.Sub(last.at).Seconds(), 0)
			l.Failure, l.Failed = last.err.Error(), &age
		}
		out = append(out, l)
	}
	return out
}

// kindOf says on what a unit is, and where that is.
func kindOf(u config.Unit) (kind, where string) {
	switch {
	case u.Serial != nil:
		return "serial", u.Serial.Device
	case u.OverCard():
		return "card", u.TCP.Address
	}
	return "tcp", u.TCP.Address
}
