package guest

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"upsedge/internal/testenv"
)

// A story is what happens to one box, told as it goes: what was done, how long it took, and what its journal said meanwhile.
type story struct {
	*Guest
	began, since time.Time
	cursor       string // how far the journal was shown
}

func tell(t *testing.T) *story {
	return &story{Guest: Boot(t), began: time.Now(), since: time.Now()}
}

// chapter ends what went before: its time, and all that the journal has of it but what the kernel and Debian's own say at every boot.
func (s *story) chapter(what string) {
	s.t.Helper()
	after := ""
	if s.cursor != "" {
		after = " --after-cursor='" + s.cursor + "'"
	}
	said := s.Run("journalctl --no-pager -o short-iso --show-cursor -p info -u upsagent" + after).Out
	if i := strings.LastIndex(said, "-- cursor: "); i >= 0 {
		s.cursor = strings.TrimSpace(said[i+len("-- cursor: "):])
		said = said[:i]
	}
	loud := s.Run("journalctl -b --no-pager -o short-iso -p warning -q | grep -v -e ' kernel: ' -e '^ ' | tail -n 20").Out
	s.t.Logf("== minute %.1f: %s (took %.1f s)\n-- journal of upsagent\n%s-- warnings of this boot\n%s", time.Since(s.began).Minutes(), what, time.Since(s.since).Seconds(), said, loud)
	s.since = time.Now()
}

// progress is what dpkg shows while it reads its database.
var progress = regexp.MustCompile(`\(Reading database \.\.\. (\d+%)?`)

// shows runs a command, and puts it into the story with what it printed.
func (s *story) shows(script string) Result {
	s.t.Helper()
	began := time.Now()
	r := s.Run(script)
	r.Out = progress.ReplaceAllString(r.Out, "")
	s.t.Logf("# %s   (%.1f s)\n%v", script, time.Since(began).Seconds(), r)
	return r
}

// says is shows of a command that must end with a code and print some words.
func (s *story) says(script string, code int, words ...string) {
	s.t.Helper()
	r := s.shows(script)
	if r.Code != code {
		s.t.Errorf("%s: exit code %d, want %d", script, r.Code, code)
	}
	for _, w := range words {
		if !strings.Contains(r.Out+r.Err, w) {
			s.t.Errorf("%s does not say %q", script, w)
		}
	}
}

// healthy waits until everything is as it should be, as somebody on site would look.
func (s *story) healthy() {
	s.t.Helper()
	s.Await(3*time.Minute, "systemctl is-active upsagent")
	s.Await(3*time.Minute, "curl -fsS http://127.0.0.1:9811/readyz")
	s.Await(3*time.Minute, `curl -fsS http://127.0.0.1:9811/metrics | grep -F 'ups_up{ups="rack-a"} 1'`)
	s.Await(time.Minute, "upsagent status")
}

// simulator starts upssim outside and returns its pseudo terminal.
func simulator(t *testing.T, args ...string) string {
	t.Helper()
	pty := filepath.Join(t.TempDir(), "ups")
	cmd := exec.Command(testenv.Build(t, "./cmd/upssim"), append(args, "--pty", pty)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdin, err := cmd.StdinPipe() // its end would end nothing, but it takes orders there
	if err != nil {
		t.Fatal(err)
	}
	done, err := testenv.Bound(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Process.Kill()
		<-done
	})
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
		}
	}()
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if _, err := os.Stat(pty); err == nil {
			return pty
		}
		if time.Now().After(end) {
			t.Fatal("upssim makes no port")
		}
	}
}

// makePackage builds the agent's package in some version.
func makePackage(t *testing.T, version string) string {
	t.Helper()
	root, dist := testenv.ModuleRoot(t), t.TempDir()
	build := exec.Command(filepath.Join(root, "packaging", "build"), "amd64")
	build.Env = append(os.Environ(), "VERSION="+version, "DIST="+dist, "FORMATS=deb")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("packaging/build: %v\n%s", err, out)
	}
	debs, _ := filepath.Glob(filepath.Join(dist, "upsagent_*_amd64.deb"))
	if len(debs) != 1 {
		t.Fatalf("packages: %v", debs)
	}
	if info, err := os.Stat(debs[0]); err == nil {
		t.Logf("%s: %d bytes", filepath.Base(debs[0]), info.Size())
	}
	return debs[0]
}

