package metrics

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"upsedge/internal/ups"
)

// A Unit is what a scrape is told of one unit. It is a copy: nobody changes it.
type Unit struct {
	Name      string
	State     *ups.State
	Up        bool       // false: stale, its measurements have no series
	Status    ups.Status // with low battery, stale and critical-unknown
	Active    map[ups.AlarmID]bool
	Raised    map[ups.AlarmID]uint64 // raises and moments since the start
	Transfers map[string]uint64      // to battery since the start, by cause
	OnBattery time.Duration          // since the start
	Energy    int64                  // Wh, decreases of the register filtered out; ups.Absent if there is none
	Sampled   [ups.TierCount]time.Time
}

// units collects the series of all units.
type units struct {
	src     Sources
	info    *prometheus.Desc
	up      *prometheus.Desc
	sampled *prometheus.Desc
	status  *prometheus.Desc
	active  *prometheus.Desc
	raised  *prometheus.Desc
	moved   *prometheus.Desc
	battery *prometheus.Desc
	outlet  *prometheus.Desc
	test    *prometheus.Desc
	points  map[ups.Point]*prometheus.Desc
}

func newUnits(src Sources) *units {
	infoLabels := []string{"ups", "model", "sku", "firmware"}
	if src.Serial {
		infoLabels = append(infoLabels, "serial")
	}
	u := &units{
		src:     src,
		info:    desc("ups_info", "Who the unit is.", infoLabels...),
		up:      desc("ups_up", "1 while the unit is read; 0 when it is stale.", "ups"),
		sampled: desc("ups_last_sample_timestamp_seconds", "When the tier was last read.", "ups", "tier"),
		status:  desc("ups_status", "State of the unit; several states can hold at once.", "ups", "state"),
		active:  desc("ups_alarm_active", "1 while the alarm of the event catalogue is active.", "ups", "alarm"),
		raised:  desc("ups_alarms_total", "Raises of alarms and events since the agent started.", "ups", "alarm"),
		moved:   desc("ups_transfers_total", "Transfers to battery since the agent started, tests left out, by cause.", "ups", "cause"),
		battery: desc("ups_on_battery_seconds_total", "Time on battery since the agent started.", "ups"),
		outlet:  desc("ups_outlet_group_state", "State of an outlet group.", "ups", "group", "state"),
		test:    desc("ups_self_test_result", "Result of the last self-test, or that one is running.", "ups", "result"),
		points:  map[ups.Point]*prometheus.Desc{},
	}
	for _, p := range ups.Points() {
		if m := p.Info().Metric; m.Name != "" {
			u.points[p] = pointDesc(m)
		}
	}
	return u
}

// pointDesc describes the series of a point. Points that share a name differ in the value of one
// label and share the help text of the first.
func pointDesc(m ups.Metric) *prometheus.Desc {
	labels := []string{"ups"}
	if m.Label != "" {
		labels = append(labels, m.Label)
	}
	for _, p := range ups.Points() {
		if first := p.Info(); first.Metric.Name == m.Name {
			return desc(m.Name, "From the unit: "+first.Help+".", labels...)
		}
	}
	panic("metric of no point: " + m.Name)
}

// Describe lists the series.
func (u *units) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{u.info, u.up, u.sampled, u.status, u.active, u.raised, u.moved, u.battery, u.outlet, u.test} {
		ch <- d
	}
	for _, d := range u.points {
		ch <- d
	}
}

// Collect sends the series of one scrape.
func (u *units) Collect(ch chan<- prometheus.Metric) {
	for _, x := range u.src.Units() {
		u.always(ch, &x)
		if x.Up {
			u.measurements(ch, &x)
		}
	}
}

// always sends what is known of a unit whether it answers or not.
func (u *units) always(ch chan<- prometheus.Metric, x *Unit) {
	ch <- gauge(u.up, bit(x.Up), x.Name)
	for i, n := range ups.StatusNames {
		ch <- gauge(u.status, bit(x.Status&(1<<i) != 0), x.Name, n)
	}
	for _, a := range ups.Alarms {
		if !a.Moment {
			ch <- gauge(u.active, bit(x.Active[a.ID]), x.Name, alarmLabel(a.ID))
		}
		ch <- total(u.raised, float64(x.Raised[a.ID]), x.Name, alarmLabel(a.ID))
	}
	for cause, n := range x.Transfers {
		ch <- total(u.moved, float64(n), x.Name, cause)
	}
	ch <- total(u.battery, x.OnBattery.Seconds(), x.Name)
	for tier, at := range x.Sampled {
		if !at.IsZero() {
			ch <- gauge(u.sampled, seconds(at), x.Name, ups.Tier(tier).String())
		}
	}
	if id := x.State.Identity(); id.SKU != "" || id.Model != "" {
		labels := []string{x.Name, id.Model, id.SKU, id.Firmware}
		if u.src.Serial {
			labels = append(labels, id.Serial)
		}
		ch <- gauge(u.info, 1, labels...)
	}
}

func (u *units) measurements(ch chan<- prometheus.Metric, x *Unit) {
	for p, d := range u.points {
		m := p.Info().Metric
		v, ok := x.State.Value(p)
		if p == ups.OutputEnergy {
			v, ok = float64(x.Energy), x.Energy != ups.Absent
		}
		if !ok {
			continue
		}
		labels := []string{x.Name}
		if m.Label != "" {
			labels = append(labels, m.Value)
		}
		if m.Counter {
			ch <- total(d, v*m.Scale, labels...)
		} else {
			ch <- gauge(d, v*m.Scale, labels...)
		}
	}
	for _, g := range x.State.Groups() {
		if _, ok := x.State.Raw(g.Outlet()); !ok {
			continue
		}
		o := x.State.Flags(g.Outlet())
		ch <- gauge(u.outlet, bit(o&ups.OStateOn != 0), x.Name, g.String(), "on")
		ch <- gauge(u.outlet, bit(o&ups.OStateOff != 0), x.Name, g.String(), "off")
	}
	if _, ok := x.State.Raw(ups.BatteryTest); ok {
		t := x.State.Flags(ups.BatteryTest)
		for _, r := range testResults {
			ch <- gauge(u.test, bit(t&r.bit != 0), x.Name, r.name)
		}
	}
}

// testResults are the results of a self-test (protocol reference, section 6.8).
var testResults = []struct {
	bit  uint32
	name string
}{
	{ups.TPending, "pending"},
	{ups.TInProgress, "in_progress"},
	{ups.TPassed, "passed"},
	{ups.TFailed, "failed"},
	{ups.TRefused, "refused"},
	{ups.TAborted, "aborted"},
}

func alarmLabel(id ups.AlarmID) string { return strconv.Itoa(int(id)) }
