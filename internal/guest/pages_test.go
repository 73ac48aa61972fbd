package guest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"upsedge/internal/manual"
)

// sudo is not in a small Debian, and everything is done as root here; whom it names does it nevertheless.
const sudo = `#!/bin/sh
[ "$1" = -u ] || exec "$@"
user=$2
shift 2
exec runuser -u "$user" -- "$@"
`

// TestTheCommandsOfThePagesOnAMachine: the install guide, as it stands, from the package to the last command: with a real package manager, service
// manager and users. What is shown of their output must be printed.
func TestTheCommandsOfThePagesOnAMachine(t *testing.T) {
	if os.Getenv(Wanted) != "1" {
		t.Skip("a machine is booted by `make test-guest` alone")
	}
	deb, pty := makePackage(t, "1.0.0"), simulator(t)
	g := Boot(t)
	g.Join(pty)
	g.Put([]byte(sudo), "/usr/bin/sudo", 0o755)
	g.PutFile(deb, "/root/"+filepath.Base(deb), 0o644)
	g.follow("docs/install.md", "guest", "site")
	g.follow("README.md", "guest")
}

// TestTheCommandsOfTheCloudPageOnAMachine: from the package over the backup to the restore.
func TestTheCommandsOfTheCloudPageOnAMachine(t *testing.T) {
	if os.Getenv(Wanted) != "1" {
		t.Skip("a machine is booted by `make test-guest` alone")
	}
	debs, err := filepath.Glob(filepath.Join(filepath.Dir(makePackage(t, "1.0.0")), "upscloud_*.deb"))
	if err != nil || len(debs) != 1 {
		t.Fatalf("packages: %v, %v", debs, err)
	}
	g := Boot(t)
	g.Put([]byte(sudo), "/usr/bin/sudo", 0o755)
	g.Put([]byte("#!/bin/sh\necho violet tractor 93 lemons\n"), "/usr/bin/systemd-ask-password", 0o755)
	g.Must("mkdir -p /media/usb")
	g.PutFile(debs[0], "/root/"+filepath.Base(debs[0]), 0o644)
	g.follow("docs/cloud.md", "guest", "cloud")
}

// follow does what a page says, for some of its runners.
func (g *Guest) follow(page string, runners ...string) {
	g.t.Helper()
	const read = "systemctl start upsagent; until upsagent read rack-a 2>/dev/null | grep -q test_interval; do sleep 1; done" // nobody types faster
	names := strings.NewReplacer("/dev/ttyUSB0", "/dev/ttyS1", "apt install", "apt-get install -y", "systemctl start upsagent", read).Replace
	blocks, _ := manual.Blocks(page, manual.Documents(g.t, "../..")[page])
	done := 0
	for _, b := range blocks {
		for _, runner := range runners {
			if b.Run != runner {
				continue
			}
			done++
			r := g.Run("cd /root; exec 2>&1; set -e\n" + names(b.Commands()))
			g.t.Logf("%v: exit code %d\n%s", b, r.Code, r.Out)
			if r.Code != 0 {
				g.t.Fatalf("%v does not work:\n%s", b, g.Run("journalctl --no-pager -n 50").Out)
			}
			if lost := b.Missing(names, r.Out); b.Language == "console" && lost != "" {
				g.t.Errorf("%v: not printed behind what stands before it: %s", b, lost)
			}
		}
	}
	if done == 0 {
		g.t.Errorf("%s has no block for it", page)
	}
}
