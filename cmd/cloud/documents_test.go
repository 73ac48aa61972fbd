package main

import (
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"upsedge/internal/manual"
)

// TestCommandsOfTheDocumentsAreCommands: every upscloud that README and docs show, in a block or in a sentence, with flags that it has.
func TestCommandsOfTheDocumentsAreCommands(t *testing.T) {
	commands := manual.Commands(t, "../..", "upscloud")
	for _, c := range commands {
		if err := parse(t, c.Args); err != nil && !(c.Sentence && (strings.Contains(err.Error(), "expected ") || strings.Contains(err.Error(), "missing flags"))) {
			t.Errorf("%s: upscloud %s: %v", c.Where, c, err)
		}
	}
	if t.Logf("%d commands", len(commands)); len(commands) < 10 {
		t.Errorf("only %d commands found", len(commands))
	}
	for _, wrong := range []string{"srve", "log verify --had x", "plan set S gold", "serve now"} {
		if parse(t, strings.Fields(wrong)) == nil {
			t.Errorf("upscloud %s is taken", wrong)
		}
	}
}

// parse says what is wrong with a command line, and does nothing of it.
func parse(t *testing.T, args []string) error {
	var cli commands
	parser, err := kong.New(&cli, kong.Name("upscloud"), kong.Vars{"config": "x"}, kong.Exit(func(int) {}))
	if err != nil {
		t.Fatal(err)
	}
	for i, word := range args { // of a synopsis
		switch {
		case word == "N":
			args[i] = "1"
		case strings.Contains(word, "/standard/"):
			args[i] = "standard"
		}
	}
	_, err = parser.Parse(args)
	return err
}
