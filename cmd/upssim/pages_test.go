package main

import (
	"flag"
	"testing"

	"github.com/alecthomas/kong"

	"upsedge/internal/manpage"
)

var update = flag.Bool("update", false, "write the man page and the completions anew")

// TestPagesAreThoseOfTheCommands: man page and completions of the package say what --help says.
func TestPagesAreThoseOfTheCommands(t *testing.T) {
	parser, err := kong.New(&flags{}, kong.Name("upssim"), kong.Description(description), vars())
	if err != nil {
		t.Fatal(err)
	}
	p := manpage.Kong(parser, 1, "simulated Smart-UPS on Modbus")
	p.More = []manpage.Section{{Title: "Models, variants, words", Text: behind()}}
	manpage.Hold(t, "../..", p, *update)
}
