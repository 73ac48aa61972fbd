package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// A report is everything one run has found, as the JSON file has it.
type report struct {
	Version   string       `json:"agent_version"`
	When      time.Time    `json:"when"`
	Quick     bool         `json:"quick"`
	Simulated string       `json:"simulated"`
	Machine   machine      `json:"machine"`
	Window    float64      `json:"window_seconds"`
	Pollers   []polled     `json:"pollers"`
	Events    eventTime    `json:"mains_lost_to_metrics"`
	Blocks    []blockSize  `json:"sample_blocks"`
	Spool     *spoolCost   `json:"spool,omitempty"`
	Network   []wireBytes  `json:"network,omitempty"`
	Backlogs  []drained    `json:"backlogs,omitempty"`
	Front     *frontCost   `json:"front,omitempty"`
	Orders    *orderCost   `json:"orders,omitempty"`
	Writes    []orderTime  `json:"order_to_register,omitempty"`
	Rights    []rightsTime `json:"rights,omitempty"`
	Many      manyUnits    `json:"many_units_on_tcp"`
	Rows      []row        `json:"rows"`
	Missing   []string     `json:"not_measured"`
}

// A row is a target and what was measured.
type row struct {
	What     string  `json:"what"`
	Target   string  `json:"target"`
	Value    float64 `json:"value"`
	Measured string  `json:"measured"`
	Met      bool    `json:"met"`
}

const simulated = "simulated line and unit (pseudo terminal, 9600 baud 8N1, bytes one by one, turnaround 10 ms; a request after less than 35 ms\n" +
	"of silence is counted and not answered); never tried on real hardware"

var missing = []string{
	"NUT: its driver for these units, apc_modbus, came with NUT 2.8.1; Debian 12's nut-modbus is 2.8.0 and has none",
}

// judge compares with the targets of the design, section 11.
func (r *report) judge() {
	least := func(what, format string, target, value float64) {
		r.Rows = append(r.Rows, row{what, "≥ " + fmt.Sprintf(format, target), value, fmt.Sprintf(format, value), value >= target})
	}
	most := func(what, format string, target, value float64) {
		r.Rows = append(r.Rows, row{what, "≤ " + fmt.Sprintf(format, target), value, fmt.Sprintf(format, value), value <= target})
	}
	if len(r.Pollers) > 0 {
		own := r.Pollers[0]
		least("share of the plan's ideal exchange rate", "%.1f %%", 98, 100*own.Share)
		least("full refreshes per second, reckoned for 0/27 + 128/44", "%.2f", 3.7, own.Projected)
		most("requests that came before the gap was over", "%.0f", 0, float64(own.Early))
		most("requests that overlapped a reply", "%.0f", 0, float64(own.Overlapping))
		most("CPU per full refresh, whole process", "%.2f ms", 0.5, own.CPU)
	}
	if r.Events.Trials > 0 {
		most("mains lost to the reply that says so, default tiers, p99", "%.0f ms", 300, r.Events.Wire99)
		most("mains lost to on_battery on /metrics, default tiers, p99", "%.0f ms", 300, r.Events.P99)
	}
	r.judgeBlocks(least, most)
	if r.Spool != nil {
		r.Spool.judge(least, most)
	}
	judgeBacklogs(r.Backlogs, least, most)
	if r.Front != nil {
		r.Front.judge(least)
	}
	if r.Orders != nil {
		r.Orders.judge(most)
	}
	judgeRights(r.Rights, most)
	if m := r.Many; m.Units > 0 {
		least(fmt.Sprintf("%d units on TCP × %d refreshes/s: share of them made", m.Units, manyRefreshes), "%.1f %%", 99.5, 100*m.Kept)
		least("the same, of them on time", "%.2f %%", 99, 100*m.OnTime)
		most("the same, CPU per full refresh, whole process", "%.3f ms", 0.06, m.CPU)
		most("the same, memory resident", "%.1f MiB", 64, float64(m.MaxRSS)/(1<<20))
		most("the same, allocations per poll, goburrow's own being 4", "%.2f", 4.1, m.Allocs)
	}
}

