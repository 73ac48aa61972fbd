package agent

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"upsedge/internal/config"
	"upsedge/internal/sampler"
	"upsedge/internal/ups"
	"upsedge/internal/ups/modbus"
	"upsedge/internal/ups/smartups"
)

// A Budget is what the units of a line ask of it.
type Budget struct {
	Line   string
	Units  []config.Unit
	Timing modbus.Timing // of the first unit
	Plan   []ups.Block   // of the last unit
	Load   float64       // share of the line's time that is asked for; above 1 it does not fit

	wishes []sampler.Wish // by unit
}

// Budgets computes the load of every line from the configuration alone: of each unit every outlet group is taken as present, and
// its turnaround is assumed.
func Budgets(units []config.Unit) []Budget {
	type kind struct {
		timing modbus.Timing
		card   bool
	}
	plans := map[kind][]ups.Block{} // a plan takes up to a millisecond, and there may be a thousand units
	var out []Budget
	for _, group := range lines(units) {
		timing := modbus.New(LineConfig(group[0], group[0].Name, nil, nil)).Timing(group[0].UnitID)
		timing.Turnaround = assumedTurnaround(group[0])
		var wishes []sampler.Wish
		for _, u := range group {
			k := kind{timing, u.OverCard()}
			if plans[k] == nil {
				plans[k] = smartups.DefaultPlan(timing, k.card)
			}
			wishes = append(wishes, sampler.Wish{Plan: plans[k], Rates: u.Poll})
		}
		out = append(out, newBudget(group, timing, wishes))
	}
	return out
}

func newBudget(units []config.Unit, t modbus.Timing, wishes []sampler.Wish) Budget {
	return Budget{
		Line: units[0].Name, Units: units, Timing: t, Plan: wishes[len(wishes)-1].Plan, Load: sampler.Load(wishes), wishes: wishes,
	}
}

// Expected returns how often each tier of each unit will be read, in a second. As watch counts every read of the status word. It
// runs a schedule and takes a millisecond or two.
func (b Budget) Expected() [][ups.TierCount]float64 { return sampler.Expect(b.wishes) }

// Stretch returns by how much the worst tier of the line is stretched, 1 where everything gets what it asks for.
func (b Budget) Stretch() float64 {
	stretch := 1.0
	if b.Load > mayNotFit {
		for i, got := range b.Expected() {
			stretch = max(stretch, sampler.Stretch(b.Units[i].Poll, got))
		}
	}
	return stretch
}

// mayNotFit is the load below which a line certainly keeps up with its schedule: what looking ahead adds fits as well.
const mayNotFit = 0.75

// assumedTurnaround is how long a unit is taken to think before its first reply has been measured. On the unit's own ports
// nothing is published but upper bounds; of a card replies just under 500 ms were seen (protocol reference, section 2).
func assumedTurnaround(u config.Unit) time.Duration {
	switch {
	case u.Serial != nil:
		return 10 * time.Millisecond
	case u.OverCard():
		return 500 * time.Millisecond
	}
	return 20 * time.Millisecond
}

// warnOfRates logs lines that cannot carry what is asked of them.
func (a *agent) warnOfRates(units []config.Unit) {
	warn(a.Log, slices.DeleteFunc(Budgets(units), func(b Budget) bool { return b.Load <= 1 }))
}

// few lines are worth a line each in the log; of more a single one says how many they are and names the worst.
const few = 3

// warn says with numbers that the rates do not fit lines.
func warn(log *slog.Logger, lines []Budget) {
	if len(lines) <= few {
		for _, b := range lines {
			log.Warn("the rates do not fit the line and are stretched", "line", b.Line, "asked_ms_per_second", fmt.Sprintf("%.0f", 1000*b.Load),
				"stretched_by", fmt.Sprintf("%.2f", b.Stretch()), "turnaround", b.Timing.Turnaround.Round(time.Millisecond), "expected", b.rates())
		}
		return
	}
	worst := slices.MaxFunc(lines, func(a, b Budget) int { return cmp.Compare(a.Load, b.Load) })
	log.Warn("the rates do not fit many lines and are stretched; upsagent check lists them", "lines", len(lines), "worst", worst.Line,
		"asked_ms_per_second", fmt.Sprintf("%.0f", 1000*worst.Load), "stretched_by", fmt.Sprintf("%.2f", worst.Stretch()),
		"turnaround", worst.Timing.Turnaround.Round(time.Millisecond))
}

