package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"upsedge/internal/ups/upssim"
)

// A feed is a box on an outlet: a program that runs while the outlet has power.
type feed struct {
	unit  int    // of the site's units
	group string // of its outlets
	argv  []string
}

// parseFeed reads "sog0=/path/to/program argument", "2:main=program" for the second unit. There is no shell: blanks part the words.
func parseFeed(s string) (f feed, err error) {
	where, command, ok := strings.Cut(s, "=")
	if n, group, several := strings.Cut(where, ":"); several {
		if f.unit, err = strconv.Atoi(n); err != nil || f.unit < 1 {
			return f, fmt.Errorf("--feed %s: %q is not the number of a unit", s, n)
		}
		f.unit, where = f.unit-1, group
	}
	f.group, f.argv = where, strings.Fields(command)
	if !ok || len(f.argv) == 0 {
		return f, fmt.Errorf("--feed %s: want GROUP=COMMAND, main=/usr/local/bin/box for instance", s)
	}
	return f, nil
}

// checkFeeds checks --feed against the units there are.
func (s *site) checkFeeds() error {
	for _, text := range s.Feed {
		f, err := parseFeed(text)
		if err != nil {
			return err
		}
		if f.unit >= len(s.units) {
			return fmt.Errorf("--feed %s: there is no unit %d", text, f.unit+1)
		}
		if has := s.units[f.unit].Outlets(); !slices.Contains(has, f.group) {
			return fmt.Errorf("--feed %s: the outlet groups are %s", text, strings.Join(has, ", "))
		}
		if _, err := exec.LookPath(f.argv[0]); err != nil {
			return fmt.Errorf("--feed %s: %w", text, err)
		}
		s.feeds = append(s.feeds, f)
	}
	return nil
}

// again is after how long a program that ended by itself is started again, as a box's supervisor does.
const again = 2 * time.Second

// feed runs the program while its outlet has power, until ctx ends; then it is killed. What had power from the beginning starts at once, what
// gets it back after the time a box needs to boot.
func (s *site) feed(ctx context.Context, f feed) {
	// A child is killed when the thread that made it ends: should upssim be killed, nothing is left running.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	power := make(chan bool, 16)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		s.units[f.unit].WatchOutlets(ctx, func(c upssim.Change) {
			if c.Group != f.group {
				return
			}
			select {
			case power <- c.On:
			case <-ctx.Done():
			}
		})
	}()
	defer func() { <-watched }()
	select {
	case on := <-power:
		if !on && !s.await(ctx, f, power) {
			return
		}
	case <-ctx.Done():
		return
	}
	for {
		if s.box(ctx, f, power) && !s.await(ctx, f, power) || ctx.Err() != nil {
			return
		}
	}
}

// await waits until the outlet has power for as long as a box needs to boot; ok is false when ctx ends first.
func (s *site) await(ctx context.Context, f feed, power <-chan bool) (ok bool) {
	var booted <-chan time.Time
	for {
		select {
		case on := <-power:
			if booted = nil; on {
				s.say("%s has power, its box runs in %v", f.group, s.Boot)
				booted = time.After(s.Boot)
			}
		case <-booted:
			return true
		case <-ctx.Done():
			return false
		}
	}
}

// box runs the program until the power goes, then cut is true, until it ended by itself and rested, or until ctx ends.
func (s *site) box(ctx context.Context, f feed, power <-chan bool) (cut bool) {
	cmd := exec.Command(f.argv[0], f.argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = time.Second // a grandchild that left the group may hold the pipe of what it says
	from, to := io.Pipe()
	told := make(chan struct{})
	go func() { defer close(told); s.tell(f.group, from) }()
	defer func() { _ = to.Close(); <-told }()
	cmd.Stdout, cmd.Stderr = to, to
	if err := cmd.Start(); err != nil {
		s.say("%s: %v", f.group, err)
		return s.rest(ctx, power)
	}
	s.say("%s feeds %s, process %d", f.group, f.argv[0], cmd.Process.Pid)
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	kill := func() {
		// The whole group: a script's children have no power either.
		if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			s.say("%s: kill: %v", f.group, err)
		}
	}
	select {
	case <-power: // it was on
		kill()
		s.say("%s is off, %s was killed", f.group, f.argv[0])
		<-ended
		return true
	case err := <-ended:
		kill() // what it left behind
		s.say("%s: %s ended by itself (%v), it is started again in %v", f.group, f.argv[0], err, again)
		return s.rest(ctx, power)
	case <-ctx.Done():
		kill()
		<-ended
		return false
	}
}

// rest waits before a program is started again, and reports whether the power went meanwhile.
func (s *site) rest(ctx context.Context, power <-chan bool) (cut bool) {
	select {
	case <-power:
		return true
	case <-time.After(again):
	case <-ctx.Done():
	}
	return false
}

// tell passes on what a box says, with its outlet before each line.
func (s *site) tell(group string, from io.Reader) {
	in := bufio.NewScanner(from)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		s.say("[%s] %s", group, in.Text())
	}
	_, _ = io.Copy(io.Discard, from) // after a line longer than that
}
