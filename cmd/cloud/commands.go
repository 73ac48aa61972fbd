package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"golang.org/x/term"

	"upsedge/internal/cloud/serve"
)

type serveCmd struct{}

func (serveCmd) Run(ctx context.Context, cli *commands, s stdio) error {
	cfg, err := cli.load()
	if err != nil {
		return err
	}
	server, err := serve.Open(ctx, cfg, version, logger(cfg, s.err))
	if err != nil {
		return err
	}
	return server.Run(ctx)
}

type initCmd struct {
	Email        string `help:"Address of the first account." placeholder:"ADDRESS"`
	Name         string `help:"Name of that person." placeholder:"NAME"`
	Organisation string `help:"Name of the organisation." placeholder:"NAME"`
	PasswordFile string `help:"File with the password alone; - is the standard input. Without it the terminal is asked." placeholder:"FILE"`
}

func (c *initCmd) Run(ctx context.Context, cli *commands, s stdio) error {
	cfg, err := cli.load()
	if err != nil {
		return err
	}
	first := serve.First{Email: c.Email, Name: c.Name, Organisation: c.Organisation}
	if c.Email != "" {
		if first.Name == "" {
			first.Name = "Operator"
		}
		if first.Password, err = c.password(s); err != nil {
			return err
		}
	}
	done, err := serve.Init(ctx, cfg, first, slog.New(slog.DiscardHandler))
	for _, line := range done {
		fmt.Fprintln(s.out, line)
	}
	return err
}

func (c *initCmd) password(s stdio) (string, error) {
	if c.PasswordFile != "" {
		return readPassword(c.PasswordFile, s.in)
	}
	if f, ok := s.in.(interface{ Fd() uintptr }); ok && term.IsTerminal(int(f.Fd())) {
		fmt.Fprint(s.err, "Password of the first account: ")
		b, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(s.err)
		return string(b), err
	}
	return "", usageError{errors.New("--email needs a password: --password-file FILE, or - for the standard input")}
}

func readPassword(file string, stdin io.Reader) (string, error) {
	from := stdin
	if file != "-" {
		f, err := serve.OpenSecret(file)
		if err != nil {
			return "", err
		}
		defer f.Close()
		from = f
	}
	line, err := bufio.NewReader(io.LimitReader(from, 4096)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	return strings.TrimRight(line, "\r\n"), nil
}

type keyCmd struct {
	Rotate rotateCmd `cmd:"" help:"Make a new key for statements and commands, signed by the root; agents refuse the old one from their next statement on."`
}

type rotateCmd struct {
	Root string `arg:"" help:"File of the root key, from where it is kept."`
}

func (c *rotateCmd) Run(cli *commands, s stdio) error {
	cfg, err := cli.load()
	if err != nil {
		return err
	}
	version, err := serve.RotateKey(cfg, c.Root)
	if err == nil {
		fmt.Fprintf(s.out, "list of keys %d is in force; running servers take it up by themselves\n", version)
	}
	return err
}
