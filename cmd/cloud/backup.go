package main

import (
	"context"
	"fmt"

	"upsedge/internal/cloud/serve"
)

type backupCmd struct {
	Directory string `arg:"" help:"It is made, and must not be there yet."`
}

func (c *backupCmd) Run(ctx context.Context, cli *commands, s stdio) error {
	return cli.told(s, func(cfg *serve.Config) ([]string, error) { return serve.Backup(ctx, cfg, c.Directory) })
}

type restoredCmd struct{}

func (restoredCmd) Run(ctx context.Context, cli *commands, s stdio) error {
	return cli.told(s, func(cfg *serve.Config) ([]string, error) { return serve.Restored(ctx, cfg) })
}

// told does something and prints what there is to say of it.
func (c *commands) told(s stdio, do func(*serve.Config) ([]string, error)) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	done, err := do(cfg)
	for _, line := range done {
		fmt.Fprintln(s.out, line)
	}
	return err
}
