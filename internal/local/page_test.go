package local

import (
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"upsedge/internal/ups"
)

// testSpans are those of a unit that was on battery for a minute, and silent for one.
func testSpans() []Span {
	h := &History{}
	begin := time.Now().Add(-10 * time.Minute)
	for i := range 600 {
		if i > 300 && i < 360 {
			continue
		}
		flags := uint32(ups.UOnline)
		if i >= 400 && i < 460 {
			flags = ups.UOnBattery
		}
		h.Note(begin.Add(time.Duration(i)*time.Second), stateWith(flags, 230+float64(i%7), 40, 100, 1800), true)
	}
	return h.Spans(begin.Add(10 * time.Minute))
}

func stateWith(flags uint32, volts, load, charge, runtime float64) *ups.State {
	st := ups.NewState()
	st.Apply(&ups.Reading{
		Layout: &ups.Layout{Columns: []ups.Column{
			{Point: ups.StatusFlags, Divisor: 1},
			{Point: ups.InputVoltage, Divisor: 64},
			{Point: ups.LoadReal, Divisor: 256},
			{Point: ups.Charge, Divisor: 512},
			{Point: ups.Runtime, Divisor: 1},
		}},
		Raw: []int64{int64(flags), int64(volts * 64), int64(load * 256), int64(charge * 512), int64(runtime)},
	})
	return st
}

// pageOfStatus is the first page of a status.
func pageOfStatus(t *testing.T, s Status, v view) string {
	t.Helper()
	unit := func(name string) (Unit, []Span, bool) {
		i := slices.IndexFunc(s.Units, func(u Unit) bool { return u.Name == name })
		if i < 0 {
			return Unit{}, nil, false
		}
		return s.Units[i], testSpans(), true
	}
	p := newPages(Sources{Status: func(bool) Status { return s }, Unit: unit})
	text := ""
	if !p.render(t.Context(), v, func(s *Status, pieces []piece) { text = p.write(s, v, pieces) }) {
		t.Fatalf("there is no %+v", v)
	}
	return text
}

func TestThePageShowsUnitsAndEscapesWhatTheySay(t *testing.T) {
	address, _ := start(t)
	for _, path := range []string{"/", "/unit/rack-a"} {
		code, body := ask(t, "http://"+address+path, "")
		if code != 200 {
			t.Fatalf("%d: %s", code, body)
		}
		for _, want := range []string{
			"rack-a", "Warning: UPS on battery", "What to do: find out why the mains are gone", "Informational: Audible alarm", "230.5 V",
			"Smart-UPS &lt;b&gt;1500", "0.2 s ago", "Not all is well – 3 matters", "cloud link lost", "<svg role=\"img\"",
		} {
			if !strings.Contains(body, want) && !strings.Contains(body, lower(want)) {
				t.Errorf("no %q on %s", want, path)
			}
		}
		if strings.Contains(body, "<b>1500") {
			t.Error("a unit wrote HTML into the page")
		}
	}
	if code, _ := ask(t, "http://"+address+"/unit/rack-b", ""); code != http.StatusNotFound {
		t.Errorf("a unit that is not there: %d", code)
	}
}

