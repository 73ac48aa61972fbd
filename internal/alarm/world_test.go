package alarm

import (
	"fmt"
	"math/bits"
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
		ups.SOG2Outlet, ups.Signalling, ups.GeneralError, ups.PowerError, ups.BatteryError, ups.BatteryTest, ups.Calibration,
		ups.BatteryLife, ups.UserInterface)},
	"live":     {ups.TierLive, layoutOf(ups.Runtime, ups.Charge, ups.LoadReal, ups.LoadApparent, ups.MainTurnOff, ups.SOG0TurnOff)},
	"identity": {ups.TierIdentity, layoutOf(ups.Serial, ups.OutletConfig)},
}

// The names by which the stories set values; numbers of words are hexadecimal.
var wordNames = map[string]ups.Point{
	"U": ups.StatusFlags, "O": ups.MainOutlet, "O0": ups.SOG0Outlet, "O1": ups.SOG1Outlet, "S": ups.Signalling,
	"G": ups.GeneralError, "P": ups.PowerError, "B": ups.BatteryError, "T": ups.BatteryTest, "R": ups.Calibration,
	"groups": ups.OutletConfig,
}

var numberNames = map[string]ups.Point{
	"C": ups.StatusCause, "runtime": ups.Runtime, "charge": ups.Charge, "load": ups.LoadReal, "apparent": ups.LoadApparent,
	"turnoff": ups.MainTurnOff, "turnoff0": ups.SOG0TurnOff,
}

var divisors = map[ups.Point]uint16{ups.Charge: 512, ups.LoadReal: 256, ups.LoadApparent: 256}

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
	serial string
	st     *ups.State
	e      *Engine
	active map[ups.AlarmID]ups.Severity // what the events so far leave active
}

func newWorld(t tester) *world {
	e, err := New("rack-a", Limits{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &world{
		t: t, e: e, st: ups.NewState(), active: map[ups.AlarmID]ups.Severity{},
		raw: map[ups.Point]int64{
			ups.StatusFlags: ups.UOnline, ups.StatusCause: 8, ups.MainOutlet: ups.OStateOn, ups.OutletConfig: 1,
			ups.Runtime: 3600, ups.Charge: 100 * 512, ups.LoadReal: 30 * 256, ups.LoadApparent: 35 * 256,
			ups.MainTurnOff: ups.Absent, ups.SOG0TurnOff: ups.Absent,
		},
	}
}

// set takes over "name=value".
func (w *world) set(field string) {
	name, value, ok := strings.Cut(field, "=")
	if !ok {
		w.t.Fatalf("%q is no name=value", field)
	}
	if name == "serial" {
		w.serial = value
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
	n, err := strconv.ParseInt(value, base, 64)
	if err != nil {
		w.t.Fatalf("%s: %v", field, err)
	}
	w.raw[p] = n * int64(max(divisors[p], 1))
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
		if c.Point == ups.Serial {
			r.Text[i] = w.serial
		} else {
			r.Raw[i] = w.raw[c.Point]
		}
	}
	w.st.Apply(r)
	return w.check(w.e.Observe(w.st, r))
}

func (w *world) miss(f ups.Failure, at time.Time) []ups.Event { return w.check(w.e.Missed(at, f)) }

// restart ends the agent and starts it again: what was read is forgotten, what State returned is not.
func (w *world) restart() {
	blob, _ := w.e.State()
	e, err := New("rack-a", w.limits, append([]byte(nil), blob...))
	if err != nil {
		w.t.Fatalf("New(%s): %v", blob, err)
	}
	w.e, w.st = e, ups.NewState()
}

// check holds every event against what has to be true of all of them: raise and clear alternate, the set agrees, the texts
// are the catalogue's.
func (w *world) check(events []ups.Event) []ups.Event {
	for _, v := range events {
		row := ups.AlarmByID(v.ID)
		severity, active := w.active[v.ID]
		switch {
		case v.Kind == ups.Raise && active:
			w.t.Fatalf("%d raised while active", v.ID)
		case v.Kind == ups.Clear && !active:
			w.t.Fatalf("%d cleared while not active", v.ID)
		case v.Kind == ups.Clear && v.Severity != severity:
			w.t.Fatalf("%d raised as %s, cleared as %s", v.ID, severity, v.Severity)
		case (v.Kind == ups.Moment) != row.Moment:
			w.t.Fatalf("%d came as %s", v.ID, v.Kind)
		case v.Text != row.Text || v.Unit != "rack-a" || v.Device != w.st.Text(ups.Serial) && w.st.Text(ups.Serial) != "":
			w.t.Fatalf("event %+v: wrong text, unit or device", v)
		}
		switch v.Kind {
		case ups.Raise:
			w.active[v.ID] = v.Severity
		case ups.Clear:
			delete(w.active, v.ID)
		}
	}
	if got, want := w.e.Active(), len(w.active); len(got) != want {
		w.t.Fatalf("Active() = %v, by the events %v", got, w.active)
	}
	for _, id := range w.e.Active() {
		if _, ok := w.active[id]; !ok || !w.e.Is(id) {
			w.t.Fatalf("Active() has %d; by the events %v, Is says %v", id, w.active, w.e.Is(id))
		}
	}
	return events
}

// line writes an event as the stories expect it.
func line(v ups.Event, at time.Time, withDetail bool) string {
	s := fmt.Sprintf("%s %d", v.Kind, v.ID)
	if v.Severity != ups.AlarmByID(v.ID).Severity {
		s += " as " + v.Severity.String()
	}
	if !v.At.Equal(at) {
		s += fmt.Sprintf(" @%g", v.At.Sub(start).Seconds())
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
