package local

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"upsedge/internal/ups"
)

func someState() *ups.State {
	st := ups.NewState()
	cols := []ups.Column{
		{Point: ups.StatusFlags, Divisor: 1},
		{Point: ups.StatusCause, Divisor: 1},
		{Point: ups.Charge, Divisor: 512},
		{Point: ups.InputVoltage, Divisor: 64},
		{Point: ups.Efficiency, Divisor: 128},
		{Point: ups.ReplaceBy, Divisor: 1},
		{Point: ups.SOG0TurnOff, Divisor: 1},
		{Point: ups.GeneralError, Divisor: 1},
		{Point: ups.Model, Divisor: 1},
	}
	st.Apply(&ups.Reading{
		Layout: &ups.Layout{Columns: cols}, Raw: []int64{0x2002 | 1<<11, 31, 51200, 14752, -2, 6404, ups.Absent, 0, ups.Absent},
		Text: []string{"", "", "", "", "", "", "", "", "Smart-UPS <b>1500</b>"},
	})
	return st
}

func TestValuesReadAsPeopleReadThem(t *testing.T) {
	got := map[string]string{}
	for _, v := range Values(someState()) {
		got[v.Point] = v.String()
	}
	want := map[string]string{
		"status": "StateOnline HighEfficiency bit 11", "status_cause": "31", "battery_charge": "100.00 %", "input_voltage": "230.5 V",
		"efficiency": "LoadTooLow", "battery_replace_by": "2017-07-14", "general_error": "none", "model": "Smart-UPS <b>1500</b>",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func testStatus(values bool) Status {
	age := 0.25
	s := Status{
		Version: "1.2.3", Agent: "box-1", Spool: []Lane{{Name: "events", Records: 1}},
		Alarms: []Alarm{{ID: 820, Severity: "warning", Text: "Cloud link lost"}},
		Units: []Unit{{
			Name: "rack-a", Condition: []string{"on_battery"}, Model: "Smart-UPS <b>1500</b>", Age: &age,
			Alarms: []Alarm{{ID: 101, Severity: "warning", Text: "UPS on battery", Do: ups.AlarmByID(101).Do}, {ID: 514, Severity: "informational", Text: "Audible alarm sounding"}},
		}},
	}
	if values {
		s.Units[0].Values = Values(someState())
	}
	return s
}

// testUnit is the unit of testStatus with a history.
func testUnit(name string) (Unit, []Span, bool) {
	if name != "rack-a" {
		return Unit{}, nil, false
	}
	return testStatus(true).Units[0], testSpans(), true
}

// start serves on a socket and a loopback port until the test ends, and returns both.
func start(t *testing.T) (address, socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "run", "agent.sock")
	layouts := func() []*ups.Layout { return []*ups.Layout{{Columns: []ups.Column{{Point: ups.Charge, Divisor: 512}}}} }
	s, err := Listen(Ways{Address: "127.0.0.1:0", Socket: socket}, Sources{Status: testStatus, Unit: testUnit, Layouts: layouts})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
	return s.Addrs()[0], socket
}

func TestTheSocketAnswersWhatTheAgentSays(t *testing.T) {
	_, socket := start(t)
	for _, values := range []bool{false, true} {
		got, err := Ask(t.Context(), socket, values)
		if err != nil {
			t.Fatal(err)
		}
		want := testStatus(values)
		if d := cmp.Diff(&want, got); d != "" {
			t.Errorf("values %v (-want +got):\n%s", values, d)
		}
	}
	ls, err := AskLayouts(t.Context(), socket)
	if err != nil || len(ls) != 1 || ls[0].Columns[0] != (ups.Column{Point: ups.Charge, Divisor: 512}) {
		t.Errorf("layouts %v, %v", ls, err)
	}
}

func TestTheSocketIsForTheGroupAlone(t *testing.T) {
	_, socket := start(t)
	st, err := os.Stat(socket)
	if err != nil || st.Mode().Perm() != 0o660 {
		t.Errorf("mode %v, %v, want 0660", st.Mode().Perm(), err)
	}
}

func TestNobodyOnTheSocketIsAnErrorOfItsOwn(t *testing.T) {
	dir := t.TempDir()
	if _, err := Ask(t.Context(), filepath.Join(dir, "none"), false); !errors.Is(err, ErrNotRunning) {
		t.Errorf("no socket: %v", err)
	}
	s, err := Listen(Ways{Socket: filepath.Join(dir, "left")}, Sources{Status: testStatus})
	if err != nil {
		t.Fatal(err)
	}
	s.close()
	if _, err := Ask(t.Context(), filepath.Join(dir, "left"), false); !errors.Is(err, ErrNotRunning) {
		t.Errorf("a socket nobody listens on: %v", err)
	}
}

func TestASocketInUseIsNotTaken(t *testing.T) {
	_, socket := start(t)
	if _, err := Listen(Ways{Socket: socket}, Sources{}); err == nil || !strings.Contains(err.Error(), "in use by another agent") {
		t.Errorf("Listen = %v", err)
	}
	if _, err := Ask(t.Context(), socket, false); err != nil {
		t.Errorf("the first agent no longer answers: %v", err)
	}
}

func ask(t *testing.T, url, host string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if host != "" {
		req.Host = host
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}
