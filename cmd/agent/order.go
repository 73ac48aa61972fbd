package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"upsedge/internal/config"
	"upsedge/internal/local"
	"upsedge/internal/policy"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

type orderCmd struct {
	Unit   string
	Action string
	Params []string
	Yes    bool
	JSON   bool
}

func orderCommand(cli *common, std stdio) *cobra.Command {
	c := &orderCmd{}
	cmd := &cobra.Command{
		Use:   "order [<unit> [<action> [<name=value> ...]]]",
		Short: "Order a unit to do something, on the spot; without an action: what there is to order.",
		Long: `Order a unit to do something, on the spot; without an action: what there is to
order.

Arguments:
  [<unit>]              Name of the unit in the configuration.
  [<action>]            What it is to do: reboot.ups, diagnostics.run … Without
                        it the actions and their parameters are printed.
  [<name=value> ...]    Parameters of the action.`,
		Example: `  upsagent order rack-a
  upsagent order rack-a control.outlet group=sog0 to=off`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			c.Unit, c.Action = word(args, 0), word(args, 1)
			c.Params = args[min(2, len(args)):]
			return c.Run(cmd.Context(), cli, std)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&c.Yes, "yes", false, "Do not ask before something that switches off what the unit feeds.")
	f.BoolVar(&c.JSON, "json", false, "Machine-readable output: one line for each state the order takes, the final one last.")
	return cmd
}

// Run gives an order to the running agent, and watches it to its end.
func (c *orderCmd) Run(ctx context.Context, cli *common, std stdio) error {
	cfg, err := cli.load()
	if err != nil {
		return err
	}
	if err := knownUnit(cfg, c.Unit); err != nil {
		return err
	}
	if c.Action == "" {
		printActions(std.out, c.Unit)
		return nil
	}
	r, err := c.request()
	if err != nil {
		return usageError{err}
	}
	if cfg.Local.Socket == "" {
		return usageError{fmt.Errorf("local.socket is empty in %s: the agent cannot be asked", cli.Config)}
	}
	if err := c.sure(ctx, r, std); err != nil {
		return err
	}
	return c.give(ctx, cfg.Local.Socket, r, std)
}

// knownUnit says which units there are where it is none of them.
func knownUnit(cfg *config.Config, name string) error {
	var names []string
	for _, u := range cfg.Units {
		if names = append(names, u.Name); u.Name == name {
			return nil
		}
	}
	if len(names) == 0 {
		return usageError{errors.New("no units are configured; upsagent setup finds them")}
	}
	if name == "" {
		return usageError{fmt.Errorf("which unit? There are: %s", strings.Join(names, ", "))}
	}
	return usageError{fmt.Errorf("no unit %q; there are: %s", name, strings.Join(names, ", "))}
}

// orderable are the actions that can be ordered on site, by name.
func orderable() []string {
	all := []string{
		ups.ActionReboot, ups.ActionRebootGroup, ups.ActionOutlet, ups.ActionDiagnostics, ups.ActionMute, ups.ActionAck, ups.ActionConfigure, string(policy.OrderCancel),
	}
	slices.Sort(all)
	return all
}

// request makes the order. What is wrong with it is said here, before anybody is asked anything.
func (c *orderCmd) request() (local.OrderRequest, error) {
	r := local.OrderRequest{Unit: c.Unit, Action: c.Action, Params: map[string]string{}}
	var id wire.ID
	_, _ = rand.Read(id[:]) // it does not fail: the program ends instead
	r.ID = id.String()
	for _, p := range c.Params {
		name, value, ok := strings.Cut(p, "=")
		if _, twice := r.Params[name]; !ok || twice {
			return r, fmt.Errorf("%q is not name=value, or the name was given before", p)
		}
		r.Params[name] = value
	}
	if !slices.Contains(orderable(), c.Action) {
		return r, fmt.Errorf("%q is nothing that can be ordered here: %s", c.Action, strings.Join(orderable(), ", "))
	}
	if c.Action == string(policy.OrderCancel) {
		var of wire.ID
		if text, given := r.Params["order"]; len(r.Params) > 1 || len(r.Params) == 1 && !given || given && of.UnmarshalText([]byte(text)) != nil {
			return r, errors.New("order.cancel has the parameter order alone, the id of the one to be taken back; without it, it is the one in hand")
		}
		return r, nil
	}
	if _, err := ups.CheckParams(c.Action, r.Params); err != nil {
		return r, fmt.Errorf("%w (upsagent order %s prints the actions and their parameters)", err, c.Unit)
	}
	return r, nil
}

