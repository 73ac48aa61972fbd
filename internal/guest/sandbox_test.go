package guest

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"upsedge/internal/testenv"
)

// What stands in the place of a setting of upsagent.service where it is taken out.
var taken = map[string]string{
	"User":             "User=root\nGroup=root",
	"Capabilities":     "CapabilityBoundingSet=~",
	"PrivateUsers":     "PrivateUsers=no",
	"Devices":          "DevicePolicy=auto\nDeviceAllow=",
	"ProtectClock":     "ProtectClock=no",
	"KernelLogs":       "ProtectKernelLogs=no",
	"KernelModules":    "ProtectKernelModules=no",
	"KernelTunables":   "ProtectKernelTunables=no",
	"ControlGroups":    "ProtectControlGroups=no",
	"Hostname":         "ProtectHostname=no",
	"ProtectSystem":    "ProtectSystem=no",
	"ProtectHome":      "ProtectHome=no",
	"PrivateTmp":       "PrivateTmp=no",
	"Inaccessible":     "InaccessiblePaths=",
	"ProtectProc":      "ProtectProc=default",
	"ExecPaths":        "NoExecPaths=\nExecPaths=",
	"Namespaces":       "RestrictNamespaces=no",
	"SUIDSGID":         "RestrictSUIDSGID=no",
	"Personality":      "LockPersonality=no",
	"WriteExecute":     "MemoryDenyWriteExecute=no",
	"AddressFamilies":  "RestrictAddressFamilies=",
	"SystemCallFilter": "SystemCallFilter=",
	"TasksMax":         "TasksMax=infinity",
	// systemd.exec(5): whatever filters system calls brings it along.
	"NoNewPrivileges": "NoNewPrivileges=no\nSystemCallFilter=\nSystemCallArchitectures=\nRestrictAddressFamilies=\nRestrictNamespaces=no\nProtectKernelTunables=no\n" +
		"ProtectKernelModules=no\nProtectKernelLogs=no\nProtectClock=no\nProtectHostname=no\nMemoryDenyWriteExecute=no\nRestrictRealtime=no\nRestrictSUIDSGID=no\nLockPersonality=no",
}

// given is what the agent needs, inside the unit as it is shipped.
var given = []string{"own state", "own runtime directory", "serial port", "boot id", "network"}

// shut is each attempt that must fail, with the settings each of which keeps it from succeeding by itself: with all of them taken out it
// succeeds, and where one is left it does not.
var shut = []struct{ attempt, by string }{
	{"set the clock", "User Capabilities PrivateUsers ProtectClock SystemCallFilter"},
	{"ask the kernel about the clock", "ProtectClock SystemCallFilter"},
	{"reboot", "User Capabilities PrivateUsers SystemCallFilter"},
	{"mount", "User Capabilities PrivateUsers SystemCallFilter"},
	{"load a module", "User Capabilities PrivateUsers KernelModules SystemCallFilter"},
	{"set the host name", "User Capabilities PrivateUsers Hostname SystemCallFilter"},
	{"read the kernel's log", "User Capabilities PrivateUsers KernelLogs SystemCallFilter"},
	{"raw socket", "User Capabilities PrivateUsers"},
	{"packet socket", "User Capabilities PrivateUsers AddressFamilies"},
	{"netlink socket", "AddressFamilies"},
	{"/dev/mem", "User Capabilities PrivateUsers Devices"},
	{"the disk", "User Devices"},
	{"write to /dev/kmsg", "User Devices KernelLogs"},
	{"another terminal", "User"},
	{"make a device of the disk", "User Capabilities PrivateUsers Devices"},
	{"write to /etc", "User ProtectSystem"},
	{"write to /usr", "User ProtectSystem"},
	{"read a home", "User ProtectHome"},
	{"write to a home", "User ProtectHome"},
	{"see others' /tmp", "PrivateTmp"},
	{"write to /dev/shm", "Inaccessible"},
	{"write where everybody may", "Inaccessible"},
	{"write to /proc/sys", "User KernelTunables"},
	{"write to /sys", "User KernelTunables"},
	{"make a control group", "User Capabilities ControlGroups"},
	{"see other processes", "ProtectProc"},
	{"trace a process of the same user", "PrivateUsers SystemCallFilter"},
	{"execute another program", "ExecPaths"},
	{"execute a file of its own", "ExecPaths"},
	{"execute memory as a file", "SystemCallFilter"},
	{"writable memory that is executed", "WriteExecute"},
	{"a file with the set-uid bit", "SUIDSGID"},
	{"become root by a set-uid program", "ExecPaths NoNewPrivileges"},
	{"a user namespace", "Namespaces"},
	{"realtime", "User Capabilities PrivateUsers SystemCallFilter"},
	{"another personality", "Personality"},
	{"a hundred processes", "TasksMax"},
}

