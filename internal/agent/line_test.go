package agent

import (
	"slices"
	"strings"
	"testing"
	"time"

	"upsedge/internal/config"
	"upsedge/internal/metrics"
	"upsedge/internal/ups"
	"upsedge/internal/ups/modbus"
)

func TestLinesGroupsUnitsOfOnePortOrAddress(t *testing.T) {
	units := []config.Unit{
		serialUnit("a", "/dev/ttyUSB0", 1), tcpUnit("b", "192.0.2.1:502", 1), serialUnit("c", "/dev/ttyUSB0", 2),
		tcpUnit("d", "192.0.2.1:503", 1), tcpUnit("e", "192.0.2.1:502", 2),
	}
	var got string
	for _, l := range lines(units) {
		for _, u := range l {
			got += u.Name
		}
		got += " "
	}
	if want := "ac be d "; got != want {
		t.Errorf("lines %q, want %q", got, want)
	}
	if l := lines(nil); l != nil {
		t.Errorf("lines of nothing: %v", l)
	}
}

func TestBudgetsAddUpWhatTheUnitsOfALineAsk(t *testing.T) {
	one := Budgets([]config.Unit{serialUnit("a", "/dev/ttyUSB0", 1)})[0]
	two := Budgets([]config.Unit{serialUnit("a", "/dev/ttyUSB0", 1), serialUnit("b", "/dev/ttyUSB0", 2)})
	if len(two) != 1 || two[0].Line != "a" || len(two[0].Units) != 2 {
		t.Fatalf("budgets %+v, want one line a with two units", two)
	}
	if off := two[0].Load - 2*one.Load; max(off, -off) > 1e-9 {
		t.Errorf("the load of two units is %v, of one %v", two[0].Load, one.Load)
	}
	// 0/3 four times, 0/27, which is a watch, too, once and 128/43 twice a second: 65, 115 and 148 ms on a 9600 baud line.
	if one.Load < 0.66 || one.Load > 0.68 {
		t.Errorf("the default rates ask for %v of a serial line", one.Load)
	}
	off := serialUnit("a", "/dev/ttyUSB0", 1)
	off.Poll = [ups.TierCount]time.Duration{}
	if b := Budgets([]config.Unit{off})[0]; b.Load != 0 || len(b.Plan) == 0 {
		t.Errorf("with every tier off the load is %v, the plan has %d reads", b.Load, len(b.Plan))
	}
	if b := Budgets([]config.Unit{tcpUnit("a", "192.0.2.1:502", 1)})[0]; b.Load >= one.Load {
		t.Errorf("a unit's own port is loaded with %v, a serial line with %v", b.Load, one.Load)
	}
}

func TestOnlyChangesBesideTheUnitsNeedARestart(t *testing.T) {
	parse := func(text string) *config.Config {
		t.Helper()
		c, err := config.Parse("test", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	const base = "units: [{name: a, tcp: {address: 192.0.2.1}}]\n"
	for text, want := range map[string]string{
		base:        "",
		"units: []": "",
		"units: [{name: a, tcp: {address: 192.0.2.1}, poll: {live: 1s}}]": "",
		base + "spool: {flush: 10s}":                                      "", // the default
		base + "spool: {flush: 11s}":                                      "spool.flush",
		base + "spool: {max_bytes: 8MiB}":                                 "spool.max_bytes",
		base + "uplink: {broker: 'tls://cloud.example:8883'}":             "",
		base + "metrics: {listen: ''}":                                    "metrics",
		base + "local: {listen: ''}":                                      "local",
		base + "orders: {allow: [reboot]}\nstate_dir: /elsewhere":         "state_dir",
		base + "log: {level: debug}":                                      "",
		base + "log: {format: json}":                                      "log.format",
	} {
		if got := strings.Join(restartKeys(parse(base), parse(text)), " "); got != want {
			t.Errorf("a restart is needed for %q, want %q, of\n%s", got, want, text)
		}
	}
}

func TestEveryResultOfARequestIsALabel(t *testing.T) {
	results := []modbus.Result{modbus.ResultOK, modbus.ResultTimeout, modbus.ResultFrame, modbus.ResultException, modbus.ResultLink}
	if len(results) != len(metrics.Results) {
		t.Errorf("%d results and %d labels", len(results), len(metrics.Results))
	}
	for _, r := range results {
		if !slices.Contains(metrics.Results[:], string(r)) {
			t.Errorf("result %s has no label", r)
		}
	}
}
