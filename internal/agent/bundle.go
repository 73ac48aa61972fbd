package agent

import (
	"context"
	"strings"
	"time"

	"upsedge/internal/config"
	"upsedge/internal/doctor"
	"upsedge/internal/local"
	"upsedge/internal/store"
	"upsedge/internal/trust"
	"upsedge/internal/uplink"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// localBundle makes a support bundle of everything here, for who asks on the socket.
func (a *agent) localBundle(context.Context) ([]byte, error) {
	b, err := doctor.Make(a.bundleFacts("", true), a.secrets())
	if err != nil {
		return nil, err
	}
	return b.Data, nil
}

// secrets are what no bundle may have.
func (a *agent) secrets() *doctor.Secrets {
	s := doctor.SecretsOf(a.current.Load())
	for _, key := range store.Secrets(a.Config.StateDir) {
		s.Key("the keys of the spool", key)
	}
	return s
}

// bundleFacts is what a support bundle says. One that is for the owner of a unit is about that alone: the others may be somebody else's, or
// nobody's, and of what was said of it that belongs to it since it is theirs (ERASE-11). It reads memory, files of its own and the kernel; no
// line and no network.
func (a *agent) bundleFacts(about string, all bool) *doctor.Facts {
	cfg, now := a.current.Load(), time.Now()
	f := &doctor.Facts{
		About: about, Made: instant(a.clock.Time(now)), Build: doctor.ThisBuild(a.Version, a.Built, a.started), Config: doctor.Configured(cfg, about, all),
		Spool: a.bundleSpool(), Clock: a.bundleClock(now), Certificates: a.bundleCertificates(),
		Uplink: doctor.Uplink{Configured: a.link.up.Load().cfg != nil, Connected: a.connected.Load(), Cloud: trust.Enrolled(a.Config.StateDir)},
	}
	f.Box, f.Left = doctor.ThisBox(a.Config.StateDir)
	status := a.status(false)
	f.Checks = checked(Checkup{Config: cfg, Version: a.Version, Built: a.Built, Clock: a.outside.clock}, &status)
	if words := a.own.failed.Load(); words != nil {
		f.Uplink.Failure = doctor.Words(*words)
	}
	var subject *unit
	budgets := Budgets(cfg.Units)
	for _, u := range a.site.all() {
		if !all && u.cfg.Name != about {
			f.Others = append(f.Others, doctor.Other{Name: u.cfg.Name, Serial: u.local(now, false).Serial})
			continue
		}
		if u.cfg.Name == about {
			subject = u
		}
		f.Units = append(f.Units, u.bundle(now, budgets))
	}
	a.addPast(f, subject, all)
	f.Metrics = a.registry.Write
	if !all {
		f.Left = append(f.Left, "units, orders, metrics and log lines of other units: the bundle is for the owner of this one")
	}
	return f
}

// addPast adds orders and log lines: of a unit those since it is whose it is.
func (a *agent) addPast(f *doctor.Facts, subject *unit, all bool) {
	lines, lost := a.ring.Lines()
	if lost > 0 {
		f.Left = append(f.Left, "log lines from before those: they are kept in memory, and there is an end to it")
	}
	var since time.Time
	var epoch uint32
	if subject != nil {
		subject.mu.Lock()
		since, epoch = subject.since, subject.owner.Epoch
		subject.mu.Unlock()
	}
	for _, l := range lines {
		if all || l.Unit == "" || subject == nil || !l.At.Before(since) {
			f.Log = append(f.Log, l)
		}
	}
	x := a.shownOrders.Load()
	if x == nil {
		return
	}
	ended, _ := x.Local()
	f.Spool.Orders = map[string]int{}
	for _, e := range ended {
		if !all && (subject == nil || e.Unit != f.About || e.Epoch != epoch) {
			continue
		}
		f.Spool.Orders[string(e.State)]++
		f.Orders = append(f.Orders, doctor.Order{
			Time: instant(e.At), Unit: e.Unit, Action: e.Action, Role: e.Role, Outcome: string(e.State), Reason: string(e.Reason), Detail: doctor.Words(e.Detail),
		})
	}
}

func (a *agent) bundleSpool() doctor.Spool {
	st := a.disk.stats()
	s := doctor.Spool{Running: true, FileBytes: st.FileBytes, MaxBytes: st.MaxBytes, Damaged: st.Damaged, Files: doctor.Files(a.Config.StateDir), Alarms: alarmsOf(a.own.shown())}
	if err := a.disk.state().Err; err != nil {
		s.Disk = doctor.Words(err.Error())
	}
	if x := a.shownOrders.Load(); x != nil {
		_, rejected := x.Local()
		s.Rejected = rejected.Count
		s.OrdersKnown, s.OrdersMost = x.Fill()
	}
	now := a.clock.Stamp(time.Now())
	for _, l := range wire.Lanes {
		of := st.Lane(l)
		lane := doctor.Lane{Name: l.String(), Records: of.Records, Bytes: of.Bytes, First: of.First, Last: of.Last, Dropped: map[string]uint64{}}
		if of.Records > 0 && of.Oldest.BootID == now.BootID {
			age := (now.Mono - of.Oldest.Mono).Round(time.Second).Seconds()
			lane.Age = &age
		}
		for why, n := range of.Dropped {
			lane.Dropped[string(why)] = n
		}
		s.Lanes = append(s.Lanes, lane)
	}
	return s
}

func (a *agent) bundleClock(now time.Time) doctor.Clock {
	c := showClock(a.clock.Status())
	floor, _ := a.clock.Certificates()
	return doctor.Clock{State: c.State, Error: c.Error, Floor: instant(floor.Truncate(time.Second)), Machine: now.UTC().Truncate(time.Second)}
}

func (a *agent) bundleCertificates() (out []doctor.Certificate) {
	if files := a.link.up.Load().files; files != nil {
		if c := files.Certificate(); c != nil {
			out = append(out, doctor.Certificate{Of: "agent", From: c.NotBefore, Until: c.NotAfter})
		}
	}
	return out
}

// bundle is what is told of a unit.
func (u *unit) bundle(now time.Time, budgets []Budget) doctor.Unit {
	shown := u.local(now, false)
	out := doctor.Unit{
		Name: shown.Name, Serial: shown.Serial, Model: shown.Model, SKU: shown.SKU, Firmware: shown.Firmware, Condition: shown.Condition,
		Alarms: alarmsOf(shown.Alarms), Failure: doctor.Words(shown.Failure), Age: shown.Age, Line: lineOf(u.cfg, budgets), Capabilities: map[string]string{},
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	var groups []string
	for _, g := range u.state.Groups() {
		groups = append(groups, g.String())
	}
	out.Capabilities["outlet_groups"] = strings.Join(groups, ",")
	out.Capabilities["family"] = map[ups.Family]string{ups.SMT: "SMT", ups.SRT: "SRT", ups.SURTD: "SURTD"}[ups.FamilyOf(shown.SKU)]
	out.Line.Stretch = u.stretch
	out.Line.Missed, out.Line.Lost = u.missed, u.lost
	return out
}

// lineOf is the read plan and the load of the line of a unit, as computed from the configuration.
func lineOf(u config.Unit, budgets []Budget) doctor.LineFacts {
	out := doctor.LineFacts{Kind: "tcp"}
	switch {
	case u.Serial != nil:
		out.Kind = "serial"
	case u.OverCard():
		out.Kind = "card"
	}
	for _, b := range budgets {
		if b.Units[0].LineKey() != u.LineKey() {
			continue
		}
		out.Units, out.Load, out.Turnaround = len(b.Units), b.Load, float64(b.Timing.Turnaround)/float64(time.Millisecond)
		for _, block := range b.Plan {
			out.Plan = append(out.Plan, block.Tier.String()+" "+block.Name+" "+block.Cost.Round(time.Millisecond).String())
		}
	}
	return out
}

func alarmsOf(all []local.Alarm) []doctor.Alarm {
	out := []doctor.Alarm{}
	for _, a := range all {
		out = append(out, doctor.Alarm{ID: a.ID, Severity: a.Severity, Text: doctor.Words(a.Text), Group: a.Group, Unconfirmed: a.Unconfirmed})
	}
	return out
}

// StoppedBundle makes a support bundle while no agent runs: of what its files, this program and the kernel say. It opens no database, no line
// and no network.
func StoppedBundle(cfg *config.Config, version string, built time.Time) (*doctor.Bundle, error) {
	f := &doctor.Facts{
		Build: doctor.ThisBuild(version, built, time.Time{}), Config: doctor.Configured(cfg, "", true),
		Spool:  doctor.Spool{MaxBytes: cfg.Spool.MaxBytes, Files: doctor.Files(cfg.StateDir)},
		Uplink: doctor.Uplink{Configured: cfg.Uplink != nil, Cloud: trust.Enrolled(cfg.StateDir)},
		Clock:  doctor.Clock{State: "not known without an agent", Machine: time.Now().UTC().Truncate(time.Second)},
	}
	f.Box, f.Left = doctor.ThisBox(cfg.StateDir)
	if u := cfg.Uplink; u != nil && u.CertFile != "" {
		if c, err := uplink.ReadCertificate(u.CertFile); err == nil {
			f.Certificates = append(f.Certificates, doctor.Certificate{Of: "agent", From: c.NotBefore, Until: c.NotAfter})
		} else {
			f.Left = append(f.Left, "certificates.json: the agent's certificate cannot be read")
		}
	}
	f.Checks = checked(Checkup{Config: cfg, Version: version, Built: built}, nil)
	f.Left = append(f.Left, "units, counts of the spool, orders, metrics and log: no agent runs that could be asked")
	s := doctor.SecretsOf(cfg)
	for _, key := range store.Secrets(cfg.StateDir) {
		s.Key("the keys of the spool", key)
	}
	return doctor.Make(f, s)
}
