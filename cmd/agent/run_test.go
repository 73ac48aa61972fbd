package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"upsedge/internal/testenv"
	"upsedge/internal/ups"
	"upsedge/internal/ups/upssim"
	"upsedge/internal/wire"
)

// TestReadingsReachMQTTAndPrometheus follows what two units say to the broker and to /metrics, through a failure of the mains.
// The units' clocks stand still but for steps, so that every value that comes has to be one of four pictures of the registers.
func TestReadingsReachMQTTAndPrometheus(t *testing.T) {
	t.Parallel()
	broker := testenv.Mosquitto(t, keepAll)
	cloud := collect(t, broker, "cloud")
	clock := newStanding()
	a := upssim.New(upssim.Options{Seed: 1, Name: "Rack A", Serial: "AS2130000001", Now: clock.now})
	b := upssim.New(upssim.Options{Seed: 2, Name: "Rack B", Serial: "AS2130000002", Load: 0.5, Now: clock.now})
	tty := filepath.Join(t.TempDir(), "tty")
	plug(t, tty, one(a))
	p := newPlace(t, fmt.Sprintf(`
spool: {flush: 300ms}
units:
  - {name: rack-a, serial: {device: %s}}
  - {name: rack-b, tcp: {address: "%s"}}
uplink: {broker: "tcp://%s", insecure: true, agent_id: box-7}
`, tty, listen(t, one(b)), broker.Addr))
	pictures := map[string][]picture{"rack-a": {take(a)}, "rack-b": {take(b)}}
	snap := func() {
		pictures["rack-a"] = append(pictures["rack-a"], take(a))
		pictures["rack-b"] = append(pictures["rack-b"], take(b))
	}

	agent := p.start()
	agent.showing(`ups_status{state="online",ups="rack-a"}`, "1")
	agent.showing(`ups_up{ups="rack-a"}`, "1")
	agent.showing(`ups_up{ups="rack-b"}`, "1")
	agent.showing("upsagent_mqtt_connected", "1")
	for _, path := range []string{"/healthz", "/readyz"} {
		if status, body := agent.get(path); status != 200 || body != "ok\n" {
			t.Errorf("%s answers %d %q", path, status, body)
		}
	}
	checkMeasurements(t, agent, a, "rack-a")
	checkMeasurements(t, agent, b, "rack-b")
	promtool(t, agent)
	until(t, "20 readings of each unit", func() bool {
		h := cloud.history()
		return len(h.rows("rack-a")) >= 20 && len(h.rows("rack-b")) >= 20
	}, nil)
	retained(t, broker, "a full state", func(s *wire.State) bool { return s.Full != nil && len(s.Full.Units) == 2 })

	a.SetMains(false)
	snap()
	agent.showing(`ups_status{state="on_battery",ups="rack-a"}`, "1")
	agent.showing(`ups_alarm_active{alarm="101",ups="rack-a"}`, "1")
	agent.showing(`ups_status{state="on_battery",ups="rack-b"}`, "0")
	a.SetMains(true)
	snap()
	clock.advance(5 * time.Second) // the unit believes good mains after 3 s
	snap()
	agent.showing(`ups_status{state="online",ups="rack-a"}`, "1")
	agent.showing(`ups_alarm_active{alarm="101",ups="rack-a"}`, "0")
	agent.showing(`ups_alarms_total{alarm="102",ups="rack-a"}`, "1")
	promtool(t, agent)
	if code := agent.stop(); code != 0 {
		t.Errorf("exit code %d after SIGTERM, want 0", code)
	}

	until(t, "the offline state", func() bool {
		m := cloud.messages(wire.TopicState)
		return len(m) > 0 && strings.Contains(string(m[len(m)-1].payload), `"online":false`)
	}, nil)
	retained(t, broker, "the offline state", func(s *wire.State) bool { return !s.Online })
	h := cloud.history()
	h.unbroken(t)
	if got, want := h.alarms("rack-a"), []string{"raise 101", "clear 101", "event 102"}; !slices.Equal(got, want) {
		t.Errorf("events of rack-a: %v, want %v", got, want)
	}
	if got := h.alarms("rack-b"); len(got) > 0 {
		t.Errorf("events of rack-b, whose mains were there: %v", got)
	}
	for unit, all := range pictures {
		checkRows(t, unit, h.rows(unit), all)
	}
	checkStates(t, cloud.messages(wire.TopicState))

	// What the stop stored is there at the next start, and nothing is said to be missing.
	last := lastRow(h)
	agent = p.start()
	agent.showing(`ups_up{ups="rack-a"}`, "1")
	until(t, "every record delivered", func() bool {
		return agent.series(`upsagent_spool_records{lane="samples"}`) == "0" && lastRow(cloud.history()) > last
	}, nil)
	h = cloud.history()
	h.unbroken(t)
	if g := append(h.gaps("rack-a"), h.gaps("rack-b")...); len(g) > 0 {
		t.Errorf("gaps after a clean stop: %+v", g)
	}
	if code := agent.stop(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}

func lastRow(h *history) (last time.Duration) {
	for _, unit := range []string{"rack-a", "rack-b"} {
		if r := h.rows(unit); len(r) > 0 {
			last = max(last, r[len(r)-1].at)
		}
	}
	return last
}

// retained waits until the broker keeps such a state for those who come later.
func retained(t *testing.T, b *testenv.Broker, what string, is func(*wire.State) bool) {
	t.Helper()
	late := collect(t, b, "late")
	until(t, "the broker keeps "+what, func() bool {
		for _, m := range late.messages(wire.TopicState) {
			if s, err := wire.DecodeState(m.payload); m.retained && err == nil && is(s) {
				return true
			}
		}
		return false
	}, nil)
	late.client.Disconnect(100)
}

// checkRows holds every reading against the pictures of the registers.
func checkRows(t *testing.T, unit string, rows []row, all []picture) {
	t.Helper()
	compared, used := 0, map[int]bool{}
	for _, r := range rows {
		var why []string
		found := false
		for i, p := range all {
			n, differs := p.shows(r)
			if differs == "" {
				compared, found, used[i] = compared+n, true, true
				break
			}
			why = append(why, differs)
		}
		if !found {
			t.Errorf("%s at %v, tier %v: no picture of the registers shows it\n%s", unit, r.at, r.tier, strings.Join(why, "\n"))
		}
	}
	if compared < 80 || !used[0] {
		t.Errorf("%s: %d rows with %d values compared, from pictures %v", unit, len(rows), compared, used)
	}
	t.Logf("%s: %d rows, %d values equal to the registers, pictures %v", unit, len(rows), compared, used)
}

// checkStates looks at what was on the topic state: a session says first who it is, then how the units are, last that it ends.
func checkStates(t *testing.T, all []message) {
	t.Helper()
	var states []*wire.State
	for _, m := range all {
		s, err := wire.DecodeState(m.payload)
		if err != nil {
			t.Fatalf("%v: %s", err, m.payload)
		}
		states = append(states, s)
	}
	if len(states) < 3 {
		t.Fatalf("%d states, want the first, a full one and the offline one", len(states))
	}
	first, last := states[0], states[len(states)-1]
	if !first.Online || first.Full != nil || first.Version == "" || first.Nonce == (wire.ID{}) {
		t.Errorf("the first state is %+v, want session, nonce and version alone", first)
	}
	full := states[1 : len(states)-1]
	for _, s := range full {
		if s.Full == nil || s.Session != first.Session || s.Full.Agent != "box-7" || len(s.Full.Units) != 2 {
			t.Fatalf("state %+v, want a full one of box-7", s)
		}
	}
	if last.Online || last.Session != first.Session {
		t.Errorf("the last state is %+v, want offline of the same session", last)
	}
	battery := func(s *wire.State) bool {
		u := s.Full.Units[0]
		return u.Unit == "rack-a" && u.Condition&ups.OnBattery != 0 && slices.Contains(u.Alarms, 101)
	}
	if !slices.ContainsFunc(full, battery) {
		t.Error("no state says that rack-a is on battery with alarm 101")
	}
	end := full[len(full)-1].Full.Units
	if battery(full[len(full)-1]) || end[0].Serial != "AS2130000001" || end[1].Serial != "AS2130000002" || end[0].Condition&ups.Online == 0 {
		t.Errorf("the last full state says %+v", end)
	}
}

// checkMeasurements compares /metrics with the registers, through the scales of the protocol reference, section 5.2.
func checkMeasurements(t *testing.T, d *process, u *upssim.Unit, name string) {
	t.Helper()
	now := take(u)
	for series, want := range map[string]float64{
		"ups_battery_charge_ratio": float64(now[ups.Charge]) / 512 / 100, "ups_battery_runtime_seconds": float64(now[ups.Runtime]),
		"ups_battery_volts": float64(now[ups.BatteryVoltage]) / 32, "ups_battery_temperature_celsius": float64(now[ups.BatteryTemperature]) / 128,
		"ups_input_volts": float64(now[ups.InputVoltage]) / 64, "ups_output_volts": float64(now[ups.OutputVoltage]) / 64,
		"ups_output_amperes": float64(now[ups.OutputCurrent]) / 32, "ups_output_frequency_hertz": float64(now[ups.OutputFrequency]) / 128,
		"ups_output_energy_joules_total": float64(now[ups.OutputEnergy]) * 3600,
	} {
		var got float64
		text := d.series(fmt.Sprintf("%s{ups=%q}", series, name))
		if err := json.Unmarshal([]byte(text), &got); err != nil || got < want*(1-1e-9) || got > want*(1+1e-9) {
			t.Errorf("%s of %s is %q, want %v", series, name, text, want)
		}
	}
}

// promtool lets Prometheus' own tool look at the live endpoint.
func promtool(t *testing.T, d *process) {
	t.Helper()
	status, body := d.get("/metrics")
	if status != 200 {
		t.Fatalf("/metrics answers %d", status)
	}
	cmd := testenv.Command(t, "promtool", "check", "metrics")
	cmd.Stdin = strings.NewReader(body)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool: %v\n%s", err, out)
	}
}
