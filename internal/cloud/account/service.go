package account

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"github.com/alexedwards/scs/v2"

	"upsedge/internal/cloud/mail"
	"upsedge/internal/cloud/secret"
	"upsedge/internal/cloud/store"
)

// Options of a Service. URL is needed; everything else may be zero.
type Options struct {
	URL      string           // where people find the cloud, https://cloud.example: it stands in mails
	Hash     HashCost         // zero: DefaultHashCost
	Lifetime time.Duration    // of a session; zero: DefaultLifetime
	Secrets  *secret.Keys     // seal second factors; nil: keys of this process alone, for where none is set up or asked
	Log      *slog.Logger     // nil: nothing is logged
	Now      func() time.Time // nil: time.Now
	// SignedOut is told in the transaction that ends all sessions of an account: by its will, with another password, second factor or
	// organisation. What was begun in them is not to go on by itself (T-07). nil: nothing does.
	SignedOut func(ctx context.Context, tx *store.Tx, account string) error
}

// DefaultLifetime of a session: a working day, and the script of a night. It does not grow by use.
const DefaultLifetime = 24 * time.Hour

// A Service does what this package is for. Use New.
type Service struct {
	db       *store.DB
	mail     *mail.Queue
	opts     Options
	log      *slog.Logger
	now      func() time.Time
	hasher   *hasher
	secrets  *secret.Keys
	sessions *scs.SessionManager
}

// New returns a service on the tables of db whose letters go to q.
func New(db *store.DB, q *mail.Queue, o Options) (*Service, error) {
	if db == nil || q == nil || o.URL == "" {
		return nil, errors.New("account: no database, no mail, or no address of the cloud")
	}
	if o.Hash == (HashCost{}) {
		o.Hash = DefaultHashCost
	}
	if o.Lifetime == 0 {
		o.Lifetime = DefaultLifetime
	}
	if o.Secrets == nil {
		o.Secrets = secret.Random()
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Service{db: db, mail: q, opts: o, log: o.Log, now: o.Now, hasher: newHasher(o.Hash), secrets: o.Secrets}
	s.sessions = newManager(s)
	return s, nil
}

// sweepEvery is how often what is over is taken out.
const sweepEvery = time.Hour

// Run takes out what is over until ctx ends: sessions, codes, counts; and ends invitations whose time has come.
func (s *Service) Run(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		if err := s.Sweep(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("what is over was not taken out", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Codes stay a while after their time, so that who comes late is told so.
const codesStay = 7 * 24 * time.Hour

// Sweep does once what Run does.
func (s *Service) Sweep(ctx context.Context) error {
	return s.db.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
		now := s.now()
		for _, q := range []struct {
			delete string
			before time.Time
		}{
			{`DELETE FROM sign_ins WHERE expires_at <= $1`, now},
			{`DELETE FROM limits WHERE ends_at <= $1`, now},
			{`DELETE FROM codes WHERE expires_at <= $1`, now.Add(-codesStay)},
		} {
			if _, err := tx.Exec(ctx, q.delete, q.before.UnixMilli()); err != nil {
				return err
			}
		}
		return s.expireInvitations(ctx, tx)
	})
}

// place is the network an address is of: what an attacker of one household or data centre cannot leave by asking for another address.
func place(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return "unknown"
	}
	ip = ip.Unmap().WithZone("")
	bits := 48
	if ip.Is4() {
		bits = 24
	}
	p, _ := ip.Prefix(bits) // both fit
	return p.String()
}

// Source is what is counted as one caller: an IPv4 address, or the /64 that a site has in IPv6.
func Source(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return "unknown"
	}
	if ip = ip.Unmap().WithZone(""); ip.Is6() {
		p, _ := ip.Prefix(64)
		return p.String()
	}
	return ip.String()
}