// relieve says that the rates fit lines again.
func relieve(log *slog.Logger, lines []Budget) {
	if len(lines) > few {
		log.Info("the rates fit many lines again", "lines", len(lines))
		return
	}
	for _, b := range lines {
		log.Info("the rates fit the line", "line", b.Line, "asked_ms_per_second", fmt.Sprintf("%.0f", 1000*b.Load))
	}
}

// rates says of each unit and tier what it will get of what it asks for: "a: watch 3.9/s of 5, live 1.3/s of 2".
func (b Budget) rates() string {
	var out []string
	for i, expected := range b.Expected() {
		var tiers []string
		for t, period := range b.Units[i].Poll[:ups.TierSettings] {
			if period > 0 {
				tiers = append(tiers, fmt.Sprintf("%v %.2g/s of %.2g", ups.Tier(t), expected[t], 1/period.Seconds()))
			}
		}
		out = append(out, b.Units[i].Name+": "+strings.Join(tiers, ", "))
	}
	return strings.Join(out, "; ")
}

// A planned is a unit's driver whose plan the budget of its line can see.
type planned struct {
	*smartups.Driver
	timing func() modbus.Timing

	mu   sync.Mutex
	plan []ups.Block
	then modbus.Timing // when it was made
}

// Connect connects the driver; see sampler.Source.
func (p *planned) Connect(ctx context.Context, seen func(*ups.Reading)) ([]ups.Block, error) {
	plan, err := p.Driver.Connect(ctx, seen)
	if err == nil {
		p.mu.Lock()
		p.plan, p.then = plan, p.timing()
		p.mu.Unlock()
	}
	return plan, err
}

// costs returns the plan of the last connection as it costs now, nil before the first.
func (p *planned) costs() []ups.Block {
	p.mu.Lock()
	plan, then, now := slices.Clone(p.plan), p.then, p.timing()
	p.mu.Unlock()
	for i := range plan {
		plan[i].Cost += now.Gap - then.Gap + now.Turnaround - then.Turnaround
	}
	return plan
}

// budget is what the units of a line ask of it, as measured of those that have answered and assumed of the others.
func (l *line) budget() Budget {
	wishes, timing := slices.Clone(l.assumed.wishes), l.assumed.Timing
	for i, p := range l.drivers {
		if plan := p.costs(); plan != nil {
			wishes[i].Plan = plan
			if i == 0 {
				timing = p.timing()
			}
		}
	}
	return newBudget(l.assumed.Units, timing, wishes)
}

// steadily is how many looks at a line, ten seconds apart, have to say the same.
const steadily = 3

// reconsider tells the units of lines how far their rates are stretched now that the lines are measured, and logs when they do not
// fit any more, when that changes by a quarter, and when they fit again, each if it is so steadily times in a row: neither a line at its
// limit nor a moment of a busy box is worth a log line.
func reconsider(lines []*running, log *slog.Logger) {
	var over, fit []Budget
	for _, r := range lines {
		b := r.line.budget()
		r.line.judge(b, r.units)
		was := max(r.line.told, 1)
		tooMuch := b.Load > 1.02 && (was == 1 || b.Load > 1.25*was || b.Load < was/1.25)
		if !tooMuch && (b.Load >= 0.95 || was == 1) {
			r.line.untold = 0
			continue
		}
		if r.line.untold++; r.line.untold < steadily {
			continue
		}
		if tooMuch {
			over = append(over, b)
		} else {
			fit = append(fit, b)
		}
		r.line.told, r.line.untold = b.Load, 0
	}
	warn(log, over)
	relieve(log, fit)
}

// judge tells the units of a line how far their rates are stretched, if that may have changed.
func (l *line) judge(b Budget, units []*unit) {
	if off := b.Load - l.judged; max(off, -off) <= 0.02*b.Load {
		return
	}
	l.judged = b.Load
	stretch := b.Stretch()
	for _, u := range units {
		u.mu.Lock()
		u.stretch = stretch
		u.mu.Unlock()
	}
}
