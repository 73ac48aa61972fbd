package metrics

import (
	"context"
	"errors"
	"flag"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"upsedge/internal/testenv"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

var update = flag.Bool("update", false, "write the golden files")

// onBattery is a unit as it looks in a power failure: one column of each kind of series.
func onBattery() Unit {
	st := ups.NewState()
	cols := []ups.Column{
		{Point: ups.StatusFlags, Divisor: 1},
		{Point: ups.Runtime, Divisor: 1},
		{Point: ups.Charge, Divisor: 512},
		{Point: ups.LoadReal, Divisor: 256},
		{Point: ups.LoadApparent, Divisor: 256},
		{Point: ups.InputVoltage, Divisor: 64},
		{Point: ups.Efficiency, Divisor: 128},
		{Point: ups.ReplaceBy, Divisor: 1},
		{Point: ups.OutletConfig, Divisor: 1},
		{Point: ups.MainOutlet, Divisor: 1},
		{Point: ups.SOG0Outlet, Divisor: 1},
		{Point: ups.BatteryTest, Divisor: 1},
		{Point: ups.OutputEnergy, Divisor: 1},
		{Point: ups.NominalPower, Divisor: 1},
		{Point: ups.Model, Divisor: 1},
		{Point: ups.SKU, Divisor: 1},
		{Point: ups.Serial, Divisor: 1},
		{Point: ups.Firmware, Divisor: 1},
	}
	st.Apply(&ups.Reading{
		Tier: ups.TierLive, At: time.Unix(1790000000, 0), Layout: &ups.Layout{Columns: cols},
		Raw: []int64{0x244, 3600, 25600, 6400, 7680, 0, -4, 9500, 3, 1, 2, 0x44, 1000, 1000, ups.Absent, ups.Absent, ups.Absent, ups.Absent},
		Text: []string{
			"", "", "", "", "", "", "", "", "", "", "", "", "", "",
			"Smart-UPS 1500", "SMT1500RM2UC", "AS1234567890", "UPS 04.1",
		},
	})
	return Unit{
		Name: "rack-a", State: st, Up: true, Status: st.Status(), Active: map[ups.AlarmID]bool{101: true},
		Raised: map[ups.AlarmID]uint64{101: 2}, Transfers: map[string]uint64{"HighInputVoltage": 2},
		OnBattery: 90 * time.Second, Energy: 999,
		Sampled: [ups.TierCount]time.Time{ups.TierLive: time.Unix(1790000000, 0)},
	}
}

func gather(t *testing.T, units ...Unit) string {
	t.Helper()
	var out strings.Builder
	for _, f := range scraped(t, registry(Sources{}, units...)) {
		if strings.HasPrefix(f.name, "ups") {
			out.WriteString(written(t, f))
		}
	}
	return out.String()
}

// scraped returns every family as a scrape writes them.
func scraped(t *testing.T, reg *Registry) []*family {
	t.Helper()
	all, err := reg.families(nil)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func written(t *testing.T, families ...*family) string {
	t.Helper()
	var out strings.Builder
	if err := write(&out, families); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func registry(src Sources, units ...Unit) *Registry {
	src.Version = "1.2.3"
	src.Units = func() []Unit { return units }
	src.Spool = func() Spool {
		return Spool{4096, []Lane{{"events", 2, time.Unix(1790000000, 0), nil}, {"samples", 7, time.Time{}, map[wire.GapReason]uint64{wire.GapQuota: 3}}}}
	}
	src.ClockTrusted = func() bool { return true }
	if src.Uplink == nil {
		src.Uplink = func() (bool, bool) { return true, false }
	}
	reg, a := New(src, []string{"rack-a"})
	a.Line("rack-a").results[0].Add(1)
	a.Lateness.WithLabelValues("watch").Observe(0.01)
	return reg
}

func TestSeriesOfAUnit(t *testing.T) {
	golden(t, "on-battery.txt", gather(t, onBattery()))
}

func TestAStaleUnitKeepsItsStateAndHasNoMeasurements(t *testing.T) {
	u := onBattery()
	u.Up = false
	u.Status |= ups.Stale | ups.CriticalUnknown
	text := gather(t, u)
	for _, want := range []string{
		`ups_up{ups="rack-a"} 0`, `ups_status{state="stale",ups="rack-a"} 1`, `ups_status{state="on_battery",ups="rack-a"} 1`,
		`ups_status{state="critical_unknown",ups="rack-a"} 1`, `ups_alarm_active{alarm="101",ups="rack-a"} 1`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("no line %s", want)
		}
	}
	for _, never := range []string{"ups_battery_charge_ratio", "ups_input_volts", "ups_outlet_group_state", "ups_self_test_result"} {
		if strings.Contains(text, never) {
			t.Errorf("a stale unit has a series %s", never)
		}
	}
}

func TestAUnitNeverReadHasNoMeasurements(t *testing.T) {
	text := gather(t, Unit{Name: "rack-a", State: ups.NewState(), Up: true, Energy: ups.Absent})
	if strings.Contains(text, "ups_battery") || strings.Contains(text, "ups_info{") {
		t.Errorf("series of a unit that was never read:\n%s", text)
	}
}

func TestEveryStateIsAlwaysPresent(t *testing.T) {
	text := gather(t, onBattery())
	for _, n := range ups.StatusNames {
		if !strings.Contains(text, `ups_status{state="`+n+`",ups="rack-a"}`) {
			t.Errorf("state %s has no series", n)
		}
	}
}

func TestSerialNumberOnlyWhenSwitchedOn(t *testing.T) {
	for _, on := range []bool{false, true} {
		text := written(t, scraped(t, registry(Sources{Serial: on}, onBattery()))...)
		if got := strings.Contains(text, "AS1234567890"); got != on {
			t.Errorf("serial_label %v: serial number in the metrics: %v", on, got)
		}
	}
}

// An agent that stands alone has no link that could be down: an alert on 0 must not fire there.
func TestTheLinkHasASeriesWhereThereIsToBeOne(t *testing.T) {
	for _, row := range []struct {
		configured, connected bool
		want                  string
	}{{false, false, ""}, {true, false, "upsagent_mqtt_connected 0\n"}, {true, true, "upsagent_mqtt_connected 1\n"}} {
		text := written(t, scraped(t, registry(Sources{Uplink: func() (bool, bool) { return row.configured, row.connected }}))...)
		if row.want == "" && strings.Contains(text, "upsagent_mqtt_connected") || !strings.Contains(text, row.want) {
			t.Errorf("%+v:\n%s", row, text)
		}
	}
}

func TestServesMetricsThatPromtoolAccepts(t *testing.T) {
	ready := errors.New("store is opening")
	s, err := Listen("127.0.0.1:0", "", registry(Sources{Serial: true}, onBattery()), func() error { return nil }, func() error { return ready })
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	if code, body := get(t, s, "/readyz"); code != 503 || !strings.Contains(body, "store is opening") {
		t.Errorf("/readyz = %d %q", code, body)
	}
	if code, body := get(t, s, "/healthz"); code != 200 {
		t.Errorf("/healthz = %d %q", code, body)
	}
	_, text := get(t, s, "/metrics")
	stop()
	if err := <-done; err != nil {
		t.Errorf("Run = %v", err)
	}
	cmd := testenv.Command(t, "promtool", "check", "metrics")
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}

func TestListenErrorsNameTheKey(t *testing.T) {
	_, err := Listen("127.0.0.1:0", filepath.Join(t.TempDir(), "none.yml"), registry(Sources{}), nil, nil)
	if err == nil || !strings.Contains(err.Error(), "metrics.web_config") {
		t.Errorf("missing web_config: %v", err)
	}
	_, err = Listen("192.0.2.1:9811", "", registry(Sources{}), nil, nil)
	if err == nil || !strings.Contains(err.Error(), "metrics.listen") {
		t.Errorf("address of another machine: %v", err)
	}
}

func get(t *testing.T, s *Server, path string) (int, string) {
	t.Helper()
	r, err := http.Get("http://" + s.Addr() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(body)
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got):\n%s", path, d)
	}
}

func TestALineThatIsNoMoreHasNoSeries(t *testing.T) {
	reg, a := New(Sources{
		Units: func() []Unit { return nil }, Spool: func() Spool { return Spool{} }, ClockTrusted: func() bool { return false },
		Uplink: func() (bool, bool) { return false, false },
	}, []string{"rack-a", "rack-b"})
	for _, line := range []string{"rack-a", "rack-b"} {
		a.Line(line).Answered(30 * time.Millisecond)
		a.Line(line).Failed("timeout")
	}
	a.Forget("rack-a")
	text := written(t, scraped(t, reg)...)
	if strings.Contains(text, "rack-a") {
		t.Errorf("series of rack-a are left:\n%s", text)
	}
	for _, want := range []string{
		`upsagent_modbus_requests_total{line="rack-b",result="ok"} 1`, `upsagent_modbus_requests_total{line="rack-b",result="timeout"} 1`,
		`upsagent_modbus_request_duration_seconds_count{line="rack-b"} 1`, `upsagent_line_busy_seconds_total{line="rack-b"} 0`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("no line %s", want)
		}
	}
}
