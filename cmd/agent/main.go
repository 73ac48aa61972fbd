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

	"upsedge/internal/clock"
	"upsedge/internal/config"
)

// Set at build time: the version, and the Unix time of the last change of the source.
var (
	version = "development"
	built   = ""
)

// common is what every command has.
type common struct {
	Config string // path of the configuration

	clock func() (*clock.Clock, error) // nil: this box's; tests have another
}

func (c *common) newClock() (*clock.Clock, error) {
	if c.clock != nil {
		return c.clock()
	}
	return clock.New()
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
	line := newCommandLine(stdio{stdin, stdout, stderr})
	return line.run(ctx, args)
}

// load reads the configuration.
func (c *common) load() (*config.Config, error) {
	cfg, err := config.Load(c.Config)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w; `upsagent setup` makes one", err)
	}
	if err != nil {
		return nil, usageError{asRoot(err)}
	}
	return cfg, nil
}

// asRoot says how what is forbidden is allowed.
func asRoot(err error) error {
	if errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0 {
		return fmt.Errorf("%w; as root it may: sudo upsagent …", err)
	}
	return err
}

// logger returns the log of the configuration, at a level that may change.
func logger(cfg *config.Config, level slog.Leveler, to io.Writer) *slog.Logger {
	o := &slog.HandlerOptions{Level: level}
	if cfg.Log.Format == "json" {
		return slog.New(slog.NewJSONHandler(to, o))
	}
	return slog.New(slog.NewTextHandler(to, o))
}
