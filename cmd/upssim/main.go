// Upssim is a Smart-UPS that is not there: it answers Modbus on a pseudo terminal, at the pace of a serial line, and on TCP.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(exitCode(err, os.Stderr))
}

// A usageError is a mistake in the command line or in a scenario: exit code 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func exitCode(err error, stderr io.Writer) int {
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "upssim: %v\nTry upssim --help.\n", err)
		return 2
	}
	fmt.Fprintf(stderr, "upssim: %v\n", err)
	return 1
}

// errHelped stops run after --help was printed.
var errHelped = errors.New("help was printed")

// run is the whole program but for signals and the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) (err error) {
	var f flags
	defer func() {
		if r := recover(); r == any(errHelped) {
			err = nil
		} else if r != nil {
			panic(r)
		}
	}()
	parser, err := kong.New(&f, kong.Name("upssim"), kong.Description(description), kong.Writers(stdout, stderr),
		kong.Exit(func(int) { panic(errHelped) }), kong.ConfigureHelp(kong.HelpOptions{WrapUpperBound: 100}),
		kong.Help(help), kong.Vars(vars()))
	if err != nil {
		return err
	}
	if _, err := parser.Parse(args); err != nil {
		return usageError{err}
	}
	s, err := f.build(stdout, stderr)
	if err != nil {
		return err
	}
	return s.run(ctx, stdin)
}
