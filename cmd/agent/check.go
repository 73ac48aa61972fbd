package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"upsedge/internal/agent"
	"upsedge/internal/config"
	"upsedge/internal/ups"
)

type checkCmd struct {
	JSON       bool
	Configured bool
}

func checkCommand(cli *common, std stdio) *cobra.Command {
	c := &checkCmd{}
	cmd := &cobra.Command{
		Use:     "check",
		Short:   "Check the configuration; print the read plan and what each line can carry. Touches no unit.",
		Example: "  upsagent check --config agent.yaml",
		Args:    atMost(0),
		RunE:    func(*cobra.Command, []string) error { return c.Run(cli, std) },
	}
	cmd.Flags().BoolVar(&c.JSON, "json", false, "Machine-readable output.")
	cmd.Flags().BoolVar(&c.Configured, "configured", false, "Print nothing, and exit with 1 where no unit is configured yet: the service is not started then.")
	return cmd
}

// errNotConfigured is what a fresh package has: a configuration without units, or none.
var errNotConfigured = errors.New("not configured yet: run upsagent setup")

// configured is nil where there is a unit, and where the file is wrong: then it is the start of the service that has to say so. systemd
// asks it before each start (ExecCondition=, for which 1 to 254 mean that the service is skipped and has not failed).
func configured(path string) error {
	cfg, err := config.Load(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(cfg.Units) == 0 {
		return errNotConfigured
	}
	return nil
}

// lineReport is what check says of a line.
type lineReport struct {
	Line    string       `json:"line"`                      // name of the first unit on it
	Kind    string       `json:"kind"`                      // in words: serial 9600 baud, parity none
	GapMs   float64      `json:"gap_ms"`                    // silence before each request
	Assumed float64      `json:"assumed_turnaround_ms"`     // until the first reply was measured
	Load    float64      `json:"load"`                      // share of the line's time that is asked for
	AskedMs float64      `json:"asked_ms_per_second"`       // the same, of 1000
	Fits    bool         `json:"fits"`                      // load is 1 or less
	Reads   []readReport `json:"reads"`                     // what a full round reads
	Refresh float64      `json:"full_refreshes_per_second"` // at most: status and live blocks, nothing else
	Units   []unitReport `json:"units"`
	stretch float64
}

type readReport struct {
	Name   string  `json:"read"`    // first register and how many
	Tier   string  `json:"tier"`    // watch, status, live, settings, identity
	CostMs float64 `json:"cost_ms"` // of the line's time, the gap included
}

type unitReport struct {
	Unit  string             `json:"unit"`                // name in the configuration
	Asked map[string]float64 `json:"asked_per_second"`    // by tier, without those that are off
	Rates map[string]float64 `json:"expected_per_second"` // the same, as the line will allow
	Time  map[string]float64 `json:"asked_ms_per_second"` // the same, of the line's time
}

// Run checks the configuration and says what the lines can carry.
func (c *checkCmd) Run(cli *common, std stdio) error {
	if c.Configured {
		return configured(cli.Config)
	}
	cfg, err := cli.load()
	if err != nil {
		return err
	}
	if err := agent.CheckFiles(cfg); err != nil {
		return usageError{err}
	}
	reports := []lineReport{}
	for _, b := range agent.Budgets(cfg.Units) {
		reports = append(reports, report(b))
	}
	for _, w := range cfg.Warnings() {
		fmt.Fprintln(std.err, "warning:", w)
	}
	if len(cfg.Units) == 0 {
		fmt.Fprintln(std.err, "No units are configured. `upsagent setup` finds and adds them.")
	}
	if c.JSON {
		enc := json.NewEncoder(std.out)
		enc.SetIndent("", "  ")
		return enc.Encode(reports)
	}
	fmt.Fprintf(std.out, "%s: correct, %s on %s\n", cli.Config, ups.Count(len(cfg.Units), "unit"), ups.Count(len(reports), "line"))
	for _, r := range reports {
		r.print(std.out)
	}
	if len(reports) > 0 {
		fmt.Fprintln(std.out, "\nEvery read of the status word counts as watch: the status block holds it, and it is read once more before a long block.")
	}
	return nil
}

func report(b agent.Budget) lineReport {
	r := lineReport{
		Line: b.Line, Kind: kind(b.Units[0]), GapMs: ms(b.Timing.Gap), Assumed: ms(b.Timing.Turnaround), Load: b.Load, AskedMs: 1000 * b.Load, Fits: b.Load <= 1,
		Reads: []readReport{},
	}
	refresh := time.Duration(0)
	var cost [ups.TierCount]time.Duration
	for _, block := range b.Plan {
		cost[block.Tier] += block.Cost
		r.Reads = append(r.Reads, readReport{block.Name, block.Tier.String(), ms(block.Cost)})
		if block.Tier == ups.TierStatus || block.Tier == ups.TierLive {
			refresh += block.Cost
		}
	}
	r.Refresh = 1 / refresh.Seconds()
	expected := b.Expected()
	r.stretch = b.Stretch()
	for i, u := range b.Units {
		report := unitReport{u.Name, map[string]float64{}, map[string]float64{}, map[string]float64{}}
		for t, period := range u.Poll {
			if period > 0 {
				report.Asked[ups.Tier(t).String()] = 1 / period.Seconds()
				report.Rates[ups.Tier(t).String()] = expected[i][t]
				report.Time[ups.Tier(t).String()] = ms(cost[t]) / period.Seconds()
			}
		}
		r.Units = append(r.Units, report)
	}
	return r
}

func (r lineReport) print(w io.Writer) {
	fmt.Fprintf(w, "\nline %s: %s; %.0f %% of its time asked for (%.0f of 1000 ms in each second), at most %.2f full refreshes per second\n",
		r.Line, r.Kind, r.Load*100, r.AskedMs, r.Refresh)
	fmt.Fprintf(w, "  computed for replies that begin after %.0f ms and a unit with every outlet group\n", r.Assumed)
	if !r.Fits {
		fmt.Fprintf(w, "  warning: the rates do not fit the line; the tiers are stretched by up to %.2f: %.0f ms are asked for in each second\n", r.stretch, r.AskedMs)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "  read\ttier\tms on the line\n")
	for _, b := range r.Reads {
		fmt.Fprintf(t, "  %s\t%s\t%.1f\n", b.Name, b.Tier, b.CostMs)
	}
	_ = t.Flush()
	fmt.Fprintf(t, "\n  unit\ttier\tasked for\texpected\tms of each second\n")
	for _, u := range r.Units {
		for tier := range ups.TierCount {
			if asked, ok := u.Asked[tier.String()]; ok {
				fmt.Fprintf(t, "  %s\t%s\t%s\t%s\t%.1f\n", u.Unit, tier, often(asked), often(u.Rates[tier.String()]), u.Time[tier.String()])
			}
		}
	}
	_ = t.Flush()
}

// often says how often: "5.00/s", or "every 10m" of what comes less than once in ten seconds.
func often(perSecond float64) string {
	if perSecond >= 0.1 || perSecond <= 0 {
		return fmt.Sprintf("%.2f/s", perSecond)
	}
	period := time.Duration(float64(time.Second) / perSecond).Round(time.Second)
	if period > 30*time.Minute {
		period = period.Round(time.Minute)
	}
	every := period.String()
	if short, ok := strings.CutSuffix(every, "m0s"); ok {
		every = short + "m"
	}
	if short, ok := strings.CutSuffix(every, "h0m"); ok {
		every = short + "h"
	}
	return "every " + every
}

func kind(u config.Unit) string {
	switch {
	case u.Serial != nil:
		return fmt.Sprintf("serial %d baud, parity %s", u.Serial.Baud, u.Serial.Parity)
	case u.TCP.Card:
		return "TCP, network card"
	}
	return "TCP, the unit's own port"
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