// shipped finds a file of the agent's package.
func shipped(t *testing.T, name string) string {
	t.Helper()
	for _, dir := range []string{"packaging/upsagent", "packaging"} {
		path := filepath.Join(testenv.ModuleRoot(t), dir, name)
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	t.Fatalf("packaging has no %s", name)
	return ""
}

// serve makes a machine with the service as it is shipped and a program of this module in the agent's place.
func serve(t *testing.T, program string) *Guest {
	t.Helper()
	if os.Getenv(Wanted) != "1" {
		t.Skip("a machine is booted by `make test-guest` alone")
	}
	binary := filepath.Join(t.TempDir(), "upsagent")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, program)
	build.Dir, build.Env = testenv.ModuleRoot(t), append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", program, err, out)
	}
	g := Boot(t)
	g.Must("useradd --system --home-dir /var/lib/upsagent --no-create-home --shell /usr/sbin/nologin upsagent && install -d -o root -g upsagent -m 2750 /etc/upsagent")
	g.PutFile(shipped(t, "upsagent.service"), "/usr/lib/systemd/system/upsagent.service", 0o644)
	g.PutFile(shipped(t, "network-only.conf"), "/root/network-only.conf", 0o644)
	g.PutFile(binary, "/usr/bin/upsagent", 0o755)
	return g
}

// A probed is the probe in a machine, and what came of its attempts by what was taken out of the unit.
type probed struct {
	*Guest
	t    *testing.T
	came map[string]map[string]string
}

const dropIns = "/etc/systemd/system/upsagent.service.d"

// without runs the probe in the unit with settings taken out.
func (p *probed) without(settings ...string) map[string]string {
	p.t.Helper()
	settings = slices.Sorted(slices.Values(settings))
	key := strings.Join(settings, " ")
	if came, ok := p.came[key]; ok {
		return came
	}
	text := "[Service]\n"
	for _, s := range settings {
		text += taken[s] + "\n"
	}
	p.Put([]byte(text), dropIns+"/taken.conf", 0o644)
	r := p.Run("systemctl daemon-reload && systemctl start upsagent && cat /var/lib/upsagent/probe.json; code=$?; systemctl stop upsagent; exit $code")
	came := map[string]string{}
	if err := json.Unmarshal([]byte(r.Out), &came); err != nil {
		p.t.Fatalf("without %q: %v: %v\n%s", key, err, r, p.Run("journalctl -n 30 --no-pager -u upsagent").Out)
	}
	p.came[key] = came
	p.t.Logf("%3d: without %q", len(p.came), key)
	return came
}

