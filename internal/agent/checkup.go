package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"upsedge/internal/clock"
	"upsedge/internal/config"
	"upsedge/internal/doctor"
	"upsedge/internal/enroll"
	"upsedge/internal/local"
	"upsedge/internal/metrics"
	"upsedge/internal/store"
	"upsedge/internal/trust"
	"upsedge/internal/ups"
)

// A Checkup looks for what keeps an agent from working, whether one runs or not and whoever asks. It changes nothing: no file, no unit, no
// setting of the box. It makes no MQTT session, which would end that of the running agent.
type Checkup struct {
	Path    string         // of the configuration
	Config  *config.Config // nil where it cannot be read
	Err     error          // why
	Version string
	Built   time.Time
	Started bool // whoever examines has just started the agent: that it is young is no news
	// Clock makes the clock that certificates are judged by; nil: this box's.
	Clock func() (*clock.Clock, error)

	root doctor.Root   // "": this box
	dns  *net.Resolver // nil: the system's
}

// quietChecks are those that a support bundle may tell of: they need no network and no line, and look at no other program.
var quietChecks = []string{conf, "version", "disk", "permission", "memory", "clock", "service", "plan", "certificate"}

// checked is what a support bundle tells of the checks. status is that of the running agent, nil without one.
func checked(c Checkup, status *local.Status) []doctor.Checked {
	run := &checkup{Checkup: c, cfg: c.Config, status: status}
	run.root = "/"
	run.once.Do(func() { // nobody is asked over the socket
		if status != nil {
			run.agent = doctor.Agent{PID: os.Getpid(), Age: run.root.Age(os.Getpid()), Version: status.Version}
		}
		run.findWho()
		run.readClock()
	})
	return doctor.CheckedOf(doctor.Examine(context.Background(), run.checks(), quietChecks...))
}

// conf is the check that nearly all others rest on.
const conf = "configuration"

// askWithin bounds the question to the running agent: it answers from memory.
const askWithin = 3 * time.Second

// A checkup is one run of the checks: the agent is asked once for all of them.
type checkup struct {
	Checkup
	cfg *config.Config // never nil

	once    sync.Once
	status  *local.Status // nil: none that answers
	agent   doctor.Agent
	hangs   error         // it has the socket and gives no answer
	who     doctor.Person // runs the agent, or would
	clockAt *clock.Clock  // nil: none that can be asked
}

// CheckNames are the names of all checks, causes before their effects.
func CheckNames() (names []string) {
	for _, c := range (&checkup{}).checks() {
		names = append(names, c.Name)
	}
	return names
}

// Examine runs the checks, all or the named ones; see doctor.Examine.
func (c *Checkup) Examine(ctx context.Context, names ...string) []doctor.Finding {
	run := &checkup{Checkup: *c, cfg: c.Config}
	if run.root == "" {
		run.root = "/"
	}
	checks := run.checks()
	if run.cfg == nil { // of what it would say nothing can be checked
		run.cfg, _ = config.Parse(c.Path, nil) // what an empty file means
		checks = slices.DeleteFunc(checks, func(k doctor.Check) bool { return slices.Contains(k.After, conf) })
	}
	return doctor.Examine(ctx, checks, names...)
}

// checks are all of them, causes before their effects. After says whose problems explain those of a check; what explains those explains it, too.
func (c *checkup) checks() []doctor.Check {
	file := func(look func() []doctor.Finding) func(context.Context) []doctor.Finding {
		return func(ctx context.Context) []doctor.Finding {
			c.ask(ctx)
			return look()
		}
	}
	return []doctor.Check{
		{Name: conf, Look: func(context.Context) []doctor.Finding { return c.lookAtConfig() }},
		{Name: "version", Look: file(c.lookAtVersions)},
		{Name: "disk", Look: file(func() []doctor.Finding {
			return c.root.LookAtDisk(c.cfg.StateDir, c.cfg.Spool.MaxBytes)
		})},
		{Name: "permission", After: []string{conf}, Look: file(c.lookAtPermissions)},
		{Name: "memory", Look: file(c.root.LookAtMemory)},
		{Name: "clock", Look: file(c.lookAtClock)},
		{Name: "service", After: []string{conf, "version", "disk", "permission", "memory"}, Look: file(c.lookAtService)},
		{Name: "port", After: []string{conf}, Look: file(func() []doctor.Finding {
			return c.root.LookAtPorts(c.cfg.Units, c.who)
		})},
		{Name: "master", After: []string{conf, "port"}, Look: file(func() []doctor.Finding {
			return c.root.LookAtMasters(c.cfg.Units, c.agent.PID)
		})},
		{Name: "network", After: []string{conf}, Look: func(context.Context) []doctor.Finding {
			return c.root.LookAtNetwork(c.needsNetwork())
		}},
		{Name: "unit", After: []string{conf, "port", "master", "network"}, Look: c.lookAtUnits},
		{Name: "plan", After: []string{conf}, Look: file(c.lookAtPlan)},
		{Name: "certificate", After: []string{conf, "clock"}, Look: file(c.lookAtCertificates)},
		{Name: "dns", After: []string{conf, "network"}, Look: func(ctx context.Context) []doctor.Finding {
			return c.root.LookAtNames(ctx, c.hosts(), c.dns)
		}},
		{Name: "broker", After: []string{conf, "clock", "certificate", "network", "dns"}, Look: c.lookAtBroker},
		{Name: "cloud", After: []string{conf, "clock", "certificate", "network", "dns"}, Look: c.lookAtCloud},
		{Name: "spool", After: []string{conf, "disk", "service", "clock", "certificate", "network", "dns", "broker"}, Look: file(c.lookAtSpool)},
		{Name: "listen", After: []string{conf}, Look: file(c.lookAtListeners)},
		{Name: "alarms", After: []string{conf, "disk", "clock", "certificate", "network", "dns", "broker", "cloud", "spool"}, Look: file(c.lookAtAlarms)},
	}
}

