package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"upsedge/internal/local"
	"upsedge/internal/wire"
)

type blockCmd struct {
	Files []string
}

func blockCommand(cli *common, std stdio) *cobra.Command {
	return &cobra.Command{
		Use:   "block [<files> ...]",
		Short: "Print sample blocks as they went over MQTT.",
		Long: `Print sample blocks as they went over MQTT.

A block names its columns now and then only; where the agent of the
configuration runs it is asked for them.

Arguments:
  [<files> ...]    Files with one block each, as published, or with one block
                   per line in hexadecimal; - or nothing: standard input.`,
		Example: `  mosquitto_sub -t 'upsedge/v1/+/samples' -F %x | upsagent block`,
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return (&blockCmd{Files: args}).Run(cmd.Context(), cli, std)
		},
	}
}

// Run prints blocks in the order in which they come: the first of a stream names the columns of those after it.
func (c *blockCmd) Run(ctx context.Context, cli *common, std stdio) error {
	files := c.Files
	if len(files) == 0 {
		files = []string{"-"}
	}
	p := printer{std: std}
	p.askAgent(ctx, cli)
	for _, name := range files {
		if err := p.file(name); err != nil {
			return err
		}
	}
	return p.failed
}

var errUnread = errors.New("not every block could be read")

type printer struct {
	std     stdio
	schemas wire.Schemas
	failed  error // the last block that could not be read
}

// askAgent makes the layouts known that the agent of this box uses. Blocks can be printed without it: that there is none, or no
// configuration, is no error.
func (p *printer) askAgent(ctx context.Context, cli *common) {
	cfg, err := cli.load()
	if err != nil || cfg.Local.Socket == "" {
		return
	}
	layouts, err := local.AskLayouts(ctx, cfg.Local.Socket)
	if err != nil {
		return
	}
	for _, l := range layouts {
		if _, err := p.schemas.Add(l); err != nil {
			fmt.Fprintln(p.std.err, err)
		}
	}
}

func (p *printer) file(name string) error {
	in := p.std.in
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return usageError{err}
		}
		defer f.Close()
		in = f
	}
	r := bufio.NewReaderSize(in, 2*wire.MaxMessage+2)
	if head, err := r.Peek(4); err == nil && !isHex(head) {
		msg, err := io.ReadAll(io.LimitReader(r, wire.MaxMessage+1))
		if err != nil {
			return err
		}
		p.print(msg)
		return nil
	}
	for {
		line, err := r.ReadSlice('\n')                                           // printed as they come: the reader may be a subscriber that never ends
		if msg, e := hex.DecodeString(string(bytes.TrimSpace(line))); e != nil { // a word of the subscriber, perhaps: go on
			fmt.Fprintf(p.std.err, "%s: a line is not hexadecimal: %v\n", name, e)
			p.failed = errUnread
		} else if len(msg) > 0 {
			p.print(msg)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
}

func isHex(b []byte) bool {
	for _, c := range b {
		if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F') {
			return false
		}
	}
	return true
}

func (p *printer) print(msg []byte) {
	block, err := p.schemas.Decode(msg)
	if block != nil {
		if e := block.Print(p.std.out); e != nil {
			p.failed = e
		}
	}
	var unknown *wire.UnknownSchemaError
	if errors.As(err, &unknown) {
		fmt.Fprintf(p.std.err, "the values cannot be shown: %v. A block that names the columns comes every half hour and after a start of the agent.\n", err)
	} else if err != nil {
		fmt.Fprintln(p.std.err, err)
	}
	if err != nil {
		p.failed = errUnread
	}
}
