package main

import (
	"flag"
	"io"
	"testing"

	"upsedge/internal/manpage"
)

var update = flag.Bool("update", false, "write the man page and the completions anew")

// TestPagesAreThoseOfTheCommands: man page and completions of the package say what --help says.
func TestPagesAreThoseOfTheCommands(t *testing.T) {
	p := manpage.Cobra(newCommandLine(stdio{out: io.Discard, err: io.Discard}).root, 8)
	p.Short = "agent that polls Smart-UPS units over Modbus"
	p.More = []manpage.Section{
		{Title: "Exit status", Text: "0: done. 1: failed. 2: the command line or the configuration is wrong."},
		{Title: "Files", Text: `  /etc/upsagent/agent.yaml   the configuration
  /var/lib/upsagent          state: samples and events, orders, keys
  /run/upsagent/agent.sock   the local socket, for root and the group upsagent
  /usr/share/doc/upsagent/examples/agent.reference.yaml   every key`},
		{Title: "See also", Text: "systemctl(1), journalctl(1), upssim(1)"},
	}
	manpage.Hold(t, "../..", p, *update)
}
