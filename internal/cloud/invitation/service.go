package invitation

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/limit"
	"upsedge/internal/cloud/mail"
	"upsedge/internal/cloud/store"
)

const (
	life      = 7 * 24 * time.Hour // of a code (INV-11)
	codeTries = 5                  // wrong ones lock an invitation (INV-12)
	// MaxDevices is how many one invitation can name: what one letter has room for.
	MaxDevices = 20
	// DefaultPause is what a code that is not accepted takes to be answered (INV-13), or a whole multiple of it: an order of magnitude more
	// than the work behind it.
	DefaultPause = 250 * time.Millisecond
	// keep is how long an invitation that has ended is known, so that who comes late is told why; then its address is forgotten.
	keep = 30 * 24 * time.Hour
	// sweepEvery is how often Run looks for invitations whose time is over. Their places are free before that.
	sweepEvery = time.Minute
)

// Limits, beside those of package account for wrong codes.
var (
	lettersBy    = limit.Limit{Name: "share letters by", Most: 50, Per: 24 * time.Hour} // invitations and repetitions of an owner
	lettersTo    = limit.Limit{Name: "share letters to", Most: 12, Per: time.Hour}      // to an address, whoever sends them
	resendsOften = limit.Limit{Name: "share resent", Most: 1, Per: time.Minute}         // of one invitation (INV-14)
	resendsDay   = limit.Limit{Name: "share resent, day", Most: 5, Per: 24 * time.Hour} // of one invitation (INV-14)
)

// Options of a Service. DB, Mail, Devices and URL are needed.
type Options struct {
	DB      *store.DB
	Mail    *mail.Queue
	Devices *device.Registry
	URL     string           // where people find the cloud, https://cloud.example: it stands in letters
	Pause   time.Duration    // 0: DefaultPause; less: none
	Log     *slog.Logger     // nil: nothing is logged
	Now     func() time.Time // nil: time.Now
}

// A Service does what this package is for. Use New.
type Service struct {
	Options
}

// New returns a Service.
func New(o Options) (*Service, error) {
	if o.DB == nil || o.Mail == nil || o.Devices == nil || o.URL == "" {
		return nil, errors.New("invitation: no database, no mail, no devices, or no address of the cloud")
	}
	if o.Pause == 0 {
		o.Pause = DefaultPause
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Service{o}, nil
}

// Run ends invitations whose time is over, and forgets old ones, until ctx ends. It may run in several processes.
func (s *Service) Run(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		if err := s.Sweep(ctx); err != nil && ctx.Err() == nil {
			s.Log.Error("invitations whose time is over were not ended", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Sweep does once what Run does. Each invitation has a transaction of its own: one that cannot be ended keeps no other.
func (s *Service) Sweep(ctx context.Context) error {
	var over []string
	err := s.DB.Read(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
		over, err = tx.Texts(ctx, `SELECT id FROM device_invitations WHERE state = 'open' AND expires_at <= $1 ORDER BY expires_at LIMIT 500`, s.Now().UnixMilli())
		return err
	})
	for _, id := range over {
		err = errors.Join(err, s.DB.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
			i, err := one(ctx, tx, `id = $1`, id)
			if err != nil || i == nil {
				return err
			}
			return s.expire(ctx, tx, i)
		}))
	}
	return errors.Join(err, s.DB.Write(ctx, s.forget))
}

func (s *Service) forget(ctx context.Context, tx *store.Tx) error {
	before := s.Now().Add(-keep).UnixMilli()
	const old = `state <> 'open' AND ended_at <= $1`
	if _, err := tx.Exec(ctx, `DELETE FROM device_invitation_devices WHERE invitation IN (SELECT id FROM device_invitations WHERE `+old+`)`, before); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `DELETE FROM device_invitations WHERE `+old, before)
	return err
}