// judgeBlocks compares sizes: with the targets where there are some.
func (r *report) judgeBlocks(least, most func(what, format string, target, value float64)) {
	targets := map[string]map[float64]float64{"noisy": {10: 0.7, 60: 0.5}, "steady": {10: 0.4, 60: 0.2}}
	slowest, allocs := math.Inf(1), 0.0
	for _, b := range r.Blocks {
		if t := targets[b.Trace][b.Seconds]; t > 0 {
			most(fmt.Sprintf("sample block of %.0f s, %s, bytes per sample", b.Seconds, b.Trace), "%.3f", t, b.Cell)
		}
		slowest, allocs = min(slowest, b.Rate), max(allocs, b.Allocs)
	}
	if len(r.Blocks) > 0 {
		least("encoder, millions of samples per second and core", "%.1f", 5, slowest/1e6)
		most("encoder, allocations per sample", "%.4f", 0.0005, allocs)
	}
}

// print writes the report for people.
func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "upsagent %s, %s\n%s\n%s\n\n", r.Version, r.When.Format(time.DateTime), r.Machine, r.Simulated)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "target\twanted\tmeasured\t\n")
	for _, x := range r.Rows {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", x.What, x.Target, x.Measured, map[bool]string{true: "met", false: "MISSED"}[x.Met])
	}
	t.Flush()
	if len(r.Pollers) > 0 {
		r.printPollers(w)
	}
	if r.Events.Trials > 0 {
		r.printEvents(w)
	}
	if len(r.Blocks) > 0 {
		r.printBlocks(w)
	}
	if r.Spool != nil {
		r.Spool.print(w)
	}
	if len(r.Network) > 0 {
		printNetwork(w, r.Network)
	}
	if len(r.Backlogs) > 0 {
		printBacklogs(w, r.Backlogs)
	}
	if r.Orders != nil {
		r.Orders.print(w)
		printOrderTimes(w, r.Writes)
	}
	printRights(w, r.Rights)
	if r.Front != nil {
		r.Front.print(w)
	}
	if r.Many.Units > 0 {
		r.Many.print(w)
	}
	for _, m := range r.Missing {
		fmt.Fprintf(w, "\nNot measured: %s.\n", m)
	}
	if r.Quick {
		fmt.Fprintln(w, "\nA quick run: the windows are too short for the numbers to mean much.")
	}
}

func (r *report) printPollers(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "\nOne line each, all at the same time, %.0f s:\n", r.Window)
	fmt.Fprintf(t, "poller\trefreshes/s\tof ideal\trequests\tearly\toverlapping\tunanswered\tCPU/refresh\twakeups/exchange\tmax RSS\t\n")
	for _, p := range r.Pollers {
		if p.Failed != "" {
			fmt.Fprintf(t, "%s\tnot measured: %s\n", p.Name, p.Failed)
			continue
		}
		cpu := "-"
		if p.Refreshes > 0 {
			cpu = fmt.Sprintf("%.2f ms", p.CPU)
		}
		fmt.Fprintf(t, "%s\t%.2f\t%.1f %%\t%d\t%d\t%d\t%d\t%s\t%.1f\t%.1f MiB\t\n", p.Name, p.Refreshes, 100*p.Share,
			p.Requests, p.Early, p.Overlapping, p.Unanswered, cpu, p.Wakeups, float64(p.RSS)/(1<<20))
	}
	t.Flush()
	fmt.Fprintln(w)
	for _, p := range r.Pollers {
		if p.Failed == "" {
			fmt.Fprintf(w, "%s: %s. Read %s. Per exchange it was %.2f ms later than the gap (p99 %.2f), the simulated line itself %.2f ms late.\n",
				p.Name, p.Note, reads(p.Reads), p.Late, p.LateP99, p.Slow)
		}
	}
	own := r.Pollers[0]
	fmt.Fprintf(w, "The ideal of upsagent's own reads is %.2f refreshes/s, of 0/27 + 128/44 it would be %.2f.\n",
		own.IdealRefresh, 1/(span{0, 27}.ideal()+span{128, 44}.ideal()).Seconds())
}

