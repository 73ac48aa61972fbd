// Command demo is a whole installation on one machine: the control plane (bin/upscloud) with a mail server that delivers into a directory, and a
// site: a simulated unit on a serial line paced at 9600 baud, two on TCP, and the real upsagent, started again when it dies, as the service
// manager would. The agent belongs to nobody until it is enrolled. After a while the mains fail and return, again and again.
// `make demo` runs it; nothing of it ships.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"upsedge/internal/mailsink"
)

type options struct {
	agent, cloud string        // paths of the binaries
	dir          string        // where everything lives; emptied at the start
	failures     time.Duration // after which the mains fail for the first time, and how long between failures
	speed        float64       // how many times faster than real ones the units live
	host         string        // address that everything listens on
	https, mqtt  string        // ports of the cloud
	cloudMetrics string
	metrics      string // addresses of the agent's metrics and status page
	page         string
}

func main() {
	var o options
	flag.StringVar(&o.agent, "agent", "bin/upsagent", "the upsagent `binary`")
	flag.StringVar(&o.cloud, "cloud", "bin/upscloud", "the upscloud `binary`")
	flag.StringVar(&o.dir, "dir", ".cache/demo", "the `directory` of everything; what a demo before left there is deleted")
	flag.DurationVar(&o.failures, "failures", 2*time.Minute, "mains failure after this `time`, for as long, and again")
	flag.Float64Var(&o.speed, "speed", 10, "how many times faster than real ones the units live")
	flag.StringVar(&o.https, "https", "8443", "`port` of the cloud's HTTP interface")
	flag.StringVar(&o.mqtt, "mqtt", "8883", "`port` of the cloud for agents")
	flag.StringVar(&o.cloudMetrics, "cloud-metrics", "127.0.0.1:9821", "`address` of the cloud's metrics")
	flag.StringVar(&o.metrics, "metrics", "127.0.0.1:9811", "`address` of the agent's metrics")
	flag.StringVar(&o.page, "page", "127.0.0.1:9812", "`address` of the agent's status page")
	serial := flag.String("overrule", "", "do nothing but alter the database of a demo that runs: the device with this `serial` number is on Advanced, as the cloud believes")
	flag.Parse()
	o.host = "127.0.0.1"
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	work := func() error { return run(ctx, o) }
	if *serial != "" {
		work = func() error { return overrule(ctx, o.dir, *serial) }
	}
	if err := work(); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// mark names a directory as ours: nothing else is ever deleted.
const mark = ".upsedge-demo"

func prepare(o *options) (err error) {
	for _, path := range []*string{&o.agent, &o.cloud, &o.dir} {
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
	}
	if entries, err := os.ReadDir(o.dir); err == nil && len(entries) > 0 {
		if _, err := os.Stat(filepath.Join(o.dir, mark)); err != nil {
			return fmt.Errorf("%s is not empty and not of a demo; --dir names another one", o.dir)
		}
		if err := os.RemoveAll(o.dir); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Join(o.dir, "mail"), 0o700); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(o.dir, mark), nil, 0o600)
}

func run(ctx context.Context, o options) error {
	if err := prepare(&o); err != nil {
		return err
	}
	defer os.RemoveAll(o.dir)
	s, err := newSite(o.dir, o.speed, nil)
	if err != nil {
		return err
	}
	defer s.close()
	letters, err := net.Listen("tcp", net.JoinHostPort(o.host, "0"))
	if err != nil {
		return err
	}
	defer letters.Close()
	cloud, err := newCloud(ctx, o, letters.Addr().String())
	if err != nil {
		return err
	}
	config := filepath.Join(o.dir, "agent.yaml")
	if err := os.WriteFile(config, []byte(s.config(o)), 0o600); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return (&mailsink.Sink{Dir: filepath.Join(o.dir, "mail")}).Serve(ctx, letters) })
	s.serve(ctx, g)
	g.Go(func() error { return s.failures(ctx, o.failures) })
	g.Go(func() error { return supervise(ctx, "cloud", "", o.cloud, "--config", cloud, "serve") })
	g.Go(func() error {
		return supervise(ctx, "agent", filepath.Join(o.dir, "unplugged"), o.agent, "--config", config, "run")
	})
	g.Go(func() error { return greet(ctx, o) })
	return g.Wait()
}

// supervise keeps a program running: killed, it is started again after a second. While there is a file unplugged its machine has no power.
func supervise(ctx context.Context, what, unplugged, program string, args ...string) error {
	for {
		if !plugged(ctx, unplugged, true) {
			return nil
		}
		power, cut := context.WithCancel(ctx)
		go func() {
			if plugged(power, unplugged, false) {
				fmt.Printf("demo  the box of the %s has no power\n", what)
			}
			cut()
		}()
		cmd := exec.CommandContext(power, program, args...)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM, Setpgid: true} // Ctrl-C is ours to hand on
		cmd.Cancel = func() error {
			if ctx.Err() == nil {
				return cmd.Process.Kill() // no power, no farewell
			}
			return cmd.Process.Signal(syscall.SIGTERM)
		}
		cmd.WaitDelay = 15 * time.Second
		if err := cmd.Start(); err != nil {
			return err
		}
		fmt.Printf("demo  the %s runs as process %d\n", what, cmd.Process.Pid)
		err := cmd.Wait()
		cut()
		if ctx.Err() != nil {
			return nil
		}
		if code := cmd.ProcessState.ExitCode(); code == 2 || code == 1 && what == "cloud" {
			return fmt.Errorf("the %s does not start: %w", what, err)
		}
		fmt.Printf("demo  the %s ended (%v); it is started again\n", what, cmd.ProcessState)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}

// plugged waits until the file of a switch is there or not; without a file the power is always on. It reports false when ctx ended.
func plugged(ctx context.Context, file string, want bool) bool {
	if file == "" && !want {
		<-ctx.Done()
		return false
	}
	for {
		_, err := os.Stat(file)
		if on := file == "" || err != nil; on == want {
			return ctx.Err() == nil
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(100 * time.Millisecond):
		}
	}
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
