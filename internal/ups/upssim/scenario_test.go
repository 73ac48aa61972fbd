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
	steps, err := ParseScenario(strings.NewReader("# comment\n\n30s mains-fail\n 1m30s=mains-return # back\n2m\tload=0.4\n"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range steps {
		got = append(got, s.At.String()+" "+s.Action.Word)
	}
	if want := []string{"30s mains-fail", "1m30s mains-return", "2m0s load=0.4"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for _, bad := range []string{"30s", "mains-fail", "-1s mains-fail", "soon mains-fail", "1s fly"} {
		if _, err := ParseScenario(strings.NewReader("\n" + bad)); err == nil || !strings.HasPrefix(err.Error(), "line 2: ") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestPlayKeepsTheTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		steps, err := ParseScenario(strings.NewReader("90s mains-return\n30s mains-fail\n"))
		if err != nil {
			t.Fatal(err)
		}
		u, start := New(Options{}), time.Now()
		var at []time.Duration
		if err := Play(t.Context(), steps, func(Step) { at = append(at, time.Since(start)) }, u); err != nil {
			t.Fatal(err)
		}
		if want := []time.Duration{30 * time.Second, 90 * time.Second}; !slices.Equal(at, want) {
			t.Errorf("steps at %v, want %v", at, want)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := Play(ctx, steps, nil, u); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Play = %v", err)
		}
	})
}

// FuzzParseStep: whatever is taken can be done.
func FuzzParseStep(f *testing.F) {
	for _, s := range []string{"30s=mains-fail", "1m load=0.4", "0s poke=65535:1,2", "1s deaf=3", "1s late=1h", "2s unpoke=0:65535", "=", "1s input=1e2"} {
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
