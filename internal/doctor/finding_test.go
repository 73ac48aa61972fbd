package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/config"
)

func says(found ...Finding) func(context.Context) []Finding {
	return func(context.Context) []Finding { return found }
}

// words are findings, a line each.
func words(all []Finding) string {
	var out strings.Builder
	for _, f := range all {
		fmt.Fprintf(&out, "%s %s %s: %s | %s\n", f.Level, f.Check, f.Of, f.What, f.Do)
	}
	return out.String()
}

// worst is the highest level among findings, OK of none.
func worst(all []Finding) Level {
	for _, level := range []Level{Problem, Note} {
		if slices.ContainsFunc(all, func(f Finding) bool { return f.Level == level }) {
			return level
		}
	}
	return OK
}

func TestACauseHidesWhatItExplains(t *testing.T) {
	down := box(t, map[string]string{"sys/class/net/lo/operstate": "unknown\n"})
	checks := []Check{
		{Name: "port", Look: says(Finding{Level: Problem, At: "a", What: "gone"}, Finding{Level: OK, At: "b"})},
		{Name: "unit", After: []string{"port"}, Look: says(Finding{Level: Problem, At: "a", What: "silent"}, Finding{Level: Problem, At: "b", What: "silent"})},
		{Name: "dns", Look: says(Finding{Level: Problem, At: "host", What: "unknown"})},
		{Name: "spool", After: []string{"dns"}, Look: says(Finding{Level: Note, What: "waits"})},
		{Name: "alarms", After: []string{"unit"}, Look: says(Finding{Level: OK, What: "none"})},
		{Name: "disk", Look: says(Finding{Level: Note, What: "small"})},
	}
	offline := []Check{
		{Name: "network", Look: says(down.LookAtNetwork(true)...)},
		{Name: "unit", After: []string{"network"}, Look: says(Finding{Level: Problem, At: LineAt(on("/dev/ttyS0")[0])}, Finding{Level: Problem, At: LineAt(config.Unit{TCP: &config.TCP{}})})},
		{Name: "dns", After: []string{"network"}, Look: says(Finding{Level: Problem, At: HostAt("cloud.example")})},
	}
	if got := Examine(t.Context(), offline); len(got) != 2 || got[1].At != "serial:/dev/ttyS0" {
		t.Errorf("without a network: %s", words(got))
	}
	want := "problem port : gone | \nproblem unit : silent | \nproblem dns : unknown | \nnote disk : small | \nok port :  | \nok alarms : none | \n"
	if got := words(Examine(t.Context(), checks)); got != want {
		t.Errorf("found\n%s, want\n%s", got, want)
	}
	if got := words(Examine(t.Context(), checks, "disk", "spool")); got != "note spool : waits | \nnote disk : small | \n" {
		t.Errorf("of two checks\n%s", got)
	}
}

// A disk that hangs hangs every call about it; the others are told all the same.
func TestACheckThatHangsHangsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		all := Examine(t.Context(), []Check{
			{Name: "disk", Look: func(context.Context) []Finding { time.Sleep(time.Hour); return nil }},
			{Name: "polite", Look: func(ctx context.Context) []Finding { <-ctx.Done(); return []Finding{{Level: OK, What: "in time"}} }},
		})
		if got := words(all); got != "note disk : no answer in 8s: this was not checked | \nok polite : in time | \n" {
			t.Errorf("found\n%s", got)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("it took %v", took)
		}
		time.Sleep(time.Hour) // the check that was left behind ends, too
	})
}

func TestABundleTellsTheWorstOfACheckAndNotAWord(t *testing.T) {
	found := []Finding{{Check: "disk", Level: Problem, What: "full"}, {Check: "clock", Level: Note}, {Check: "disk", Level: OK}, {Check: "plan", Level: OK}}
	want := []Checked{{"disk", Problem}, {"clock", Note}, {"plan", OK}}
	if got := CheckedOf(found); !slices.Equal(got, want) {
		t.Errorf("told is %v, want %v", got, want)
	}
}
