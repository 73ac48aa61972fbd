package smartups

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/ups"
	"upsedge/internal/ups/upssim"
)

// A course is one command and what happens to the unit meanwhile; how it truly ends says a run without a crash.
type course struct {
	before string // what happened to the unit first
	cmd    ups.Command
	during string              // and 7 s behind the write
	stays  func(k uint32) bool // of a goal: whether it is reached, by register 26, 23 or 24; nil: no goal
	reg    uint16
}

var courses = map[string]course{
	"self-test":                         {"", diagnostics("self"), "", nil, 0},
	"self-test, after one like it":      {"self-test=protocol 30s", diagnostics("self"), "", nil, 0},
	"self-test, after a weekly one":     {"self-test=internal 30s", diagnostics("self"), "", nil, 0},
	"self-test, bad":                    {"battery-bad", diagnostics("self"), "", nil, 0},
	"self-test, bad again":              {"battery-bad self-test=protocol 30s", diagnostics("self"), "", nil, 0},
	"self-test, refused":                {"charge=0.3", diagnostics("self"), "", nil, 0},
	"self-test, refused again":          {"charge=0.3 self-test=protocol 3s", diagnostics("self"), "", nil, 0},
	"self-test, mains fail":             {"", diagnostics("self"), "mains-fail", nil, 0},
	"self-test, aborted at the unit":    {"", diagnostics("self"), "abort", nil, 0},
	"calibration":                       {"", diagnostics("calibration"), "", nil, 0},
	"calibration, bad":                  {"battery-bad", diagnostics("calibration"), "", nil, 0},
	"calibration, mains fail":           {"", diagnostics("calibration"), "mains-fail", nil, 0},
	"calibration, another load":         {"", diagnostics("calibration"), "load=0.6", nil, 0},
	"calibration, aborted at the unit":  {"", diagnostics("calibration"), "abort", nil, 0},
	"calibration, refused":              {"load=0.5", diagnostics("calibration"), "", nil, 0},
	"panel":                             {"", diagnostics("panel"), "", nil, 0},
	"panel, ended at the unit":          {"", diagnostics("panel"), "panel-test-end", nil, 0},
	"abort of a self-test":              {"self-test 2s", diagnostics("self abort"), "", func(w uint32) bool { return w&3 == 0 }, 23},
	"abort of a calibration":            {"calibrate 2s", diagnostics("calibration abort"), "", func(w uint32) bool { return w&3 == 0 }, 24},
	"abort of a panel test":             {"panel-test", diagnostics("panel abort"), "", func(k uint32) bool { return k&1 == 0 }, 26},
	"mute":                              {"mains-fail", mute, "", func(k uint32) bool { return k&2 == 0 }, 26},
	"mute, the alarm ends":              {"wiring-bad", mute, "wiring-good", func(k uint32) bool { return k&2 == 0 }, 26},
	"unmute":                            {"mains-fail mute", unmute, "", func(k uint32) bool { return k&4 == 0 }, 26},
	"acknowledge the battery's age":     {"battery-life=9", ackOld, "", func(l uint32) bool { return l&8 != 0 }, 25},
	"acknowledge a battery that failed": {"battery-bad self-test 30s", ackOld, "", func(uint32) bool { return false }, 25},
	"acknowledge the wiring":            {"wiring-bad", ackWires, "", func(uint32) bool { return false }, 19},
}

// TestT13DiagnosticsHaveNoFalseEnd: the agent dies a second later each time, at every second of each course, and comes back at
// once or later. It says how it truly ended, or that it does not know; of what was never written it never says that it was done. A goal is
// done only where it is reached. Nothing is written by who judges. Under UPSEDGE_SOAK each second with each absence, otherwise with one.
func TestT13DiagnosticsHaveNoFalseEnd(t *testing.T) {
	away := []time.Duration{0, time.Second, 5 * time.Second, 17 * time.Second, 2 * time.Minute}
	sum, variants := map[string]int{}, []string{"", "no-pending"}
	for _, name := range slices.Sorted(maps.Keys(courses)) {
		c := courses[name]
		for v, variant := range variants {
			truth, took := c.whole(t, variant)
			for at := -1; at <= int(took/time.Second)+1; at++ {
				for i, gone := range away {
					if os.Getenv("UPSEDGE_SOAK") == "" && (i != (at+1)%len(away) || v != (at+1)/len(away)%2) {
						continue
					}
					got := c.crashed(t, variant, at, gone, fmt.Sprintf("%s %s, dead after %d s for %v", name, variant, at, gone), truth)
					sum[fmt.Sprintf("%-36s truly %-9v judged %v", name, truth, got)]++
				}
			}
		}
	}
	for _, line := range slices.Sorted(maps.Keys(sum)) {
		t.Logf("%5d  %s", sum[line], line)
	}
}

// open is the unit at the beginning of a course.
func (c course) open(t *testing.T, variant string) (*bench, *Control) {
	var o upssim.Options
	if c.cmd.Params[ups.ParamTest] == ups.TestCalibration {
		o.Speed = 40
	}
	if variant != "" {
		o.Variants = []string{variant}
	}
	b, ctl := newControl(t, o, Config{})
	for _, w := range strings.Fields(c.before) {
		if d, err := time.ParseDuration(w); err == nil {
			time.Sleep(d)
			continue
		}
		b.happens(t, w)
	}
	return b, ctl
}

// whole runs a course without a crash.
func (c course) whole(t *testing.T, variant string) (end ups.OutcomeState, took time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		b, ctl := c.open(t, variant)
		before, err := ctl.Check(t.Context(), c.cmd)
		if err != nil {
			t.Fatal(err)
		}
		c.disturb(t, b)
		began := time.Now()
		end = ctl.Execute(t.Context(), c.cmd, before, nil).State
		took = time.Since(began)
		time.Sleep(8 * time.Second) // for what was to happen
	})
	return end, took
}

func (c course) disturb(t *testing.T, b *bench) {
	if c.during != "" {
		time.AfterFunc(7*time.Second-time.Millisecond, func() { b.happens(t, c.during) })
	}
}

// crashed runs it with one; at -1 nothing was written.
func (c course) crashed(t *testing.T, variant string, at int, gone time.Duration, what string, truth ups.OutcomeState) (end ups.OutcomeState) {
	synctest.Test(t, func(t *testing.T) {
		b, ctl := c.open(t, variant)
		before, err := ctl.Check(t.Context(), c.cmd)
		if err != nil {
			t.Fatal(err)
		}
		c.disturb(t, b)
		if at >= 0 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(at)*time.Second+50*time.Millisecond)
			ctl.Execute(ctx, c.cmd, before, nil)
			cancel()
		}
		wrote := len(b.written())
		time.Sleep(gone)
		out := NewControl(ctl.of, ctl.line).Judge(t.Context(), c.cmd, before)
		end = out.State
		if n := len(b.written()); n != wrote {
			t.Errorf("%s: who judges has written %q", what, b.written()[wrote:])
		}
		reached := c.stays != nil && c.stays(uint32(b.Registers(c.reg, 1)[0]))
		panel := c.cmd.Params[ups.ParamTest] == ups.TestPanel && b.Registers(26, 1)[0]&1 != 0
		ok := end == ups.Unknown
		switch {
		case c.stays != nil:
			ok = ok || end == ups.Done && reached
		case panel && c.stays == nil:
			ok = end == ups.Failed
		case at >= 0:
			ok = ok || end == truth
		}
		if !ok {
			t.Errorf("%s: judged %v (%s), truly %v", what, end, out.Detail, truth)
		}
		time.Sleep(8 * time.Second)
	})
	return end
}