// ask asks the running agent, and finds out who runs it.
func (c *checkup) ask(ctx context.Context) {
	c.once.Do(func() {
		ctx, cancel := context.WithTimeout(ctx, askWithin)
		defer cancel()
		if c.cfg.Local.Socket != "" {
			pid, err := local.Peer(c.cfg.Local.Socket)
			if err == nil {
				c.agent = doctor.Agent{PID: pid, Age: c.root.Age(pid)}
				if c.status, err = local.Ask(ctx, c.cfg.Local.Socket, false); err != nil {
					c.status, c.hangs = nil, err
				} else {
					c.agent.Version = c.status.Version
				}
			}
			c.agent.Silent = errors.Is(err, fs.ErrPermission)
		}
		c.findWho()
		c.readClock()
	})
}

// readClock takes the clock that certificates are judged by.
func (c *checkup) readClock() {
	newClock := c.Clock
	if newClock == nil {
		newClock = clock.New
	}
	if clk, err := newClock(); err == nil {
		_ = clk.Remember(c.cfg.StateDir, c.Built) // what cannot be read costs what earlier runs knew of the time
		c.clockAt = clk
	}
}

// findWho finds out who runs the agent, or would: the process itself knows best, then the unit of the service, else it is who asks.
func (c *checkup) findWho() {
	var ok bool
	if c.agent.PID != 0 {
		if c.who, ok = c.root.Process(c.agent.PID); ok {
			return
		}
	}
	if unit := c.root.Unit(); unit != nil {
		if c.who, ok = c.root.Service(unit); ok {
			return
		}
	}
	if c.agent.Silent { // somebody else's runs
		if c.who, ok = c.root.Owner(c.cfg.StateDir); ok {
			return
		}
	}
	c.who = c.root.Myself()
}

func (c *checkup) lookAtConfig() []doctor.Finding {
	const setUp = "sudo upsagent setup finds units and writes them"
	switch {
	case errors.Is(c.Err, fs.ErrNotExist):
		return []doctor.Finding{{Level: doctor.Problem, What: "there is no " + c.Path, Do: setUp}}
	case errors.Is(c.Err, fs.ErrPermission):
		return []doctor.Finding{{Level: doctor.Problem, What: "this user may not read " + c.Path, Do: "sudo upsagent doctor"}}
	case c.Err != nil:
		return []doctor.Finding{{Level: doctor.Problem, What: c.Err.Error(), Do: "mend the line, then: sudo upsagent check; sudo systemctl restart upsagent"}}
	case len(c.cfg.Units) == 0:
		return []doctor.Finding{{Level: doctor.Problem, What: c.Path + " names no unit: nothing is read", Do: setUp}}
	}
	var out []doctor.Finding
	for _, w := range []struct{ key, file string }{{"metrics.web_config", c.cfg.Metrics.WebConfig}, {"local.web_config", c.cfg.Local.WebConfig}} {
		if w.file == "" {
			continue
		}
		if err := metrics.CheckWebConfig(w.key, w.file); err != nil && !errors.Is(err, fs.ErrPermission) {
			out = append(out, doctor.Finding{Level: doctor.Problem, What: err.Error(), Do: "mend it, then: sudo upsagent check; sudo systemctl restart upsagent"})
		}
	}
	for _, w := range c.cfg.Warnings() {
		if !strings.Contains(w, ".listen: ") { // of those more is said by the check of the listeners
			out = append(out, doctor.Finding{Level: doctor.Note, What: w, Do: "take it out of " + c.Path + " where it was not meant so"})
		}
	}
	if out == nil {
		out = append(out, doctor.Finding{Level: doctor.OK, What: c.Path + " is correct and names " + ups.Count(len(c.cfg.Units), "unit")})
	}
	return out
}

