package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// helpWidth is how wide the help may be: what every terminal has.
const helpWidth = 80

func helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:     "help [<command>]",
		Short:   "Show the help of a command.",
		Example: "  upsagent help probe",
		Args:    atMost(1),
		RunE: func(_ *cobra.Command, args []string) error {
			of, rest, err := root.Find(args)
			if err == nil {
				err = known(root, rest)
			}
			if err != nil {
				return err
			}
			return of.Help()
		},
	}
}

// printHelp prints what a command does and takes.
func printHelp(w io.Writer, cmd *cobra.Command) {
	fmt.Fprintf(w, "Usage: %s\n\n%s\n", cmd.UseLine(), cmp.Or(cmd.Long, folded(cmd.Short, 0)))
	if flags := cmd.LocalNonPersistentFlags(); flags.HasAvailableFlags() {
		flags.SortFlags = false
		fmt.Fprintf(w, "\nFlags:\n%s", flags.FlagUsagesWrapped(helpWidth))
	}
	everywhere := cmd.InheritedFlags()
	if !cmd.HasParent() {
		everywhere = cmd.PersistentFlags()
	}
	fmt.Fprintf(w, "\nFlags of every command:\n%s", everywhere.FlagUsagesWrapped(helpWidth))
	if cmd.HasExample() {
		fmt.Fprintf(w, "\nExamples:\n%s\n", cmd.Example)
	}
	if !cmd.HasAvailableSubCommands() {
		return
	}
	fmt.Fprintln(w, "\nCommands:")
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() || c.Name() == "help" { // which cobra does not count
			fmt.Fprintf(w, "  %-10s %s\n", c.Name(), folded(c.Short, 13))
		}
	}
	fmt.Fprintf(w, "\nRun \"%s <command> --help\" for more information on a command.\n", cmd.Name())
}

// folded breaks a text into lines that fit; all but the first begin with indent spaces, and the first stands behind as many columns.
func folded(text string, indent int) string {
	var b strings.Builder
	column := indent
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
		case column+1+len(word) > helpWidth:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			column = indent
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += len(word)
	}
	return b.String()
}
