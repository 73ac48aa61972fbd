package upssim

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// An Action is something that happens to a unit, as a word: "mains-fail", "load=0.4".
type Action struct {
	Word string
	do   func(*Unit)
}

// Do lets it happen.
func (a Action) Do(u *Unit) { a.do(u) }

// A verb is the name of an action, what stands after its "=", and what it does.
type verb struct {
	name, value, help string
	parse             func(value string) (func(*Unit), error)
}

func plain(f func(*Unit)) func(string) (func(*Unit), error) {
	return func(string) (func(*Unit), error) { return f, nil }
}

// verbs are the words there are, in the order people read them.
var verbs = slices.Concat(powerVerbs, feedVerbs, batteryVerbs, testVerbs, outletVerbs, panelVerbs, faultVerbs, rawVerbs)

// then makes a verb of something that happens to a unit that holds still.
func then(f func(*Unit)) func(*Unit) { return func(u *Unit) { u.do(func() { f(u) }) } }

// number parses a value between least and most.
func number(least, most float64, f func(*Unit, float64)) func(string) (func(*Unit), error) {
	return func(s string) (func(*Unit), error) {
		v, err := strconv.ParseFloat(s, 64)
		if err != nil || !(v >= least && v <= most) {
			return nil, fmt.Errorf("%q is not a number from %g to %g", s, least, most)
		}
		return func(u *Unit) { f(u, v) }, nil
	}
}

// ParseAction reads one word, "mains-fail" or "load=0.4".
func ParseAction(word string) (Action, error) {
	name, value, given := strings.Cut(word, "=")
	for _, v := range verbs {
		if v.name != name {
			continue
		}
		switch {
		case given && v.value == "":
			return Action{}, fmt.Errorf("%s takes no value", name)
		case !given && v.value != "" && v.value[0] != '[':
			return Action{}, fmt.Errorf("%s wants a value: %s=%s", name, name, v.value)
		}
		do, err := v.parse(value)
		if err != nil {
			return Action{}, fmt.Errorf("%s: %w", name, err)
		}
		return Action{Word: word, do: do}, nil
	}
	return Action{}, fmt.Errorf("unknown word %q", name)
}

// Words returns the actions there are, a line each, for people.
func Words() string {
	var b strings.Builder
	for _, v := range verbs {
		name := v.name
		switch {
		case strings.HasPrefix(v.value, "["):
			name += "[=" + v.value[1:]
		case v.value != "":
			name += "=" + v.value
		}
		fmt.Fprintf(&b, "  %-24s %s\n", name, v.help)
	}
	return b.String()
}

// A Step is an action with its time, from the start of the scenario.
type Step struct {
	At     time.Duration
	Action Action
}

// ParseStep reads "30s=mains-fail" or "30s mains-fail".
func ParseStep(s string) (Step, error) {
	i := strings.IndexAny(s, "= \t")
	if i < 0 {
		return Step{}, fmt.Errorf("%q: want TIME=ACTION, 30s=mains-fail for instance", s)
	}
	at, err := time.ParseDuration(s[:i])
	if err != nil || at < 0 {
		return Step{}, fmt.Errorf("%q: %q is not a time from the start", s, s[:i])
	}
	a, err := ParseAction(strings.TrimSpace(s[i+1:]))
	if err != nil {
		return Step{}, fmt.Errorf("%q: %w", s, err)
	}
	return Step{At: at, Action: a}, nil
}

// A Scenario is a file of steps, and the unit it is meant for; what it does not say is zero.
type Scenario struct {
	Model    string
	Variants []string
	Speed    float64 // of the battery
	Load     float64 // a part of the rating
	Steps    []Step
}

// ParseScenario reads a step from each line, "30s mains-fail", or what the unit is: "model SRT1000XLA", "variant card",
// "speed 20", "load 0.5". Empty lines and what follows a # do not count.
func ParseScenario(r io.Reader) (Scenario, error) {
	var out Scenario
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line, _, _ := strings.Cut(lines.Text(), "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if err := out.line(line); err != nil {
			return Scenario{}, fmt.Errorf("line %d: %w", n, err)
		}
	}
	return out, lines.Err()
}

func (s *Scenario) line(line string) error {
	word, rest, _ := strings.Cut(line, " ")
	rest = strings.TrimSpace(rest)
	switch word {
	case "model":
		if !slices.Contains(SKUs(), rest) {
			return fmt.Errorf("no model %q", rest)
		}
		s.Model = rest
	case "variant":
		if _, err := mannerOf([]string{rest}); err != nil {
			return err
		}
		s.Variants = append(s.Variants, rest)
	case "speed":
		return positive(rest, 1e6, &s.Speed)
	case "load":
		return positive(rest, 1.5, &s.Load)
	default:
		step, err := ParseStep(line)
		if err != nil {
			return err
		}
		s.Steps = append(s.Steps, step)
	}
	return nil
}

func positive(s string, most float64, to *float64) error {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || !(v > 0 && v <= most) {
		return fmt.Errorf("%q is not a number above 0, up to %g", s, most)
	}
	*to = v
	return nil
}

// Play lets the steps happen to every unit, each at its time, and returns when the last is done or ctx ends. It tells note,
// if that is not nil, what it did.
func Play(ctx context.Context, steps []Step, note func(Step), units ...*Unit) error {
	steps = slices.SortedStableFunc(slices.Values(steps), func(a, b Step) int { return cmp.Compare(a.At, b.At) })
	start := time.Now()
	for _, s := range steps {
		if err := wait(ctx, time.Until(start.Add(s.At))); err != nil {
			return err
		}
		for _, u := range units {
			s.Action.Do(u)
		}
		if note != nil {
			note(s)
		}
	}
	return nil
}
