// Command bench measures the agent against the targets of the design, section 11, and against other pollers of the same unit,
// side by side: the real binary as a process of its own, on a simulated serial line. `make bench` runs it; nothing of it ships.
//
// It measures refreshes per second, requests that break the line's rules, processor time per refresh and memory; and how long a
// mains failure takes from the unit's register to /metrics. A missed target is printed, not an error.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// A bench is one run.
type bench struct {
	agent    string // path of the upsagent binary
	packages string // where tools/system-packages unpacks
	json     string // file to write, "" = none
	quick    bool
	dir      string // scratch

	warmUp, window time.Duration // of the refreshes
	trials         int           // mains failures per line
	rest           time.Duration // at least, between two of them
	progress       io.Writer
}

func main() {
	if len(os.Args) == 4 && os.Args[1] == stockArgument {
		exit(runStock(os.Args[2], os.Args[3]))
	}
	b := bench{progress: os.Stderr}
	flag.StringVar(&b.agent, "agent", "bin/upsagent", "the upsagent `binary`")
	flag.StringVar(&b.packages, "packages", ".cache/debian/root", "where tools/system-packages unpacks: a `directory`")
	flag.StringVar(&b.json, "json", "dist/bench.json", "write everything to this `file`, too; empty for none")
	flag.BoolVar(&b.quick, "quick", false, "windows so short that the run takes 20 seconds and the numbers mean little")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	_, err := b.run(ctx, os.Stdout)
	exit(err)
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func runStock(device, rest string) error {
	d, err := time.ParseDuration(rest)
	if err != nil {
		return err
	}
	return stockLoop(device, d)
}

// run measures everything, prints it and returns it.
func (b *bench) run(ctx context.Context, stdout io.Writer) (*report, error) {
	b.warmUp, b.window, b.trials, b.rest = 10*time.Second, 30*time.Second, 25, time.Second
	if b.quick {
		b.warmUp, b.window, b.trials, b.rest = 6*time.Second, 6*time.Second, 2, 0
	}
	version, err := exec.CommandContext(ctx, b.agent, "version").Output()
	if err != nil {
		return nil, fmt.Errorf("%s version: %w (make build makes it)", b.agent, err)
	}
	if b.dir, err = os.MkdirTemp("", "upsedge-bench-"); err != nil {
		return nil, err
	}
	defer os.RemoveAll(b.dir)
	if b.packages, err = filepath.Abs(b.packages); err != nil {
		return nil, err
	}
	r := &report{
		Version: strings.TrimSpace(string(version)), When: time.Now(), Quick: b.quick, Simulated: simulated, Machine: thisMachine(),
		Window: b.window.Seconds(), Missing: missing,
	}
	fmt.Fprintf(b.progress, "bench: refreshes, %v\n", b.warmUp+b.window)
	if r.Pollers, err = b.refreshes(ctx); err != nil {
		return nil, err
	}
	fmt.Fprintf(b.progress, "bench: mains failures, %d on each of %d lines\n", b.trials, eventLines)
	if r.Events, err = b.events(ctx); err != nil {
		return nil, err
	}
	r.Machine.LoadAfter = load()
	r.judge()
	r.print(stdout)
	if b.json == "" {
		return r, nil
	}
	return r, r.save(b.json)
}
