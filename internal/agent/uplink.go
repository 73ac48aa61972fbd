package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"upsedge/internal/clock"
	"upsedge/internal/config"
	"upsedge/internal/metrics"
	"upsedge/internal/store"
	"upsedge/internal/uplink"
	"upsedge/internal/wire"
)

// link is what others want to know of the uplink.
type link struct {
	name       atomic.Pointer[string] // the agent's id; nil: it is in a state directory that cannot be had yet
	session    atomic.Pointer[uplink.Session]
	up         atomic.Pointer[upstream]  // never nil once it was built
	certExpiry atomic.Pointer[time.Time] // nil: no certificate
	numbered   uint64                    // sessions of this run whose upstream has ended
}

// renewWithin spreads the new connections of agents whose files were renewed at one time.
const renewWithin = time.Minute

// followFiles looks every minute whether the files of TLS were replaced, until ctx ends. What is new is used from the next
// connection on; so that no session outlives the certificate it rests on, there is one within the next minute. tell is told each
// time when the agent's own certificate ends.
func (l *link) followFiles(ctx context.Context, files *uplink.Credentials, tell func(ends time.Time), log *slog.Logger) error {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	trouble := ""
	for {
		changed, err := files.Refresh()
		if said := fmt.Sprint(err); err != nil && said != trouble { // once; half written it may be whole in a minute
			log.Warn("renewed TLS files cannot be used yet; those before stay in use", "err", err)
			trouble = said
		} else if err == nil {
			trouble = ""
		}
		if cert := files.Certificate(); cert != nil {
			l.certExpiry.Store(&cert.NotAfter)
			tell(cert.NotAfter)
		}
		if changed {
			log.Info("renewed TLS files are in use from the next connection on, which is made within a minute")
			wait(ctx, rand.N(renewWithin))
			if session := l.session.Load(); session != nil {
				session.Renew()
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// agentID is the name the agent has on the broker: of its certificate, of the configuration, or the random one made at the
// first start (design, section 6).
func agentID(ctx context.Context, cfg *config.Uplink, d *disk) (id string, certExpiry *time.Time, err error) {
	if cfg == nil || (cfg.CertFile == "" && cfg.AgentID == "") {
		id, err = d.AgentID(ctx)
		return id, nil, err
	}
	if cfg.CertFile == "" {
		return cfg.AgentID, nil, nil
	}
	return certificateID(cfg.CertFile)
}

// certificateID returns the agent id in a certificate and when it ends.
func certificateID(file string) (id string, expiry *time.Time, err error) {
	cert, err := uplink.ReadCertificate(file)
	if err != nil {
		return "", nil, fmt.Errorf("uplink.tls.cert_file: %w", err)
	}
	if err := wire.CheckAgent(cert.Subject.CommonName); err != nil {
		return "", nil, fmt.Errorf("uplink.tls.cert_file: %s: the certificate's name: %w", file, err)
	}
	return cert.Subject.CommonName, &cert.NotAfter, nil
}

// send keeps an uplink up while there is a store to send from, until ctx ends. Another store is another stream, and has a session
// of its own.
func (a *agent) send(ctx context.Context) error {
	for {
		s, gone := a.disk.await(ctx)
		if s == nil || ctx.Err() != nil {
			return nil
		}
		session, err := a.session(ctx, s)
		if err != nil {
			a.Log.Error("the uplink cannot begin; it is tried again in a minute", "err", err)
			select {
			case <-ctx.Done():
			case <-time.After(time.Minute):
			}
			continue
		}
		a.link.session.Store(session)
		err = sendUntil(ctx, gone, session)
		a.link.numbered = session.Numbered()
		if err != nil {
			return err
		}
	}
}

// sendUntil runs a session until its store is gone.
func sendUntil(ctx context.Context, gone <-chan struct{}, session *uplink.Session) error {
	ctx, end := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() {
		select {
		case <-gone:
			end()
		case <-ctx.Done():
		}
	})
	err := session.Run(ctx)
	end()
	watch.Wait()
	if errors.Is(err, store.ErrBroken) {
		return nil // the next write finds that out, too, and there will be another
	}
	return err
}

// session makes the uplink of a store.
func (a *agent) session(ctx context.Context, s *store.Store) (*uplink.Session, error) {
	up := a.link.up.Load()
	if a.link.id() == "" {
		name, _, err := agentID(ctx, up.cfg, a.disk)
		if err != nil {
			return nil, err
		}
		a.link.name.Store(&name)
	}
	return newUplink(uplinkParts{
		cfg: up.cfg, files: up.files, numbered: a.link.numbered, agent: a.link.id(), version: a.Version, allow: a.allowed, rules: a.orderRules, drops: a.drops, store: s, clock: a.clock, series: a.series,
		units: a.site.all, own: a.own, changed: a.site.changed, seen: a.linked, dial: a.outside.broker, log: a.Log,
		enrolled: a.owners.cloud(), order: a.newOrder(a.Config.StateDir),
	})
}

// id is the agent's, "" while it is not known.
func (l *link) id() string {
	if name := l.name.Load(); name != nil {
		return *name
	}
	return ""
}

// uplinkParts is what the uplink is made of.
type uplinkParts struct {
	cfg      *config.Uplink
	files    *uplink.Credentials // nil: no TLS
	numbered uint64              // sessions of this run
	agent    string
	version  string
	allow    func() []string // groups of orders
	rules    func() *wire.OrderRules
	drops    func(serial string) *wire.Drops
	store    *store.Store
	clock    *clock.Clock
	series   *metrics.Agent
	units    func() []*unit
	own      *own
	changed  <-chan struct{}
	seen     func(connected bool)
	dial     func(ctx context.Context, address string) (net.Conn, error) // nil: TCP
	log      *slog.Logger

	enrolled bool // a cloud acknowledges
	// order judges what comes on the topic orders; nil: nobody can, and each is refused.
	order func(ctx context.Context, o uplink.Order) (statement bool, err error)
}

// cloud is what the uplink needs of it, nil without one.
func (p uplinkParts) cloud() *uplink.Cloud {
	if !p.enrolled {
		return nil
	}
	order := p.order
	if order == nil {
		order = func(context.Context, uplink.Order) (bool, error) {
			return false, errors.New("nothing here can verify it")
		}
	}
	return &uplink.Cloud{
		Stream: p.store.Stream(), Order: order, Again: p.clock.Wanting,
		Last: func(l wire.Lane) uint64 { return p.store.Stats().Lane(l).Last },
	}
}

func newUplink(p uplinkParts) (*uplink.Session, error) {
	broker, err := url.Parse(p.cfg.Broker)
	if err != nil {
		return nil, fmt.Errorf("uplink.broker: %w", err)
	}
	cfg := uplink.Config{
		Broker: broker, Insecure: p.cfg.Insecure, AgentID: p.agent, Boot: p.store.Boot(), Numbered: p.numbered, MaxRate: p.cfg.MaxRate,
		Version: p.version, Full: p.fullState, Changed: p.changed, Reject: p.reject, Cloud: p.cloud(), Dial: p.dial, Log: p.log,
		Observe: uplink.Observer{
			Connected: func(on bool) {
				p.seen(on)
				p.own.linked(on)
			},
			Secured:     p.own.secured,
			Failed:      p.own.refused,
			Reconnected: p.series.Reconnects.Inc,
			Delivered:   p.delivered,
		},
	}
	cfg.TLS, cfg.Time = p.files, p.clock.Certificates
	return uplink.New(cfg, p.store), nil
}

// secure reports whether the broker is spoken to with TLS.
func secure(cfg *config.Uplink) bool { return strings.HasPrefix(cfg.Broker, "tls:") }

func brokerTLS(cfg *config.Uplink) (*uplink.Credentials, error) {
	t, err := uplink.ReadCredentials(cfg.CAFile, cfg.CertFile, cfg.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("uplink.tls: %w", err)
	}
	return t, nil
}

// CheckFiles reports what is wrong with the files that a configuration names. It opens no line and asks no network.
func CheckFiles(cfg *config.Config) error {
	var errs []error
	if f := cfg.Metrics.WebConfig; f != "" {
		errs = append(errs, metrics.CheckWebConfig("metrics.web_config", f))
	}
	if f := cfg.Local.WebConfig; f != "" {
		errs = append(errs, metrics.CheckWebConfig("local.web_config", f))
	}
	if u := cfg.Uplink; u != nil && secure(u) {
		_, err := brokerTLS(u)
		errs = append(errs, err)
	}
	if u := cfg.Uplink; u != nil && u.CertFile != "" {
		_, _, err := certificateID(u.CertFile)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// delivered measures how long an event took from being seen at the unit to its acknowledgement: by the cloud, or by the broker
// where there is none.
func (p uplinkParts) delivered(rec wire.Record, at time.Time) {
	if rec.Class == wire.ClassAlarm && rec.Stamp.BootID == p.clock.Boot() {
		p.series.AlarmDelivery.Observe((p.clock.Mono(at) - rec.Stamp.Mono).Seconds())
	}
}

// reject lets a gap record stand for a record that cannot be published: the lane goes on, and the cloud knows.
func (p uplinkParts) reject(ctx context.Context, rec wire.Record, err error) error {
	p.log.Error("a record cannot be published; a gap record stands for it", "lane", rec.Lane.String(), "seq", rec.Seq, "err", err)
	gap := wire.Gap{Lane: rec.Lane, First: rec.Seq, Last: rec.Seq, Reason: wire.GapDamage}
	return p.store.PutGap(ctx, gap, p.clock.Stamp(time.Now()))
}

func (p uplinkParts) fullState() *wire.FullState {
	now := time.Now()
	full := &wire.FullState{Agent: p.agent, Stream: p.store.Stream(), Boot: p.store.Boot(), Allow: p.allow(), Rules: p.rules(), Now: p.clock.Stamp(now)}
	known := p.clock.Status()
	full.Clock, full.ClockError = known.State, known.Error
	full.Alarms = p.own.active()
	stats := p.store.Stats()
	for i, l := range wire.Lanes {
		full.Lanes[i] = wire.Waiting{First: stats.Lane(l).First, Last: stats.Lane(l).Last}
	}
	for _, u := range p.units() {
		s := u.wire(now, p.clock)
		if s.Epoch != 0 { // of what nobody owns nothing more leaves the box
			s.Drops = p.drops(s.Serial)
		}
		full.Units = append(full.Units, s)
	}
	return full
}

// wire is what the state message says of a unit.
func (u *unit) wire(now time.Time, c *clock.Clock) wire.UnitState {
	u.mu.Lock()
	defer u.mu.Unlock()
	id := u.state.Identity()
	if u.owner.Local {
		return wire.UnitState{Unit: u.cfg.Name, Serial: id.Serial, Condition: u.told(now)}
	}
	s := wire.UnitState{
		Unit: u.cfg.Name, Serial: id.Serial, Model: id.Model, Firmware: id.Firmware,
		Condition: u.told(now), Epoch: u.owner.Epoch,
	}
	if b, ok := u.owners.bind(u.owner.Device); ok && b.Epoch == u.owner.Epoch {
		s.PlanVersion, s.GrantVersion = b.GrantVersion, b.GrantVersion // a change of the plan raises the one there is
	}
	for _, a := range u.alarms.Active() {
		if n := len(s.Alarms); n == 0 || s.Alarms[n-1] != a.ID { // several outlet groups are one id
			s.Alarms = append(s.Alarms, a.ID)
		}
		if n := len(s.Unconfirmed); a.Unconfirmed && (n == 0 || s.Unconfirmed[n-1] != a.ID) {
			s.Unconfirmed = append(s.Unconfirmed, a.ID)
		}
	}
	if !u.changed.IsZero() {
		s.Since = c.Stamp(u.changed)
	}
	return s
}
