package main

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/coreos/go-systemd/v22/daemon"

	"upsedge/internal/agent"
	"upsedge/internal/config"
)

type runCmd struct{}

// collectAt is by how many percent the memory in use may grow before it is collected. Go's own 100 is for programs that allocate
// all the time; this one hardly does, so to collect at 30 costs a thousandth of its time and halves its memory.
const collectAt = 30

// Run works until a signal ends it. SIGHUP reads the configuration again.
func (runCmd) Run(ctx context.Context, cli *commands, std stdio) error {
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
	log := logger(cfg, std.err)

	reload := make(chan *config.Config)
	done := make(chan error, 1)
	go func() {
		done <- agent.Run(ctx, agent.Options{
			Config: cfg, Version: version, Reload: reload, Log: log,
			Ready: func() { notify(daemon.SdNotifyReady) },
			Alive: func() { notify(daemon.SdNotifyWatchdog) },
		})
	}()
	for {
		select {
		case err := <-done:
			notify(daemon.SdNotifyStopping)
			return err
		case <-hup:
			next, err := config.Load(cli.Config)
			if err == nil {
				err = agent.CheckFiles(next)
			}
			if err != nil {
				log.Error("configuration rejected, the old one is kept", "err", err)
				continue
			}
			notify(daemon.SdNotifyReloading)
			select {
			case reload <- next:
			case err := <-done:
				return err
			}
			notify(daemon.SdNotifyReady)
		}
	}
}

// notify tells the service manager; without one there is nobody to tell.
func notify(state string) { _, _ = daemon.SdNotify(false, state) }
