// Command demo is a site on one machine: a simulated unit on a serial line paced at 9600 baud, two on TCP, an MQTT broker inside
// the process, and the real upsagent, started again when it dies, as the service manager would. After a while the mains fail
// and return, again and again. `make demo` runs it; nothing of it ships.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

type options struct {
	agent    string        // path of the upsagent binary
	dir      string        // where the site lives; "" = a temporary directory, removed at the end
	failures time.Duration // after which the mains fail for the first time, and how long between failures
	metrics  string
	page     string
}

func main() {
	var o options
	flag.StringVar(&o.agent, "agent", "bin/upsagent", "the upsagent `binary`")
	flag.StringVar(&o.dir, "dir", "", "keep the site in this `directory` (default: a temporary one)")
	flag.DurationVar(&o.failures, "failures", 30*time.Second, "mains failure after this `time`, for as long, and again")
	flag.StringVar(&o.metrics, "metrics", "127.0.0.1:9811", "`address` of /metrics")
	flag.StringVar(&o.page, "page", "127.0.0.1:9812", "`address` of the status page")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (err error) {
	if o.agent, err = filepath.Abs(o.agent); err != nil {
		return err
	}
	if o.dir == "" {
		if o.dir, err = os.MkdirTemp("", "upsedge-demo-"); err != nil {
			return err
		}
		defer os.RemoveAll(o.dir)
	} else if o.dir, err = filepath.Abs(o.dir); err != nil {
		return err
	}
	s, err := newSite(o.dir)
	if err != nil {
		return err
	}
	defer s.close()
	b, err := newBroker(func(topic, payload string) { fmt.Printf("mqtt  %s %s\n", topic, payload) })
	if err != nil {
		return err
	}
	defer b.close()

	config := filepath.Join(o.dir, "agent.yaml")
	if err := os.WriteFile(config, []byte(s.config(o, b.addr)), 0o600); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	s.serve(ctx, g)
	g.Go(func() error { return s.failures(ctx, o.failures) })
	g.Go(func() error { return supervise(ctx, o.agent, config) })
	greet(o, config, b.addr)
	return g.Wait()
}

// supervise keeps the agent running: killed, it is started again after a second.
func supervise(ctx context.Context, agent, config string) error {
	for {
		cmd := exec.CommandContext(ctx, agent, "--config", config, "run")
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM, Setpgid: true} // Ctrl-C is ours to hand on
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
		cmd.WaitDelay = 10 * time.Second
		if err := cmd.Start(); err != nil {
			return err
		}
		fmt.Printf("demo  the agent runs as process %d\n", cmd.Process.Pid)
		err := cmd.Wait()
		if ctx.Err() != nil {
			return nil
		}
		if code := cmd.ProcessState.ExitCode(); code == 2 {
			return fmt.Errorf("the agent refuses its configuration: %w", err)
		}
		fmt.Printf("demo  the agent ended (%v); it is started again\n", cmd.ProcessState)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}

func greet(o options, config, broker string) {
	host, port, _ := strings.Cut(broker, ":")
	agent := o.agent
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, agent); err == nil {
			agent = rel
		}
	}
	fmt.Printf(`
A simulated site: rack-a on a serial line at 9600 baud, rack-b and rack-c on TCP. The mains of all three fail %v from now.

  metrics        http://%s/metrics
  status page    http://%s/
  MQTT broker    %s (no login; what passes as events is shown below)

In another terminal:
  %s --config %s status
  %s --config %s read rack-a
  mosquitto_sub -h %s -p %s -t 'upsedge/v1/+/events'
  mosquitto_sub -h %s -p %s -t 'upsedge/v1/+/samples' -F %%x | %s --config %s block
  curl -s http://%s/metrics | grep ups_status

Ctrl-C stops everything.

`, o.failures, o.metrics, o.page, broker, agent, config, agent, config, host, port, host, port, agent, config, o.metrics)
}

// failures lets the mains of every unit fail and return.
func (s *site) failures(ctx context.Context, every time.Duration) error {
	for good := true; ; good = !good {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(every):
		}
		fmt.Printf("demo  the mains %s\n", map[bool]string{true: "fail", false: "return"}[good])
		for _, u := range s.units {
			u.SetMains(!good)
		}
	}
}