// TestT60NothingCanBeDoneFromInsideTheUnit: the probe runs as the program that the shipped unit starts. What is no business of the agent fails, and
// succeeds with the settings taken out that are named for it, so that the attempt is a real one; with only one of them left it fails again.
func TestT60NothingCanBeDoneFromInsideTheUnit(t *testing.T) {
	g := serve(t, "./internal/guest/probe")
	p := &probed{g, t, map[string]map[string]string{}}
	g.Must(`mkdir -p ` + dropIns + ` /usr/share/probe
cp -p /usr/bin/upsagent /usr/local/bin/probe-suid && chmod 4755 /usr/local/bin/probe-suid
echo secret >/root/probe && chmod 644 /root/probe && touch /tmp/probe
cp "$(modinfo -n dummy)" /usr/share/probe/module.ko
systemd-run -q --unit=peer --uid=upsagent sleep infinity`)
	peer := strings.TrimSpace(g.Must("systemctl show -P MainPID peer"))
	g.Put([]byte("[Service]\nEnvironment=PROBE_FILES=/usr/share/probe PROBE_MODULE=dummy PROBE_PEER="+peer+"\n"), dropIns+"/asked.conf", 0o644)

	whole := maps.Clone(p.without())
	for _, name := range given {
		if why, tried := whole[name]; !tried || why != "" {
			t.Errorf("%s: refused to the agent: %s", name, why)
		}
		delete(whole, name)
	}
	var table strings.Builder
	for _, row := range shut {
		why, tried := whole[row.attempt]
		delete(whole, row.attempt)
		if !tried || why == "" {
			t.Errorf("%s: succeeds inside the unit (tried: %v)", row.attempt, tried)
		}
		by := strings.Fields(row.by)
		if bare, ok := p.without(by...)[row.attempt]; !ok || bare != "" {
			t.Errorf("%s: fails also without %v, so nothing is shown: %s", row.attempt, by, bare)
		}
		for i, left := range by {
			if out := slices.Delete(slices.Clone(by), i, i+1); p.without(out...)[row.attempt] == "" {
				t.Errorf("%s: succeeds although %s is left", row.attempt, left)
			}
		}
		fmt.Fprintf(&table, "%-36s %-62s %s\n", row.attempt, why, row.by)
	}
	if len(whole) > 0 {
		t.Errorf("nothing is expected of the attempts %v", slices.Sorted(maps.Keys(whole)))
	}
	t.Logf("%d units were started; systemd %s\n%-36s %-62s %s\n%s", len(p.came), strings.SplitN(g.Must("systemctl --version"), "\n", 2)[0],
		"attempt", "inside the unit", "succeeds only without all of", &table)

	g.Must("cp /root/network-only.conf " + dropIns + "/network-only.conf")
	clear(p.came)
	if alone := p.without(); alone["serial port"] == "" || alone["own state"] != "" || alone["network"] != "" {
		t.Errorf("with units on the network alone: %v", alone)
	} else {
		t.Logf("network-only.conf: serial port: %s", alone["serial port"])
	}
	g.Must("rm " + dropIns + "/network-only.conf")
	// docs/gateways.md, for a box with chrony or ntpd.
	g.Put([]byte("[Service]\nProtectClock=no\nSystemCallFilter=adjtimex clock_adjtime\n"), dropIns+"/clock.conf", 0o644)
	clear(p.came)
	if asks := p.without(); asks["ask the kernel about the clock"] != "" || asks["set the clock"] == "" {
		t.Errorf("with leave to ask about the clock: %v", asks)
	}
	g.Must("rm " + dropIns + "/clock.conf")
	t.Log(g.Run("systemctl daemon-reload; systemd-analyze security --no-pager upsagent | tail -n 1").Out)

	// More memory than its share ends it, and it is started again; without the limit it gets what it wants.
	eat := "[Service]\nEnvironment=PROBE_EAT=1\n"
	g.Put([]byte(eat), dropIns+"/taken.conf", 0o644)
	g.Must("rm -f /var/lib/upsagent/eaten; systemctl daemon-reload; systemctl start --no-block upsagent")
	g.Await(limit, "test $(systemctl show -P NRestarts upsagent) -ge 2")
	t.Log(g.Must("systemctl stop upsagent; journalctl --no-pager -o cat -u upsagent | grep -e oom -e 'restart counter' | head -n 4; systemctl show upsagent -p Result,NRestarts"))
	if r := g.Run("cat /var/lib/upsagent/eaten"); r.Code == 0 {
		t.Errorf("it has %s MB beyond its limit", r.Out)
	}
	g.Put([]byte(eat+"MemoryMax=infinity\n"), dropIns+"/taken.conf", 0o644)
	g.Must("systemctl daemon-reload; systemctl start upsagent && grep -x 400 /var/lib/upsagent/eaten; systemctl stop upsagent")
}
