package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"upsedge/internal/config"
	"upsedge/internal/local"
	"upsedge/internal/ups"
)

// A serviceManager is what starts programs on this box.
type serviceManager struct {
	config string                                                             // the configuration that the service reads
	there  func() bool                                                        // whether it manages this box
	do     func(ctx context.Context, args ...string) (said string, err error) // systemctl with these arguments
}

const unitOfService = "upsagent.service"

// systemd is the one of nearly every Linux. Only setup, which root runs at a terminal, starts another program; the daemon never does (T-60).
func systemd() serviceManager {
	return serviceManager{
		config: config.DefaultPath,
		there: func() bool {
			fi, err := os.Stat("/run/systemd/system") // sd_booted(3)
			return err == nil && fi.IsDir()
		},
		do: func(ctx context.Context, args ...string) (string, error) {
			out, err := exec.CommandContext(ctx, "systemctl", append([]string{"--no-pager"}, args...)...).CombinedOutput()
			return strings.TrimSpace(string(out)), err
		},
	}
}

// What became of the service.
const (
	serviceStarted  = "started"
	serviceReloaded = "reloaded"
	serviceRunning  = "running"
	serviceLeft     = "not started"
)

// mostStart is how long a start may take: the unit's TimeoutStartSec, and some.
const mostStart = 200 * time.Second

// start lets the service work by the configuration: enabled and started, or, where it runs, told to read it. What runs by it already is left
// alone.
func (s *setup) start(ctx context.Context) error {
	s.done.Service = serviceLeft
	if s.NoStart {
		s.say("The service is left alone (--no-start): systemctl enable --now upsagent")
		return nil
	}
	s.step("service")
	ctx, cancel := context.WithTimeout(ctx, mostStart)
	defer cancel()
	pid, _ := local.Peer(s.cfg.Local.Socket) // 0: nobody is there
	switch {
	case s.service.there() && s.cli.Config == s.service.config:
		return s.startUnit(ctx, pid != 0)
	case pid == 0:
		s.say("%s Start it: upsagent run --config %s", s.whyNot(), s.cli.Config)
		return nil
	case !s.behind(ctx):
		s.done.Service = serviceRunning
		return nil
	}
	if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
		return fmt.Errorf("let the running agent (process %d) read its configuration: %w", pid, err)
	}
	s.done.Service = serviceReloaded
	s.say("The running agent reads its configuration again.")
	return nil
}

func (s *setup) whyNot() string {
	if !s.service.there() {
		return "This box has no systemd: nothing was started."
	}
	return "The service reads " + s.service.config + " and no other: nothing was started."
}

// startUnit asks systemd. An agent that fails and is started again and again is started anew, so that what is wrong is said here.
func (s *setup) startUnit(ctx context.Context, runs bool) error {
	_, inactive := s.service.do(ctx, "is-active", "--quiet", unitOfService)
	if _, err := s.service.do(ctx, "is-enabled", "--quiet", unitOfService); err != nil {
		s.step("enable")
		if said, err := s.service.do(ctx, "enable", "--quiet", unitOfService); err != nil {
			return systemctlError(ctx, "enable", said, err)
		}
	}
	verb := "reload"
	switch {
	case inactive != nil, s.anew:
		verb = "restart"
		s.say("Starting the service ...")
	case runs && !s.behind(ctx):
		s.done.Service = serviceRunning
		return nil
	}
	s.step(verb)
	if said, err := s.service.do(ctx, verb, unitOfService); err != nil {
		return s.sayWhy(ctx, systemctlError(ctx, verb, said, err))
	}
	s.done.Service = map[string]string{"reload": serviceReloaded, "restart": serviceStarted}[verb]
	s.say("The service is %s, and comes with every boot.", s.done.Service)
	return nil
}

// sayWhy adds what the service said last to the error of its start.
func (s *setup) sayWhy(ctx context.Context, err error) error {
	if said, _ := s.service.do(ctx, "status", "--lines=5", unitOfService); said != "" {
		s.say("%s", said)
	}
	return fmt.Errorf("%w; journalctl -u upsagent -n 30 says why", err)
}

