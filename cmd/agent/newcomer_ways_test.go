package main

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"upsedge/internal/clock"
	"upsedge/internal/trust"
	"upsedge/internal/ups/upssim"
	"upsedge/internal/wire"
)

const serialUnit = "units:\n  - {name: rack-a, serial: {device: TTY}}\n"

// wrongDevice: a name that no adapter has; what is no serial port; a port with something else at it.
func wrongDevice(t *testing.T) string {
	n := newNewcomer(t, "")
	n.setsUp()
	n.says(0, "check")
	n.cutCheck()
	d := n.start()
	n.logs(d, "link not opened")
	n.status()
	n.examined("problem", 1)
	if code := d.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if err := os.WriteFile(n.tty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	n.says(1, "probe", "--serial", n.tty)
	if err := os.Remove(n.tty); err != nil {
		t.Fatal(err)
	}
	n.chat()
	n.says(1, "probe", "--serial", n.tty)
	n.examined("problem", 1)
	return n.shown.String()
}

// setsUp looks for a unit, has it set up, and then writes the configuration by hand all the same.
func (n *newcomer) setsUp() {
	n.t.Helper()
	n.says(1, "probe", "--serial", n.tty)
	n.says(1, "setup", "--yes", "--serial", n.tty)
	n.write(strings.ReplaceAll(serialUnit, "TTY", n.tty))
}

// chat puts a device on the port that answers whatever comes with words, as a modem or a console does.
func (n *newcomer) chat() {
	n.t.Helper()
	port, err := upssim.OpenPTY(n.tty)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { _ = port.Close() })
	go func() {
		b := make([]byte, 256)
		for {
			if _, err := port.Read(b); err != nil {
				return
			}
			if _, err := io.WriteString(port, "\r\nlogin: "); err != nil {
				return
			}
		}
	}()
}

// cutCheck leaves the plan out of what check has printed: it is no news here.
func (n *newcomer) cutCheck() {
	text := n.shown.String()
	i := strings.LastIndex(text, "upsagent check\n")
	line, _, _ := strings.Cut(text[i:], "\n\n")
	n.shown.Reset()
	n.shown.WriteString(text[:i] + strings.TrimRight(line, "\n") + "\n…\n")
}

// status waits until the running agent has something to say of the unit, and puts that on the page.
func (n *newcomer) status() {
	n.t.Helper()
	var out string
	until(n.t, "word of the unit", func() bool {
		out, _ = n.command("", "status")
		return strings.Contains(out, "\nrack-a: ") || strings.Contains(out, "ago")
	}, func() string { return out })
	var kept []string
	for line := range strings.Lines(out) {
		if before, _, ok := strings.Cut(line, "; clock "); ok && n.clock == nil {
			line = before + "; …\n"
		}
		if strings.HasPrefix(line, "rack-a: ") || strings.HasPrefix(line, "broker ") {
			kept = append(kept, line)
		}
	}
	n.show([]string{"status"}, "…\n"+strings.Join(kept, ""))
}

