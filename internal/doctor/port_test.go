package doctor

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"upsedge/internal/config"
)

// terminal is a device that behaves like a serial port.
func terminal(t testing.TB) string {
	t.Helper()
	ptm, tty, err := pty.Open()
	if err != nil {
		t.Skipf("no pseudo terminal: %v", err)
	}
	t.Cleanup(func() { _, _ = ptm.Close(), tty.Close() })
	return tty.Name()
}

func on(devices ...string) (units []config.Unit) {
	for i, d := range devices {
		units = append(units, config.Unit{Name: fmt.Sprintf("rack-%d", i), Serial: &config.Serial{Device: d}})
	}
	return units
}

var (
	everybody = Person{Name: "root"}
	nobody    = Person{Name: "upsagent", UID: 12345, Groups: []uint32{12345}}
)

func TestThePorts(t *testing.T) {
	tty := terminal(t)
	file := filepath.Join(t.TempDir(), "tty")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r := box(t, map[string]string{"dev/ttyUSB0": "-> " + tty, "dev/serial/by-id/usb-FTDI-port0": "-> " + tty})
	numbered := filepath.Join(string(r), "dev/ttyUSB0")
	is(t, "well", r.LookAtPorts(on(tty), everybody), OK, "may open it")
	is(t, "no serial unit", r.LookAtPorts([]config.Unit{{Name: "a", TCP: &config.TCP{}}}, everybody), OK, "no unit")
	is(t, "gone", r.LookAtPorts(on("/dev/ttyUSB77"), everybody), Problem, "no such port", "dev/serial/by-id/usb-FTDI-port0")
	is(t, "gone, and none there", box(t, nil).LookAtPorts(on("/dev/ttyUSB77"), everybody), Problem, "no adapter")
	is(t, "a file", r.LookAtPorts(on(file), everybody), Problem, "no serial port")
	is(t, "a name that does not last", r.LookAtPorts(on(numbered), everybody), Note, "device: "+filepath.Join(string(r), "dev/serial/by-id/usb-FTDI-port0"))
	is(t, "the lasting name", r.LookAtPorts(on(filepath.Join(string(r), "dev/serial/by-id/usb-FTDI-port0")), everybody), OK)
	is(t, "not ours", r.LookAtPorts(on(tty), nobody), Problem, "user upsagent", "may not open")
	if _, err := os.Stat("/sys/dev/char/1:3"); err == nil {
		is(t, "another device", Root("/").LookAtPorts(on("/dev/null"), everybody), Problem, "no serial port")
	}
}

// What would keep the service from a port is said with its remedy: a group that has the port, or a rule that gives it to one.
func TestWhoMayOpenAPort(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to give a port to a group")
	}
	tty := terminal(t)
	r := box(t, systemd)
	service, _ := r.Service(r.Unit())
	chown := func(gid int, mode os.FileMode) {
		t.Helper()
		if err := os.Chown(tty, 0, gid); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(tty, mode); err != nil {
			t.Fatal(err)
		}
	}
	chown(20, 0o660)
	is(t, "by the group of the unit", r.LookAtPorts(on(tty), service), OK)
	chown(77, 0o660)
	is(t, "by a group of its own", r.LookAtPorts(on(tty), service), OK)
	bob := Person{Name: "bob", UID: 1000, Groups: []uint32{1000}}
	is(t, "another group", r.LookAtPorts(on(tty), bob), Problem, "root:ups, mode 0660", "sudo usermod -aG ups bob")
	chown(20, 0o640)
	is(t, "read only", r.LookAtPorts(on(tty), service), Problem, "udev")
	chown(0, 0o600)
	is(t, "root's", r.LookAtPorts(on(tty), service), Problem, `KERNEL=="`+filepath.Base(tty)+`"`)
}

func TestOtherMasters(t *testing.T) {
	tty := terminal(t)
	units := on(tty)
	holds := func(comm string) Root {
		return box(t, map[string]string{"proc/123/fd/0": "-> /dev/null", "proc/123/fd/5": "-> " + tty, "proc/123/comm": comm + "\n"})
	}
	for comm, has := range map[string]string{
		"upsagent": "systemctl stop upsagent", "apcupsd": "disable --now apcupsd", "apcsmart": "NUT", "upsd": "NUT", "ModemManager": "disable --now ModemManager",
		"agetty": "serial-getty@" + filepath.Base(tty), "brltty": "brltty", "minicom": "close it", "mystery": "sudo kill 123",
	} {
		is(t, comm, holds(comm).LookAtMasters(units, 0), Problem, "process 123", has)
	}
	if found := holds("upsagent").LookAtMasters(units, 123); worst(found) != OK {
		t.Errorf("the running agent is no other master: %s", words(found))
	}
	service := box(t, map[string]string{"proc/123/fd/5": "-> " + tty, "proc/123/comm": "upsagent\n", "sys/fs/cgroup/system.slice/upsagent.service/cgroup.procs": "122\n123\n"})
	if found := service.LookAtMasters(units, 0); worst(found) != OK {
		t.Errorf("the service without a socket is no other master: %s", words(found))
	}
	is(t, "nobody", box(t, nil).LookAtMasters(units, 0), OK, "nobody else")
	if found := box(t, nil).LookAtMasters(on("/dev/ttyUSB77"), 0); len(found) != 0 {
		t.Errorf("of a port that is not there: %s", words(found))
	}
	idle := box(t, map[string]string{"proc/123/comm": "ModemManager\n"})
	is(t, "one that may come", idle.LookAtMasters(units, 0), Note, "may take the port")
	if found := idle.LookAtMasters([]config.Unit{{Name: "a", TCP: &config.TCP{}}}, 0); worst(found) != OK {
		t.Errorf("without a serial port: %s", words(found))
	}
	var st unix.Stat_t
	if err := unix.Stat(tty, &st); err != nil {
		t.Fatal(err)
	}
	kept := box(t, map[string]string{"proc/123/comm": "ModemManager\n", fmt.Sprintf("run/udev/data/c%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev)): "I:1\nE:ID_MM_DEVICE_IGNORE=1\nG:x\n"})
	if found := kept.LookAtMasters(units, 0); worst(found) != OK {
		t.Errorf("one that udev keeps from the port: %s", words(found))
	}
	is(t, "one that udev keeps from another port alone", kept.LookAtMasters(append(units, on(terminal(t))...), 0), Note, "may take the port")
	// This process has the port open, and is not told of; a real other one is in the test of the two programs on one port.
	if found := Root("/").Holders(tty); len(found) != 0 {
		t.Errorf("holders but this process: %v", found)
	}
}
