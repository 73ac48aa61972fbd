package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/term"

	"upsedge/internal/agent"
	"upsedge/internal/config"
	"upsedge/internal/doctor"
	"upsedge/internal/local"
	"upsedge/internal/ups"
)

// setupReport is what --json prints.
type setupReport struct {
	Config   string           `json:"config"`          // path of the configuration
	Changed  bool             `json:"changed"`         // whether this run has changed it
	Units    []found          `json:"units"`           // that this run has looked at; those without a name are not configured
	Agent    string           `json:"agent,omitempty"` // who the box is by its enrolment
	Cloud    string           `json:"cloud,omitempty"` // of whom
	Enrolled bool             `json:"enrolled"`        // in this run
	Service  string           `json:"service"`         // started, reloaded, running, not started
	Live     []local.Unit     `json:"live,omitempty"`  // as the running agent has read them, every configured unit
	Findings []doctor.Finding `json:"findings"`        // of the doctor
}

// liveTable is what the agent reads now, a line for each unit.
func liveTable(units []local.Unit) string {
	var b bytes.Buffer
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "unit\tstate\tbattery\truntime\tload\tinput\toutput\tread")
	for _, u := range units {
		age := "never"
		if u.Age != nil {
			age = fmt.Sprintf("%.1f s ago", *u.Age)
		}
		row := []string{u.Name, cmp.Or(strings.Join(u.Condition, " "), "unknown")}
		for _, v := range []string{reading1(u.Values, ups.Charge), minutes(u.Values), reading1(u.Values, ups.LoadReal), reading1(u.Values, ups.InputVoltage), reading1(u.Values, ups.OutputVoltage)} {
			row = append(row, cmp.Or(v, "-"))
		}
		fmt.Fprintln(t, strings.Join(append(row, age), "\t"))
	}
	_ = t.Flush()
	return b.String()
}

// showOnce prints one table.
func (s *setup) showOnce() {
	if len(s.done.Live) > 0 {
		fmt.Fprintf(s.words, "\n%s", liveTable(s.done.Live))
	}
}

// live shows the values until somebody presses Enter: in place where the terminal can do that, else one table after the other.
func (s *setup) live(ctx context.Context) {
	if len(s.done.Live) == 0 {
		return
	}
	every, up := time.Second, ""
	if dumb() {
		every = 10 * time.Second
	}
	s.say("\nLive values. Enter goes on:")
	for {
		table := liveTable(s.done.Live)
		if every == time.Second {
			table = fitted(table, width(s.std.err))
			fmt.Fprint(s.words, up+strings.ReplaceAll(table, "\n", "\033[K\n"))
			up = fmt.Sprintf("\033[%dA", strings.Count(table, "\n"))
		} else {
			fmt.Fprint(s.words, table)
		}
		select {
		case <-s.ask.lines:
			return
		case <-ctx.Done():
			return
		case <-time.After(every):
		}
		if st, err := local.Ask(ctx, s.cfg.Local.Socket, true); err == nil {
			s.done.Live = st.Units
		}
	}
}

// width is how wide the terminal is.
func width(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if n, _, err := term.GetSize(int(f.Fd())); err == nil && n > 0 {
			return n
		}
	}
	return helpWidth
}

// fitted cuts lines that would be folded: what stands above them is written over by lines.
func fitted(text string, width int) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if r := []rune(line); len(r) >= width {
			line = string(r[:width-1])
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}

// examine runs the checks of the doctor and tells what they have against this box.
func (s *setup) examine(ctx context.Context) {
	s.step("examine")
	up := &agent.Checkup{Path: s.cli.Config, Config: s.cfg, Version: version, Built: builtAt(), Clock: s.cli.newClock, Started: s.done.Service == serviceStarted}
	s.done.Findings = up.Examine(ctx)
	fine := 0
	var told []doctor.Finding
	for _, f := range s.done.Findings {
		if f.Level == doctor.OK {
			fine++
		} else {
			told = append(told, f)
		}
	}
	s.say("\nChecked: %d in order, %s, %s.", fine, ups.Count(problems(told), "problem"), ups.Count(len(told)-problems(told), "note"))
	if onTerminal(s.words) == io.Discard {
		printFindings(s.words, told)
		return
	}
	for _, f := range told {
		of := strings.Join(nonempty(f.Check, f.Of), " ")
		fmt.Fprintf(s.words, "%-8s %s\n", f.Level, folded(of+": "+f.What, 9))
		if f.Do != "" {
			fmt.Fprintf(s.words, "         %s\n", folded(f.Do, 9))
		}
	}
}

// end says what was done and what is next, or prints it for programs.
func (s *setup) end() error {
	s.done.Config, s.done.Units = s.cli.Config, []found{}
	for _, f := range s.units {
		if !f.have {
			s.done.Units = append(s.done.Units, f)
		}
	}
	if s.JSON {
		enc := json.NewEncoder(s.std.out)
		enc.SetIndent("", "  ")
		return enc.Encode(s.done)
	}
	s.say("\nDone, in %v.", time.Since(s.began).Round(time.Second))
	t := tabwriter.NewWriter(s.std.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "configuration\t%s, %s\n", s.cli.Config, map[bool]string{true: "written", false: "unchanged"}[s.done.Changed])
	fmt.Fprintf(t, "units\t%s\n", strings.Join(s.names(), ", "))
	fmt.Fprintf(t, "service\t%s\n", s.done.Service)
	if s.done.Agent != "" {
		fmt.Fprintf(t, "cloud\tagent %s of %s\n", s.done.Agent, s.done.Cloud)
		fmt.Fprintf(t, "orders from it\t%s\n", cmp.Or(strings.Join(s.cfg.Orders.Allow, ", "), "none is obeyed (orders.allow)"))
	}
	for _, l := range s.next() {
		fmt.Fprintln(t, l)
	}
	return t.Flush()
}

// next are the places to look at from here.
func (s *setup) next() (out []string) {
	if at := s.cfg.Local.Listen; at != "" {
		out = append(out, "status page\thttp://"+at+"/")
		if far := fromAfar(at); far != "" {
			out = append(out, "\tfrom your desk: "+far)
		}
	}
	if at := s.cfg.Metrics.Listen; at != "" {
		out = append(out, "Prometheus\thttp://"+at+"/metrics")
	}
	if s.done.Cloud != "" {
		out = append(out, "portal\t"+s.done.Cloud+": register the units there by their serial numbers")
	}
	if !config.Says(s.cli.Config, "orders", "fed_by") {
		out = append(out, "open\twhat feeds this box is not said: orders.fed_by, before orders are allowed")
	}
	return append(out, "later\tsudo upsagent status, sudo upsagent doctor")
}

// fromAfar says how to see a page that this box shows to itself alone.
func fromAfar(at string) string {
	host, port, err := net.SplitHostPort(at)
	name, _ := os.Hostname()
	if err != nil || port == "0" || !strings.HasPrefix(host, "127.") && host != "localhost" && host != "::1" {
		return ""
	}
	return fmt.Sprintf("ssh -L %s:%s %s", port, at, cmp.Or(name, "BOX"))
}
