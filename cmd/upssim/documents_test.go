package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"upsedge/internal/manual"
)

// TestCommandsOfTheDocumentsAreCommands: every upssim that README and docs show, in a block or in a sentence, makes units.
func TestCommandsOfTheDocumentsAreCommands(t *testing.T) {
	bin := t.TempDir()
	for _, name := range []string{"upsagent", "mosquitto"} { // what boxes run
		if err := os.WriteFile(filepath.Join(bin, name), nil, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin)
	commands := manual.Commands(t, "../..", "upssim")
	for _, c := range commands {
		if err := parse(t, c.Args); err != nil && !(c.Sentence && strings.Contains(err.Error(), "missing value")) {
			t.Errorf("%s: upssim %s: %v", c.Where, c, err)
		}
	}
	if t.Logf("%d commands", len(commands)); len(commands) < 5 {
		t.Errorf("only %d commands found", len(commands))
	}
	for _, wrong := range []string{"--ptty x", "--pty x --variant odder", "--pty x --at 1s=explode"} {
		if parse(t, strings.Fields(wrong)) == nil {
			t.Errorf("upssim %s is taken", wrong)
		}
	}
}

// parse says what is wrong with a command line; units are made, nothing is opened.
func parse(t *testing.T, args []string) error {
	var f flags
	parser, err := kong.New(&f, kong.Name("upssim"), kong.Vars(vars()), kong.Exit(func(int) {}), kong.Writers(io.Discard, io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(args); err != nil {
		return err
	}
	if f.Scenario != "" { // named from the root of the tree
		f.Scenario = "../../" + f.Scenario
	}
	if f.Pty == "" && len(f.TCP) == 0 { // a sentence about another flag
		return nil
	}
	_, err = f.build(io.Discard, io.Discard)
	return err
}
