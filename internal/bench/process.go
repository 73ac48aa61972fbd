package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A process is a poller that runs beside us.
type process struct {
	cmd  *exec.Cmd
	log  bytes.Buffer // what it printed; for reading after stop
	done chan error
}

// start runs cmd until stop, or until this program ends.
func start(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, done: make(chan error, 1)}
	cmd.Stderr = &p.log
	if cmd.Stdout == nil { // somebody may want to read it
		cmd.Stdout = &p.log
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() { p.done <- cmd.Wait() }()
	return p, nil
}

// alive returns an error once the process has ended by itself.
func (p *process) alive() error {
	select {
	case err := <-p.done:
		p.done <- err
		return fmt.Errorf("%s ended (%v): %s", filepath.Base(p.cmd.Path), err, tail(p.log.String()))
	default:
		return nil
	}
}

// stop asks the process to end, and makes it end when it has not after five seconds.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(5 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// A usage is what a process has used since its start.
type usage struct {
	cpu     time.Duration // of all its threads, in user and kernel mode
	user    time.Duration // the part in user mode, to 10 ms
	wakeups uint64        // times a thread of it has gone to sleep
	rss     int64         // the most memory it ever had resident, bytes
	now     int64         // what it has now
}

// usage asks the kernel. The process' CPU clock counts nanoseconds, where /proc/PID/stat has ticks of 10 ms.
func (p *process) usage() (usage, error) {
	pid := p.cmd.Process.Pid
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|2), &ts); err != nil { // MAKE_PROCESS_CPUCLOCK of Linux' posix-timers.h
		return usage{}, fmt.Errorf("CPU clock of process %d: %w", pid, err)
	}
	u := usage{cpu: time.Duration(ts.Nano()), rss: 1024 * int64(field(fmt.Sprintf("/proc/%d/status", pid), "VmHWM:"))}
	u.now = 1024 * int64(field(fmt.Sprintf("/proc/%d/status", pid), "VmRSS:"))
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if f := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:])); len(f) > 11 {
		ticks, _ := strconv.ParseInt(f[11], 10, 64) // utime, in hundredths of a second (proc(5))
		u.user = time.Duration(ticks) * 10 * time.Millisecond
	}
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid)) // fails on a bad pattern only
	for _, t := range threads {
		u.wakeups += field(t, "voluntary_ctxt_switches:")
	}
	return u, nil
}

// field returns the number behind key at the beginning of a line of a file of /proc; 0 if there is none.
func field(file, key string) uint64 {
	text, _ := os.ReadFile(file) // a thread may have ended
	for l := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(l, key); ok {
			n, _ := strconv.ParseUint(strings.Fields(rest)[0], 10, 64)
			return n
		}
	}
	return 0
}

var errUnbuilt = errors.New("is not built (make bench does, if the module can be had)")

var errMissing = errors.New("is not installed (tools/system-packages fetches it on Debian and Ubuntu)")

// program prepares a program of the system: from $PATH, from the sbin directories, or unpacked by tools/system-packages below
// root, with the libraries unpacked beside it.
func program(ctx context.Context, root, name string, args ...string) (*exec.Cmd, error) {
	for _, candidate := range []string{name, "/usr/sbin/" + name, "/sbin/" + name} {
		if path, err := exec.LookPath(candidate); err == nil {
			return exec.CommandContext(ctx, path, args...), nil
		}
	}
	for _, dir := range []string{"usr/sbin", "sbin", "usr/bin", "bin"} {
		path, err := exec.LookPath(filepath.Join(root, dir, name))
		if err != nil {
			continue
		}
		cmd := exec.CommandContext(ctx, path, args...)
		libs := []string{filepath.Join(root, "usr/lib")}
		for _, pattern := range []string{"usr/lib/*-linux-gnu*", "lib/*-linux-gnu*"} {
			found, _ := filepath.Glob(filepath.Join(root, pattern))
			libs = append(libs, found...)
		}
		cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+strings.Join(libs, ":"))
		return cmd, nil
	}
	return nil, fmt.Errorf("%s %w", name, errMissing)
}

// tail returns the end of a log, where the reason stands; of a crash its beginning.
func tail(log string) string {
	lines := strings.Split(strings.TrimSpace(log), "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, "panic: ") || strings.HasPrefix(l, "fatal error: ") {
			return strings.Join(lines[i:min(len(lines), i+20)], "\n")
		}
	}
	return strings.Join(lines[max(0, len(lines)-5):], "\n")
}

// await asks every 50 ms until ok, or until timeout or ctx ends.
func await(ctx context.Context, timeout time.Duration, ok func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for !ok() {
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// pause waits, or returns ctx's error.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
