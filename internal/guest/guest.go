package guest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"upsedge/internal/testenv"
)

// Wanted is the environment variable without which no machine is booted: it takes long.
const Wanted = "UPSEDGE_GUEST"

// bootWithin is how long a machine may take until it takes orders: 20 s are usual, and a busy machine outside takes what it takes.
const bootWithin = 8 * time.Minute

// A Guest is one machine. It is off or on.
type Guest struct {
	Dir string // console, what QEMU said, sockets and its disk

	t    testing.TB
	cmd  *exec.Cmd
	done chan struct{} // closed when QEMU is gone; nil while off
	port *port         // the second serial port
	usb  *port         // what an adapter in the USB socket leads to
	ask  *agent
	qmp  *qmp
}

// Boot makes a machine and starts it. It is gone when the test ends.
func Boot(t testing.TB) *Guest {
	t.Helper()
	if os.Getenv(Wanted) != "1" {
		t.Skip("a machine is booted by `make test-guest` alone")
	}
	image := filepath.Join(testenv.ModuleRoot(t), ".cache", "debian", "guest")
	if _, err := os.Stat(filepath.Join(image, "complete")); err != nil {
		t.Fatal("there is no system to boot: tools/guest-image")
	}
	// Paths of sockets are short.
	dir, err := os.MkdirTemp("", "guest")
	if err != nil {
		t.Fatal(err)
	}
	g := &Guest{Dir: dir, t: t}
	t.Cleanup(g.end)
	disk := testenv.Command(t, "qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", filepath.Join(image, "disk.qcow2"), g.path("disk"))
	if out, err := disk.CombinedOutput(); err != nil {
		t.Fatalf("qemu-img: %v: %s", err, out)
	}
	g.Start()
	return g
}

func (g *Guest) path(name string) string { return filepath.Join(g.Dir, name) }

func (g *Guest) end() {
	g.off()
	if g.t.Failed() && os.Getenv("UPSEDGE_GUEST_KEEP") != "" {
		g.t.Logf("kept: %s", g.Dir)
		return
	}
	_ = os.RemoveAll(g.Dir)
}

