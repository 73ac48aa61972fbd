package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"upsedge/internal/config"
)

// A commandLine knows the commands and what they take.
type commandLine struct {
	root  *cobra.Command
	cli   *common
	wrong error // what is wrong with a command whose help was asked for
}

// inOurOrder has cobra keep the order of the commands, which it holds in a variable of its own.
var inOurOrder = sync.OnceFunc(func() { cobra.EnableCommandSorting = false })

// newCommandLine makes the commands, in the order in which the help has them. Never set a template of cobra's: with one the linker
// keeps every exported method of every type, 2 MB of them (ADR 20).
func newCommandLine(std stdio) *commandLine {
	inOurOrder()
	cli := &common{}
	l := &commandLine{cli: cli, root: &cobra.Command{
		Use:   "upsagent <command>",
		Short: "Polls Smart-UPS units over Modbus.",
		Long: `Polls Smart-UPS units over Modbus, keeps what they say until the broker has it,
and shows it to Prometheus.`,
		Args:              known,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return missing(cmd) },

		SuggestionsMinimumDistance: 2,
	}}
	l.root.SetOut(std.out)
	l.root.SetErr(std.err)
	l.root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return misused(flagError(err)) })
	l.root.SetHelpFunc(func(cmd *cobra.Command, _ []string) {
		if l.wrong = cmd.ValidateArgs(cmd.Flags().Args()); l.wrong == nil {
			printHelp(std.out, cmd)
		}
	})
	f := l.root.PersistentFlags()
	f.StringVar(&cli.Config, "config", config.DefaultPath, "Configuration `FILE`.")
	f.BoolP("help", "h", false, "Show the help of the command.")
	for _, command := range []func(*common, stdio) *cobra.Command{
		setupCommand, runCommand, checkCommand, probeCommand, readCommand, statusCommand, orderCommand, enrollCommand, reloadCommand, blockCommand, doctorCommand, versionCommand,
	} {
		cmd := command(cli, std)
		cmd.Flags().SortFlags = false
		l.root.AddCommand(cmd)
	}
	l.root.SetHelpCommand(helpCommand(l.root))
	return l
}

// run does what the arguments say. What is wrong with them is a usageError.
func (l *commandLine) run(ctx context.Context, args []string) error {
	cmd, _, err := l.root.Find(args)
	if err != nil {
		return misused(err)
	}
	if args, err = joined(cmd, args); err != nil {
		return misused(err)
	}
	l.root.SetArgs(args)
	if err := l.root.ExecuteContext(ctx); err != nil {
		return err
	}
	return l.wrong
}

func versionCommand(_ *common, std stdio) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version.",
		Example: "  upsagent version",
		Args:    atMost(0),
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(std.out, version)
			return err
		},
	}
}

func misused(err error) error { return usageError{fmt.Errorf("%w (upsagent --help)", err)} }

// joined writes --flag value as --flag=value. A value that looks like a flag has to be written so by the caller: --bundle --config
// is a name that was forgotten, and no file called --config. Of --serial the value may be left out.
func joined(cmd *cobra.Command, args []string) ([]string, error) {
	out := make([]string, 0, len(args)+1) // not nil, for which cobra takes those of the process
	for i := 0; i < len(args); i++ {
		if args[i] == "--" {
			return append(out, args[i:]...), nil
		}
		name, long := strings.CutPrefix(args[i], "--")
		f := cmd.Flag(name)
		if !long || f == nil || f.Value.Type() == "bool" {
			out = append(out, args[i])
			continue
		}
		_, optional := f.Value.(*ports)
		next, last := "", i+1 == len(args)
		if !last {
			next = args[i+1]
		}
		flag := strings.HasPrefix(next, "-") && (next != "-" || optional)
		switch {
		case optional && (last || flag):
			out = append(out, args[i]+"="+everyPort)
		case last:
			return nil, fmt.Errorf("--%s: its value is missing", name)
		case flag:
			return nil, fmt.Errorf("--%s: expected a value but got %q; perhaps --%s=%q?", name, next, name, next)
		default:
			out = append(out, args[i]+"="+next)
			i++
		}
	}
	return out, nil
}

// flagError names the flag first, as all errors here name the thing.
func flagError(err error) error {
	var unknown *pflag.NotExistError
	var invalid *pflag.InvalidValueError
	switch {
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() != "":
		return fmt.Errorf("unknown flag -%s", unknown.GetSpecifiedName())
	case errors.As(err, &unknown):
		return fmt.Errorf("unknown flag --%s", unknown.GetSpecifiedName())
	case !errors.As(err, &invalid):
		return err
	}
	f := invalid.GetFlag()
	switch f.Value.Type() {
	case "bool":
		return fmt.Errorf("--%s: must be true or false but got %q", f.Name, invalid.GetValue())
	case "int":
		return fmt.Errorf("--%s: expected a number but got %q", f.Name, invalid.GetValue())
	}
	return fmt.Errorf("--%s: %w", f.Name, invalid.Unwrap())
}

// known refuses what is no command.
func known(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	did := ""
	if like := cmd.SuggestionsFor(args[0]); len(like) > 0 {
		did = ", did you mean " + strings.Join(like, " or ") + "?"
	}
	return misused(fmt.Errorf("unexpected argument %s%s", args[0], did))
}

// atMost refuses more than n arguments.
func atMost(n int) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) > n {
			return misused(fmt.Errorf("unexpected argument %s", args[n]))
		}
		return nil
	}
}

// require marks flags that have to be there.
func require(cmd *cobra.Command, names ...string) {
	for _, name := range names {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // the command has no such flag
		}
	}
}

// missing names the flags that have to be there and are not.
func missing(cmd *cobra.Command) error {
	var out []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if slices.Contains(f.Annotations[cobra.BashCompOneRequiredFlag], "true") && !f.Changed {
			what, _ := pflag.UnquoteUsage(f)
			out = append(out, "--"+f.Name+"="+what)
		}
	})
	if out == nil {
		return nil
	}
	return misused(fmt.Errorf("missing flags: %s", strings.Join(out, ", ")))
}

// word is the i-th argument, or nothing.
func word(args []string, i int) string {
	if i < len(args) {
		return args[i]
	}
	return ""
}

// A file is the name of a file, complete.
type file string

// Set takes a name as the shell gives it: of --flag=~/name it leaves the ~.
func (f *file) Set(name string) error {
	if name == "" {
		return errors.New("the name of the file is empty")
	}
	if rest, ok := strings.CutPrefix(name, "~/"); ok {
		home, err := os.UserHomeDir()
		if err != nil {
			return err
		}
		name = filepath.Join(home, rest)
	}
	full, err := filepath.Abs(name)
	*f = file(full)
	return err
}

// Type is how the help calls a file.
func (*file) Type() string { return "FILE" }

func (f *file) String() string { return string(*f) }
