package main

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/spf13/cobra"

	"upsedge/internal/agent"
	"upsedge/internal/local"
)

type reloadCmd struct {
	PID int
}

func reloadCommand(cli *common, std stdio) *cobra.Command {
	c := &reloadCmd{}
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Have the running agent read its configuration again.",
		Long: `Have the running agent read its configuration again. A configuration that is
wrong is said here; the agent keeps the one that it has.`,
		Example: "  upsagent reload",
		Args:    atMost(0),
		RunE:    func(*cobra.Command, []string) error { return c.Run(cli, std) },
	}
	cmd.Flags().IntVar(&c.PID, "pid", 0, "Process `ID` of the agent, for a service manager that knows it; else the one that has local.socket.")
	return cmd
}

// Run sends the signal itself: the service may start no other program, not even kill (T-60). The agent reads a wrong configuration,
// too, because it is the one to raise alarm 814.
func (c *reloadCmd) Run(cli *common, std stdio) error {
	cfg, wrong := cli.load()
	if wrong == nil {
		if err := agent.CheckFiles(cfg); err != nil {
			wrong = usageError{err}
		}
	}
	pid := c.PID
	switch {
	case pid < 0:
		return usageError{fmt.Errorf("--pid: %d is no process", pid)}
	case pid > 0:
	case wrong != nil:
		return wrong
	default:
		var err error
		if pid, err = local.Peer(cfg.Local.Socket); err != nil {
			return fmt.Errorf("no agent answers at local.socket %q: %w", cfg.Local.Socket, err)
		}
	}
	if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
		return errors.Join(fmt.Errorf("signal process %d: %w", pid, err), wrong)
	}
	if wrong != nil {
		return wrong
	}
	_, err := fmt.Fprintln(std.out, "the agent reads its configuration")
	return err
}
