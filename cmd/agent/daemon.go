package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/coreos/go-systemd/v22/daemon"

	"upsedge/internal/agent"
	"upsedge/internal/config"
)

type runCmd struct{}

// Run works until a signal ends it. SIGHUP reads the configuration again.
func (runCmd) Run(ctx context.Context, cli *commands, std stdio) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP) // before anything else: an unwatched SIGHUP ends the process
	defer signal.Stop(hup)
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
