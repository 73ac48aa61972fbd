package metrics

import (
	"bufio"
	"cmp"
	"io"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

// A Registry knows every series there is.
type Registry struct {
	own   *prometheus.Registry // the agent itself, the Go runtime, the process
	lines *lines
	units *units
}

// New returns a registry with the series of the units, the lines, the agent, the Go runtime and the process, and the agent's and the
// lines' to be filled by others. names are the names of the lines: their series are there from the start.
func New(src Sources, names []string) (*Registry, *Agent) {
	a := newAgent()
	a.showOrders()
	own := prometheus.NewRegistry()
	own.MustRegister(
		a.Lateness, a.Samples, a.EncodedBytes, a.Reconnects, a.AlarmDelivery, a.Orders, a.OrdersRefused, &state{src: src},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	for _, n := range names {
		a.Line(n)
	}
	return &Registry{own: own, lines: &a.lines, units: newUnits(src)}, a
}

// families returns every family there is, by name. What is read of the units and of the agent is of this moment, what is counted
// of the lines of when it is written. Those that wanted does not want are left out; nil wants all.
func (r *Registry) families(wanted func(name string) bool) ([]*family, error) {
	gathered, err := r.own.Gather()
	if err != nil {
		return nil, err
	}
	out := append(r.lines.families(), r.units.families()...)
	for _, f := range gathered {
		out = append(out, &family{name: f.GetName(), write: func(t *text) { t.gathered(f) }})
	}
	if wanted != nil {
		out = slices.DeleteFunc(out, func(f *family) bool { return !wanted(f.name) })
	}
	slices.SortFunc(out, func(a, b *family) int { return cmp.Compare(a.name, b.name) })
	return out, nil
}

// Write writes everything there is to w, as a scrape would get it at this moment.
func (r *Registry) Write(w io.Writer) error {
	families, err := r.families(nil)
	if err != nil {
		return err
	}
	return write(w, families)
}

// gathered writes a family of client_golang.
func (t *text) gathered(f *dto.MetricFamily) {
	_, _ = expfmt.MetricFamilyToText(t.Writer, f) // an error stays in the writer; all families gathered have a series
}

// write writes families to w.
func write(w io.Writer, families []*family) error {
	t := &text{Writer: bufio.NewWriterSize(w, 16<<10)}
	for _, f := range families {
		t.add(f)
	}
	return t.Flush()
}
