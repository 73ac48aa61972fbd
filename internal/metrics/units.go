package metrics

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

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

	states, alarms, raises, causes, results []member // by label
	outlets                                 map[ups.Group][]member
}

func newUnits(src Sources) *units {
	infoLabels := []string{"ups", "model", "sku", "firmware"}
	if src.Serial {
		infoLabels = append(infoLabels, "serial")
	}
	u := &units{
		src:     src,
		info:    desc("ups_info", "Who the unit is, always 1; with metrics.serial_label a label serial as well.", infoLabels...),
		up:      desc("ups_up", "1 while the unit is read, 0 when it is stale.", "ups"),
		sampled: desc("ups_last_sample_timestamp_seconds", "When the tier was last read; only while the clock is trusted.", "ups", "tier"),
		status:  desc("ups_status", "State of the unit, 1 or 0; several can hold at once. Last known while stale.", "ups", "state"),
		active:  desc("ups_alarm_active", "1 while the alarm of the event catalogue is active (601–611: of any outlet group), else 0.", "ups", "alarm"),
		raised:  desc("ups_alarms_total", "Raises of alarms and events since the agent started.", "ups", "alarm"),
		moved:   desc("ups_transfers_total", "Outages since the agent started, tests left out, by what the unit gave as cause.", "ups", "cause"),
		battery: desc("ups_on_battery_seconds_total", "Time on battery since the agent started.", "ups"),
		outlet:  desc("ups_outlet_group_state", "State of an outlet group that the unit has, 1 or 0; several can hold at once.", "ups", "group", "state"),
		test:    desc("ups_self_test_result", "Result of the last self-test, or that one is running, 1 or 0. Stays until the next test.", "ups", "result"),
		points:  map[ups.Point]*prometheus.Desc{},
	}
	for _, p := range ups.Points() {
		if m := p.Info().Metric; m.Name != "" {
			u.points[p] = pointDesc(m)
		}
	}
	u.makeSets()
	return u
}

// pointDesc describes the series of a point. Points that share a name differ in the value of one label.
func pointDesc(m ups.Metric) *prometheus.Desc {
	labels := []string{"ups"}
	if m.Label != "" {
		labels = append(labels, m.Label)
	}
	if help := helpOf[m.Name]; help != "" {
		return desc(m.Name, help, labels...)
	}
	for _, p := range ups.Points() {
		if first := p.Info(); first.Metric.Name == m.Name {
			return desc(m.Name, strings.ToUpper(first.Help[:1])+first.Help[1:]+".", labels...)
		}
	}
	panic("metric of no point: " + m.Name)
}

// helpOf is the help text of series that are not quite what the unit's register is, and of those that several points share.
var helpOf = map[string]string{
	"ups_output_load_ratio":          "Load of the output, as part of the rating; above 1 in overload.",
	"ups_output_energy_joules_total": "Energy delivered, by the unit's own counter; never falls while the agent runs.",
	"ups_efficiency_ratio":           "Efficiency; no series while the unit gives a reason instead (on battery, charging).",
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
	all := slices.Clone(u.src.Units())
	slices.SortFunc(all, func(a, b Unit) int { return cmp.Compare(a.Name, b.Name) })
	names := make([]*dto.LabelPair, len(all))
	for i := range all {
		names[i] = pair("ups", all[i].Name)
		u.always(ch, &all[i])
		if all[i].Up {
			u.measurements(ch, &all[i])
		}
	}
	u.sets(ch, all, names)
}

// sets sends the series of all units that are members of a set, in the order of their labels.
func (u *units) sets(ch chan<- prometheus.Metric, all []Unit, names []*dto.LabelPair) {
	gauges := func(d *prometheus.Desc, set []member, has func(*Unit) bool, more ...*dto.LabelPair) {
		for _, m := range set {
			for i := range all {
				if has(&all[i]) {
					ch <- &gaugeSeries{desc: d, labels: append(slices.Clip(more), m.label, names[i]), value: m.value(&all[i])}
				}
			}
		}
	}
	gauges(u.status, u.states, func(*Unit) bool { return true })
	gauges(u.active, u.alarms, func(*Unit) bool { return true })
	gauges(u.test, u.results, func(x *Unit) bool { return x.Up && has(x.State, ups.BatteryTest) })
	for _, g := range ups.Groups {
		gauges(u.outlet, u.outlets[g], func(x *Unit) bool {
			return x.Up && slices.Contains(x.State.Groups(), g) && has(x.State, g.Outlet())
		}, pair("group", g.String()))
	}
	for d, set := range map[*prometheus.Desc][]member{u.raised: u.raises, u.moved: u.causes} {
		for _, m := range set {
			for i := range all {
				ch <- &counterSeries{desc: d, labels: []*dto.LabelPair{m.label, names[i]}, value: m.value(&all[i])}
			}
		}
	}
}

func has(st *ups.State, p ups.Point) bool {
	_, ok := st.Raw(p)
	return ok
}

// makeSets makes the members of every set.
func (u *units) makeSets() {
	for i, n := range ups.StatusNames {
		u.states = append(u.states, member{pair("state", n), func(x *Unit) float64 { return bit(x.Status&(1<<i) != 0) }})
	}
	for _, a := range ups.Alarms {
		label := pair("alarm", alarmLabel(a.ID))
		if !a.Moment {
			u.alarms = append(u.alarms, member{label, func(x *Unit) float64 { return bit(x.Active[a.ID]) }})
		}
		u.raises = append(u.raises, member{label, func(x *Unit) float64 { return float64(x.Raised[a.ID]) }})
	}
	for _, c := range causes {
		u.causes = append(u.causes, member{pair("cause", c), func(x *Unit) float64 { return float64(x.Transfers[c]) }})
	}
	for _, r := range testResults {
		u.results = append(u.results, member{pair("result", r.name), func(x *Unit) float64 { return bit(x.State.Flags(ups.BatteryTest)&r.bit != 0) }})
	}
	u.outlets = map[ups.Group][]member{}
	for _, g := range ups.Groups {
		for _, s := range ups.OutletStates {
			u.outlets[g] = append(u.outlets[g], member{pair("state", s.Name), func(x *Unit) float64 { return bit(x.State.Flags(g.Outlet())&s.Bit != 0) }})
		}
		sortMembers(u.outlets[g])
	}
	for _, set := range [][]member{u.states, u.alarms, u.raises, u.causes, u.results} {
		sortMembers(set)
	}
}

// always sends what is known of a unit whether it answers or not.
func (u *units) always(ch chan<- prometheus.Metric, x *Unit) {
	ch <- gauge(u.up, bit(x.Up), x.Name)
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
}
