package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sync/errgroup"

	"upsedge/internal/ups/upssim"
)

// A site is the units and the ports they answer on.
type site struct {
	flags
	addrs          []string
	steps          []upssim.Step
	units          []*upssim.Unit
	feeds          []feed
	serial, tcp    upssim.Stats
	stdout, stderr io.Writer

	mu   sync.Mutex // of what follows, and of writing to stdout and stderr
	pty  *upssim.PTY
	stop func() // ends serving the pty and waits for it
}

// errQuit ends the program from standard input.
var errQuit = errors.New("quit")

// run opens every port, says so, and serves until ctx ends or someone says quit.
func (s *site) run(ctx context.Context, stdin io.Reader) error {
	listeners, err := s.listen()
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	for i, ln := range listeners {
		if !s.units[i].HasTCP() { // what connects there is refused, as by the unit itself
			ln.Close()
			s.say("%s: no Modbus TCP, %s refuses connections", s.units[i], ln.Addr())
			continue
		}
		o := s.units[i].Port(upssim.TCPOptions{Turnaround: s.Turnaround, OneRequest: s.OneRequest, MaxClients: s.MaxClients, Stats: &s.tcp})
		g.Go(func() error { return upssim.ServeTCP(ctx, ln, map[uint8]*upssim.Unit{s.UnitID: s.units[i]}, o) })
	}
	if err := s.plug(ctx, g); err != nil {
		for _, ln := range listeners {
			ln.Close()
		}
		return errors.Join(err, g.Wait())
	}
	s.announce(listeners)
	for _, f := range s.feeds {
		g.Go(func() error { s.feed(ctx, f); return nil })
	}
	g.Go(func() error { return s.play(ctx) })
	g.Go(func() error { return s.onSignal(ctx) })
	g.Go(func() error { return s.control(ctx, g, stdin) })
	err = g.Wait()
	s.unplug()
	if s.Stats {
		s.printStats(s.stdout)
	}
	if errors.Is(err, errQuit) {
		return nil
	}
	return err
}

func (s *site) listen() ([]net.Listener, error) {
	var out []net.Listener
	for _, a := range s.addrs {
		ln, err := net.Listen("tcp", a)
		if err != nil {
			for _, l := range out {
				l.Close()
			}
			return nil, err
		}
		out = append(out, ln)
	}
	return out, nil
}

// announce says on stderr what answers where, and on stdout one line a script can wait for.
func (s *site) announce(listeners []net.Listener) {
	ready := "ready"
	if s.Pty != "" {
		fmt.Fprintf(s.stderr, "%s, Modbus address %d, on %s (%d baud 8N1)\n", s.units[0], s.UnitID, s.Pty, s.Baud)
		ready += " pty=" + s.Pty
	}
	for i, ln := range listeners {
		if i < 5 {
			fmt.Fprintf(s.stderr, "%s, Modbus address %d, on %s\n", s.units[i], s.UnitID, ln.Addr())
		} else if i == len(listeners)-1 {
			fmt.Fprintf(s.stderr, "and so on to %s\n", ln.Addr())
		}
		ready += " tcp=" + ln.Addr().String()
	}
	fmt.Fprintln(s.stdout, ready)
}

func (s *site) say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.stderr, format+"\n", args...)
}

// plug makes the serial port and serves it, if there is to be one and there is none.
func (s *site) plug(ctx context.Context, g *errgroup.Group) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Pty == "" || s.pty != nil {
		return nil
	}
	p, err := upssim.OpenPTY(s.Pty)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	o := upssim.SerialOptions{Baud: s.Baud, Turnaround: s.Turnaround, StrictGap: s.StrictGap, Stats: &s.serial}
	g.Go(func() error {
		defer close(ended)
		return p.Serve(ctx, o, map[uint8]*upssim.Unit{s.UnitID: s.units[0]})
	})
	s.pty, s.stop = p, func() { cancel(); <-ended }
	return nil
}

// unplug takes the serial port away: readers get a hang-up.
func (s *site) unplug() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pty == nil {
		return
	}
	s.stop()
	if err := s.pty.Close(); err != nil {
		fmt.Fprintf(s.stderr, "unplug: %v\n", err)
	}
	s.pty = nil
}

func (s *site) play(ctx context.Context) error {
	err := upssim.Play(ctx, s.steps, func(step upssim.Step) { s.say("%v %s", step.At, step.Action.Word) }, s.units...)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (s *site) onSignal(ctx context.Context) error {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR1)
	defer signal.Stop(c)
	for {
		select {
		case <-c:
			s.printStats(s.stderr)
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *site) printStats(to io.Writer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Pty != "" {
		fmt.Fprintf(to, "serial %s\n", s.serial.Counts())
	}
	if len(s.addrs) > 0 {
		fmt.Fprintf(to, "tcp %s\n", s.tcp.Counts())
	}
}

// control obeys the lines on stdin until they end, which ends nothing else. A read from a terminal cannot be interrupted:
// its goroutine is left behind when the program ends first.
func (s *site) control(ctx context.Context, g *errgroup.Group, stdin io.Reader) error {
	if stdin == nil {
		return nil
	}
	lines := make(chan string)
	go func() {
		defer close(lines)
		in := bufio.NewScanner(stdin)
		for in.Scan() {
			select {
			case lines <- in.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	for {
		select {
		case line, ok := <-lines:
			if !ok {
				return nil
			}
			if err := s.obey(ctx, g, strings.TrimSpace(line)); errors.Is(err, errQuit) {
				return err
			} else if err != nil {
				s.say("%v (help lists the words)", err)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// obey does what one line says.
func (s *site) obey(ctx context.Context, g *errgroup.Group, line string) error {
	units, word := s.units, line
	if n, rest, ok := strings.Cut(line, ":"); ok {
		if i, err := strconv.Atoi(n); err == nil {
			if i < 1 || i > len(s.units) {
				return fmt.Errorf("there is no unit %d", i)
			}
			units, word = s.units[i-1:i], strings.TrimSpace(rest)
		}
	}
	switch word {
	case "":
	case "quit":
		return errQuit
	case "help":
		s.say("%s", strings.TrimRight(upssim.Words(), "\n"))
		s.say("  show, stats, writes, unplug, plug, help, quit")
	case "show":
		for _, u := range units {
			s.say("%s", u)
		}
	case "stats":
		s.printStats(s.stderr)
	case "writes":
		for i, u := range s.units {
			if slices.Contains(units, u) {
				s.say("unit %d: %d writes %v", i+1, u.Written(), u.Writes())
			}
		}
	case "unplug":
		s.unplug()
		s.say("ok unplug")
	case "plug":
		if err := s.plug(ctx, g); err != nil {
			return err
		}
		s.say("ok plug")
	default:
		a, err := upssim.ParseAction(word)
		if err != nil {
			return err
		}
		for _, u := range units {
			a.Do(u)
		}
		s.say("ok %s", word)
	}
	return nil
}