// noPermission: a login that may not, then a service that may not.
func noPermission(t *testing.T) string {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to be somebody else")
	}
	n := newNewcomer(t, serialUnit)
	for d := n.dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	copied := filepath.Join(n.dir, "upsagent")
	if out, err := exec.Command("cp", n.binary, copied).CombinedOutput(); err != nil { // not written here: what another test starts meanwhile would have it open
		t.Fatalf("%v: %s", err, out)
	}
	n.binary = copied
	cable := plug(t, n.tty, one(upssim.New(upssim.Options{Seed: 1})))
	tty, err := filepath.EvalSymlinks(n.tty)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Chown(tty, 0, 20), os.Chmod(tty, 0o660)); err != nil {
		t.Fatal(err)
	}
	const nobody = 65534
	n.as = &syscall.Credential{Uid: nobody, Gid: nobody}
	n.says(1, "probe", "--serial", n.tty)
	n.says(2, "setup", "--yes", "--serial", n.tty)
	n.says(2, "check")
	n.examined("problem", 2)
	if err := errors.Join(os.Chmod(n.file, 0o644), os.Mkdir(filepath.Join(n.dir, "state"), 0o700), os.Mkdir(filepath.Join(n.dir, "run"), 0o777), os.Chmod(filepath.Join(n.dir, "run"), 0o777)); err != nil {
		t.Fatal(err)
	}
	n.says(1, "enroll", "--cloud", "https://cloud.example:8443", "--token", trust.Token{Secret: [len(trust.Token{}.Secret)]byte{1}}.String())
	// The service: of a user that the port is not for.
	if err := os.Chown(filepath.Join(n.dir, "state"), nobody, nobody); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(n.file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(n.file, []byte(strings.Replace(string(text), "/agent.sock", "/run/agent.sock", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	service := exec.CommandContext(t.Context(), n.binary, "--config", n.file, "run")
	service.SysProcAttr = &syscall.SysProcAttr{Credential: n.as, Pdeathsig: syscall.SIGKILL}
	service.Env = []string{hasty}
	if err := service.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = service.Process.Kill(), service.Wait() })
	n.as = nil
	n.status()
	n.examined("problem", 1)
	if rx := cable.stats.Counts().Requests; rx != 0 {
		t.Errorf("%d requests came through", rx)
	}
	return n.shown.String()
}

// modbusOff: nobody at the other end of the cable answers.
func modbusOff(t *testing.T) string {
	n := newNewcomer(t, "")
	port, err := upssim.OpenPTY(n.tty)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = port.Close() })
	go func() { _, _ = io.Copy(io.Discard, port) }()
	n.setsUp()
	n.examined("problem", 1)
	n.says(1, "read", "rack-a")
	n.start()
	n.status()
	n.examined("problem", 1)
	return n.shown.String()
}

// wrongToken: one that was not copied whole, one of another cloud, one that was never given out, one that was used.
func wrongToken(t *testing.T) string {
	c := newCloud(t)
	n := newNewcomer(t, "")
	addr := listen(t, one(upssim.New(upssim.Options{Seed: 1})))
	good := c.token()
	stranger, err := trust.ParseToken(good)
	if err != nil {
		t.Fatal(err)
	}
	stranger.Secret[0]++
	foreign := stranger
	foreign.Pin = &[16]byte{1}
	n.names = []string{strings.TrimPrefix(c.url, "https://"), "cloud.example:8443", addr, "192.0.2.20:502"}
	enroll := []string{"enroll", "--cloud", c.url, "--token", "-"}
	n.fed(2, good[:len(good)-1]+"\n", enroll...)
	n.fed(1, foreign.String()+"\n", enroll...)
	n.fed(1, stranger.String()+"\n", enroll...)
	other := newPlace(t, "")
	if _, words, code := other.upsagent("enroll", "--cloud", c.url, "--token", good); code != 0 {
		t.Fatalf("enroll: %s", words)
	}
	n.fed(1, good+"\n", enroll...)
	setup := []string{"setup", "--yes", "--tcp", addr, "--cloud", c.url, "--token", "-"}
	out, code := n.command(good+"\n", setup...)
	if n.show(setup, "…\n"+out[strings.LastIndex(strings.TrimSpace(out), "\n")+1:]); code != 1 {
		t.Errorf("setup: exit code %d:\n%s", code, out)
	}
	return n.shown.String()
}

// brokerUnreachable: nobody there, somebody else there, and one who does not know us.
func brokerUnreachable(t *testing.T) string {
	addr := listen(t, one(upssim.New(upssim.Options{Seed: 1})))
	gone := free(t)
	other := stranger(t)
	text := func(broker string) string {
		return "units:\n  - {name: rack-a, tcp: {address: \"" + addr + "\"}}\nuplink: {broker: \"tls://" + broker + "\", agent_id: box-1}\n"
	}
	n := newNewcomer(t, text(gone))
	n.names = []string{gone, "cloud.example:8883", other, "cloud.example:8883", addr, "192.0.2.20:502"}
	n.says(0, "check")
	n.cutCheck()
	n.examined("problem", 1)
	d := n.start()
	n.logs(d, "broker not reached")
	n.status()
	n.examined("problem", 1)
	if code := d.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	n.write(text(other))
	n.examined("problem", 1)
	return n.shown.String()
}

