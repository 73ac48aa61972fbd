package metrics

import (
	"cmp"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// Most series of a unit are members of sets: its states, its alarms, the causes of its outages. With a thousand units they are
// some hundred thousand, and the registry sorts each family by the labels in their order. So they are sent in that order, which
// costs a pass instead of a sort, and share the parts of their labels. The label ups comes behind every other, as u is behind
// their first letters.

// A member is one series of a set: the label that tells it from the others, and its value for a unit.
type member struct {
	label *dto.LabelPair
	value func(*Unit) float64
}

// sortMembers brings the members into the order of their labels.
func sortMembers(all []member) []member {
	slices.SortFunc(all, func(a, b member) int { return cmp.Compare(a.label.GetValue(), b.label.GetValue()) })
	return all
}

func pair(name, value string) *dto.LabelPair { return &dto.LabelPair{Name: &name, Value: &value} }

// A gaugeSeries is one series of a scrape; its labels are in order.
type gaugeSeries struct {
	desc   *prometheus.Desc
	labels []*dto.LabelPair
	value  float64
	gauge  dto.Gauge
}

// Desc describes the series.
func (s *gaugeSeries) Desc() *prometheus.Desc { return s.desc }

// Write fills m, which shares the memory of s.
func (s *gaugeSeries) Write(m *dto.Metric) error {
	s.gauge.Value = &s.value
	m.Label, m.Gauge = s.labels, &s.gauge
	return nil
}

// A counterSeries is the same of a counter.
type counterSeries struct {
	desc    *prometheus.Desc
	labels  []*dto.LabelPair
	value   float64
	counter dto.Counter
}

// Desc describes the series.
func (s *counterSeries) Desc() *prometheus.Desc { return s.desc }

// Write fills m, which shares the memory of s.
func (s *counterSeries) Write(m *dto.Metric) error {
	s.counter.Value = &s.value
	m.Label, m.Counter = s.labels, &s.counter
	return nil
}
