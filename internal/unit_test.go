package internal

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// What threat model, section 4 asks of the unit, as the lines that stand for it.
var shutIn = []string{
	"User=upsagent", "Group=upsagent", "CapabilityBoundingSet=", "AmbientCapabilities=", "NoNewPrivileges=yes", // own user, no capabilities and none to gain
	"ProtectSystem=strict", "ProtectHome=yes", "PrivateTmp=yes", // read-only system, no home, private temporary directory
	"StateDirectory=upsagent", "StateDirectoryMode=0700", "RuntimeDirectory=upsagent", "RuntimeDirectoryMode=0750", "UMask=0077",
	"DevicePolicy=closed", "DeviceAllow=char-ttyS rw", "DeviceAllow=char-ttyUSB rw",
	"PrivateUsers=yes", "RestrictNamespaces=yes", "RestrictRealtime=yes", "RestrictSUIDSGID=yes", "MemoryDenyWriteExecute=yes",
	"SystemCallArchitectures=native", "SystemCallFilter=@system-service", "SystemCallFilter=~@privileged @resources",
	"RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6",
	"ProtectClock=yes", "ProtectHostname=yes", "ProtectKernelTunables=yes", "ProtectKernelModules=yes", "ProtectKernelLogs=yes", "ProtectControlGroups=yes",
	"ProtectProc=invisible", "MemoryMax=256M", "TasksMax=64", "LimitCORE=0",
	"Type=notify", "WatchdogSec=60", "Restart=always", "NoExecPaths=/", "ExecPaths=/usr/bin/upsagent",
}

// TestT60TheUnitShutsTheAgentIn: each setting that the threat model asks for stands in the unit, and systemd's own judgement of it is at most
// 1.3 with serial ports and 1.1 with the drop-in for units on the network alone. What the settings do is tried in a guest.
func TestT60TheUnitShutsTheAgentIn(t *testing.T) {
	unit, err := os.ReadFile("../packaging/upsagent.service")
	if err != nil {
		t.Fatal(err)
	}
	dropIn, err := os.ReadFile("../packaging/network-only.conf")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(unit), "\n")
	for _, want := range shutIn {
		found := false
		for _, l := range lines {
			found = found || l == want
		}
		if !found {
			t.Errorf("the unit has no line %q", want)
		}
	}
	for _, l := range lines {
		if name, value, _ := strings.Cut(l, "="); strings.HasPrefix(name, "Exec") && name != "ExecPaths" && !strings.HasPrefix(value, "/usr/bin/upsagent ") {
			t.Errorf("%s: the service starts another program", l)
		}
	}
	// As with a drop-in, a later section goes on with the first, and an empty value takes back what a list has.
	for _, row := range []struct {
		name, text string
		most       float64
	}{
		{"with serial ports", string(unit), 1.3},
		{"network only", string(unit) + "\n" + string(dropIn), 1.1},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := exposure(t, row.text); got > row.most {
				t.Errorf("exposure %.1f, want at most %.1f", got, row.most)
			}
		})
	}
	if got := exposure(t, strings.Replace(string(unit), "PrivateUsers=yes\n", "", 1)); got <= 1.3 {
		t.Errorf("exposure %.1f without PrivateUsers, so nothing is judged", got)
	}
}

var overall = regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`)

// exposure asks systemd-analyze, which needs no systemd that runs.
func exposure(t *testing.T, unit string) float64 {
	t.Helper()
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not here")
	}
	path := filepath.Join(t.TempDir(), "upsagent.service")
	if err := os.WriteFile(path, []byte(unit), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(analyze, "security", "--no-pager", "--offline=true", path).CombinedOutput() // fails where the exposure is high
	m := overall.FindSubmatch(out)
	if m == nil {
		t.Skipf("this systemd-analyze judges no file (%v)", err)
	}
	score, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	return score
}
