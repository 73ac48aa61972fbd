package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"syscall"

	"upsedge/internal/agent"
	"upsedge/internal/config"
)

// profiledArgument makes this program the agent itself, without the words around it, that says where its time and memory go.
const profiledArgument = "run-the-agent-profiled"

// profiled is the agent on a configuration of agentOn, in a copy of this program, with profiles written to dir.
func profiled(ctx context.Context, agentOn *exec.Cmd, dir string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	return exec.CommandContext(ctx, self, profiledArgument, agentOn.Args[2], dir), nil
}

// runProfiled is the agent until SIGTERM. From SIGUSR1 to SIGUSR2 it keeps a profile of its CPU time; then it writes that, and
// what is in memory, has been allocated and runs, to dir.
func runProfiled(file, dir string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	marks := make(chan os.Signal, 2)
	signal.Notify(marks, syscall.SIGUSR1, syscall.SIGUSR2)
	debug.SetGCPercent(30) // as cmd/agent
	cfg, err := config.Load(file)
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() {
		done <- agent.Run(ctx, agent.Options{Config: cfg, Version: "profiled", Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	}()
	cpu, err := os.Create(filepath.Join(dir, "cpu.pprof"))
	if err != nil {
		return err
	}
	defer cpu.Close()
	for {
		select {
		case err := <-done:
			return err
		case s := <-marks:
			if s == syscall.SIGUSR1 {
				err = pprof.StartCPUProfile(cpu)
			} else {
				pprof.StopCPUProfile()
				err = snapshots(dir)
			}
			if err != nil {
				return err
			}
		}
	}
}

func snapshots(dir string) (err error) {
	runtime.GC() // what is in memory is up to date as of the last collection
	for _, name := range []string{"heap", "allocs", "goroutine"} {
		f, e := os.Create(filepath.Join(dir, name+".pprof"))
		if e == nil {
			e = errors.Join(pprof.Lookup(name).WriteTo(io.Writer(f), 0), f.Close())
		}
		err = errors.Join(err, e)
	}
	return err
}