func (c *checkup) lookAtVersions() []doctor.Finding {
	err := store.CheckVersion(c.cfg.StateDir)
	switch {
	case errors.Is(err, store.ErrNewer):
		return []doctor.Finding{{Level: doctor.Problem, What: err.Error(), Do: "install the newer version again"}}
	case err != nil:
		return []doctor.Finding{{Level: doctor.Note, What: "what is kept here cannot be looked at: " + err.Error(), Do: "sudo upsagent doctor"}}
	case c.agent.Version != "" && c.agent.Version != c.Version:
		return []doctor.Finding{{Level: doctor.Note, What: fmt.Sprintf("the agent that runs is %s, the one installed is %s", c.agent.Version, c.Version), Do: "sudo systemctl restart upsagent"}}
	}
	return []doctor.Finding{{Level: doctor.OK, What: c.Version}}
}

func (c *checkup) lookAtPermissions() []doctor.Finding {
	out := c.root.LookAtFiles(c.Path, c.cfg.StateDir, c.who)
	if more := doctor.LookAtSocket(c.cfg.Local.Socket, c.agent); len(more) > 0 {
		out = append(out, more...)
	}
	return out
}

func (c *checkup) lookAtService() []doctor.Finding {
	if c.hangs != nil {
		return []doctor.Finding{{
			Level: doctor.Problem, What: fmt.Sprintf("it runs (process %d) and gives no answer: %v", c.agent.PID, c.hangs), Do: "journalctl -u upsagent -n 50, then sudo systemctl restart upsagent",
		}}
	}
	a := c.agent
	a.Expected = c.Started
	return c.root.LookAtService(a, len(c.cfg.Units) > 0)
}

// lookAtListeners takes the service for the agent that has the addresses: it may have no socket, on which to ask it.
func (c *checkup) lookAtListeners() []doctor.Finding {
	return c.root.LookAtListeners(c.cfg, c.agent.PID != 0 || c.agent.Silent || c.root.ServiceRuns())
}

// hosts are the names that the uplink needs.
func (c *checkup) hosts() (out []string) {
	if c.cfg.Uplink == nil {
		return nil
	}
	if u, err := url.Parse(c.cfg.Uplink.Broker); err == nil {
		out = append(out, u.Hostname())
	}
	if at := c.cloudURL(); at != nil {
		out = append(out, at.Hostname())
	}
	return out
}

// needsNetwork reports whether a unit, or the broker, is beyond this box.
func (c *checkup) needsNetwork() bool {
	return slices.ContainsFunc(c.hosts(), doctor.Beyond) || slices.ContainsFunc(c.cfg.Units, func(u config.Unit) bool {
		if u.TCP == nil {
			return false
		}
		host, _, _ := net.SplitHostPort(u.TCP.Address)
		return doctor.Beyond(host)
	})
}

// cloudURL is where the cloud of this box is, nil where it is with none.
func (c *checkup) cloudURL() *url.URL {
	if c.cfg.Uplink == nil || !trust.Enrolled(c.cfg.StateDir) {
		return nil
	}
	client, err := enroll.NewClient(c.cfg.StateDir, c.cfg.Uplink.CertFile, c.time)
	if err != nil {
		return nil
	}
	at, _ := client.Cloud()
	return at
}

// time is what certificates are judged by.
func (c *checkup) time() (time.Time, bool) {
	if c.clockAt == nil {
		return time.Now(), false
	}
	return c.clockAt.Certificates()
}

// lookAtAlarms tells of alarms of the agent itself that no other check has explained.
func (c *checkup) lookAtAlarms() []doctor.Finding {
	if c.status == nil {
		return []doctor.Finding{{Level: doctor.OK, What: "no agent runs that could have one"}}
	}
	var out []doctor.Finding
	for _, a := range c.status.Alarms {
		out = append(out, doctor.Finding{Level: doctor.Note, What: fmt.Sprintf("%d %s: %s", a.ID, a.Severity, a.Text), Do: ups.AlarmByID(ups.AlarmID(a.ID)).Do})
	}
	if out == nil {
		out = append(out, doctor.Finding{Level: doctor.OK, What: "none"})
	}
	return out
}