func (r *report) printEvents(w io.Writer) {
	e := r.Events
	fmt.Fprintf(w, "\nMains lost to on_battery on /metrics: %d trials on %d lines of one agent, default tiers (lines %.0f %% busy): "+
		"mean %.0f, p50 %.0f, p99 %.0f, max %.0f ms.\nOf this the scrapes are a part: one takes %.1f ms (p50); seen at once, p99 would be at least %.0f ms.\n",
		e.Trials, e.Lines, 100*e.Busy, e.Mean, e.P50, e.P99, e.Max, e.Scrape, e.LeastP99)
	fmt.Fprintf(w, "Until the end of the reply that says so: p50 %.0f, p99 %.0f ms. Reads began later than asked for by", e.Wire50, e.Wire99)
	for i, l := range e.Late {
		fmt.Fprintf(w, "%s %s p50 %.0f, p99 %.0f ms", []string{"", ","}[min(i, 1)], l.Tier, l.P50, l.P99)
	}
	fmt.Fprintln(w, " (to the width of a bucket).")
}

func (r *report) printBlocks(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "\nSample blocks of one unit at the default rates of a serial line, header and schemas included, from simulated traces of an hour "+
		"(a sample\nis one value of one point at one time):\n")
	fmt.Fprintf(t, "trace\tblock\tbytes per block\tper sample\tper value present\tencoded per second and core\tallocations per sample\t\n")
	for _, b := range r.Blocks {
		fmt.Fprintf(t, "%s\t%.0f s\t%.0f\t%.3f\t%.3f\t%.1f M\t%.5f\t\n", b.Trace, b.Seconds, b.Message, b.Cell, b.Present, b.Rate/1e6, b.Allocs)
	}
	t.Flush()
}

func (m *manyUnits) print(w io.Writer) {
	fmt.Fprintf(w, "\n%d units on TCP of one agent, each asked for 0/27 and the live block every %v (loopback, simulated in a process of their own "+
		"that uses\n%.3f ms per refresh): %.0f refreshes/s of %.0f in %.0f s, the slowest unit %.1f %% of its own; %.2f %% within %v, the longest "+
		"pause %.0f ms.\n"+
		"The agent: %.3f ms CPU per refresh (%.3f in user mode); resident %.1f MiB, at most %.1f, heap %.1f; %.0f goroutines; "+
		"%.2f allocations\nand %.0f bytes per poll, %.0f collections. All were connected after %.1f s. One scrape of all of them: %.1f MiB of text, "+
		"%.0f ms, %.0f ms CPU, %.0f MiB allocated.\n",
		m.Units, farmPeriod, m.FarmCPU, m.Refreshes, m.Wanted, m.Window, 100*m.Slowest, 100*m.OnTime, farmPeriod+farmPeriod/2, m.Widest,
		m.CPU, m.User, float64(m.RSS)/(1<<20), float64(m.MaxRSS)/(1<<20), m.Heap/(1<<20), m.Goroutines, m.Allocs, m.AllocBytes, m.Collected, m.Connecting, float64(m.Scraped)/(1<<20),
		m.Scrape, m.ScrapeCPU, m.ScrapeHeap/(1<<20))
	for _, l := range m.Late {
		fmt.Fprintf(w, "Reads of %s began later than asked for by %.1f ms (p50), %.1f ms (p99), since the start and to the width of a bucket.\n", l.Tier, l.P50, l.P99)
	}
}

// reads lists blocks and how often each was read, the most frequent first, at most eight.
func reads(counts map[string]int) string {
	var names []string
	for n := range counts {
		names = append(names, n)
	}
	slices.SortFunc(names, func(a, b string) int {
		if d := counts[b] - counts[a]; d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	const most = 8
	rest := ""
	if len(names) > most {
		rest = fmt.Sprintf(" and %d more", len(names)-most)
		names = names[:most]
	}
	for i, n := range names {
		names[i] = fmt.Sprintf("%s (%d)", n, counts[n])
	}
	if len(names) == 0 {
		return "nothing"
	}
	return strings.Join(names, ", ") + rest
}

// save writes the report as JSON.
func (r *report) save(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}