// Every text of a status, whoever it came from, is in the page as text: none opens an element or leaves one (T-54).
func TestThePageEscapesEveryText(t *testing.T) {
	const nasty = "\"'><i>&\r\n\ndata: x\x00"
	var fill func(v reflect.Value)
	texts := 0
	fill = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.String:
			texts++
			v.SetString(nasty)
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
	age := 1.0
	for i := range s.Units {
		s.Units[i].Age, s.Units[i].Since = &age, &age
	}
	for i := range s.Lines {
		s.Lines[i].Failed = &age
	}
	for _, v := range []view{{page: 1}, {unit: nasty}} {
		body := strings.ReplaceAll(pageOfStatus(t, s, v), "%3Ci%3E&amp;", "") // in an address
		const escaped = "&#34;&#39;&gt;&lt;i&gt;&amp;"
		if n := strings.Count(body, escaped); n < 30 || texts < 30 {
			t.Errorf("%d of %d texts are there:\n%s", n, texts, body)
		}
		if strings.Contains(body, "<i>") || strings.Contains(strings.ReplaceAll(body, escaped, ""), "&") {
			t.Errorf("a text was taken as HTML:\n%s", body)
		}
		balanced(t, body)
	}
	// Behind the stream's format too: what a text says begins no event of its own.
	var events strings.Builder
	event(&events, "part", nasty)
	if n := strings.Count(events.String(), "\n\n"); n != 1 || strings.Contains(events.String(), "\r") {
		t.Errorf("%d events: %q", n, events.String())
	}
	for _, line := range strings.Split(strings.TrimSpace(events.String()), "\n") {
		if !strings.HasPrefix(line, "event: part") && !strings.HasPrefix(line, "data: ") {
			t.Errorf("a line of its own: %q", line)
		}
	}
}

// balanced holds that every element that is opened is closed.
func balanced(t *testing.T, body string) {
	t.Helper()
	open := regexp.MustCompile(`<(h1|h2|p|div|span|section|details|summary|table|thead|tbody|tr|th|td|code|body|html|main|header|footer|nav|ul|ol|li|dl|dt|dd|small|strong|figure|figcaption|svg|text|a)[ >]`)
	opened := map[string]int{}
	for _, m := range open.FindAllStringSubmatch(body, -1) {
		opened[m[1]]++
	}
	for element, n := range opened {
		if closed := strings.Count(body, "</"+element+">"); n != closed {
			t.Errorf("%d of <%s> are opened and %d closed", n, element, closed)
		}
	}
	ids := map[string]int{}
	for _, m := range regexp.MustCompile(` id="([^"]*)"`).FindAllStringSubmatch(body, -1) {
		ids[m[1]]++
	}
	for id, n := range ids {
		if n > 1 && !strings.Contains(id, "&#34;") { // two units of one name are none that a configuration has
			t.Errorf("%d elements have the id %s", n, id)
		}
	}
	for _, m := range regexp.MustCompile(` aria-labelledby="([^"]*)"`).FindAllStringSubmatch(body, -1) {
		if ids[m[1]] == 0 {
			t.Errorf("something is labelled by %s, which is not there", m[1])
		}
	}
}

// many is a status of n units, of which the last is on battery.
func many(n int) Status {
	s := Status{Version: "1", Clock: Clock{Trusted: true, State: "synced"}, Now: time.Now()}
	for i := range n {
		age, since, runtime := 0.2, 300.0, 1500.0
		u := Unit{Name: "ups-" + strconv.Itoa(i), Line: "ups-" + strconv.Itoa(i), Condition: []string{"online"}, Age: &age, Since: &since, Now: Now{Runtime: &runtime}}
		if i == n-1 {
			u.Condition = []string{"on_battery"}
			u.Alarms = []Alarm{{ID: 101, Severity: "warning", Text: "UPS on battery"}}
		}
		s.Units = append(s.Units, u)
		s.Lines = append(s.Lines, Line{Name: u.Line, Kind: "tcp", Units: 1, Requests: map[string]uint64{"ok": 10}})
	}
	return s
}

// What a page costs is bounded, however many units there are, and who is in trouble is on the first one (T-64).
func TestT64APageOfManyUnitsIsBounded(t *testing.T) {
	s := many(1000)
	body := pageOfStatus(t, s, view{page: 1})
	if n := strings.Count(body, `<li class="`); n > perPage+10 || len(body) > 300_000 {
		t.Errorf("%d rows, %d bytes", n, len(body))
	}
	first := strings.Index(body, `href="/unit/ups-999"`)
	if first < 0 || strings.Index(body, `href="/unit/ups-0"`) < first {
		t.Error("the unit on battery is not the first")
	}
	if !strings.Contains(body, "ups-999: UPS on battery") {
		t.Error("the first line does not name it")
	}
	if !strings.Contains(body, "page 1 of 10") || !strings.Contains(body, `href="/?page=10"`) {
		t.Error("there is no way to the others")
	}
	balanced(t, body)
	balanced(t, pageOfStatus(t, s, view{page: 10}))
	p := newPages(Sources{Status: func(bool) Status { return s }})
	for _, n := range []int{-1, 0, 11} {
		if _, ok := p.pieces(&s, view{page: n}); ok {
			t.Errorf("there is a page %d", n)
		}
	}
}

