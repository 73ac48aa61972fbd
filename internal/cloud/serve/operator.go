package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/licence"
	"upsedge/internal/cloud/mail"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

// An Operator does what who runs the cloud does by commands, beside a server that is at work on the same database: it finds what has changed
// by itself, within seconds. Use OpenOperator, and Close.
type Operator struct {
	db       *store.DB
	devices  *device.Registry
	licences *licence.Service
}

// OpenOperator opens the database of a server, whose tables it leaves as they are: a code in a database that a mistyped file has just made
// would be nobody's.
func OpenOperator(ctx context.Context, cfg *Config) (*Operator, error) {
	existing := cfg.Database
	existing.Existing = true
	db, err := store.Open(ctx, existing)
	if err != nil {
		return nil, err
	}
	o := &Operator{db: db, devices: device.New(device.Config{})}
	q, err := mail.New(db, cfg.Mail, mail.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("mail: %w", err), db.Close())
	}
	if o.licences, err = licence.New(licence.Config{Devices: o.devices, Mail: q, URL: cfg.URL}); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return o, nil
}

// Close closes the database.
func (o *Operator) Close() error { return o.db.Close() }

// An Issued is a licence with its code, which is told this once.
type Issued struct {
	*licence.Licence
	Code string
}

// mostCodes is how many codes one command makes.
const mostCodes = 1000

// Issue makes count licences of one kind: all, or none.
func (o *Operator) Issue(ctx context.Context, what licence.Issue, count int) (list []Issued, err error) {
	if count < 1 || count > mostCodes {
		return nil, cloud.RefuseField(policy.Malformed, "count", "%d is not a number from 1 to %d", count, mostCodes)
	}
	err = o.db.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
		list = nil
		for range count {
			l, code, err := o.licences.Issue(ctx, tx, what)
			if err != nil {
				return err
			}
			list = append(list, Issued{l, code})
		}
		return nil
	})
	return list, err
}

// Licences returns every licence, the oldest first.
func (o *Operator) Licences(ctx context.Context) (list []licence.Licence, err error) {
	err = o.db.Read(ctx, func(ctx context.Context, tx *store.Tx) error {
		list, err = licence.List(ctx, tx)
		return err
	})
	return list, err
}

// Revoke ends a code, by the id of its licence or its number.
func (o *Operator) Revoke(ctx context.Context, which string) (l *licence.Licence, err error) {
	err = o.db.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
		l, err = o.licences.Revoke(ctx, tx, which)
		return err
	})
	return l, err
}

// SetPlan gives a unit that has an owner a plan until an instant, or device.Forever, and returns the device as it was and as it is. It is logged
// as done by the system.
func (o *Operator) SetPlan(ctx context.Context, serial string, plan policy.Plan, until time.Time) (was, is *device.Device, err error) {
	err = o.db.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
		d, err := device.Registered(ctx, tx, serial)
		if errors.Is(err, device.ErrNone) {
			return cloud.Refuse(policy.NotFound, "no unit with the serial number %q has an owner", serial)
		}
		if err != nil {
			return err
		}
		before := *d
		was, is = &before, d
		return o.devices.SetPlan(ctx, tx, cloud.System(""), "", d, plan, until)
	})
	return was, is, err
}
