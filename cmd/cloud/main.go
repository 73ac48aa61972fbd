// Command upscloud is the control plane: accounts, devices, history, the Event Log and remote orders behind an HTTP interface, and the MQTT
// front that agents talk to. Results go to stdout, words to stderr. Exit codes: 0 done, 1 failed, 2 usage or configuration error.
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

	"upsedge/internal/cloud/serve"
)

// version is set at build time.
var version = "development"

const description = "The control plane of upsedge: HTTP for people, MQTT for agents, one SQL database."

type commands struct {
	Config string `help:"Configuration file." default:"${config}" placeholder:"FILE"`

	Init     initCmd     `cmd:"" help:"Make the data directory, the keys and the first account."`
	Serve    serveCmd    `cmd:"" help:"Serve people and agents until stopped."`
	Key      keyCmd      `cmd:"" help:"The keys that sign statements and commands."`
	Log      logCmd      `cmd:"" help:"The Event Log."`
	Licence  licenceCmd  `cmd:"" help:"Activation codes, which give devices plans."`
	Plan     planCmd     `cmd:"" help:"The plans of devices."`
	Backup   backupCmd   `cmd:"" help:"Copy the SQLite database and the keys into a new directory, beside a running server."`
	Restored restoredCmd `cmd:"" help:"Say that the database was put back from a backup, before the server starts: its numbers go ahead of what agents may remember."`
	Version  versionCmd  `cmd:"" help:"Print the version."`
}

// usageError is what the caller can mend: exit code 2.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	if err == nil {
		return
	}
	fmt.Fprintf(os.Stderr, "upscloud: %v\n", err)
	if usage := (usageError{}); errors.As(err, &usage) {
		os.Exit(2)
	}
	os.Exit(1)
}

// stdio is what commands read and write.
type stdio struct {
	in       io.Reader
	out, err io.Writer
}

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	var cli commands
	exited := false
	parser, err := kong.New(
		&cli,
		kong.Name("upscloud"),
		kong.Description(description),
		kong.Vars{"config": serve.DefaultPath},
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
		return usageError{fmt.Errorf("%w (upscloud --help)", err)}
	}
	return parsed.Run(&cli)
}

// load reads the configuration. Without a file at the usual place every default holds.
func (c *commands) load() (*serve.Config, error) {
	cfg, err := serve.Load(c.Config)
	if errors.Is(err, fs.ErrNotExist) && c.Config == serve.DefaultPath {
		return serve.Parse(c.Config, nil)
	}
	if err != nil {
		return nil, usageError{err}
	}
	return cfg, nil
}

func logger(cfg *serve.Config, to io.Writer) *slog.Logger {
	o := &slog.HandlerOptions{Level: cfg.LogLevel}
	if cfg.LogJSON {
		return slog.New(slog.NewJSONHandler(to, o))
	}
	return slog.New(slog.NewTextHandler(to, o))
}

type versionCmd struct{}

func (versionCmd) Run(s stdio) error {
	_, err := fmt.Fprintln(s.out, version)
	return err
}