// sure asks before what drops the load. Where nobody can be asked it has to be said with --yes.
func (c *orderCmd) sure(ctx context.Context, r local.OrderRequest, std stdio) error {
	if c.Yes || !ups.DropsLoad(r.Action, r.Params) {
		return nil
	}
	in, ok := std.in.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return usageError{fmt.Errorf("%s switches off what %s feeds, and there is no terminal to ask on: say --yes", r.Action, r.Unit)}
	}
	fmt.Fprintf(std.err, "%s switches off what %s feeds%s. Go on? [y/N] ", r.Action, r.Unit, given(r.Params))
	answer := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(in).ReadString('\n')
		answer <- line
	}()
	select {
	case line := <-answer:
		if s := strings.ToLower(strings.TrimSpace(line)); s == "y" || s == "yes" {
			return nil
		}
	case <-ctx.Done():
		fmt.Fprintln(std.err)
	}
	return errors.New("nothing was ordered")
}

func given(params map[string]string) string {
	if len(params) == 0 {
		return ""
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(params)) {
		out = append(out, name+"="+params[name])
	}
	return " (" + strings.Join(out, " ") + ")"
}

// give gives the order and watches it. Ctrl-C ends the watching alone.
func (c *orderCmd) give(ctx context.Context, socket string, r local.OrderRequest, std stdio) error {
	show := onTerminal(std.err)
	var last local.OrderStep
	err := local.Give(ctx, socket, r, func(s local.OrderStep) {
		last = s
		if c.JSON {
			_ = json.NewEncoder(std.out).Encode(s) // a reader that has gone is not the order's trouble
		} else if !s.Final {
			fmt.Fprintf(show, "\r\033[K%s", s.String())
		}
	})
	fmt.Fprint(show, "\r\033[K")
	var wrong *local.WrongOrder
	switch {
	case errors.As(err, &wrong) && wrong.Reason != ups.ReasonUnreachable:
		return usageError{wrong}
	case err != nil && ctx.Err() != nil && last.Order == "":
		return errors.New("stopped before the agent had answered; what became of it: upsagent status")
	case err != nil && ctx.Err() != nil:
		return fmt.Errorf("the order goes on (%s); upsagent status says what becomes of it, upsagent order %s order.cancel takes it back", last.Order, r.Unit)
	case err != nil:
		return err
	}
	if !c.JSON && last.State == string(wire.OrderDone) {
		fmt.Fprintln(std.out, last.String())
	}
	if last.State != string(wire.OrderDone) {
		return errors.New(last.String())
	}
	return nil
}

// printActions prints what a unit can be ordered to do.
func printActions(w io.Writer, unit string) {
	for _, a := range orderable() {
		fmt.Fprintf(w, "upsagent order %s %s\n", unit, a)
		if a == string(policy.OrderCancel) {
			fmt.Fprintln(w, "    order=     the id of the order to be taken back; without it the one in hand")
			continue
		}
		params, _ := ups.ParamsOf(a)
		for _, p := range params {
			what := p.Form
			if p.Values != nil {
				what = strings.Join(p.Values, ", ")
			}
			if p.Default != "" {
				what += "; without it " + p.Default
			}
			fmt.Fprintf(w, "    %-10s %s\n", p.Name+"=", what)
		}
	}
	fmt.Fprintln(w, "\nNot every unit can do all of it. One that cannot says so, and nothing is written.")
}
