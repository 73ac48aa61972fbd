package alarm

import (
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"upsedge/internal/ups"
)

// The blocks of the tests: which points a read of each kind brings, as the read plan has them.
var blocks = map[string]struct {
	tier   ups.Tier
	layout *ups.Layout
}{
	"watch": {ups.TierWatch, layoutOf(ups.StatusFlags, ups.StatusCause)},
	"status": {ups.TierStatus, layoutOf(ups.StatusFlags, ups.StatusCause, ups.MainOutlet, ups.SOG0Outlet, ups.SOG1Outlet,
		ups.SOG2Outlet, ups.SOG3Outlet, ups.Signalling, ups.GeneralError, ups.PowerError, ups.BatteryError, ups.BatteryTest, ups.Calibration,
		ups.BatteryLife, ups.UserInterface)},
	"calibration": {ups.TierStatus, layoutOf(ups.Calibration)}, // a unit that refuses longer reads
	"live": {ups.TierLive, layoutOf(ups.Runtime, ups.Charge, ups.BatteryVoltage, ups.ReplaceBy, ups.BatteryTemperature, ups.LoadReal,
		ups.LoadApparent, ups.BypassStatus, ups.InputStatus, ups.InputVoltage, ups.MainTurnOff, ups.SOG0TurnOff)},
	"settings": {ups.TierSettings, layoutOf(ups.TestInterval)},
	"identity": {ups.TierIdentity, layoutOf(ups.SKU, ups.Serial, ups.OutletConfig, ups.BatteryInstalled, ups.MainName, ups.SOG0Name)},
}

// The names by which the stories set values; numbers of words are hexadecimal.
var wordNames = map[string]ups.Point{
	"U": ups.StatusFlags, "O": ups.MainOutlet, "O0": ups.SOG0Outlet, "O1": ups.SOG1Outlet, "S": ups.Signalling,
	"G": ups.GeneralError, "P": ups.PowerError, "B": ups.BatteryError, "T": ups.BatteryTest, "R": ups.Calibration,
	"groups": ups.OutletConfig, "O3": ups.SOG3Outlet, "L": ups.BatteryLife, "K": ups.UserInterface, "I": ups.InputStatus, "BI": ups.BypassStatus,
	"interval": ups.TestInterval, "O2": ups.SOG2Outlet,
}

var numberNames = map[string]ups.Point{
	"C": ups.StatusCause, "runtime": ups.Runtime, "charge": ups.Charge, "load": ups.LoadReal, "apparent": ups.LoadApparent,
	"turnoff": ups.MainTurnOff, "turnoff0": ups.SOG0TurnOff, "temperature": ups.BatteryTemperature, "voltage": ups.BatteryVoltage,
	"input": ups.InputVoltage, "installed": ups.BatteryInstalled, "replace": ups.ReplaceBy,
}

var textNames = map[string]ups.Point{"serial": ups.Serial, "sku": ups.SKU, "name": ups.MainName, "name0": ups.SOG0Name}

var divisors = map[ups.Point]uint16{
	ups.Charge: 512, ups.LoadReal: 256, ups.LoadApparent: 256, ups.BatteryTemperature: 128, ups.BatteryVoltage: 32, ups.InputVoltage: 64,
}

func layoutOf(ps ...ups.Point) *ups.Layout {
	l := &ups.Layout{}
	for _, p := range ps {
		l.Columns = append(l.Columns, ups.Column{Point: p, Divisor: max(divisors[p], 1)})
	}
	return l
}

// start is the wall clock of second 0 of every story.
var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// second returns the time s seconds into the story, to the millisecond.
func second(s float64) time.Time { return start.Add(time.Duration(s*1000+0.5) * time.Millisecond) }

// A world is a unit, the agent's state of it and the engine.
type world struct {
	t      tester
	limits Limits
	raw    map[ups.Point]int64 // what the unit would say
	text   map[ups.Point]string
	dated  bool // the clock can be trusted
	st     *ups.State
	by     *ruleSet
	e      *Engine
	active map[key]ups.Severity // what the events so far leave active
}

func newWorld(t tester) *world { return newWorldOf(t, theRules, Limits{}) }

func newWorldOf(t tester, set *ruleSet, l Limits) *world {
	e, err := newEngine(set, "rack-a", l, nil)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		t: t, e: e, by: set, limits: l, st: ups.NewState(), active: map[key]ups.Severity{}, text: map[ups.Point]string{},
		raw: map[ups.Point]int64{
			ups.InputStatus: ups.IAcceptable, ups.InputVoltage: 230 * 64, ups.BatteryTemperature: 25 * 128, ups.BatteryVoltage: 27 * 32,
			ups.ReplaceBy: 12000, ups.BatteryInstalled: 9000, ups.TestInterval: 1 << 4,
			ups.StatusFlags: ups.UOnline, ups.StatusCause: 8, ups.MainOutlet: ups.OStateOn, ups.OutletConfig: 1,
			ups.Runtime: 3600, ups.Charge: 100 * 512, ups.LoadReal: 30 * 256, ups.LoadApparent: 35 * 256,
			ups.MainTurnOff: ups.Absent, ups.SOG0TurnOff: ups.Absent,
		},
	}
	e.TrustClock(w.wall)
	return w
}

