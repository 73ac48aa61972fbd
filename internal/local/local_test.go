package local

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
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
			Alarms: []Alarm{{ID: 101, Severity: "warning", Text: "UPS on battery"}, {ID: 514, Severity: "informational", Text: "Audible alarm sounding"}},
		}},
	}
	if values {
		s.Units[0].Values = Values(someState())
	}
	return s
}

// start serves on a socket and a loopback port until the test ends, and returns both.
func start(t *testing.T) (address, socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "run", "agent.sock")
	layouts := func() []*ups.Layout { return []*ups.Layout{{Columns: []ups.Column{{Point: ups.Charge, Divisor: 512}}}} }
	s, err := Listen("127.0.0.1:0", socket, Sources{Status: testStatus, Layouts: layouts})
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
	s, err := Listen("", filepath.Join(dir, "left"), Sources{Status: testStatus})
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
	if _, err := Listen("", socket, Sources{}); err == nil || !strings.Contains(err.Error(), "in use by another agent") {
		t.Errorf("Listen = %v", err)
	}
	if _, err := Ask(t.Context(), socket, false); err != nil {
		t.Errorf("the first agent no longer answers: %v", err)
	}
}

func TestThePageShowsUnitsAndEscapesWhatTheySay(t *testing.T) {
	address, _ := start(t)
	code, body := ask(t, "http://"+address+"/", "")
	if code != 200 {
		t.Fatalf("%d: %s", code, body)
	}
	for _, want := range []string{"rack-a", `class="alarm">820 warning: Cloud link lost`, `class="alarm">101 warning: UPS on battery`, `class="quiet">514 informational: Audible alarm`, "230.5 V", "Smart-UPS &lt;b&gt;1500", "answered 300ms ago"} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q on the page", want)
		}
	}
	if strings.Contains(body, "<b>1500") {
		t.Error("a unit wrote HTML into the page")
	}
}

// Every text of a status, whoever it came from, is in the page as text: none opens an element or leaves one.
func TestThePageEscapesEveryText(t *testing.T) {
	var fill func(v reflect.Value)
	texts := 0
	fill = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.String:
			texts++
			v.SetString(`"'><i>&`)
		case reflect.Struct:
			for i := range v.NumField() {
				if v.Type() != reflect.TypeFor[time.Time]() {
					fill(v.Field(i))
				}
			}
		case reflect.Slice:
			v.Set(reflect.MakeSlice(v.Type(), 2, 2))
			for i := range v.Len() {
				fill(v.Index(i))
			}
		case reflect.Pointer: // numbers and times stay absent, so that the texts beside them show
			if e := v.Type().Elem(); e.Kind() == reflect.Struct && e != reflect.TypeFor[time.Time]() {
				v.Set(reflect.New(e))
				fill(v.Elem())
			}
		case reflect.Uint64:
			v.SetUint(3)
		case reflect.Bool:
			v.SetBool(true)
		}
	}
	var s Status
	fill(reflect.ValueOf(&s).Elem())
	body := page(s)
	const escaped = "&#34;&#39;&gt;&lt;i&gt;&amp;"
	if n := strings.Count(body, escaped); n < 30 || texts < 30 {
		t.Errorf("%d of %d texts are there:\n%s", n, texts, body)
	}
	if strings.Contains(body, "<i>") || strings.Contains(strings.ReplaceAll(body, escaped, ""), "&") {
		t.Errorf("a text was taken as HTML:\n%s", body)
	}
	open := regexp.MustCompile(`<(h1|h2|p|div|span|section|details|summary|table|tr|th|td|code|body|html)[ >]`)
	for _, m := range open.FindAllStringSubmatch(body, -1) {
		if n, closed := len(regexp.MustCompile("<"+m[1]+"[ >]").FindAllString(body, -1)), strings.Count(body, "</"+m[1]+">"); n != closed {
			t.Errorf("%d of <%s> are opened and %d closed", n, m[1], closed)
		}
	}
}

func TestThePageIsOnlyThereByAddress(t *testing.T) {
	address, _ := start(t)
	if code, _ := ask(t, "http://"+address+"/v1/status", "evil.example"); code != http.StatusForbidden {
		t.Errorf("asked as evil.example: %d", code)
	}
	if code, _ := ask(t, "http://"+address+"/v1/status", "localhost:9812"); code != 200 {
		t.Errorf("asked as localhost: %d", code)
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
