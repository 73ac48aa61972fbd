package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"upsedge/internal/agent"
	"upsedge/internal/config"
	"upsedge/internal/local"
	"upsedge/internal/ups"
	"upsedge/internal/ups/modbus"
	"upsedge/internal/ups/smartups"
)

type readCmd struct {
	Unit  string
	JSON  bool
	Watch bool

	Record    file
	KeepNames bool
}

func readCommand(cli *common, std stdio) *cobra.Command {
	c := &readCmd{}
	cmd := &cobra.Command{
		Use:   "read [<unit>]",
		Short: "Print one reading of every point.",
		Long: `Print one reading of every point.

Arguments:
  [<unit>]    Name of the unit in the configuration; needed when there are
              several.`,
		Example: `  upsagent read rack-a --watch
  upsagent read rack-a --record rack-a.capture`,
		Args: atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c.Unit = word(args, 0)
			return c.Run(cmd.Context(), cli, std)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&c.JSON, "json", false, "Machine-readable output: one object per reading.")
	f.BoolVar(&c.Watch, "watch", false, "Read again every second until stopped.")
	f.Var(&c.Record, "record", "Write down what the unit says, byte by byte, into a new file; serial number and names are masked.")
	f.BoolVar(&c.KeepNames, "keep-names", false, "With --record: do not mask serial number and names.")
	return cmd
}

// reading is one printed reading. Source says who read: the running agent (its latest values) or this command itself.
type reading struct {
	Unit   string        `json:"unit"`
	Source string        `json:"source"`      // agent: its latest values; unit: it was asked
	At     time.Time     `json:"time"`        // by the box's clock
	Age    float64       `json:"age_seconds"` // since the unit last answered
	Values []local.Value `json:"values"`
}

// Run prints one reading of every point. While the agent runs it has the line, so the values are asked of it.
func (c *readCmd) Run(ctx context.Context, cli *common, std stdio) error {
	cfg, err := cli.load()
	if err != nil {
		return err
	}
	u, err := c.pick(cfg)
	if err != nil {
		return err
	}
	if c.Record == "" {
		if c.KeepNames {
			return usageError{errors.New("--keep-names is of use with --record only")}
		}
		return c.repeat(ctx, std, func() (*reading, error) { return c.read(ctx, cfg, u) })
	}
	return c.record(ctx, cfg, u, std)
}

// repeat prints what read returns, once, or with --watch until ctx ends. The first failure ends it, a later one is only said:
// who watches wants to see the unit come back.
func (c *readCmd) repeat(ctx context.Context, std stdio, read func() (*reading, error)) error {
	for first := true; ; first = false {
		r, err := read()
		switch {
		case ctx.Err() != nil && c.Watch && !first:
			return nil
		case err != nil && first:
			return err
		case err != nil:
			fmt.Fprintln(std.err, err)
		default:
			if err := c.print(std, r); err != nil {
				return err
			}
		}
		if !c.Watch {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}

// record reads as without --record, from the unit itself, and writes down what goes over the line, failures included.
func (c *readCmd) record(ctx context.Context, cfg *config.Config, u config.Unit, std stdio) error {
	if cfg.Local.Socket != "" {
		if _, err := local.Ask(ctx, cfg.Local.Socket, false); !errors.Is(err, local.ErrNotRunning) {
			return errors.New("the agent runs and has the line; what the unit says can be recorded while it is stopped: systemctl stop upsagent")
		}
	}
	rec, err := record(string(c.Record), u, c.KeepNames)
	if err != nil {
		return err
	}
	var id ups.Identity
	failed := c.repeat(ctx, std, func() (*reading, error) {
		st, err := readUnit(ctx, u, rec)
		if err != nil {
			return nil, errors.New(agent.Advice(u, err))
		}
		id = st.Identity()
		return fromUnit(u, st), nil
	})
	requests, err := rec.end(id)
	if err == nil {
		rec.say(std.err, requests)
	}
	return errors.Join(failed, err)
}

func (c *readCmd) pick(cfg *config.Config) (config.Unit, error) {
	var names []string
	for _, u := range cfg.Units {
		if u.Name == c.Unit || (c.Unit == "" && len(cfg.Units) == 1) {
			return u, nil
		}
		names = append(names, u.Name)
	}
	switch {
	case len(names) == 0:
		return config.Unit{}, usageError{errors.New("no units are configured; upsagent setup finds them")}
	case c.Unit == "":
		return config.Unit{}, usageError{fmt.Errorf("which unit? %s", strings.Join(names, ", "))}
	}
	return config.Unit{}, usageError{fmt.Errorf("no unit %q in the configuration; there are %s", c.Unit, strings.Join(names, ", "))}
}

func (c *readCmd) read(ctx context.Context, cfg *config.Config, u config.Unit) (*reading, error) {
	if cfg.Local.Socket != "" {
		st, err := local.Ask(ctx, cfg.Local.Socket, true)
		if err == nil {
			return fromAgent(st, u.Name)
		}
		if !errors.Is(err, local.ErrNotRunning) {
			return nil, err
		}
	}
	st, err := readUnit(ctx, u, nil)
	if err != nil {
		return nil, errors.New(agent.Advice(u, err))
	}
	return fromUnit(u, st), nil
}

func fromUnit(u config.Unit, st *ups.State) *reading {
	return &reading{Unit: u.Name, Source: "unit", At: time.Now(), Values: local.Values(st)}
}

func fromAgent(st *local.Status, name string) (*reading, error) {
	for _, u := range st.Units {
		if u.Name != name {
			continue
		}
		if u.Age == nil {
			return nil, fmt.Errorf("the agent runs and has not read %s yet: %s", name, cmp.Or(u.Failure, "it has just begun"))
		}
		return &reading{Unit: name, Source: "agent", At: time.Now(), Age: *u.Age, Values: u.Values}, nil
	}
	return nil, fmt.Errorf("the running agent does not know %s: systemctl reload upsagent", name)
}

// readUnit opens the unit's line for one reading of everything. What passes over it is recorded if rec is not nil.
func readUnit(ctx context.Context, u config.Unit, rec *recording) (*ups.State, error) {
	log := slog.New(slog.DiscardHandler)
	link := agent.LineConfig(u, u.Name, nil, log)
	if rec != nil {
		link.Open = rec.Open(link.Open)
	}
	line := modbus.New(link)
	over, end := context.WithCancel(ctx)
	defer end()
	var g errgroup.Group
	g.Go(func() error { return line.Run(over) })
	limit, cancel := context.WithTimeout(ctx, 30*time.Second) // a card needs a second per read
	defer cancel()
	st, err := smartups.ReadAll(limit, agent.NewDriver(u, line, log))
	end()
	return st, errors.Join(err, g.Wait())
}

func (c *readCmd) print(std stdio, r *reading) error {
	if c.JSON {
		return json.NewEncoder(std.out).Encode(r)
	}
	from := "read from the unit"
	if r.Source == "agent" {
		from = fmt.Sprintf("from the running agent, answered %.1f s ago", r.Age)
	}
	fmt.Fprintf(std.out, "%s, %s, %s\n", r.Unit, r.At.Format("2006-01-02 15:04:05"), from)
	t := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
	for _, v := range r.Values {
		fmt.Fprintf(t, "%s\t%s\n", v.Point, v)
	}
	return t.Flush()
}