// set takes over "name=value".
func (w *world) set(field string) {
	name, value, ok := strings.Cut(field, "=")
	if !ok {
		w.t.Fatalf("%q is no name=value", field)
	}
	if p, ok := textNames[name]; ok {
		w.text[p] = value
		return
	}
	p, base := wordNames[name], 16
	if p == 0 {
		p, base = numberNames[name], 10
	}
	if p == 0 {
		w.t.Fatalf("no value is called %q", name)
	}
	if value == "absent" {
		w.raw[p] = ups.Absent
		return
	}
	if base == 16 {
		n, err := strconv.ParseInt(value, base, 64)
		if err != nil {
			w.t.Fatalf("%s: %v", field, err)
		}
		w.raw[p] = n
		return
	}
	w.raw[p] = int64(math.Round(number(w.t, value) * float64(max(divisors[p], 1))))
}

// read reads a block as a driver and a sampler do and returns what comes of it.
func (w *world) read(block string, at time.Time) []ups.Event {
	b, ok := blocks[block]
	if !ok {
		w.t.Fatalf("no block is called %q", block)
	}
	r := &ups.Reading{Unit: "rack-a", Tier: b.tier, At: at}
	r.Reset(b.layout, block == "identity")
	for i, c := range b.layout.Columns {
		if c.Point.Info().Kind == ups.Text {
			r.Text[i] = w.text[c.Point]
		} else {
			r.Raw[i] = w.raw[c.Point]
		}
	}
	if r.Text != nil && w.st.Text(ups.Serial) != "" && w.st.Text(ups.Serial) != w.text[ups.Serial] {
		w.st = ups.NewState() // as the agent does
	}
	w.st.Apply(r)
	return w.check(w.e.Observe(w.st, r))
}

func (w *world) miss(f ups.Failure, at time.Time) []ups.Event { return w.check(w.e.Missed(at, f)) }

// restart ends the agent and starts it again: what was read is forgotten, what State returned is not.
func (w *world) restart() {
	blob, _ := w.e.State()
	e, err := newEngine(w.by, "rack-a", w.limits, append([]byte(nil), blob...))
	if err != nil {
		w.t.Fatalf("New(%s): %v", blob, err)
	}
	e.TrustClock(w.wall)
	w.e, w.st = e, ups.NewState()
}

func (w *world) wall(t time.Time) time.Time {
	if !w.dated {
		return time.Time{}
	}
	return t.Round(0).UTC()
}

// check holds every event against what has to be true of all of them: raise and clear alternate, the set agrees, the texts
// are the catalogue's.
func (w *world) check(events []ups.Event) []ups.Event {
	for _, v := range events {
		row := ups.AlarmByID(v.ID)
		k := key{v.ID, v.Group}
		severity, active := w.active[k]
		switch {
		case v.Kind == ups.Raise && active:
			w.t.Fatalf("%d raised while active", v.ID)
		case v.Kind == ups.Clear && !active:
			w.t.Fatalf("%d cleared while not active", v.ID)
		case v.Kind == ups.Clear && v.Severity != severity:
			w.t.Fatalf("%d raised as %s, cleared as %s", v.ID, severity, v.Severity)
		case (v.Kind == ups.Moment) != row.Moment && v.ID != 834:
			w.t.Fatalf("%d came as %s", v.ID, v.Kind)
		case v.Text != row.Text || v.Unit != "rack-a" || v.Device != w.st.Text(ups.Serial) && w.st.Text(ups.Serial) != "":
			w.t.Fatalf("event %+v: wrong text, unit or device", v)
		}
		switch v.Kind {
		case ups.Raise:
			w.active[k] = v.Severity
		case ups.Clear:
			delete(w.active, k)
		}
	}
	told := slices.DeleteFunc(slices.Clone(w.e.active), func(a activeAlarm) bool { return a.Held })
	if len(told) != len(w.active) {
		w.t.Fatalf("Active() = %v, by the events %v", w.e.Active(), w.active)
	}
	for _, a := range told {
		if severity, ok := w.active[key{a.ID, a.Group}]; !ok || severity != a.Severity || !w.e.Is(a.ID) {
			w.t.Fatalf("Active() has %+v; by the events %v, Is says %v", a, w.active, w.e.Is(a.ID))
		}
	}
	return events
}

// unconfirmed reports whether the active set may not be what the unit would say now: before the first good poll, while
// communication is lost, and until the unit has been heard about each alarm that was active before (READ-8).
func unconfirmed(e *Engine) bool {
	if e.back.IsZero() || e.lost() {
		return true
	}
	for i := range e.active {
		if e.active[i].unconfirmed {
			return true
		}
	}
	return false
}

// line writes an event as the stories expect it.
func line(v ups.Event, at time.Time, withDetail bool) string {
	s := fmt.Sprintf("%s %d", v.Kind, v.ID)
	if v.Group != ups.NoGroup {
		s += " " + v.Group.String()
	}
	if v.Severity != ups.AlarmByID(v.ID).Severity {
		s += " as " + v.Severity.String()
	}
	if !v.At.Equal(at) {
		s += " @" + strconv.FormatFloat(v.At.Sub(start).Seconds(), 'f', -1, 64)
	}
	if v.Inferred {
		s += " inferred"
	}
	if v.Unconfirmed {
		s += " unconfirmed"
	}
	if withDetail {
		s += fmt.Sprintf(" %q", v.Detail)
	}
	return s
}

func TestEveryPointFitsThePointSet(t *testing.T) {
	for _, p := range ups.Points() {
		if s := points(p); !s.has(p) || bits.OnesCount64(s[0]|s[1]|s[2]|s[3]) != 1 {
			t.Errorf("a set of %s alone is %v", p, s)
		}
	}
}

// A tester is a *testing.T, *testing.B or *rapid.T.
type tester interface {
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}
