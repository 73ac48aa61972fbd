package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"upsedge/internal/cloud/account"
	"upsedge/internal/cloud/api"
	"upsedge/internal/cloud/authority"
	"upsedge/internal/cloud/bundle"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/eventlog"
	"upsedge/internal/cloud/front"
	"upsedge/internal/cloud/history"
	"upsedge/internal/cloud/ingest"
	"upsedge/internal/cloud/invitation"
	"upsedge/internal/cloud/job"
	"upsedge/internal/cloud/licence"
	"upsedge/internal/cloud/mail"
	"upsedge/internal/cloud/notify"
	"upsedge/internal/cloud/order"
	"upsedge/internal/cloud/proxied"
	"upsedge/internal/cloud/secret"
	"upsedge/internal/cloud/store"
)

// A Server is the control plane of one process. Use Open, then Run once.
type Server struct {
	cfg     *Config
	log     *slog.Logger
	version string

	db          *store.DB
	authority   *authority.Authority
	mail        *mail.Queue
	accounts    *account.Service
	devices     *device.Registry
	invitations *invitation.Service
	licences    *licence.Service
	orders      *order.Book
	jobs        *job.Desk
	receiver    *ingest.Receiver
	group       *ingest.Group
	front       *front.Front
	notify      *notify.Service
	bundles     *bundle.Service
	follower    *history.Follower
	heads       *eventlog.Signer
	api         *api.API
	watch       *watch

	seconds              chan string // agents with two connections, to be written down
	https, mqtt, metrics net.Listener
	streams              context.Context // ends the feeds and exports of the HTTP interface
	endStreams           context.CancelFunc
	serving              atomic.Bool // every part was started
	stopping             atomic.Bool
}

// Open opens the database and the keys, builds every part and listens, so that every mistake of the configuration is told before anything
// works. version is that of the program.
func Open(ctx context.Context, cfg *Config, version string, log *slog.Logger) (s *Server, err error) {
	s = &Server{cfg: cfg, log: log, version: version, seconds: make(chan string, 64)}
	s.streams, s.endStreams = context.WithCancel(context.WithoutCancel(ctx))
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.db, err = store.Open(ctx, cfg.Database); err != nil {
		return s, err
	}
	if err = s.build(ctx); err != nil {
		return s, err
	}
	return s, s.listen()
}

// build makes the parts, from the database outwards.
func (s *Server) build(ctx context.Context) (err error) {
	cfg := s.cfg
	s.authority, err = authority.Open(cfg.DataDir, authority.Options{
		DB: s.db, Names: []string{cfg.Name}, CertFile: cfg.CertFile, KeyFile: cfg.KeyFile, Brokers: []string{cfg.Broker}, Log: s.log,
		Ended: func(agent string) { s.front.Disconnect(agent, "its certificate was revoked") },
		Removed: func(ctx context.Context, tx *store.Tx, agent string) error {
			return s.orders.AgentEnded(ctx, tx, agent)
		},
	})
	if err != nil {
		return fmt.Errorf("%w (`upscloud init` makes the keys)", err)
	}
	if s.mail, err = mail.New(s.db, cfg.Mail, mail.Options{Log: s.log}); err != nil {
		return fmt.Errorf("mail: %w", err)
	}
	secrets, err := s.authority.Secrets(ctx)
	if err != nil {
		return err
	}
	if s.accounts, err = account.New(s.db, s.mail, account.Options{
		URL: cfg.URL, Secrets: secrets, Log: s.log,
		SignedOut: func(ctx context.Context, tx *store.Tx, account string) error {
			return s.jobs.SignedOut(ctx, tx, account)
		},
	}); err != nil {
		return err
	}
	if err = s.accounts.SealFactors(ctx); err != nil {
		return err
	}
	if err = s.buildRights(secrets); err != nil {
		return err
	}
	return s.buildPorts()
}

