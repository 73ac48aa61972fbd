package upssim

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var update = flag.Bool("update", false, "write the golden files")

const shipped = "../../../configs/scenarios"

// open reads a shipped scenario.
func open(t *testing.T, name string) Scenario {
	t.Helper()
	f, err := os.Open(filepath.Join(shipped, name+".scenario"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sc, err := ParseScenario(f)
	if err != nil {
		t.Fatal(err)
	}
	return sc
}

// tell polls items ten times a second until the scenario and then some more are over, and returns what one of them showed
// whenever it changed: "10s UPSStatus_BF StateOnBattery|InputBad|PendingOutputOff".
func tell(t *testing.T, sc Scenario, more time.Duration, names ...string) (out []string) {
	synctest.Test(t, func(t *testing.T) {
		u, start := New(Options{SKU: sc.Model, Variants: sc.Variants, Load: sc.Load, Speed: sc.Speed}), time.Now()
		played := make(chan error, 1)
		go func() { played <- Play(t.Context(), sc.Steps, nil, u) }()
		last := map[string]string{}
		end := sc.Steps[len(sc.Steps)-1].At + more
		for at := time.Duration(0); at <= end; at = time.Since(start) {
			synctest.Wait() // what is due at this instant has happened
			for _, name := range names {
				it := bitItem(name)
				v := uint32(u.reg(it.addr))
				if it.count == 2 {
					v = u.reg32(it.addr)
				}
				_, is, _ := strings.Cut(describe(it.name, v), " ")
				if u.Handle(readPDU(0, 3)) == nil {
					is = "silent"
				}
				if was, seen := last[name]; seen && was != is {
					out = append(out, fmt.Sprintf("%v %s %s", at.Round(100*time.Millisecond), name, is))
				}
				last[name] = is
			}
			time.Sleep(100 * time.Millisecond)
		}
		if err := <-played; err != nil {
			t.Error(err)
		}
	})
	return out
}

// TestShippedScenarios plays every file of configs/scenarios and tells what is seen of it, against testdata/scenarios.
func TestShippedScenarios(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(shipped, "*.scenario"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d scenarios, %v", len(files), err)
	}
	watched := map[string][]string{
		"outage":          {"UPSStatus_BF", "SimpleSignalingStatus_BF", "Input.InputStatus_BF"},
		"dead-battery":    {"UPSStatus_BF", "SimpleSignalingStatus_BF", "SOG[0].OutletStatus_BF"},
		"failing-battery": {"UPSStatus_BF", "BatterySystemError_BF", "Battery.LifeTimeStatus_BF", "ReplaceBatteryTestStatus_BF"},
		"calibration":     {"UPSStatus_BF", "RunTimeCalibrationStatus_BF"},
		"overload":        {"UPSStatus_BF", "PowerSystemError_BF"},
		"wiring-and-heat": {"UPSStatus_BF", "GeneralError_BF", "BatterySystemError_BF", "PowerSystemError_BF", "UserInterfaceStatus_BF"},
		"outlet-reboot":   {"UPSStatus_BF", "SOG[0].OutletStatus_BF", "SOG[1].OutletStatus_BF"},
		"bypass":          {"UPSStatus_BF", "Bypass.InputStatus_BF", "PowerSystemError_BF"},
		"poor-mains":      {"UPSStatus_BF", "Input.InputStatus_BF"},
	}
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".scenario")
		t.Run(name, func(t *testing.T) {
			if watched[name] == nil {
				t.Fatal("nothing is watched: add it to the test")
			}
			got := strings.Join(tell(t, open(t, name), time.Minute, watched[name]...), "\n") + "\n"
			golden := filepath.Join("testdata", "scenarios", name+".txt")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("seen:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}
