package doctor

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// shut is a box whose service is shut in as the package has it.
var shut = with(systemd, "usr/lib/systemd/system/upsagent.service", `[Service]
User=upsagent
ProtectSystem=strict
StateDirectory=upsagent
DevicePolicy=closed
DeviceAllow=char-ttyS rw
DeviceAllow=char-ttyUSB rw
`, "proc/devices", "Character devices:\n  4 /dev/vc/0\n  4 tty\n  4 ttyS\n136 pts\n188 ttyUSB\n204 ttyMAX\n\nBlock devices:\n204 other\n")

func TestPortsThatTheServiceIsShutOffFrom(t *testing.T) {
	node := func(major uint32) string {
		t.Helper()
		path := filepath.Join(t.TempDir(), "ttyX0")
		if err := unix.Mknod(path, unix.S_IFCHR|0o660, int(unix.Mkdev(major, 255))); err != nil {
			t.Skipf("no device can be made: %v", err)
		}
		return path
	}
	r := box(t, shut)
	is(t, "an USB adapter", r.LookAtPorts(on(node(188)), everybody), OK)
	is(t, "a port of the box", r.LookAtPorts(on(node(4)), everybody), OK)
	is(t, "a driver nobody thought of", r.LookAtPorts(on(node(204)), everybody), Problem, "driver ttyMAX", "DeviceAllow=char-ttyMAX rw")
	drop := "etc/systemd/system/upsagent.service.d/network-only.conf"
	alone := box(t, with(shut, drop, "[Service]\nDeviceAllow=\nPrivateDevices=yes\n"))
	is(t, "the drop-in for the network alone", alone.LookAtPorts(on(node(188)), everybody), Problem, "all devices", "network-only.conf")
	edited := box(t, with(shut, drop, "[Service]\nDeviceAllow=char-ttyMAX rw\n"))
	is(t, "an edited unit", edited.LookAtPorts(on(node(204)), everybody), OK)
	port := node(204)
	named := box(t, with(shut, drop, "[Service]\nDeviceAllow="+port+" rw\n", "dev/serial/by-id/x", "-> "+port))
	is(t, "an edited unit that names the port", named.LookAtPorts(on(filepath.Join(string(named), "dev/serial/by-id/x")), everybody), OK)
	is(t, "no list of devices", box(t, systemd).LookAtPorts(on(node(204)), everybody), OK)
}

func TestDirectoriesThatTheServiceIsShutOffFrom(t *testing.T) {
	r := box(t, shut)
	own, other := filepath.Join(string(r), "var/lib/upsagent"), filepath.Join(string(r), "srv/ups")
	for _, dir := range []string{own, other} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	is(t, "its own", r.LookAtFiles("", own, everybody), OK)
	is(t, "another", r.LookAtFiles("", other, everybody), Problem, "its own directories alone", "ReadWritePaths="+other)
	edited := box(t, with(shut, "etc/systemd/system/upsagent.service.d/rw.conf", "[Service]\nReadWritePaths="+filepath.Dir(other)+"\n"))
	is(t, "an edited unit", edited.LookAtFiles("", other, everybody), OK)
}
