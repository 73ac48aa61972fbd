package metrics

import (
	"sort"
	"strings"
	"time"

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

// units are the series of all units.
type units struct {
	src  Sources
	sets []set
}

// A set is a family of units: its members, each of which has a series of every unit that has a value of it.
type set struct {
	name, help string
	kind       string
	members    []member
}

// A member is the series of a set that one value of its label, or of none, makes: a state, an alarm, a point. It is a series
// for each unit.
type member struct {
	label string // `state="online",` as it stands before the label ups, which comes behind every other as u does; may be ""
	value func(*Unit) (v float64, ok bool)
}

// A shown is a unit in a scrape.
type shown struct {
	Unit
	label string
}

func newUnits(src Sources) *units {
	u := &units{src: src}
	u.sets = append(alwaysSets(), alarmSets()...)
	u.sets = append(u.sets, outletSet(), testSet())
	u.sets = append(u.sets, pointSets()...)
	for _, s := range u.sets {
		sort.Slice(s.members, func(i, j int) bool { return s.members[i].label < s.members[j].label })
	}
	return u
}

// families returns the families of the units as they are now.
func (u *units) families() []*family {
	var all []shown
	if u.src.Units != nil {
		for _, x := range u.src.Units() {
			all = append(all, shown{x, label("ups", x.Name)})
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Name < all[j].Name }) // slices.SortFunc is compiled anew for each type (ADR 20)
	const help = "Who the unit is, always 1; with metrics.serial_label a label serial as well."
	out := []*family{{"ups_info", help, "gauge", func(t *text) { u.info(t, all) }}}
	for _, s := range u.sets {
		out = append(out, &family{s.name, s.help, s.kind, func(t *text) { s.write(t, all) }})
	}
	return out
}

func (s *set) write(t *text, all []shown) {
	for _, m := range s.members {
		for i := range all {
			if v, ok := m.value(&all[i].Unit); ok {
				t.sample("", m.label, all[i].label, v)
			}
		}
	}
}

func (u *units) info(t *text, all []shown) {
	for i := range all {
		id := all[i].State.Identity()
		if id.SKU == "" && id.Model == "" {
			continue
		}
		labels := label("firmware", id.Firmware) + "," + label("model", id.Model) + ","
		if u.src.Serial {
			labels += label("serial", id.Serial) + ","
		}
		t.sample("", labels+label("sku", id.SKU)+",", all[i].label, 1)
	}
}

// alwaysSets are what is known of a unit whether it answers or not.
func alwaysSets() []set {
	up := set{name: "ups_up", help: "1 while the unit is read, 0 when it is stale.", kind: "gauge"}
	up.members = []member{{"", func(x *Unit) (float64, bool) { return bit(x.Up), true }}}
	battery := set{name: "ups_on_battery_seconds_total", help: "Time on battery since the agent started.", kind: "counter"}
	battery.members = []member{{"", func(x *Unit) (float64, bool) { return x.OnBattery.Seconds(), true }}}
	sampled := set{name: "ups_last_sample_timestamp_seconds", help: "When the tier was last read; only while the clock is trusted.", kind: "gauge"}
	for t := range ups.TierCount {
		sampled.add("tier", ups.Tier(t).String(), func(x *Unit) (float64, bool) { return seconds(x.Sampled[t]), !x.Sampled[t].IsZero() })
	}
	status := set{name: "ups_status", help: "State of the unit, 1 or 0; several can hold at once. Last known while stale.", kind: "gauge"}
	for i, n := range ups.StatusNames {
		status.add("state", n, func(x *Unit) (float64, bool) { return bit(x.Status&(1<<i) != 0), true })
	}
	moved := set{name: "ups_transfers_total", help: "Outages since the agent started, tests left out, by what the unit gave as cause.", kind: "counter"}
	for _, c := range causes {
		moved.add("cause", c, func(x *Unit) (float64, bool) { return float64(x.Transfers[c]), true })
	}
	return []set{up, battery, sampled, status, moved}
}

func (s *set) add(name, value string, of func(*Unit) (float64, bool)) {
	s.members = append(s.members, member{label(name, value) + ",", of})
}

func alarmSets() []set {
	active := set{name: "ups_alarm_active", help: "1 while the alarm of the event catalogue is active (601–611: of any outlet group), else 0.", kind: "gauge"}
	raised := set{name: "ups_alarms_total", help: "Raises of alarms and events since the agent started.", kind: "counter"}
	for _, a := range ups.Alarms {
		if !a.Moment {
			active.add("alarm", alarmLabel(a.ID), func(x *Unit) (float64, bool) { return bit(x.Active[a.ID]), true })
		}
		raised.add("alarm", alarmLabel(a.ID), func(x *Unit) (float64, bool) { return float64(x.Raised[a.ID]), true })
	}
	return []set{active, raised}
}

func outletSet() set {
	s := set{name: "ups_outlet_group_state", help: "State of an outlet group that the unit has, 1 or 0; several can hold at once.", kind: "gauge"}
	for i, g := range ups.Groups {
		exists := uint32(1) << i
		for _, o := range ups.OutletStates {
			s.members = append(s.members, member{
				label("group", g.String()) + "," + label("state", o.Name) + ",",
				func(x *Unit) (float64, bool) {
					return bit(x.State.Flags(g.Outlet())&o.Bit != 0), x.Up && x.State.Flags(ups.OutletConfig)&exists != 0 && has(x.State, g.Outlet())
				},
			})
		}
	}
	return s
}

func testSet() set {
	s := set{name: "ups_self_test_result", help: "Result of the last self-test, or that one is running, 1 or 0. Stays until the next test.", kind: "gauge"}
	for _, r := range testResults {
		s.add("result", r.name, func(x *Unit) (float64, bool) {
			return bit(x.State.Flags(ups.BatteryTest)&r.bit != 0), x.Up && has(x.State, ups.BatteryTest)
		})
	}
	return s
}

func has(st *ups.State, p ups.Point) bool {
	_, ok := st.Raw(p)
	return ok
}

// pointSets are the measurements. Points that share a name differ in the value of one label.
func pointSets() (out []set) {
	at := map[string]int{}
	for _, p := range ups.Points() {
		m := p.Info().Metric
		if m.Name == "" {
			continue
		}
		i, known := at[m.Name]
		if !known {
			i = len(out)
			at[m.Name] = i
			out = append(out, set{name: m.Name, help: pointHelp(p), kind: "gauge"})
			if m.Counter {
				out[i].kind = "counter"
			}
		}
		var pair string
		if m.Label != "" {
			pair = label(m.Label, m.Value) + ","
		}
		out[i].members = append(out[i].members, member{pair, measurement(p, m.Scale)})
	}
	return out
}

// measurement returns what tells the value of a point of a unit that answers, in the unit of its metric.
func measurement(p ups.Point, scale float64) func(*Unit) (float64, bool) {
	return func(x *Unit) (float64, bool) {
		v, ok := x.State.Value(p)
		if p == ups.OutputEnergy {
			v, ok = float64(x.Energy), x.Energy != ups.Absent
		}
		return v * scale, ok && x.Up
	}
}

func pointHelp(p ups.Point) string {
	info := p.Info()
	if help := helpOf[info.Metric.Name]; help != "" {
		return help
	}
	return strings.ToUpper(info.Help[:1]) + info.Help[1:] + "."
}

// helpOf is the help text of series that are not quite what the unit's register is, and of those that several points share.
var helpOf = map[string]string{
	"ups_output_load_ratio":          "Load of the output, as part of the rating; above 1 in overload.",
	"ups_output_energy_joules_total": "Energy delivered, by the unit's own counter; never falls while the agent runs.",
	"ups_efficiency_ratio":           "Efficiency; no series while the unit gives a reason instead (on battery, charging).",
}
