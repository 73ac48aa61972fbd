package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"upsedge/internal/config"
	"upsedge/internal/doctor"
	"upsedge/internal/ups"
	"upsedge/internal/ups/modbus"
	"upsedge/internal/ups/smartups"
)

const (
	// identifyWithin bounds what a unit is asked where no agent runs: three reads, of which a slow card answers each in half a second.
	identifyWithin = 5 * time.Second
	// answerWithin is what one request may take on a serial line; a unit of 700 ms was seen (protocol reference, section 2.3).
	answerWithin = time.Second
	// longSilence is in seconds how old the last answer of a stale unit may be: that of one that was just found is younger.
	longSilence = 30
)

// lookAtUnits says of each unit whether it answers: the running agent knows, else each is asked who it is.
func (c *checkup) lookAtUnits(ctx context.Context) []doctor.Finding {
	c.ask(ctx)
	switch {
	case c.status != nil:
		return c.unitsOfAgent()
	case c.hangs != nil || c.agent.Silent || c.root.ServiceRuns():
		return []doctor.Finding{{Level: doctor.Note, What: "the running agent has the lines and cannot be asked", Do: "sudo upsagent doctor unit"}}
	}
	groups := lines(c.cfg.Units)
	found := make([][]doctor.Finding, len(groups))
	var all sync.WaitGroup
	for i, group := range groups[:min(len(groups), mostLines)] {
		all.Go(func() { found[i] = c.askLine(ctx, group) })
	}
	all.Wait()
	var out []doctor.Finding
	for _, f := range found {
		out = append(out, f...)
	}
	if len(groups) > mostLines {
		out = append(out, doctor.Finding{Level: doctor.Note, What: fmt.Sprintf("%d of %d lines were asked", mostLines, len(groups)), Do: "upsagent probe asks the others"})
	}
	return out
}

// mostLines are asked beside each other.
const mostLines = 64

func (c *checkup) unitsOfAgent() (out []doctor.Finding) {
	for _, u := range c.cfg.Units {
		f := doctor.Finding{Of: u.Name, At: doctor.LineAt(u), Level: doctor.Note, What: "the running agent does not know it", Do: "sudo systemctl reload upsagent"}
		for _, seen := range c.status.Units {
			if seen.Name != u.Name {
				continue
			}
			switch {
			case seen.Failure != "":
				f.Level, f.Do = doctor.Problem, seen.Do
				f.What = strings.Replace(seen.Failure, " "+seen.Do, "", 1) // what to do has a line of its own
				if strings.Contains(f.What, "not permitted") {             // the user of the service may: else the check of the ports would tell
					f.Do = "The driver of its port was loaded after the service had started: sudo systemctl restart upsagent"
				}
			case seen.Age == nil:
				f.Level, f.What, f.Do = doctor.Note, "it has not answered yet", "ask again in a few seconds"
			case *seen.Age > longSilence && slices.Contains(seen.Condition, ups.Stale.Names()[0]): // nothing fails, and nothing comes
				f.Level, f.What, f.Do = doctor.Problem, fmt.Sprintf("it has not answered for %.0f s", *seen.Age), "journalctl -u upsagent -n 50, then sudo systemctl restart upsagent"
			default:
				f.Level, f.What, f.Do = doctor.OK, fmt.Sprintf("%s %s answered %.1f s ago", seen.Model, seen.Serial, *seen.Age), ""
			}
		}
		out = append(out, f)
	}
	return out
}

// askLine asks the units of a line who they are. A line that somebody else has is not asked: it would disturb both.
func (c *checkup) askLine(ctx context.Context, units []config.Unit) (out []doctor.Finding) {
	if u := units[0]; u.Serial != nil && len(c.root.Holders(u.Serial.Device)) > 0 {
		return []doctor.Finding{{Level: doctor.Note, Of: u.Name, At: doctor.LineAt(u), What: "it was not asked: another program has the port", Do: "see master"}}
	}
	cfg := LineConfig(units[0], "doctor", nil, slog.New(slog.DiscardHandler))
	if units[0].Serial != nil {
		cfg.Timeout = answerWithin
	}
	line := modbus.New(cfg)
	over, end := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { _ = line.Run(over) }) // returns nil
	for _, u := range units {
		f := doctor.Finding{Of: u.Name, At: doctor.LineAt(u), Level: doctor.OK}
		short, cancel := context.WithTimeout(ctx, identifyWithin)
		id, err := smartups.Identify(short, line, u.UnitID)
		cancel()
		switch {
		case err != nil && ctx.Err() != nil && len(out) > 0:
			f.Level, f.What, f.Do = doctor.Note, "there was no time left to ask it", "upsagent read "+u.Name
		case err != nil:
			f.Level, f.What, f.Do = doctor.Problem, err.Error(), ""
			if what, do := Advise(u, err); what != "" {
				f.What, f.Do = fmt.Sprintf("%s (%v)", what, err), do
			}
			if ups.FailureOf(err) == ups.FailureUnreachable && errors.Is(err, fs.ErrPermission) {
				f.Level = doctor.Note // of who asks; what the service may, the check of the ports says
			}
		default:
			f.What = fmt.Sprintf("%s %s answers", id.Model, id.Serial)
		}
		out = append(out, f)
	}
	end()
	running.Wait()
	return out
}

// lookAtPlan says with numbers whether the lines can carry what is asked of them.
func (c *checkup) lookAtPlan() (out []doctor.Finding) {
	for _, b := range Budgets(c.cfg.Units) {
		f := doctor.Finding{Level: doctor.OK, Of: b.Line, At: doctor.LineAt(b.Units[0]), What: fmt.Sprintf("%.0f of 1000 ms in each second are asked for", 1000*b.Load)}
		if b.Load > 1 {
			f.Level = doctor.Note
			f.What += fmt.Sprintf(", more than there are: everything is read up to %.1f times less often than asked; %s", b.Stretch(), b.rates())
			f.Do = "longer periods under poll, or another port for some of the units: upsagent check computes what comes out"
		}
		out = append(out, f)
	}
	if out == nil {
		out = append(out, doctor.Finding{Level: doctor.OK, What: "no unit is configured"})
	}
	return out
}
