// Command bench measures the agent against the targets of the design, section 11, and against other pollers of the same unit,
// side by side: the real binary as a process of its own, on a simulated serial line. `make bench` runs it; nothing of it ships.
//
// It measures refreshes per second, requests that break the line's rules, processor time per refresh and memory; how long a mains
// failure takes from the unit's register to /metrics, and how late reads begin; what samples take on the wire and to encode; and
// one agent with a thousand units on TCP; what the cloud takes from many agents; and how soon a share or a plan that ends has ended on site. A missed target is printed, not an error.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// A bench is one run.
type bench struct {
	agent    string // path of the upsagent binary
	cloud    string // path of the upscloud binary
	peers    string // where make bench puts what it is compared with
	packages string // where tools/system-packages unpacks
	json     string // file to write, "" = none
	only     string // parts to measure, "" = all
	profile  string // directory for profiles of the agent with many units, "" = none
	quick    bool
	whole    bool   // drain all of the backlog over the thin link, too
	receiver string // path of the receiver
	mu       sync.Mutex
	dir      string // scratch

	warmUp, window time.Duration // of the refreshes
	trials         int           // mains failures per line
	rest           time.Duration // at least, between two of them
	units          int           // on TCP, for one agent

	manyWarmUp, manyWindow time.Duration

	encoding time.Duration // how long, for the encoder's rate
	progress io.Writer
}

func main() {
	runAsOther()
	b := bench{progress: os.Stderr}
	flag.StringVar(&b.agent, "agent", "bin/upsagent", "the upsagent `binary`")
	flag.StringVar(&b.cloud, "cloud", "bin/upscloud", "the upscloud `binary`")
	flag.StringVar(&b.packages, "packages", ".cache/debian/root", "where tools/system-packages unpacks: a `directory`")
	flag.StringVar(&b.peers, "peers", ".cache/bin", "where peer-simonvetter is: a `directory`")
	flag.StringVar(&b.json, "json", "dist/bench.json", "write everything to this `file`, too; empty for none")
	flag.StringVar(&b.only, "only", "", "measure these `parts` only, with commas between: lines, events, blocks, spool, network, backlog, front, orders, rights, tcp")
	flag.StringVar(&b.profile, "profile", "", "run the agent of tcp inside this program and write its profiles, and those of the cloud of front, to this `directory`")
	flag.StringVar(&b.receiver, "receiver", ".cache/bin/receiver", "the receiver that make bench builds: a `binary`")
	flag.BoolVar(&b.whole, "whole", false, "drain the whole backlog over the thin link, too, which takes 25 minutes")
	flag.IntVar(&b.units, "units", 0, "how many units on TCP, 0 for 1000")
	flag.BoolVar(&b.quick, "quick", false, "all at once and so briefly that the run takes less than 20 seconds and the numbers mean little")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	_, err := b.run(ctx, os.Stdout)
	exit(err)
}

// runAsOther makes this program one of those it measures or measures with, when it has started itself as one. Then it does
// not return.
func runAsOther() {
	switch {
	case len(os.Args) == 4 && os.Args[1] == stockArgument:
		exit(runStock(os.Args[2], os.Args[3]))
	case len(os.Args) == 3 && os.Args[1] == farmArgument:
		exit(runFarm(os.Args[2]))
	case len(os.Args) == 4 && os.Args[1] == cloudArgument:
		exit(runCloud(os.Args[2], os.Args[3]))
	case len(os.Args) == 3 && os.Args[1] == clientsArgument:
		exit(runClients(os.Args[2]))
	case len(os.Args) == 4 && os.Args[1] == profiledArgument:
		exit(runProfiled(os.Args[2], os.Args[3]))
	}
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

// A part is what can be measured by itself.
type part struct {
	name string
	what string
	run  func(ctx context.Context, r *report) error
}

func (b *bench) parts() []part {
	return []part{
		{"lines", fmt.Sprintf("refreshes on serial lines, %v", b.warmUp+b.window), func(ctx context.Context, r *report) (err error) {
			r.Pollers, err = b.refreshes(ctx)
			return err
		}},
		{"events", fmt.Sprintf("mains failures, %d on each of %d lines", b.trials, eventLines), func(ctx context.Context, r *report) (err error) {
			r.Events, err = b.events(ctx)
			return err
		}},
		{"blocks", "sample blocks", func(ctx context.Context, r *report) (err error) {
			r.Blocks, err = b.blocks(ctx)
			return err
		}},
		{"spool", "what is kept on disk", func(ctx context.Context, r *report) (err error) {
			r.Spool, err = b.spool(ctx)
			return err
		}},
		{"network", "bytes on the network", func(ctx context.Context, r *report) (err error) {
			r.Network, err = b.network(ctx)
			return b.orMissing(r, "bytes on the network", err)
		}},
		{"backlog", "a backlog that drains", func(ctx context.Context, r *report) (err error) {
			r.Backlogs, err = b.backlogs(ctx)
			return b.orMissing(r, "draining a backlog", err)
		}},
		{"front", "messages of agents, until they are kept", func(ctx context.Context, r *report) (err error) {
			r.Front, err = b.frontCost(ctx)
			return b.orMissing(r, "mosquitto beside the front of the cloud", err)
		}},
		{"orders", "remote orders, verified and written down", func(ctx context.Context, r *report) (err error) {
			if r.Orders, err = b.orders(ctx); err != nil {
				return err
			}
			r.Writes, err = b.orderLines(ctx)
			return b.orMissing(r, "orders to the register", err)
		}},
		{"rights", "revocations and changes of plans, until they hold", func(ctx context.Context, r *report) (err error) {
			r.Rights, err = b.rights(ctx)
			return err
		}},
		{"tcp", fmt.Sprintf("%d units on TCP, %v", b.units, b.manyWarmUp+b.manyWindow), func(ctx context.Context, r *report) (err error) {
			r.Many, err = b.many(ctx)
			return err
		}},
	}
}

// orMissing notes what a program that is not here keeps from being measured.
func (b *bench) orMissing(r *report, what string, err error) error {
	if !errors.Is(err, errMissing) {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	r.Missing = append(r.Missing, fmt.Sprintf("%s: %v", what, err))
	return nil
}

func (b *bench) settle() {
	b.warmUp, b.window, b.trials, b.rest = 10*time.Second, 30*time.Second, 25, time.Second
	b.units, b.manyWarmUp, b.manyWindow = orElse(b.units, 1000), 15*time.Second, 30*time.Second
	b.encoding = time.Second
	if b.quick {
		b.warmUp, b.window, b.trials, b.rest = 5*time.Second, 5*time.Second, 2, 0
		b.units, b.manyWarmUp, b.manyWindow = 20, 0, 2*time.Second
		b.encoding = 50 * time.Millisecond
	}
}

func orElse(n, otherwise int) int {
	if n == 0 {
		return otherwise
	}
	return n
}

// run measures everything, prints it and returns it.
func (b *bench) run(ctx context.Context, stdout io.Writer) (*report, error) {
	b.settle()
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
	g, ctx := errgroup.WithContext(ctx)
	if !b.quick {
		g.SetLimit(1) // one after the other: they would take the processors from each other
	}
	for _, p := range b.parts() {
		if b.only != "" && !slices.Contains(strings.Split(b.only, ","), p.name) {
			continue
		}
		g.Go(func() error {
			fmt.Fprintf(b.progress, "bench: %s\n", p.what)
			return p.run(ctx, r)
		})
	}
	if err := g.Wait(); err != nil {
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