// TestABoxFromInstallToPurge: the life of one box, on a real Debian with a real systemd, udev, dpkg and kernel; the unit alone is simulated.
func TestABoxFromInstallToPurge(t *testing.T) {
	if os.Getenv(Wanted) != "1" {
		t.Skip("a machine is booted by `make test-guest` alone")
	}
	older, newer := makePackage(t, "1.0.0"), makePackage(t, "1.0.1")
	pty, c := simulator(t), newCloud(t)
	s := tell(t)
	s.Join(pty)
	const inventory = `(cd / && find bin etc home lib opt root run/systemd/system sbin srv usr var -xdev \( -path var/lib/dpkg -o -path var/log -o -path var/cache -o -path var/lib/apt -o -path 'etc/*-' -o -path var/tmp -o -path var/lib/systemd \) -prune -o -printf '%p %M %u:%g\n'; cut -d: -f1 /etc/passwd; cut -d: -f1,4 /etc/group) | grep -v '^root/' | sort`
	before := s.Must(inventory)
	s.PutFile(older, "/root/older.deb", 0o644)
	s.PutFile(newer, "/root/newer.deb", 0o644)
	s.chapter("a Debian 12, and two packages copied to it")

	s.says("apt-get install -y /root/older.deb", 0, "upsagent setup")
	if r := s.shows("systemctl is-active upsagent; systemctl is-failed upsagent; systemctl is-enabled upsagent; pgrep -a upsagent"); strings.Contains(r.Out, "active\nactive") || strings.Contains(r.Out, "upsagent run") {
		t.Error("something was started before it is configured")
	}
	s.shows("ls -la /etc/upsagent /var/lib/upsagent /dev/ttyS1; id upsagent")
	s.says("systemctl start upsagent; systemctl status upsagent --no-pager | head -20", 0)
	s.chapter("installed")

	s.says("upsagent setup --yes --serial /dev/ttyS1 --name rack-a", 0)
	s.shows("cat /etc/upsagent/agent.yaml; ls -la /etc/upsagent /var/lib/upsagent /dev/ttyS1")
	s.healthy()
	s.shows("upsagent status; upsagent read rack-a")
	s.chapter("first reading")

	s.says(fmt.Sprintf("printf %%s '%s' | upsagent setup --yes --cloud %s --token -", c.token(), c.url), 0)
	device := c.claim()
	c.online(device)
	c.fresh()
	s.healthy()
	s.says("upsagent doctor", 0) // a box that is well has no problem
	s.shows("upsagent status; systemctl show upsagent -p MemoryCurrent,MemoryPeak,CPUUsageNSec,TasksCurrent")
	s.chapter("enrolled, values in the cloud")

	second := simulator(t, "--seed", "2")
	s.PlugAdapter(second)
	s.Await(time.Minute, "test -e /dev/ttyUSB0")
	s.shows("ls -l /dev/ttyS1 /dev/ttyUSB0 /dev/serial/by-id; udevadm info /dev/ttyUSB0 | grep -e TAGS -e ID_")
	s.says("upsagent setup --yes --serial /dev/ttyUSB0 --name /dev/ttyUSB0=rack-b", 0)
	s.says("grep device: /etc/upsagent/agent.yaml", 0, "/dev/serial/by-id/usb-") // the name that lasts, whichever was said
	s.says("upsagent setup --yes --serial /dev/ttyUSB0 --name rack-b", 0, "unchanged")
	const b = `curl -fsS http://127.0.0.1:9811/metrics | grep -F 'ups_up{ups="rack-b"} `
	s.Await(3*time.Minute, b+"1'")
	s.chapter("a second unit, on a USB adapter")
	s.PullAdapter()
	s.Await(3*time.Minute, b+"0'")
	s.shows("ls /dev/ttyUSB*; upsagent status; upsagent doctor")
	s.PlugAdapter(second)
	s.Await(3*time.Minute, b+"1'")
	s.shows("ls -l /dev/ttyUSB*; cat /etc/upsagent/agent.yaml; upsagent status")
	s.healthy()
	s.chapter("the adapter was pulled and plugged")

	s.Reboot()
	s.healthy()
	c.online(device)
	c.fresh()
	s.t.Logf("the cloud's books:\n%s", c.books(s.since))
	s.chapter("rebooted, healthy without a hand")

	state := s.Must("find /var/lib/upsagent /etc/upsagent -name '*.pem' -o -name '*.key' -o -name agent.yaml | sort | xargs sha256sum")
	s.says("apt-get install -y /root/newer.deb", 0)
	s.healthy()
	s.says("upsagent version", 0, "1.0.1")
	c.online(device)
	c.fresh()
	if now := s.Must("find /var/lib/upsagent /etc/upsagent -name '*.pem' -o -name '*.key' -o -name agent.yaml | sort | xargs sha256sum"); now != state {
		t.Errorf("an upgrade changed keys or configuration:\n%s\n%s", state, now)
	}
	s.t.Logf("the cloud's books:\n%s", c.books(s.since))
	s.chapter("upgraded")

	if r := s.shows("dpkg -i /root/older.deb"); r.Code == 0 {
		t.Error("a downgrade is not refused")
	}
	s.says("upsagent version; systemctl is-active upsagent; dpkg --audit; dpkg -l upsagent", 0, "1.0.1", "active")
	s.healthy()
	s.chapter("a downgrade is refused")

	s.PowerCut()
	s.Start()
	s.healthy()
	c.online(device)
	c.fresh()
	s.t.Logf("the cloud's books:\n%s", c.books(s.since))
	s.chapter("the power was cut, healthy again")

	s.Part()
	s.Await(2*time.Minute, "upsagent status | grep 'rack-a: Nothing answers'")
	s.shows("upsagent status; upsagent doctor")
	s.Join(pty)
	s.healthy()
	s.chapter("the plug was pulled and put back")

	// Without the group dialout the package's own rule is what gives the port to the agent. Its tool is not on this Debian; package acl brings it.
	s.PutFile(testenv.Command(t, "setfacl").Path, "/usr/bin/setfacl", 0o755)
	s.Must("udevadm trigger --settle --subsystem-match=tty --action=change; gpasswd -d upsagent dialout; mkdir -p /run/systemd/system/upsagent.service.d; printf '[Service]\\nSupplementaryGroups=\\n' >/run/systemd/system/upsagent.service.d/t.conf; systemctl daemon-reload; systemctl restart upsagent")
	s.shows("ls -l /dev/ttyS1 /dev/ttyUSB0; id upsagent; grep -h Groups /proc/$(systemctl show -P MainPID upsagent)/status")
	s.healthy()
	s.says("upsagent doctor", 0, "user upsagent may open it") // by the list of access rights alone
	s.Must("rm -r /usr/bin/setfacl /run/systemd/system/upsagent.service.d; systemctl daemon-reload; gpasswd -a upsagent dialout; systemctl restart upsagent")
	s.healthy()
	s.chapter("the port by udev's rule alone")

	s.Must("useradd -m visitor")
	if r := s.shows("runuser -u visitor -- upsagent probe --serial /dev/ttyS1"); r.Code == 0 {
		t.Error("a user without rights has the port")
	}
	if r := s.shows("runuser -u visitor -- upsagent status"); r.Code == 0 {
		t.Error("a user without rights has the local socket")
	}
	if r := s.shows("runuser -u visitor -- sh -c 'cat /etc/upsagent/agent.yaml; ls /var/lib/upsagent'"); r.Out != "" {
		t.Error("a user without rights reads what is the agent's")
	}
	s.says("upsagent probe --serial /dev/ttyS1", 0, "rack-a") // the agent answers, who has it
	s.Must("systemctl stop upsagent; systemd-run -q --unit=other flock /dev/ttyS1 sleep infinity; systemctl start upsagent; sleep 5")
	s.says("upsagent status", 0, "Another program has the port")
	s.says("upsagent doctor", 1, "flock (process")
	s.says("systemctl stop upsagent; upsagent probe --serial /dev/ttyS1", 1, "It is")
	s.Must("systemctl start upsagent; systemctl stop other")
	s.healthy()
	s.Must("systemd-run -q --unit=other sh -c 'exec cat /dev/ttyS1'; sleep 5") // like a program that knows of no locks
	s.shows("upsagent status; upsagent doctor")
	s.Must("systemctl stop other || true; systemctl reset-failed")
	s.healthy()
	s.Must("userdel -r visitor 2>/dev/null; rm -f /run/other")
	s.chapter("others at the port")

	s.says("systemd-analyze security --no-pager --threshold=13 upsagent | grep -v '✓'; systemd-analyze security --no-pager --threshold=13 upsagent >/dev/null", 0)
	// The machine keeps no /usr/share/doc, where the package has it.
	s.Must("mkdir /run/systemd/system/upsagent.service.d")
	s.PutFile(filepath.Join(testenv.ModuleRoot(t), "packaging", "network-only.conf"), "/run/systemd/system/upsagent.service.d/n.conf", 0o644)
	s.says("systemctl daemon-reload; systemd-analyze security --no-pager --threshold=11 upsagent | tail -n 1; systemd-analyze security --no-pager --threshold=11 upsagent >/dev/null", 0)
	s.Must("rm -r /run/systemd/system/upsagent.service.d; systemctl daemon-reload")
	s.chapter("exposure")

	s.says("apt-get remove -y upsagent", 0)
	s.says("ls /etc/upsagent /var/lib/upsagent; systemctl status upsagent --no-pager", 4, "agent.yaml")
	s.says("apt-get install -y /root/newer.deb", 0)
	s.healthy()
	c.online(device)
	s.chapter("removed, and installed again")

	s.says("apt-get purge -y upsagent", 0, "/var/lib/upsagent")
	s.Put([]byte(before), "/root/before", 0o600)
	if r := s.shows(inventory + " | diff /root/before -"); r.Code != 0 {
		t.Error("purge leaves something")
	}
	s.says("systemctl list-units --all 'upsagent*' --no-legend; systemctl --failed --no-legend; ls /run/upsagent", 2)
	s.chapter("purged")
}
