package agent

import (
	"context"
	"fmt"
	"time"

	"upsedge/internal/config"
	"upsedge/internal/doctor"
)

// A Checkup looks for what keeps an agent from working, whether one runs or not and whoever asks. It changes nothing: no file, no unit, no
// setting of the box.
type Checkup struct {
	Path    string         // of the configuration
	Config  *config.Config // nil where it cannot be read
	Err     error          // why
	Version string
	Built   time.Time
}

// Checks are all checks, causes before their effects.
func (c *Checkup) Checks() []doctor.Check {
	return []doctor.Check{
		{Name: "configuration", About: "the file parses and names units", Look: c.lookAtConfig},
		{Name: "plan", About: "each line can carry what is asked of it", After: []string{"configuration"}, Look: c.lookAtPlan},
	}
}

// Examine runs the checks, all or the named ones. See doctor.Examine.
func (c *Checkup) Examine(ctx context.Context, names ...string) []doctor.Finding {
	return doctor.Examine(ctx, c.Checks(), names...)
}

// config is the one that could be read, else what an empty file means.
func (c *Checkup) config() *config.Config {
	if c.Config != nil {
		return c.Config
	}
	empty, _ := config.Parse(c.Path, nil)
	return empty
}

func (c *Checkup) lookAtConfig(context.Context) []doctor.Finding {
	if c.Err != nil {
		return []doctor.Finding{{Level: doctor.Problem, What: c.Err.Error(), Do: "mend it, then: sudo upsagent check"}}
	}
	if len(c.Config.Units) == 0 {
		return []doctor.Finding{{Level: doctor.Problem, What: c.Path + " names no unit: nothing is read", Do: "sudo upsagent setup"}}
	}
	return []doctor.Finding{{Level: doctor.OK, What: fmt.Sprintf("%s names %d units", c.Path, len(c.Config.Units))}}
}

func (c *Checkup) lookAtPlan(context.Context) (out []doctor.Finding) {
	for _, b := range Budgets(c.config().Units) {
		f := doctor.Finding{Level: doctor.OK, Of: b.Line, At: b.Units[0].LineKey(), What: fmt.Sprintf("%.0f of 1000 ms in each second are asked for", 1000*b.Load)}
		if b.Load > 1 {
			f.Level = doctor.Note
			f.What += fmt.Sprintf(": everything is read up to %.1f times less often than asked", b.Stretch())
			f.Do = "longer periods under poll, or another port for some of the units: upsagent check shows what comes out"
		}
		out = append(out, f)
	}
	return out
}
