package ups

import (
	"errors"
	"fmt"
	"regexp"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestTheCatalogueIsWellFormed(t *testing.T) {
	name := regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	metric := regexp.MustCompile(`^ups_[a-z_]+$`)
	seen := map[string]Point{}
	series := map[string]Point{}
	for _, p := range Points() {
		info := p.Info()
		if !name.MatchString(info.Name) || info.Help == "" || info.Kind == 0 {
			t.Errorf("%d: %+v has a bad name, no help or no kind", p, info)
		}
		if other, ok := seen[info.Name]; ok {
			t.Errorf("%v and %v have the same name", other, p)
		}
		seen[info.Name] = p
		if found, ok := PointByName(info.Name); !ok || found != p {
			t.Errorf("PointByName(%q) = %v, %v", info.Name, found, ok)
		}
		m := info.Metric
		if m.Name == "" {
			continue
		}
		if !metric.MatchString(m.Name) || m.Scale == 0 {
			t.Errorf("%v: metric %+v", p, m)
		}
		if other, ok := series[m.Name+m.Value]; ok {
			t.Errorf("%v and %v make the same series", other, p)
		}
		series[m.Name+m.Value] = p
	}
	if _, ok := PointByName(""); ok {
		t.Error("a point without a name was found: gaps in the numbers are no points")
	}
}

// Numbers are on the wire. This list only grows.
func TestPointNumbersNeverChange(t *testing.T) {
	for p, want := range map[Point]string{
		1: "status", 2: "status_cause", 3: "main_outlet", 7: "sog3_outlet", 8: "signalling", 12: "battery_test", 15: "user_interface",
		20: "battery_runtime", 21: "battery_charge", 35: "output_energy", 39: "input_status", 43: "efficiency", 50: "main_turn_off",
		64: "sog3_stay_off", 71: "firmware", 79: "outlet_config", 90: "output_voltage_setting_wide", 100: "test_interval",
		104: "main_turn_off_delay", 122: "sog3_stay_off_delay", 124: "main_shed_config", 135: "sog2_shed_time", 140: "map_id",
	} {
		if p.Info().Name != want {
			t.Errorf("point %d is %q, want %q", uint16(p), p.Info().Name, want)
		}
	}
}

// The bits rules are written with must be the bits that have those names.
func TestBitsOfRulesHaveTheNamesTheyStandFor(t *testing.T) {
	for _, c := range []struct {
		p    Point
		mask uint32
		name string
	}{
		{StatusFlags, UOnline, "StateOnline"},
		{StatusFlags, UOnBattery, "StateOnBattery"},
		{StatusFlags, UBypass, "StateBypass"},
		{StatusFlags, UOutputOff, "StateOutputOff"},
		{StatusFlags, UFault, "Fault"},
		{StatusFlags, UInputBad, "InputBad"},
		{StatusFlags, UTest, "Test"},
		{StatusFlags, UPendingOn, "PendingOutputOn"},
		{StatusFlags, UPendingOff, "PendingOutputOff"},
		{StatusFlags, UHighEfficiency, "HighEfficiency"},
		{StatusFlags, UOverload, "OverloadState"},
		{SOG1Outlet, OStateOn, "StateOn"},
		{SOG1Outlet, OStateOff, "StateOff"},
		{SOG1Outlet, OLowRuntime, "LowRuntime"},
		{Signalling, SPowerFailure, "PowerFailure"},
		{Signalling, SShutdownImminent, "ShutdownImminent"},
		{PowerError, POverload, "OutputOverload"},
		{BatteryError, BNeedsReplacement, "NeedsReplacement"},
		{BatteryTest, TPending, "Pending"},
		{BatteryTest, TInProgress, "InProgress"},
		{BatteryTest, TPassed, "Passed"},
		{BatteryTest, TFailed, "Failed"},
		{BatteryTest, TRefused, "Refused"},
		{BatteryTest, TAborted, "Aborted"},
		{BatteryTest, TProtocol, "Protocol"},
		{BatteryTest, TLocalUI, "LocalUI"},
		{BatteryTest, TInternal, "Internal"},
		{InputStatus, IBoost, "Boost"},
		{InputStatus, ITrim, "Trim"},
	} {
		found := ""
		for _, b := range Names(c.p) {
			if c.mask == 1<<b.Number {
				found = b.Name
			}
		}
		if found != c.name {
			t.Errorf("%v: mask %#x is %q, want %q", c.p, c.mask, found, c.name)
		}
	}
	for _, b := range Names(StatusFlags) {
		if uint32(UReserved)&(1<<b.Number) != 0 {
			t.Errorf("bit %d, %s, is taken for reserved", b.Number, b.Name)
		}
	}
}

func TestStateKeepsWhatWasReadLast(t *testing.T) {
	s := NewState()
	if _, ok := s.Value(Charge); ok || s.Flags(StatusFlags) != 0 || s.Groups() != nil || s.Status() != 0 {
		t.Error("a new state knows something")
	}
	at := time.Unix(1, 0)
	live := &Layout{Columns: []Column{{Charge, 512}, {Efficiency, 128}, {ReplaceBy, 1}, {MainTurnOff, 1}}}
	s.Apply(&Reading{Tier: TierLive, At: at, Layout: live, Raw: []int64{25600, -4, 6404, Absent}})
	if v, ok := s.Value(Charge); !ok || v != 50 {
		t.Errorf("charge %v %v, want 50", v, ok)
	}
	if _, ok := s.Value(Efficiency); ok {
		t.Error("a negative efficiency is a reason, not a value")
	}
	if v, _ := s.Value(ReplaceBy); time.Unix(int64(v), 0).UTC().Format(time.DateOnly) != "2017-07-14" {
		t.Errorf("day 6404 is %v, want 2017-07-14 (protocol reference, section 4)", time.Unix(int64(v), 0).UTC())
	}
	if _, ok := s.Raw(MainTurnOff); ok {
		t.Error("an absent countdown has a value")
	}
	s.Apply(&Reading{Tier: TierLive, At: at, Layout: live, Raw: []int64{Absent, 12160, 6404, 5}})
	if _, ok := s.Value(Charge); ok {
		t.Error("a charge that no longer applies was kept")
	}
	if !s.At(TierLive).Equal(at) || !s.At(TierStatus).IsZero() {
		t.Errorf("read at %v and %v", s.At(TierLive), s.At(TierStatus))
	}
	s.Apply(&Reading{Tier: TierStatus, At: at, Layout: &Layout{Columns: []Column{{OutletConfig, 1}}}, Raw: []int64{0b101}})
	if d := cmp.Diff([]Group{MainGroup, SOG1}, s.Groups()); d != "" {
		t.Errorf("groups of 0x5 (-want +got):\n%s", d)
	}
	if !s.At(TierWatch).Equal(at) {
		t.Error("a read of the status block is no watch")
	}
}

func TestStatusOfStatusWords(t *testing.T) {
	for raw, want := range map[int64][]string{
		0x2: {"online"}, 0x2002: {"online", "high_efficiency"}, 0x244: {"on_battery"}, 0x84: {"on_battery", "test"},
		0x200002: {"online", "overload"}, 0x150: {"output_off"}, 0x408: {"bypass"}, 0x2022: {"online", "fault", "high_efficiency"},
	} {
		s := NewState()
		s.Apply(&Reading{Layout: &Layout{Columns: []Column{{StatusFlags, 1}}}, Raw: []int64{raw}})
		if d := cmp.Diff(want, s.Status().Names()); d != "" {
			t.Errorf("%#x (-want +got):\n%s", raw, d)
		}
	}
	if len(StatusNames) != 15 || CriticalUnknown != 1<<14 {
		t.Error("names and states do not pair")
	}
}

func TestResetMakesEverythingAbsent(t *testing.T) {
	r := &Reading{Raw: []int64{1, 2, 3}}
	l := &Layout{Columns: []Column{{Charge, 512}, {Name, 1}}}
	r.Reset(l, true)
	if len(r.Raw) != 2 || r.Raw[0] != Absent || r.Raw[1] != Absent || len(r.Text) != 2 {
		t.Errorf("%+v", r)
	}
	if n := testing.AllocsPerRun(100, func() { r.Reset(l, false) }); n != 0 || r.Text != nil {
		t.Errorf("%v allocations, texts %v", n, r.Text)
	}
}

type refused struct{}

func (refused) Error() string    { return "refused" }
func (refused) Failure() Failure { return FailureRefused }

func TestFailureIsFoundInAWrappedError(t *testing.T) {
	if f := FailureOf(fmt.Errorf("connect: %w", refused{})); f != FailureRefused || f.String() != "refused" {
		t.Errorf("%v", f)
	}
	if f := FailureOf(errors.New("?")); f != FailureUnknown {
		t.Errorf("%v", f)
	}
}

func TestSeverityReadsWhatItWrites(t *testing.T) {
	for s := Informational; s <= Critical; s++ {
		b, _ := s.MarshalText()
		var back Severity
		if err := back.UnmarshalText(b); err != nil || back != s {
			t.Errorf("%s: %v, %v", b, back, err)
		}
	}
	if new(Severity).UnmarshalText([]byte("")) == nil {
		t.Error("an empty severity was accepted")
	}
}
