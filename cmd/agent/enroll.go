package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"upsedge/internal/config"
	"upsedge/internal/enroll"
	"upsedge/internal/local"
	"upsedge/internal/trust"
)

type enrollCmd struct {
	Cloud, Token, CA string
	Force            bool
}

func enrollCommand(cli *common, std stdio) *cobra.Command {
	c := &enrollCmd{}
	cmd := &cobra.Command{
		Use:     "enroll --cloud=URL --token=T",
		Short:   "Make this box an agent of a cloud.",
		Example: "  upsagent enroll --cloud=https://cloud.example:8443 --token=- < token",
		Args:    atMost(0),
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.Run(cmd.Context(), cli, std) },
	}
	f := cmd.Flags()
	f.StringVar(&c.Cloud, "cloud", "", "`URL` of the cloud: https://cloud.example:8443.")
	f.StringVar(&c.Token, "token", "", "Token `T` from the owner of the site; - reads it from standard input, where no list of processes shows it.")
	f.StringVar(&c.CA, "ca", "", "`FILE` with the authorities (PEM) by which to know the cloud, where neither the token nor the system does.")
	f.BoolVar(&c.Force, "force", false, "Replace the enrolment, or the broker, that there is.")
	require(cmd, "cloud", "token")
	return cmd
}

// Run makes this box an agent of a cloud, whether the agent runs or not.
func (c *enrollCmd) Run(ctx context.Context, cli *common, std stdio) error {
	cfg, err := cli.load()
	if err != nil {
		return err
	}
	o := enroll.Options{CAFile: c.CA, Force: c.Force}
	if o.Cloud, err = enroll.ParseCloud(c.Cloud); err != nil {
		return usageError{fmt.Errorf("--cloud: %w", err)}
	}
	if o.Token, err = c.token(std); err != nil {
		return usageError{fmt.Errorf("--token: %w", err)}
	}
	done, err := enrolBox(ctx, cli, cfg, o)
	var present *enroll.PresentError
	if errors.As(err, &present) {
		return usageError{err}
	} else if err != nil {
		return err
	}
	_, err = fmt.Fprintf(std.out, "this box is agent %s of %s; %s\n", done.Agent, done.Cloud, next(cfg.Local.Socket))
	return err
}

// enrolBox enrols as the options say, with the configuration and the clock of this box.
func enrolBox(ctx context.Context, cli *common, cfg *config.Config, o enroll.Options) (*enroll.Done, error) {
	o.StateDir, o.Present = cfg.StateDir, presentUplink(cfg)
	o.Check = func(u enroll.Uplink) error { return config.CheckSetUplink(cli.Config, written(u)) }
	o.Configure = func(u enroll.Uplink) error { return config.SetUplink(cli.Config, written(u)) }
	clk, err := cli.newClock()
	if err != nil {
		return nil, err
	}
	_ = clk.Remember(cfg.StateDir, builtAt()) // what cannot be read costs what earlier runs knew of the time
	o.Time = clk.Certificates
	done, err := enroll.Enroll(ctx, o)
	return done, asRoot(err)
}

// presentUplink is what the configuration says now; zero: no uplink.
func presentUplink(cfg *config.Config) enroll.Uplink {
	if u := cfg.Uplink; u != nil {
		return enroll.Uplink{Broker: u.Broker, CAFile: u.CAFile, CertFile: u.CertFile, KeyFile: u.KeyFile}
	}
	return enroll.Uplink{}
}

func (c *enrollCmd) token(std stdio) (trust.Token, error) {
	text := c.Token
	if text == "-" {
		if in, ok := std.in.(*os.File); ok && term.IsTerminal(int(in.Fd())) {
			fmt.Fprint(onTerminal(std.err), "Paste the token, and press Enter: ") // or it looks as if it hung
		}
		line, err := bufio.NewReader(std.in).ReadString('\n')
		if err != nil && line == "" {
			return trust.Token{}, fmt.Errorf("standard input: %w", err)
		}
		text = line
	}
	return trust.ParseToken(strings.TrimSpace(text))
}

func written(u enroll.Uplink) config.Uplink {
	return config.Uplink{Broker: u.Broker, CAFile: u.CAFile, CertFile: u.CertFile, KeyFile: u.KeyFile}
}

// next lets the running agent read its configuration, and says what happens now.
func next(socket string) string {
	pid, err := local.Peer(socket)
	if err == nil {
		err = syscall.Kill(pid, syscall.SIGHUP)
	}
	switch {
	case err == nil:
		return "the running agent connects now (upsagent status)"
	case pid != 0:
		return fmt.Sprintf("let the running agent read its configuration: systemctl reload upsagent, or kill -HUP %d", pid)
	}
	return "it connects when the agent is started: systemctl start upsagent"
}