// stranger is a server of TLS whose certificate is by nobody.
func stranger(t *testing.T) string {
	s := httptest.NewUnstartedServer(nil)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// clockAt1970: a box without a battery for its clock, and no time server in reach.
func clockAt1970(t *testing.T) string {
	c := newCloud(t)
	addr := listen(t, one(upssim.New(upssim.Options{Seed: 1})))
	n := newNewcomer(t, "units:\n  - {name: rack-a, tcp: {address: \""+addr+"\"}}\n")
	n.names = []string{strings.TrimPrefix(c.url, "https://"), "cloud.example:8443", addr, "192.0.2.20:502"}
	began := time.Now()
	n.clock = func() (*clock.Clock, error) {
		return clock.Of(clock.Machine{
			Boot: wire.ID{19, 70}, Mono: func() time.Duration { return time.Since(began) }, Service: func() clock.Service { return clock.Service{} },
			Wall: func() time.Time { return time.Unix(180, 0).Add(time.Since(began)) },
		}), nil
	}
	n.examined("problem", 1)
	stop := n.runInside()
	n.status()
	stop()
	token := c.token()
	n.names = append(n.names, token, "TOKEN")
	n.says(0, "enroll", "--cloud", c.url, "--token", token)
	stop = n.runInside()
	until(t, "the time, by the cloud", func() bool {
		out, _ := n.command("", "status")
		return strings.Contains(out, "clock set") && strings.Contains(out, "807") && strings.Contains(out, "broker connected")
	}, nil)
	n.status()
	n.examined("note", 0, 1)
	stop()
	return n.shown.String()
}

// runInside runs the agent in this process, until it has read the unit, and then until stop.
func (n *newcomer) runInside() (stop func()) {
	n.t.Helper()
	ctx, end := context.WithCancel(n.t.Context())
	done := make(chan int, 1)
	said := new(notes)
	go func() {
		l := newCommandLine(stdio{strings.NewReader(""), said, said})
		l.cli.clock = n.clock
		done <- exitCode(l.run(ctx, []string{"--config", n.file, "run"}), said)
	}()
	until(n.t, "a reading", func() bool { out, _ := n.command("", "status"); return strings.Contains(out, "s ago") }, said.String)
	return func() {
		end()
		if code := <-done; code != 0 {
			n.t.Errorf("exit code %d:\n%s", code, said)
		}
	}
}

// twoPrograms: apcupsd has the port, with a lock on it and without; then our own agent has it.
func twoPrograms(t *testing.T) string {
	n := newNewcomer(t, "")
	plug(t, n.tty, one(upssim.New(upssim.Options{Seed: 1})))
	port, err := os.OpenFile(n.tty, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Flock(int(port.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	other := idle(t, "apcupsd", port)
	n.setsUp()
	n.says(1, "read", "rack-a")
	n.examined("problem", 1)
	d := n.start()
	n.status()
	n.examined("problem", 1)
	if code := d.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	_ = port.Close()
	_, _ = other.Process.Kill(), other.Wait()
	d = n.start()
	d.showing(`ups_up{ups="rack-a"}`, "1")
	n.says(0, "probe", "--serial", n.tty)
	n.says(1, "probe", "--serial", n.tty, "--unit-id", "2")
	return n.shown.String()
}

// idle runs a program of that name that has a file open and does nothing.
func idle(t *testing.T, name string, has *os.File) *exec.Cmd {
	t.Helper()
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Skip("no program that sleeps")
	}
	path := filepath.Join(t.TempDir(), name)
	if out, err := exec.Command("cp", sleep, path).CombinedOutput(); err != nil { // not written here: what another test starts meanwhile would have it open, and it could not be started
		t.Fatalf("%v: %s", err, out)
	}
	cmd := exec.CommandContext(t.Context(), path, "600")
	cmd.ExtraFiles = []*os.File{has}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Wait() })
	return cmd
}
