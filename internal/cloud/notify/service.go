package notify

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"upsedge/internal/cloud/mail"
	"upsedge/internal/cloud/secret"
	"upsedge/internal/cloud/store"
)

// Options of a Service. DB, Mail and URL are needed.
type Options struct {
	DB   *store.DB
	Mail *mail.Queue
	URL  string // where people find the cloud: it stands in letters
	// Secrets seal those of webhooks in the database; nil: keys of this process alone, for tests.
	Secrets *secret.Keys
	Log     *slog.Logger     // nil: nothing is logged. No URL and no address ever is
	Now     func() time.Time // nil: time.Now
	// Allow are networks that webhooks may reach though they are not of the internet, and without TLS: the operator's own.
	Allow []netip.Prefix
}

// A Service keeps policies and delivers what they ask for. Use New. It is safe for concurrent use, and several may run on one database.
type Service struct {
	Options
	out   *sender
	wake  chan struct{}
	count counts
}

// New returns a Service. It starts nothing, but is the author of its mails from now on.
func New(o Options) (*Service, error) {
	if o.DB == nil || o.Mail == nil || o.URL == "" {
		return nil, errors.New("notify: no database, no mail, or no address of the cloud")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Secrets == nil {
		o.Secrets = secret.Random()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Service{Options: o, wake: make(chan struct{}, 1)}
	s.out = newSender(o.Allow)
	o.Mail.By(mailKind, s)
	return s, nil
}

// nudge has Run look at once.
func (s *Service) nudge() {
	select {
	case s.wake <- struct{}{}:
	default: // it is awake already
	}
}

// Pauses between looks that nobody asked for: what another process has left, pauses that are over.
const (
	lookEvery  = 5 * time.Second
	sweepEvery = time.Hour
)

// Run spreads and delivers until ctx ends, and returns nil then. Receivers that fail and a database that fails are states.
func (s *Service) Run(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	trouble, swept := "", time.Time{}
	for ctx.Err() == nil {
		err := s.Spread(ctx)
		if err == nil {
			err = s.startDue(ctx)
		}
		if now := s.Now(); err == nil && now.Sub(swept) >= sweepEvery {
			err, swept = s.Sweep(ctx), now
		}
		if err != nil && ctx.Err() == nil && err.Error() != trouble {
			s.Log.Error("notifications are not sent", "err", err)
		}
		if trouble = ""; err != nil {
			trouble = err.Error()
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		case <-s.wake:
		}
	}
	s.out.wait()
	return nil
}
