package main

import (
	"flag"
	"testing"

	"github.com/alecthomas/kong"

	"upsedge/internal/cloud/serve"
	"upsedge/internal/manpage"
)

var update = flag.Bool("update", false, "write the man page and the completions anew")

// TestPagesAreThoseOfTheCommands: man page and completions of the package say what --help says.
func TestPagesAreThoseOfTheCommands(t *testing.T) {
	parser, err := kong.New(&commands{}, kong.Name("upscloud"), kong.Description(description), kong.Vars{"config": serve.DefaultPath})
	if err != nil {
		t.Fatal(err)
	}
	p := manpage.Kong(parser, 8, "control plane for agents of Smart-UPS units")
	p.More = []manpage.Section{
		{Title: "Exit status", Text: "0: done. 1: failed. 2: the command line or the configuration is wrong."},
		{Title: "Files", Text: `  /etc/upscloud/cloud.yaml   the configuration
  /var/lib/upscloud          database and keys
  /usr/share/doc/upscloud/examples/cloud.reference.yaml   every key`},
		{Title: "See also", Text: "upsagent(8), systemctl(1), journalctl(1)"},
	}
	manpage.Hold(t, "../..", p, *update)
}