func systemctlError(ctx context.Context, verb, said string, err error) error {
	if errors.Is(err, exec.ErrNotFound) {
		return errors.New("systemctl is not there: start the service by hand")
	}
	if ctx.Err() != nil {
		return fmt.Errorf("systemctl %s %s: not within %v", verb, unitOfService, mostStart)
	}
	said, _, _ = strings.Cut(said, "\n")
	return fmt.Errorf("systemctl %s %s: %w: %s", verb, unitOfService, err, said)
}

// behind reports whether the running agent may not know the configuration as it is: an earlier run may have written it and been stopped.
func (s *setup) behind(ctx context.Context) bool {
	st, err := local.Ask(ctx, s.cfg.Local.Socket, false)
	if err != nil || s.done.Changed || s.done.Enrolled {
		return true
	}
	fi, err := os.Stat(s.cli.Config)
	if err != nil || fi.ModTime().Truncate(time.Second).After(st.Started) { // it started in a whole second
		return true
	}
	var known []string
	for _, u := range st.Units {
		known = append(known, u.Name)
	}
	return !slices.Equal(known, s.names()) || st.Broker.Configured != (s.cfg.Uplink != nil)
}

// startUntil starts the service and waits until it reads the units, and asks whether to try again where that does not work.
func (s *setup) startUntil(ctx context.Context) error {
	for {
		err := s.start(ctx)
		if err == nil {
			err = s.await(ctx)
		}
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return errStopped
		}
		s.say("\n%s", err)
		s.anew = true // ports of a kind that was not there when it started are shut to a service until it is started anew
		answer, stopped := s.ask.question(ctx, "Enter = try again, s = go on as it is:")
		if stopped != nil {
			return stopped
		}
		if strings.EqualFold(answer, "s") {
			return err
		}
	}
}

// readWithin is how long a unit may take from the start of the agent to its first reading: one behind a card that takes a request per
// connection needs a quarter of a minute.
const readWithin = 60 * time.Second

// await waits until the agent has read every unit of the configuration.
func (s *setup) await(ctx context.Context) error {
	if s.done.Service == serviceLeft || s.cfg.Local.Socket == "" {
		return nil
	}
	s.step("await")
	of := s.lookedAt()
	s.say("Waiting for the first reading of %s ...", strings.Join(of, ", "))
	within, cancel := context.WithTimeout(ctx, readWithin)
	defer cancel()
	missing := ""
	for {
		if st, err := local.Ask(within, s.cfg.Local.Socket, true); err == nil {
			s.done.Live = st.Units
			if missing = unread(st, of); missing == "" {
				return nil
			}
		} else if ctx.Err() == nil && within.Err() == nil {
			missing = err.Error()
		}
		if !pause(within, 200*time.Millisecond) {
			break
		}
	}
	if ctx.Err() != nil {
		return errStopped
	}
	return errors.New(missing)
}

// lookedAt are the units that this run is about: those that were looked for, or, where nobody was, all. Of others that are configured the doctor
// tells.
func (s *setup) lookedAt() (out []string) {
	for _, name := range s.names() {
		if slices.ContainsFunc(s.units, func(f found) bool { return f.Unit == name && !f.have }) {
			out = append(out, name)
		}
	}
	if out == nil {
		return s.names()
	}
	return out
}

// alive reports whether a unit is read, its measurements, too.
func alive(u local.Unit) bool {
	measured := reading1(u.Values, ups.Charge) + reading1(u.Values, ups.InputVoltage) + reading1(u.Values, ups.OutputVoltage)
	return u.Age != nil && measured != "" && len(u.Condition) > 0 && !slices.Contains(u.Condition, ups.Stale.Names()[0])
}

// unread names the first unit that the agent has not read, and why; "" where it has read all.
func unread(st *local.Status, names []string) string {
	for _, name := range names {
		i := slices.IndexFunc(st.Units, func(seen local.Unit) bool { return seen.Name == name })
		if i < 0 {
			return fmt.Sprintf("the running agent does not know %s: journalctl -u upsagent -n 30 says why", name)
		}
		if seen := st.Units[i]; !alive(seen) {
			return strings.TrimSuffix(fmt.Sprintf("%s is not read yet: %s", name, seen.Failure), ": ")
		}
	}
	return ""
}
