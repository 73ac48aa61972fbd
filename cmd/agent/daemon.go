package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"upsedge/internal/agent"
	"upsedge/internal/config"
)

type runCmd struct{}

func runCommand(cli *common, std stdio) *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "Poll the units of the configuration until stopped.",
		Long: `Poll the units of the configuration until stopped. SIGHUP reads the
configuration again.`,
		Example: "  upsagent run --config agent.yaml",
		Args:    atMost(0),
		RunE:    func(cmd *cobra.Command, _ []string) error { return runCmd{}.Run(cmd.Context(), cli, std) },
	}
}

// collectAt is by how many percent the memory in use may grow before it is collected. Go's own 100 is for programs that allocate
// all the time; this one hardly does, so to collect at 30 costs a thousandth of its time and halves its memory.
const collectAt = 30

// Run works until a signal ends it. SIGHUP reads the configuration again.
func (runCmd) Run(ctx context.Context, cli *common, std stdio) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP) // before anything else: an unwatched SIGHUP ends the process
	defer signal.Stop(hup)
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectAt)
	}
	signal.Ignore(syscall.SIGPIPE) // who read the log may go; the agent stays
	cfg, err := cli.load()
	if err != nil {
		return err
	}
	if err := agent.CheckFiles(cfg); err != nil {
		return usageError{err}
	}
	level := new(slog.LevelVar)
	level.Set(cfg.Log.Level)
	log := logger(cfg, level, std.err)

	reload := make(chan agent.Reload)
	done := make(chan error, 1)
	go func() {
		done <- agent.Run(ctx, agent.Options{
			Config: cfg, Version: version, Built: builtAt(), Reload: reload, Log: log,
			Ready: func() { notify(daemon.SdNotifyReady) },
			Alive: func() { notify(daemon.SdNotifyWatchdog) },
		}.On(agent.Trial{Clock: cli.clock}))
	}()
	for {
		select {
		case err := <-done:
			notify(daemon.SdNotifyStopping)
			return err
		case <-hup:
			notify(reloading())
			next, err := config.Load(cli.Config)
			if err == nil {
				err = agent.CheckFiles(next)
			}
			applied := make(chan struct{})
			select {
			case reload <- agent.Reload{Config: next, Err: err, Done: func() { close(applied) }}:
			case err := <-done:
				return err
			}
			select {
			case <-applied:
				if err == nil {
					level.Set(next.Log.Level)
				}
			case err := <-done:
				return err
			}
			notify(daemon.SdNotifyReady)
		}
	}
}

// reloading is the word for a configuration that is being read, which with Type=notify-reload has to say when (sd_notify(3)).
func reloading() string {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) // there is one on every Linux
	return fmt.Sprintf("%s\nMONOTONIC_USEC=%d", daemon.SdNotifyReloading, now.Nano()/1000)
}

// notify tells the service manager; without one there is nobody to tell.
func notify(state string) { _, _ = daemon.SdNotify(false, state) }

// builtAt returns the time of the source, zero where the build did not say.
func builtAt() time.Time {
	seconds, err := strconv.ParseInt(built, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.Unix(seconds, 0).UTC()
}
