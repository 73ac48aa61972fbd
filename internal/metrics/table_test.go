package metrics

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"upsedge/internal/ups"
)

// everything is a unit that has a value of every point, and two outlet groups.
func everything() Unit {
	var r ups.Reading
	layout := &ups.Layout{}
	for _, p := range ups.Points() {
		layout.Columns = append(layout.Columns, ups.Column{Point: p, Divisor: 1})
		raw := int64(1)
		if p == ups.OutletConfig {
			raw = 3
		}
		r.Raw, r.Text = append(r.Raw, raw), append(r.Text, "text")
	}
	r.Layout = layout
	st := ups.NewState()
	st.Apply(&r)
	return Unit{Name: "rack-a", State: st, Up: true, Sampled: [ups.TierCount]time.Time{time.Unix(1790000000, 0)}}
}

// A row is what the table says of a family.
type row struct {
	kind, help string
	labels     []string
}

// families returns the agent's own series by name.
func families(t *testing.T) map[string]row {
	t.Helper()
	expiry := time.Unix(1790000000, 0)
	reg := registry(Sources{CertExpiry: func() *time.Time { return &expiry }}, everything())
	out := map[string]row{}
	for _, f := range scraped(t, reg) {
		if !strings.HasPrefix(f.name, "ups") {
			continue
		}
		parser := expfmt.NewTextParser(model.LegacyValidation)
		parsed, err := parser.TextToMetricFamilies(strings.NewReader(written(t, f)))
		if err != nil {
			t.Fatalf("%s: %v", f.name, err)
		}
		got := parsed[f.name]
		if got == nil {
			t.Errorf("%s has no series here: the table would leave it out", f.name)
			continue
		}
		r := row{kind: strings.ToLower(got.GetType().String()), help: got.GetHelp()}
		for _, l := range got.GetMetric()[0].GetLabel() {
			r.labels = append(r.labels, l.GetName())
		}
		out[f.name] = r
	}
	for _, name := range described(reg.own) {
		if _, ok := out[name]; !ok && strings.HasPrefix(name, "ups") {
			t.Errorf("%s is described and has no series here: the table would leave it out", name)
		}
	}
	return out
}

var nameOf = regexp.MustCompile(`fqName: "([^"]*)"`)

func described(c prometheus.Collector) []string {
	descs, done := make(chan *prometheus.Desc), make(chan []string)
	go func() {
		var out []string
		for d := range descs {
			out = append(out, nameOf.FindStringSubmatch(d.String())[1])
		}
		done <- out
	}()
	c.Describe(descs)
	close(descs)
	return <-done
}

const (
	page  = "../../docs/integrate.md"
	begin = "<!-- the series: go test ./internal/metrics -update -->\n"
	end   = "<!-- end of the series -->\n"
)

func TestThePageListsEverySeriesAsItIs(t *testing.T) {
	var table strings.Builder
	table.WriteString("| name | type | labels | |\n| --- | --- | --- | --- |\n")
	all := families(t)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		f := all[name]
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s |\n", name, f.kind, strings.Join(f.labels, ", "), strings.TrimSuffix(f.help, "."))
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	old, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table, between %q and %q", page, begin, end)
	}
	if *update {
		if err := os.WriteFile(page, []byte(before+begin+table.String()+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(old, table.String()); d != "" {
		t.Errorf("%s (-page +series; go test ./internal/metrics -update writes it):\n%s", page, d)
	}
}

// The names of the contract (design, section 10).
var contract = strings.Fields(`
	ups_info ups_up ups_last_sample_timestamp_seconds ups_status ups_alarm_active ups_alarm_info ups_alarms_total
	ups_battery_charge_ratio ups_battery_runtime_seconds ups_battery_volts ups_battery_temperature_celsius
	ups_battery_replace_by_timestamp_seconds ups_input_volts ups_output_volts ups_output_amperes ups_output_frequency_hertz
	ups_output_load_ratio ups_output_energy_joules_total ups_efficiency_ratio ups_nominal_power_watts
	ups_nominal_apparent_power_voltamperes ups_transfers_total ups_on_battery_seconds_total ups_outlet_group_state
	ups_self_test_result upsagent_build_info upsagent_modbus_requests_total upsagent_modbus_request_duration_seconds
	upsagent_line_busy_seconds_total upsagent_poll_lateness_seconds upsagent_samples_total upsagent_encoded_bytes_total
	upsagent_spool_bytes upsagent_spool_records upsagent_spool_oldest_timestamp_seconds upsagent_spool_dropped_total
	upsagent_mqtt_connected upsagent_mqtt_reconnects_total upsagent_orders_total upsagent_orders_refused_total upsagent_alarm_delivery_seconds upsagent_clock_trusted
	upsagent_certificate_expiry_timestamp_seconds`)

func TestHasTheNamesOfTheContractAndNoOther(t *testing.T) {
	got := slices.Sorted(maps.Keys(families(t)))
	if d := cmp.Diff(slices.Sorted(slices.Values(contract)), got); d != "" {
		t.Errorf("names (-contract +series):\n%s", d)
	}
}