// buildRights makes the parts that know who may what with a device, and ties them: what rests on a right goes in the transaction that ends it.
func (s *Server) buildRights(secrets *secret.Keys) (err error) {
	cfg := s.cfg
	trial := cfg.Trial
	if trial == 0 {
		trial = -1
	}
	s.devices = device.New(device.Config{Trial: trial, Log: s.log, Mail: s.mail, URL: cfg.URL})
	if s.licences, err = licence.New(licence.Config{Devices: s.devices, Mail: s.mail, URL: cfg.URL}); err != nil {
		return err
	}
	s.invitations, err = invitation.New(invitation.Options{DB: s.db, Mail: s.mail, Devices: s.devices, URL: cfg.URL, Log: s.log})
	if err != nil {
		return err
	}
	if s.notify, err = notify.New(notify.Options{DB: s.db, Mail: s.mail, URL: cfg.URL, Secrets: secrets, Allow: cfg.NotifyNetworks, Log: s.log}); err != nil {
		return err
	}
	s.orders, err = order.New(order.Config{DB: s.db, Signer: signer{s.authority}, Log: s.log, Limits: cfg.Orders, DropsLoad: s.tellOrdered})
	if err != nil {
		return err
	}
	if s.jobs, err = job.New(job.Config{DB: s.db, Orders: s.orders, Log: s.log, DropsLoad: s.tellJob}); err != nil {
		return err
	}
	s.orders.OnChange(s.jobs.Wake)
	if s.bundles, err = bundle.New(bundle.Options{DB: s.db, Secrets: secrets, Log: s.log}); err != nil {
		return err
	}
	s.devices.AfterChange(s.orders.Refresh)
	s.devices.OnGrantEnd(s.orders.GrantEnded)
	s.devices.OnGrantEnd(s.jobs.GrantEnded)
	s.devices.OnGrantEnd(s.notify.GrantEnded)
	s.devices.OnDeviceEnd(s.orders.DeviceEnded)
	s.devices.OnDeviceEnd(s.jobs.DeviceEnded)
	s.devices.OnDeviceEnd(s.invitations.DeviceEnded)
	s.devices.OnDeviceEnd(s.notify.DeviceEnded)
	s.devices.OnDeviceEnd(s.bundles.DeviceEnded)
	return nil
}

// buildPorts makes what takes and answers messages of agents and requests of people.
func (s *Server) buildPorts() (err error) {
	s.follower = history.NewFollower(s.db, s.log)
	s.heads = eventlog.NewSigner(func(head []byte) (string, error) { return s.authority.Sign(authority.ForLog, head) }, nil, s.log)
	s.receiver = ingest.New(s.db, ingest.Options{Log: s.log, Statement: s.orders.Statement, Sinks: s.sinks()})
	s.group = ingest.NewGroup(s.receiver, func(answers []ingest.Answer) {
		s.front.Deliver(answers)
		s.follower.Wake()
	})
	s.watch = newWatch(s)
	s.front, err = front.New(front.Config{
		TLS: s.authority.FrontTLS(), Ingest: s.group, Authorize: s.authority.Authorize, Listening: s.receiver.Listening, Log: s.log,
		Acknowledged: s.watch.acknowledged, Second: s.second,
	})
	if err != nil {
		return err
	}
	s.api, err = api.New(api.Config{
		DB: s.db, Authenticate: s.accounts.Authenticate, Accounts: s.accounts, Log: s.log, Observe: s.watch.request,
		Streams: s.streams, Orders: s.orders, Jobs: s.jobs, Agents: s.authority, Devices: s.devices, Heads: s.heads, Invitations: s.invitations, Licences: s.licences, Notify: s.notify, Bundles: s.bundles,
	})
	return err
}