// Start switches the machine on and waits until it takes orders and every unit that is started at boot was.
func (g *Guest) Start() {
	g.t.Helper()
	if g.done != nil {
		g.t.Fatal("the machine is on already")
	}
	began := time.Now()
	image := filepath.Join(testenv.ModuleRoot(g.t), ".cache", "debian", "guest")
	share := filepath.Join(testenv.ModuleRoot(g.t), ".cache", "debian", "root-guest", "usr", "share")
	g.cmd = testenv.Command(g.t, "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-machine", "pc,usb=on", "-smp", "2", "-m", "768",
		"-L", filepath.Join(share, "qemu"), "-L", filepath.Join(share, "seabios"),
		"-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
		"-kernel", filepath.Join(image, "vmlinuz"), "-initrd", filepath.Join(image, "initrd"),
		"-append", "root=/dev/vda rw console=ttyS0 quiet loglevel=4 panic=5",
		"-drive", "if=none,id=disk,format=qcow2,file="+g.path("disk"), "-device", "virtio-blk-pci,drive=disk",
		"-netdev", "user,id=wire,ipv6=off", "-device", "virtio-net-pci,netdev=wire,romfile=",
		"-chardev", "file,id=console,path="+g.path("console")+",append=on", "-device", "isa-serial,chardev=console",
		"-chardev", "socket,id=port,path="+g.path("port")+",server=on,wait=off", "-device", "isa-serial,chardev=port",
		"-chardev", "socket,id=usb,path="+g.path("usb")+",server=on,wait=off",
		"-device", "virtio-serial-pci", "-chardev", "socket,id=ask,path="+g.path("ask")+",server=on,wait=off",
		"-device", "virtserialport,chardev=ask,name=org.qemu.guest_agent.0",
		"-device", "virtio-rng-pci", "-qmp", "unix:"+g.path("qmp")+",server=on,wait=off")
	log, err := os.OpenFile(g.path("qemu"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		g.t.Fatal(err)
	}
	defer log.Close()
	g.cmd.Stdout, g.cmd.Stderr = log, log
	if g.done, err = testenv.Bound(g.cmd); err != nil {
		g.t.Fatal(err)
	}
	if g.qmp, err = dialQMP(g.path("qmp"), g.done); err != nil {
		g.t.Fatalf("qemu: %v: %s", err, g.text("qemu"))
	}
	if g.port == nil {
		g.port, g.usb = newPort(g.path("port")), newPort(g.path("usb"))
	}
	g.port.start()
	g.usb.start()
	if g.usb.joined() {
		g.plug()
	}
	g.ready(began)
}

// ready waits until the machine takes orders, and has booted.
func (g *Guest) ready(began time.Time) {
	g.t.Helper()
	var err error
	if g.ask, err = dialAgent(g.path("ask"), began.Add(bootWithin), g.done); err != nil {
		g.t.Fatalf("the machine does not take orders: %v\nconsole:\n%s\nqemu:\n%s", err, g.text("console"), g.text("qemu"))
	}
	state := strings.TrimSpace(g.Run("systemctl is-system-running --wait").Out)
	g.t.Logf("booted in %.0f s, the system is %s", time.Since(began).Seconds(), state)
}

func (g *Guest) text(name string) string {
	text, _ := os.ReadFile(g.path(name))
	return string(text[max(0, len(text)-4000):])
}

// off ends QEMU if it runs.
func (g *Guest) off() {
	if g.done == nil {
		return
	}
	_ = g.cmd.Process.Signal(syscall.SIGKILL) // fails only when it is gone already
	<-g.done
	g.shut()
}

func (g *Guest) shut() {
	g.done = nil
	g.port.stop()
	g.usb.stop()
	if g.ask != nil {
		g.ask.close()
	}
	g.qmp.close()
}

// PowerCut takes the power away: what the machine had not put on its disk is gone. Start brings it back.
func (g *Guest) PowerCut() { g.off() }

// PowerOff shuts the machine down in good order.
func (g *Guest) PowerOff() {
	g.t.Helper()
	g.begin("systemctl poweroff")
	g.down()
}

// down waits until the machine has ended by itself.
func (g *Guest) down() {
	g.t.Helper()
	select {
	case <-g.done:
		g.shut()
	case <-time.After(bootWithin):
		g.t.Fatalf("the machine does not end:\n%s", g.text("console"))
	}
}

// Reboot has the machine reboot itself, and waits until it has booted again. QEMU ends where the machine begins anew, and is started again: that
// is two minutes faster than its own way to begin anew.
func (g *Guest) Reboot() {
	g.t.Helper()
	g.begin("systemctl reboot")
	g.down()
	g.Start()
}

// begin runs what ends the one who would answer.
func (g *Guest) begin(script string) {
	g.t.Helper()
	if err := g.ask.start(script); err != nil && !errors.Is(err, errGone) {
		g.t.Fatalf("%s: %v", script, err)
	}
}

// A Result is what a script printed and how it ended.
type Result struct {
	Out, Err string
	Code     int
}

// String is all of it, for the words of a failing test.
func (r Result) String() string { return fmt.Sprintf("exit code %d\n%s%s", r.Code, r.Out, r.Err) }

// Run runs a script with sh as root, waits for its end however long that takes, and returns what it printed.
func (g *Guest) Run(script string) Result {
	g.t.Helper()
	r, err := g.ask.run(script)
	if err != nil {
		g.t.Fatalf("%s: %v\nconsole:\n%s", script, err, g.text("console"))
	}
	return r
}

// Must is Run of a script that has to succeed; what it wrote to standard output is returned.
func (g *Guest) Must(script string) string {
	g.t.Helper()
	r := g.Run(script)
	if r.Code != 0 {
		g.t.Fatalf("%s: %v", script, r)
	}
	return r.Out
}

// Await runs a script again and again until it succeeds, and returns what it printed then; the test fails when it did not within the limit.
func (g *Guest) Await(within time.Duration, script string) string {
	g.t.Helper()
	for deadline := time.Now().Add(within); ; time.Sleep(500 * time.Millisecond) {
		r := g.Run(script)
		if r.Code == 0 {
			return r.Out
		}
		if time.Now().After(deadline) {
			g.t.Fatalf("not within %v: %s: %v", within, script, r)
		}
	}
}

// PutFile copies a file into the machine, Get one out of it, and Put writes one.
func (g *Guest) PutFile(local, inside string, mode os.FileMode) {
	g.t.Helper()
	content, err := os.ReadFile(local)
	if err != nil {
		g.t.Fatal(err)
	}
	g.Put(content, inside, mode)
}

// Put writes a file inside the machine.
func (g *Guest) Put(content []byte, inside string, mode os.FileMode) {
	g.t.Helper()
	if err := g.ask.put(content, inside); err != nil {
		g.t.Fatalf("write %s: %v", inside, err)
	}
	g.Must(fmt.Sprintf("chmod %o %s", mode.Perm(), inside))
}

// Get is the content of a file inside the machine.
func (g *Guest) Get(inside string) []byte {
	g.t.Helper()
	content, err := g.ask.get(inside)
	if err != nil {
		g.t.Fatalf("read %s: %v", inside, err)
	}
	return content
}

// Join makes the machine's second serial port, /dev/ttyS1, the other end of a pseudo terminal outside, upssim's for instance. It stays
// joined over reboots and power cuts.
func (g *Guest) Join(pty string) {
	g.t.Helper()
	if err := g.port.join(pty); err != nil {
		g.t.Fatalf("join %s: %v", pty, err)
	}
}

// Part pulls the plug: what is written to /dev/ttyS1 goes nowhere, and nothing answers.
func (g *Guest) Part() { g.port.part() }

// PlugAdapter puts a USB serial adapter (FTDI's) into the machine, whose far end is a pseudo terminal: the kernel finds it, and udev makes
// /dev/ttyUSB0. It stays in over reboots and power cuts. It has a serial number of its own, as FTDI's have; QEMU's would be that of the socket,
// which is another one at each plugging.
func (g *Guest) PlugAdapter(pty string) {
	g.t.Helper()
	if err := g.usb.join(pty); err != nil {
		g.t.Fatalf("join %s: %v", pty, err)
	}
	g.plug()
}

func (g *Guest) plug() {
	g.t.Helper()
	if err := g.qmp.call("device_add", map[string]any{"driver": "usb-serial", "chardev": "usb", "id": "adapter", "always-plugged": true, "serial": "A50285BI"}); err != nil {
		g.t.Fatal(err)
	}
}

// PullAdapter takes it out, whoever uses it.
func (g *Guest) PullAdapter() {
	g.t.Helper()
	if err := g.qmp.call("device_del", map[string]any{"id": "adapter"}); err != nil {
		g.t.Fatal(err)
	}
	g.usb.part()
}
