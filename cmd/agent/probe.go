package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"upsedge/internal/config"
	"upsedge/internal/local"
	"upsedge/internal/ups"
)

type probeCmd struct {
	Serial ports
	TCP    []string
	UnitID []string
	Baud   int
	Parity string
	JSON   bool
	Write  bool
}

func probeCommand(cli *common, std stdio) *cobra.Command {
	c := &probeCmd{}
	cmd := &cobra.Command{
		Use:   "probe",
		Short: "Find units on a serial port or in a network.",
		Example: `  upsagent probe --serial /dev/ttyUSB0 --write
  upsagent probe --tcp 192.0.2.0/24 --unit-id 1-3`,
		Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error { return c.Run(cmd.Context(), cli, std) },
	}
	f := cmd.Flags()
	f.Var(&c.Serial, "serial", "Serial port; may be repeated. Without a name, or without --serial and --tcp: every serial port of this box.")
	f.StringArrayVar(&c.TCP, "tcp", nil, "`HOST`, host:port or a network such as 192.0.2.0/24 or 192.0.2.0/24:5020; may be repeated.")
	f.StringArrayVar(&c.UnitID, "unit-id", []string{"1"}, "Modbus slave addresses `N[-M]` to try: 1, 1,5 or 1-20.")
	f.IntVar(&c.Baud, "baud", 9600, "Baud rate `N` of the serial ports.")
	f.StringVar(&c.Parity, "parity", "none", "`PARITY` of the serial ports: none, even, odd. Only network cards know another than none.")
	f.BoolVar(&c.JSON, "json", false, "Machine-readable output.")
	f.BoolVar(&c.Write, "write", false, "Append the units found to the configuration file.")
	return cmd
}

// found is a unit that answered.
type found struct {
	Unit     string `json:"unit,omitempty"` // name given or kept in the configuration
	Serial   string `json:"serial_port,omitempty"`
	TCP      string `json:"tcp,omitempty"` // address
	Via      string `json:"via,omitempty"` // of TCP: unit or card
	UnitID   uint8  `json:"unit_id"`       // Modbus slave address
	Model    string `json:"model,omitempty"`
	SKU      string `json:"sku,omitempty"`
	Number   string `json:"serial,omitempty"`
	Firmware string `json:"firmware,omitempty"`
	SameAs   string `json:"same_as,omitempty"`       // port or address where the same unit was found, too
	ByAgent  bool   `json:"read_by_agent,omitempty"` // it was not asked: the running agent has its line and knows it
	cfg      config.Unit
	label    string // the name somebody gave the unit on its display
	have     bool   // nobody asked for this place: it is configured
	silent   string // why a unit that is configured was not read

	// What was read of it where that was wanted, or what the running agent has read.
	values    []local.Value
	condition []string
}

// where is the port or address of the unit.
func (f *found) where() string { return f.Serial + f.TCP }

// Run looks for units, prints them, and writes them into the configuration if asked to. When it is stopped it prints what was
// found so far and writes nothing.
func (c *probeCmd) Run(ctx context.Context, cli *common, std stdio) error {
	candidates, err := c.candidates()
	if err != nil {
		return usageError{err}
	}
	s := newSearch(std.err, len(candidates))
	s.agent = askAgent(ctx, cli)
	s.run(ctx, candidates)
	for _, a := range append(s.failures.advice(s.units), doubles(s.units)...) {
		fmt.Fprintln(std.err, a)
	}
	stopped := ctx.Err() != nil
	var added []config.Unit
	var unwritten error
	if c.Write && !stopped {
		if added, err = name(s.units, cli.Config); err != nil {
			return usageError{err}
		}
		if len(added) > 0 {
			unwritten = config.AppendUnits(cli.Config, added)
		}
	}
	if unwritten != nil {
		unname(s.units, added) // what was found is worth printing all the same
	}
	if err := c.print(std.out, s.units); err != nil {
		return err
	}
	switch {
	case stopped:
		return fmt.Errorf("stopped before the search was over: %d of %d asked", s.progress.done, len(candidates))
	case len(s.units) == 0:
		return s.failures.nothing(len(candidates))
	case unwritten != nil:
		return unwritten
	case c.Write:
		fmt.Fprintf(std.err, "%s added to %s\n", ups.Count(len(added), "unit"), cli.Config)
	}
	return nil
}

func (c *probeCmd) print(w io.Writer, units []found) error {
	if c.JSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(append([]found{}, units...))
	}
	if len(units) == 0 {
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	head := "where\tslave\tvia\tmodel\tSKU\tserial\tfirmware"
	named := c.Write
	for _, f := range units {
		named = named || f.Unit != ""
	}
	if named {
		head += "\tunit"
	}
	fmt.Fprintln(t, head)
	for _, f := range units {
		row := []string{f.where(), strconv.Itoa(int(f.UnitID)), cmp.Or(f.Via, "serial"), f.Model, f.SKU, f.Number, f.Firmware}
		if named {
			row = append(row, f.Unit)
		}
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	return t.Flush()
}

// A failure is a candidate that turned out to be none.
type failure struct {
	candidate
	err error
}

type failures []failure

var errNobody = errors.New("nobody accepts a connection")

// advice says what may be wrong, a line per place. A place where another slave answered, and an address of a network where
// nobody accepts a connection, are no news.
func (fs failures) advice(units []found) []string {
	said := map[string]bool{}
	for _, u := range units {
		said[u.cfg.LineKey()] = true
	}
	var out []string
	for _, f := range fs {
		if f.scan && errors.Is(f.err, errNobody) || said[f.unit.LineKey()] {
			continue
		}
		said[f.unit.LineKey()] = true
		out = append(out, fmt.Sprintf("%s, slave %d: %s", f.unit.Name, f.unit.UnitID, explain(f.unit, f.err)))
	}
	return sorted(out)
}

// nothing is the error of a search that found no unit.
func (fs failures) nothing(asked int) error {
	deaf := 0
	for _, f := range fs {
		if errors.Is(f.err, errNobody) {
			deaf++
		}
	}
	if deaf == 0 {
		return errors.New("no unit found")
	}
	return fmt.Errorf("no unit found: %d asked, %d of them accept a connection on the Modbus port", asked, asked-deaf)
}
