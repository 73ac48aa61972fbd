package main

import (
	"io"
	"strings"
	"testing"

	"upsedge/internal/manual"
)

// TestCommandsOfTheDocumentsAreCommands: every upsagent that README and docs show, in a block or in a sentence, with flags that it has.
func TestCommandsOfTheDocumentsAreCommands(t *testing.T) {
	commands := manual.Commands(t, "../..", "upsagent")
	for _, c := range commands {
		if err := parse(c.Args); err != nil && !(c.Sentence && strings.HasSuffix(err.Error(), "its value is missing")) {
			t.Errorf("%s: upsagent %s: %v", c.Where, c, err)
		}
	}
	if t.Logf("%d commands", len(commands)); len(commands) < 40 {
		t.Errorf("only %d commands found", len(commands))
	}
	for _, wrong := range []string{"status --jason", "prove", "read a b", "--confg x status"} {
		if parse(strings.Fields(wrong)) == nil {
			t.Errorf("upsagent %s is taken", wrong)
		}
	}
}

// parse says what is wrong with a command line, and does nothing of it. That a flag has to be there is not asked: a sentence may be about another.
func parse(args []string) error {
	if args[0] == "help" {
		args = args[1:]
	}
	for i, word := range args {
		if word == "COMMAND" { // any
			args[i] = "status"
		}
	}
	l := newCommandLine(stdio{out: io.Discard, err: io.Discard})
	cmd, _, err := l.root.Find(args)
	if err != nil {
		return err
	}
	if args, err = joined(cmd, args); err != nil {
		return err
	}
	cmd, rest, err := l.root.Find(args)
	if err != nil {
		return err
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	return cmd.ValidateArgs(cmd.Flags().Args())
}