func TestWhatIsSaidOfAUnit(t *testing.T) {
	f := func(v float64) *float64 { return &v }
	for _, row := range []struct {
		unit  Unit
		state string
		mood  mood
	}{
		{Unit{}, "Has not answered yet", look},
		{Unit{Age: f(1), Condition: []string{"online"}, Since: f(3 * 3600)}, "On mains for 3 h", well},
		{Unit{Age: f(1), Condition: []string{"online"}, Since: f(130), AtLeast: true}, "On mains for at least 2 min 10 s", well},
		{Unit{Age: f(1), Condition: []string{"on_battery"}, Since: f(245)}, "On battery for 4 min 5 s", look},
		{Unit{Age: f(1), Condition: []string{"on_battery", "test"}, Since: f(12)}, "On battery for 12 s, for a test", look},
		{Unit{Age: f(1), Condition: []string{"on_battery", "low_battery"}, Since: f(12)}, "On battery for 12 s", act},
		{Unit{Age: f(185), Condition: []string{"stale"}}, "No answer for 3 min 5 s", look},
		{Unit{Age: f(185), Condition: []string{"on_battery", "stale", "critical_unknown"}}, "No answer for 3 min 5 s, and it was on battery then", act},
		{Unit{Age: f(1), Condition: []string{"online", "bypass"}, Since: f(60)}, "On bypass for 1 min: the load is not protected", look},
		{Unit{Age: f(1), Condition: []string{"output_off"}, Since: f(86400 * 3)}, "Output is off for 3 days", look},
		{Unit{Age: f(1), Condition: []string{}}, "It does not say whether it is on mains", well},
	} {
		if got := row.unit.State(); got != row.state || row.unit.mood() != row.mood {
			t.Errorf("%v: %q, mood %d, want %q, %d", row.unit.Condition, got, row.unit.mood(), row.state, row.mood)
		}
	}
}

// An old value is never shown as if it were one of now.
func TestT52OldValuesAreSaidToBeOld(t *testing.T) {
	f := func(v float64) *float64 { return &v }
	s := many(1)
	s.Units[0].Age, s.Units[0].Condition, s.Units[0].Alarms = f(600), []string{"on_battery", "stale", "critical_unknown"}, nil
	s.Units[0].Now = Now{Load: f(30), Charge: f(80), Runtime: f(900)}
	body := pageOfStatus(t, s, view{page: 1})
	for _, want := range []string{"No answer for 10 min, and it was on battery then", "The values below are old", "Load (old)", "Battery (old)", "Act now – ups-0: does not answer, and was on battery"} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q", want)
		}
	}
	for _, not := range []string{"All is well", "On mains", "Battery lasts"} {
		if strings.Contains(body, not) {
			t.Errorf("it says %q", not)
		}
	}
}

// Names that are beginnings of each other are no two of one id.
func TestEveryPieceHasAnIdOfItsOwn(t *testing.T) {
	s := many(3)
	for i, name := range []string{"a", "a-now", "a-values"} {
		s.Units[i].Name, s.Units[i].Line, s.Lines[i].Name, s.Units[i].Values = name, name, name, Values(someState())
	}
	balanced(t, pageOfStatus(t, s, view{page: 1}))
}

func TestABoxWithoutUnitsSaysWhatToDo(t *testing.T) {
	body := pageOfStatus(t, Status{Version: "1", Clock: Clock{Trusted: true}, Now: time.Now()}, view{page: 1})
	for _, want := range []string{"No UPS is set up yet", "sudo upsagent setup", "Modbus on at the unit"} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q", want)
		}
	}
	balanced(t, body)
}