func (s *Server) listen() (err error) {
	for _, l := range []struct {
		key, address string
		to           *net.Listener
	}{{"https.listen", s.cfg.HTTPS, &s.https}, {"mqtt.listen", s.cfg.MQTT, &s.mqtt}, {"metrics.listen", s.cfg.Metrics, &s.metrics}} {
		if l.address == "" {
			continue
		}
		if *l.to, err = net.Listen("tcp", l.address); err != nil {
			return fmt.Errorf("%s: %w", l.key, err)
		}
		if l.to != &s.metrics {
			*l.to = proxied.Wrap(*l.to, s.cfg.Balancers)
		}
	}
	return nil
}

// Addresses returns where the server listens: HTTPS, MQTT and, "" where that is turned off, metrics.
func (s *Server) Addresses() (https, mqtt, metrics string) {
	if s.metrics != nil {
		metrics = s.metrics.Addr().String()
	}
	return s.https.Addr().String(), s.mqtt.Addr().String(), metrics
}

// grace is how long requests that are at work may take once a stop was asked for.
const grace = 10 * time.Second

// Run serves until ctx ends, and returns nil after a clean stop. It stops in order: no new requests and connections first; what agents have
// handed over is stored and acknowledged; the database is closed last.
func (s *Server) Run(ctx context.Context) error {
	// What keeps messages lives longer than what takes them.
	behind, endBehind := context.WithCancel(context.WithoutCancel(ctx))
	defer endBehind()
	var keepers errgroup.Group
	keepers.Go(func() error { return s.group.Run(behind) })
	keepers.Go(func() error { return s.follower.Run(behind) })
	keepers.Go(func() error { return s.mail.Run(behind) })

	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.front.Run(ctx, s.mqtt) })
	g.Go(func() error { return s.orders.Run(ctx, s.front) })
	g.Go(func() error { return s.jobs.Run(ctx) })
	g.Go(func() error { return s.devices.Run(ctx, s.db) })
	g.Go(func() error { return s.accounts.Run(ctx) })
	g.Go(func() error { return s.notify.Run(ctx) })
	g.Go(func() error { return s.invitations.Run(ctx) })
	g.Go(func() error { return s.bundles.Run(ctx) })
	g.Go(func() error { return s.heads.Run(ctx, s.db) })
	g.Go(func() error { return s.heads.RunSums(ctx, s.db) })
	g.Go(func() error { return s.noteSeconds(ctx) })
	g.Go(func() error { return s.serveHTTPS(ctx) })
	if s.metrics != nil {
		g.Go(func() error { return s.watch.serve(ctx, s.metrics) })
	}
	https, mqtt, metrics := s.Addresses()
	s.log.Info("upscloud serves", "version", s.version, "https", https, "mqtt", mqtt, "metrics", metrics, "database", s.db.Dialect())
	s.serving.Store(true)
	err := g.Wait()
	endBehind()
	err = errors.Join(err, keepers.Wait(), s.close())
	s.log.Info("upscloud stopped")
	return err
}

// newHTTPS bounds what one connection may take (T-85): who sends slowly, and who does not read, for which
// package api bounds each piece of an answer once it has begun.
func (s *Server) newHTTPS() *http.Server {
	return &http.Server{
		Handler: s.api.Handler(), TLSConfig: s.authority.ServerTLS(), ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, WriteTimeout: 2 * time.Minute, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
	}
}

func (s *Server) serveHTTPS(ctx context.Context) error {
	server := s.newHTTPS()
	ended := make(chan error, 1)
	go func() { ended <- server.ServeTLS(s.https, "", "") }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	s.stopping.Store(true)
	s.endStreams() // everything else is given its time
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	if err := server.Shutdown(late); err != nil {
		s.log.Warn("requests were cut off", "err", err)
		_ = server.Close()
	}
	<-ended
	return nil
}

func (s *Server) close() error {
	s.endStreams()
	var errs []error
	for _, l := range []net.Listener{s.https, s.mqtt, s.metrics} {
		if l != nil {
			if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
				errs = append(errs, err)
			}
		}
	}
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	return errors.Join(errs...)
}
