package upssim

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestWordsAreUnderstood(t *testing.T) {
	for word, ok := range map[string]bool{
		"mains-fail": true, "mains-return": true, "input=108": true, "load=0.4": true, "overload": true, "charge=0.5": true, "low-battery": true,
		"charger-bad": true, "charger-good": true, "capacity=0.5": true, "capacity=0": false, "sag=0.2": true, "serial=AS1": true, "serial=": false,
		"serial=12345678901234567": false, "restart": true, "dip": true, "dip=ATSTransfer": true, "dip=28": true, "dip=Nothing": false, "wave=Distorted": true, "wave=good": true, "wave=Boost": false,
		"wave=x": false, "bypass": true, "bypass-end": true, "bypass-feed=90": true, "bypass-expire": true, "inverter-bad": true, "inverter-good": true,
		"inverter-distorted": true, "overheat": true, "cool": true, "heat=50": true, "heat=99": false, "wiring-bad": true, "wiring-good": true, "epo": true,
		"epo-release": true, "battery-replace": true, "battery-life=-3": true, "battery-life=x": false, "battery-worn": true, "battery-disconnect": true,
		"battery-connect": true, "self-test=internal": true, "self-test=me": false, "calibrate": true, "calibrate=protocol": true, "abort": true,
		"outlet=reboot": true, "outlet=off:sog0": true, "outlet=on:mog,sog0": true, "outlet=fly": false, "outlet=on:sog9": false, "shutdown": true,
		"off": true, "on": true, "mute": true, "unmute": true, "panel-test": true, "panel-test-end": true, "ack-battery": true, "ack-wiring": true,
		"button": true, "alert": true, "alert-end": true, "bits=GeneralError+SiteWiring-EEPROM!EPOActive": true, "bits=UPSStatus_BF+Fault": true,
		"bits=GeneralError": false, "bits=GeneralError+Nothing": false, "bits=Nothing+Fault": false, "bits=GeneralError+": false,
		"bits=SOG[0].OutletStatus+PendingLoadShed": true, "bits=Output.SensitivitySetting+Low": false, "cause=ATSTransfer": true, "cause=31": true,
		"cause=x": false, "write=1541:1": true, "write=1541": false, "write=1538:0,0x4304": true,
		"self-test": true, "battery-bad": true, "battery-good": true, "deaf": true, "deaf=10s": true, "talk": true, "bad-crc=3": true, "cut=0": true,
		"stale": true, "late=700ms": true, "poke=0:0x20,2": true, "unpoke=0:2": true, "unpoke=0": true,
		"": false, "mains": false, "mains-fail=1": false, "load": false, "load=": false, "load=1.6": false, "load=NaN": false, "load=-1": false,
		"late": false, "late=5": false, "late=-1s": false, "deaf=soon": false, "bad-crc=-1": false, "poke=0": false, "poke=70000:1": false,
		"poke=0:70000": false, "poke=0:1,": false, "unpoke=x": false,
	} {
		a, err := ParseAction(word)
		if (err == nil) != ok {
			t.Errorf("%q: %v", word, err)
		}
		if err == nil {
			a.Do(New(Options{}))
		}
	}
}

func TestEveryWordIsExplained(t *testing.T) {
	help := Words()
	for _, v := range verbs {
		if !strings.Contains(help, "  "+v.name) || v.help == "" {
			t.Errorf("%s is not in the help", v.name)
		}
	}
}

func TestScenarioFile(t *testing.T) {
	sc, err := ParseScenario(strings.NewReader("# comment\nmodel SRT1000XLA\nvariant card # slow\nvariant no-six\nspeed 20\nload 0.5\n\n30s mains-fail\n 1m30s=mains-return # back\n2m\tload=0.4\n"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	if sc.Model != "SRT1000XLA" || !slices.Equal(sc.Variants, []string{"card", "no-six"}) || sc.Speed != 20 || sc.Load != 0.5 {
		t.Errorf("%+v", sc)
	}
	for _, s := range sc.Steps {
		got = append(got, s.At.String()+" "+s.Action.Word)
	}
	if want := []string{"30s mains-fail", "1m30s mains-return", "2m0s load=0.4"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for _, bad := range []string{"30s", "mains-fail", "-1s mains-fail", "soon mains-fail", "1s fly", "model X", "variant x", "speed 0", "load 2", "load x"} {
		if _, err := ParseScenario(strings.NewReader("\n" + bad)); err == nil || !strings.HasPrefix(err.Error(), "line 2: ") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestPlayKeepsTheTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sc, err := ParseScenario(strings.NewReader("90s mains-return\n30s mains-fail\n"))
		if err != nil {
			t.Fatal(err)
		}
		u, start := New(Options{}), time.Now()
		var at []time.Duration
		if err := Play(t.Context(), sc.Steps, func(Step) { at = append(at, time.Since(start)) }, u); err != nil {
			t.Fatal(err)
		}
		if want := []time.Duration{30 * time.Second, 90 * time.Second}; !slices.Equal(at, want) {
			t.Errorf("steps at %v, want %v", at, want)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := Play(ctx, sc.Steps, nil, u); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Play = %v", err)
		}
	})
}

// FuzzParseStep: whatever is taken can be done.
func FuzzParseStep(f *testing.F) {
	for _, s := range []string{"30s=mains-fail", "1m load=0.4", "0s poke=65535:1,2", "1s deaf=3", "1s late=1h", "2s unpoke=0:65535", "=", "1s input=1e2", "1s bits=GeneralError+SiteWiring", "1s cause=3", "1s outlet=reboot:sog0,mog", "1s write=1538:0,0x43D0", "1s dip=24"} {
		f.Add(s)
	}
	u := newClock().unit(Options{})
	f.Fuzz(func(t *testing.T, s string) {
		step, err := ParseStep(s)
		if err != nil {
			return
		}
		if step.At < 0 {
			t.Errorf("%q: at %v", s, step.At)
		}
		step.Action.Do(u)
	})
}
