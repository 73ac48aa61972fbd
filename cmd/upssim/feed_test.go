package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"upsedge/internal/testenv"
)

// gone waits until a process has ended; a zombie that only waits to be reaped has.
func gone(t *testing.T, pid int) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
	}
	t.Errorf("process %d still runs", pid)
}

// pids returns the numbers behind a word in what the program said.
func (p *program) pids(word string) (out []int) {
	for _, m := range regexp.MustCompile(word+` (\d+)`).FindAllStringSubmatch(p.stderr.String(), -1) {
		n, _ := strconv.Atoi(m[1])
		out = append(out, n)
	}
	return out
}

// script writes a program that says its number and that of a child, and stays.
func script(t *testing.T, last string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "box")
	text := "#!/bin/sh\ntrap '' TERM INT HUP\nsleep 1000 & echo box $$ child $! args $*\n" + last + "\n"
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestABoxOnAnOutletRunsWhileThatHasPower: it starts with upssim, is killed with its children when its group goes off, though it ignores every
// signal that can be ignored, comes back after the power, and ends with upssim. One on the other group notices nothing.
func TestABoxOnAnOutletRunsWhileThatHasPower(t *testing.T) {
	p := start(t, "--tcp", "127.0.0.1:0", "--hurry", "20", "--boot", "100ms", "--feed", "sog0="+script(t, "wait")+" a b", "--feed", "1:main="+script(t, "wait")+" other")
	p.stderr.wait("args other\n")
	p.stderr.wait("[sog0] box")
	p.stderr.wait("args a b\n")
	p.say("outlet=reboot:sog0", "sog0 is off")
	for _, word := range []string{`\[sog0\] box`, `\[sog0\] box \d+ child`} {
		gone(t, p.pids(word)[0])
	}
	p.stderr.wait("sog0 has power, its box runs in 100ms")
	for len(p.pids(`\[sog0\] box`)) < 2 {
		time.Sleep(5 * time.Millisecond)
	}
	if n := len(p.pids(`\[main\] box`)); n != 1 {
		t.Errorf("the box on main began %d times", n)
	}
	p.cancel()
	p.end()
	for _, pid := range append(p.pids(`box`), p.pids(`child`)...) {
		gone(t, pid)
	}
}

// TestABoxThatEndsIsStartedAgain, as by its supervisor, and what it leaves behind is not.
func TestABoxThatEndsIsStartedAgain(t *testing.T) {
	p := start(t, "--tcp", "127.0.0.1:0", "--feed", "main="+script(t, "exit 7"))
	p.stderr.wait("ended by itself (exit status 7)")
	gone(t, p.pids("child")[0])
	for len(p.pids("box")) < 2 {
		time.Sleep(5 * time.Millisecond)
	}
	p.cancel()
	p.end()
}

// TestNothingIsLeftRunningWhenTheSimulatorIsKilled: the kernel ends the box with it.
func TestNothingIsLeftRunningWhenTheSimulatorIsKilled(t *testing.T) {
	p := &program{t: t, stderr: newWords()}
	cmd := exec.Command(testenv.Build(t, "./cmd/upssim"), "--tcp", "127.0.0.1:0", "--feed", "main="+script(t, "exec sleep 1000"))
	cmd.Stderr = p.stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.stderr.wait("args")
	_ = cmd.Process.Signal(syscall.SIGKILL)
	_ = cmd.Wait()
	gone(t, p.pids("box")[0])
	_ = syscall.Kill(p.pids("child")[0], syscall.SIGKILL) // of a killed simulator only the box itself ends
}
