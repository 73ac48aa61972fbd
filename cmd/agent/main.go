// Command upsagent polls Smart-UPS units over Modbus, keeps what they say until the broker has it and shows it to Prometheus;
// and it is the installer's tool. Results go to stdout, words to stderr. Exit codes: 0 done, 1 failed, 2 usage or
// configuration error (design, section 2).
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"upsedge/internal/config"
)

// Set at build time: the version, and the Unix time of the last change of the source.
var (
	version = "development"
	built   = ""
)

type commands struct {
	Config string `help:"Configuration file." default:"${config}" placeholder:"FILE"`

	Run     runCmd     `cmd:"" help:"Poll the units of the configuration until stopped."`
	Check   checkCmd   `cmd:"" help:"Check the configuration; print the read plan and what each line can carry. Touches no unit."`
	Probe   probeCmd   `cmd:"" help:"Find units on a serial port or in a network."`
	Read    readCmd    `cmd:"" help:"Print one reading of every point."`
	Status  statusCmd  `cmd:"" help:"Ask the running agent how it and its units are."`
	Order   orderCmd   `cmd:"" help:"Order a unit to do something, on the spot; without an action: what there is to order."`
	Enroll  enrollCmd  `cmd:"" help:"Make this box an agent of a cloud."`
	Block   blockCmd   `cmd:"" help:"Print sample blocks as they went over MQTT."`
	Doctor  doctorCmd  `cmd:"" help:"Write a support bundle: what somebody who is to help needs to know of this box."`
	Version versionCmd `cmd:"" help:"Print the version."`
}

// usageError is what the caller can mend: exit code 2.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(exitCode(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr), os.Stderr))
}

func exitCode(err error, stderr io.Writer) int {
	if err == nil {
		return 0
	}
	fmt.Fprintf(stderr, "upsagent: %v\n", err)
	if usage := (usageError{}); errors.As(err, &usage) {
		return 2
	}
	return 1
}

// stdio is what commands read and write.
type stdio struct {
	in       io.Reader
	out, err io.Writer
}

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	var cli commands
	exited := false
	parser, err := kong.New(&cli,
		kong.Name("upsagent"),
		kong.Description("Polls Smart-UPS units over Modbus, keeps what they say until the broker has it, and shows it to Prometheus."),
		kong.Vars{"config": config.DefaultPath},
		kong.Writers(stdout, stderr),
		kong.Exit(func(int) { exited = true }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(stdio{stdin, stdout, stderr}),
	)
	if err != nil {
		return err
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := parser.Parse(args)
	if exited {
		return nil // the help was printed
	}
	if err != nil {
		return usageError{fmt.Errorf("%w (upsagent --help)", err)}
	}
	return parsed.Run(&cli)
}

// load reads the configuration.
func (c *commands) load() (*config.Config, error) {
	cfg, err := config.Load(c.Config)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w; `upsagent probe --write` makes one", err)
	}
	if err != nil {
		return nil, usageError{err}
	}
	return cfg, nil
}

// logger returns the log of the configuration, at a level that may change.
func logger(cfg *config.Config, level slog.Leveler, to io.Writer) *slog.Logger {
	o := &slog.HandlerOptions{Level: level}
	if cfg.Log.Format == "json" {
		return slog.New(slog.NewJSONHandler(to, o))
	}
	return slog.New(slog.NewTextHandler(to, o))
}

type versionCmd struct{}

func (versionCmd) Run(std stdio) error {
	_, err := fmt.Fprintln(std.out, version)
	return err
}
