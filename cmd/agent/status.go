package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"upsedge/internal/local"
)

type statusCmd struct {
	JSON bool
}

func statusCommand(cli *common, std stdio) *cobra.Command {
	c := &statusCmd{}
	cmd := &cobra.Command{
		Use:     "status",
		Short:   "Ask the running agent how it and its units are.",
		Example: "  upsagent status --json",
		Args:    atMost(0),
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.Run(cmd.Context(), cli, std) },
	}
	cmd.Flags().BoolVar(&c.JSON, "json", false, "Machine-readable output.")
	return cmd
}

// Run asks the running agent on its socket.
func (c *statusCmd) Run(ctx context.Context, cli *common, std stdio) error {
	cfg, err := cli.load()
	if err != nil {
		return err
	}
	if cfg.Local.Socket == "" {
		return usageError{fmt.Errorf("local.socket is empty in %s: the agent cannot be asked", cli.Config)}
	}
	st, err := local.Ask(ctx, cfg.Local.Socket, false)
	if err != nil {
		return err
	}
	if c.JSON {
		enc := json.NewEncoder(std.out)
		enc.SetIndent("", "  ")
		return enc.Encode(st)
	}
	printStatus(std.out, st)
	return nil
}

func clockWords(c local.Clock) string {
	words := map[string]string{"synced": "set", "holdover": "was set and runs on alone"}[c.State]
	if words == "" {
		return "not set by a time service; records carry no wall time yet"
	}
	if c.Error != nil {
		words += fmt.Sprintf(", at most %v off", time.Duration(*c.Error*float64(time.Second)).Round(time.Millisecond))
	}
	return words
}

func printStatus(w io.Writer, st *local.Status) {
	fmt.Fprintf(w, "upsagent %s, agent %s, since %s\n", st.Version, st.Agent, st.Started.Local().Format("2006-01-02 15:04:05"))
	broker := "none configured"
	if st.Broker.Configured {
		broker = map[bool]string{true: "connected", false: "not connected"}[st.Broker.Connected]
		if st.Broker.Failure != "" && !st.Broker.Connected {
			broker += " (" + st.Broker.Failure + ")"
		}
	}
	fmt.Fprintf(w, "broker %s; waiting: %s; clock %s\n", broker, st.Waiting(), clockWords(st.Clock))
	for _, a := range st.Alarms {
		fmt.Fprintf(w, "alarm %d %s: %s\n", a.ID, a.Severity, a.Text)
	}
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "unit\tcondition\tmodel\tfirmware\tanswered")
	for _, u := range st.Units {
		answered := "never"
		if u.Age != nil {
			answered = fmt.Sprintf("%.1f s ago", *u.Age)
		}
		condition := strings.Join(u.Condition, " ")
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", u.Name, condition, strings.TrimSpace(u.Model+" "+u.SKU), u.Firmware, answered)
	}
	_ = t.Flush()
	for _, u := range st.Units {
		for _, a := range u.Alarms {
			of := ""
			if a.Group != "" {
				of = " (" + a.Group + ")"
			}
			fmt.Fprintf(w, "%s: alarm %d %s: %s%s\n", u.Name, a.ID, a.Severity, a.Text, of)
		}
		if u.Failure != "" {
			fmt.Fprintf(w, "%s: %s\n", u.Name, u.Failure)
		}
	}
	printOrders(w, st)
}

// lastOrders are shown in the terminal; --json has them all.
const lastOrders = 10

// printOrders says what may be ordered from afar, what is in hand, and what became of what was ordered.
func printOrders(w io.Writer, st *local.Status) {
	o := st.Orders
	if o == nil {
		return
	}
	if o.Remote {
		fmt.Fprintf(w, "\nremote orders allowed here: %s\n", o.Allowed())
		for _, u := range st.Units {
			fmt.Fprintf(w, "%s: plan %s\n", u.Name, u.PlanWords())
		}
	} else if len(o.InHand)+len(o.Ended) > 0 {
		fmt.Fprintln(w)
	}
	for _, h := range o.InHand {
		fmt.Fprintf(w, "%v (order %s)\n", &h, h.Order)
	}
	if text := o.Rejected.String(); text != "" {
		fmt.Fprintln(w, text)
	}
	if len(o.Ended) == 0 {
		return
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "time\tunit\taction\trole\toutcome\twhy")
	for _, e := range o.Ended[:min(len(o.Ended), lastOrders)] {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", local.When(e.Time), e.Unit, e.Action, e.Role, e.Outcome, local.InWords(e.Reason, e.Detail))
	}
	_ = t.Flush()
}
