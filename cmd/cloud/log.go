package main

import (
	"context"

	"upsedge/internal/cloud/serve"
)

type logCmd struct {
	Verify verifyCmd `cmd:"" help:"Check that no entry was deleted, changed, inserted or moved. Exit code 1, and the place, where one was."`
}

type verifyCmd struct {
	Device string `help:"Only this device." placeholder:"ID"`
	Head   string `help:"File with signed heads that were handed out earlier, by exports or the HTTP interface, one to a line." placeholder:"FILE"`
}

func (c *verifyCmd) Run(ctx context.Context, cli *commands, s stdio) error {
	cfg, err := cli.load()
	if err != nil {
		return err
	}
	return serve.VerifyLog(ctx, cfg, c.Device, c.Head, s.out)
}
