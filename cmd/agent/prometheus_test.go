package main

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"upsedge/internal/testenv"
)

const operators = "../../configs/prometheus/"

// TestPrometheusServerScrapesASite lets the real server scrape two agents with the shipped configurations, one of them over TLS with a password and
// found through a file, through an outage, orders and the loss of the cloud. Then no rule has an error, every query of the dashboard finds
// something, whatever rules and dashboard name is there, and an alert has reached who is told of them.
func TestPrometheusServerScrapesASite(t *testing.T) {
	t.Parallel()
	testenv.Command(t, "prometheus") // or skip
	c := newCloud(t)
	tty := filepath.Join(t.TempDir(), "tty")
	sim := simulate(t, tty, 2)
	p := newPlace(t, fmt.Sprintf("spool: {flush: 200ms}\nunits:\n  - {name: rack-a, serial: {device: %s}}\n  - {name: rack-b, tcp: {address: %q}}\n", tty, sim.addrs[1]))
	agent := p.start()
	second, unit, ca := secured(t)
	told := newTold(t)
	server := testenv.Prometheus(t, monitoring(t, agent.addr, second.addr, ca, told.addr))
	began := time.Now()

	if _, words, code := p.upsagent("enroll", "--cloud", c.url, "--token", c.token()); code != 0 {
		t.Fatalf("enroll: %s", words)
	}
	agent.showing("upsagent_mqtt_connected", "1")
	agent.showing("upsagent_clock_trusted", "1")
	for _, unit := range []string{"rack-a", "rack-b"} {
		agent.showing(`ups_up{ups="`+unit+`"}`, "1")
	}
	for _, job := range []string{"ups", "ups-fleet"} { // what is counted from now on is an increase
		find(t, server, `ups_status{state="online",job="`+job+`"} == 1`, began)
	}
	unit.SetMains(false)
	sim.say(1, "mains-fail")
	agent.showing(`ups_alarm_active{alarm="101",ups="rack-a"}`, "1")
	sim.say(1, "low-battery")
	agent.showing(`ups_alarm_active{alarm="201",ups="rack-a"}`, "1")
	for order, ends := range map[string]int{"alarm.mute": 0, "diagnostics.run test=self": 1} { // the second is refused: it is on battery
		if out, words, code := p.upsagent(append([]string{"order", "--yes", "rack-a"}, strings.Fields(order)...)...); code != ends {
			t.Errorf("%s: %d %s %s", order, code, out, words)
		}
	}
	told.await("UPSLowBattery")
	sim.say(1, "mains-return")
	agent.showing(`ups_alarm_active{alarm="101",ups="rack-a"}`, "0")
	c.end()
	agent.showing("upsagent_mqtt_connected", "0")
	p.replace("flush: 200ms", "flush: soon")
	agent.signal(syscall.SIGHUP)
	agent.await("alarm=814") // and waits, as nothing of its units does: nobody has registered them

	d := readDashboard(t)
	var table strings.Builder
	for _, q := range d.queries() {
		fmt.Fprintf(&table, "%4d  %-36s %s\n", find(t, server, q.expr, began), q.panel, q.expr)
	}
	t.Logf("series that each query of the dashboard returned:\n%s", table.String())
	exprs := checkRulesRun(t, server)
	for _, q := range d.queries() {
		exprs = append(exprs, q.expr)
	}
	_, scrape := agent.get("/metrics")
	if unknown, names := strangers(scrape, exprs); len(unknown) > 0 || names < 100 {
		t.Errorf("of %d names the agent does not have %q", names, unknown)
	}
	find(t, server, `up{job="ups"} == 1`, began)
	find(t, server, `ups_up{job="ups-fleet",site="berlin"} == 1 and on (instance) upsagent_build_info`, began)
	if log := server.Log(); strings.Contains(log, "level=error") {
		t.Errorf("the server complains:\n%s", log)
	}
	t.Logf("%v from the server's start", time.Since(began).Round(time.Second))
}

// find runs a query over the time since began until it returns a series with a number, and says how many.
func find(t *testing.T, m *testenv.Monitor, expr string, began time.Time) (series int) {
	t.Helper()
	until(t, "something found by "+expr, func() bool {
		var data struct {
			Result []struct{ Values [][2]any }
		}
		now := time.Now()
		params := url.Values{"query": {expr}, "start": {stamp(began)}, "end": {stamp(now)}, "step": {"1s"}}
		if err := m.Ask("query_range", params, &data); err != nil {
			t.Fatalf("%s: %v", expr, err)
		}
		series = 0
		for _, r := range data.Result {
			for _, v := range r.Values {
				if v[1] != "NaN" {
					series++
					break
				}
			}
		}
		return series > 0
	}, nil)
	return series
}

func stamp(at time.Time) string { return fmt.Sprintf("%.3f", float64(at.UnixMilli())/1000) }

// checkRulesRun returns the expressions of all rules that the server has, each of which it has evaluated without an error.
func checkRulesRun(t *testing.T, m *testenv.Monitor) (exprs []string) {
	t.Helper()
	var data struct {
		Groups []struct {
			Rules []struct{ Name, Query, Health, LastError string }
		}
	}
	until(t, "every rule is evaluated", func() bool {
		if err := m.Ask("rules", nil, &data); err != nil {
			t.Fatal(err)
		}
		for _, g := range data.Groups {
			for _, r := range g.Rules {
				if r.Health == "unknown" {
					return false
				}
			}
		}
		return true
	}, nil)
	for _, g := range data.Groups {
		for _, r := range g.Rules {
			if r.Health != "ok" {
				t.Errorf("%s is %s: %s", r.Name, r.Health, r.LastError)
			}
			exprs = append(exprs, r.Query)
		}
	}
	if len(exprs) < 50 {
		t.Errorf("only %d rules", len(exprs))
	}
	return exprs
}

// monitoring writes the shipped files as a server of this test needs them: other addresses, and seconds instead of minutes. It returns the
// configuration, of both shipped ones.
func monitoring(t *testing.T, agent, second, ca, alertmanager string) string {
	t.Helper()
	dir := t.TempDir()
	read := func(name string, changes ...string) string {
		b, err := os.ReadFile(operators + name)
		if err != nil {
			t.Fatal(err)
		}
		text := string(b)
		for i := 0; i < len(changes); i += 2 {
			if !strings.Contains(text, changes[i]) {
				t.Fatalf("%s has no %s", name, changes[i])
			}
			text = strings.ReplaceAll(text, changes[i], changes[i+1])
		}
		return text
	}
	one := read("prometheus.yml", "scrape_interval: 5s", "scrape_interval: 1s", "evaluation_interval: 15s", "evaluation_interval: 1s",
		"127.0.0.1:9811", agent, "127.0.0.1:9093", alertmanager)
	_, many, _ := strings.Cut(read("prometheus-fleet.yml", "job_name: ups", "job_name: ups-fleet", "ca.pem", ca), "scrape_configs:\n")
	files := map[string]string{
		"prometheus.yml": one + many, "upsedge.rules.yml": read("upsedge.rules.yml", "interval: 5m", "interval: 1s"),
		"targets/fleet.yml": read("targets/fleet.yml", "berlin-1.example:9811", second, "porto-1.example:9811", "127.0.0.1:1"), "password": "example",
	}
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "prometheus.yml")
}
