package bundle

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/eventlog"
	"upsedge/internal/cloud/order"
	"upsedge/internal/cloud/secret"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
	"upsedge/internal/wire"
)

const (
	// MaxBytes is what a bundle has at most: what an agent makes at most.
	MaxBytes = 1 << 20
	// Kept is how long one is kept.
	Kept = 30 * 24 * time.Hour
	// mostOfDevice are kept of a device; behind that the oldest goes.
	mostOfDevice = 10
	// grace is how long behind the cloud's own `unknown` an agent may still send one: its link was down, and the order runs there.
	grace = time.Hour
)

// The actions of the Event Log beside the order itself.
var (
	logStored = eventlog.Declare("bundle.store", eventlog.ByReaders, "order", "size", "digest")
	logTaken  = eventlog.Declare("bundle.download", eventlog.ByReaders, "order", "size", "digest")
)

// A Stored is what is known of a bundle.
type Stored struct {
	Order, Device string
	Size          int64
	SHA256        string // hexadecimal digits
	At, Ends      time.Time
}

// Options are what a Service works with.
type Options struct {
	DB      *store.DB
	Secrets *secret.Keys     // that seal
	Now     func() time.Time // nil: time.Now
	Log     *slog.Logger     // nil discards
}

// A Service keeps bundles. Use New. It is safe for concurrent use, and so are several on one database.
type Service struct{ o Options }

// New returns a Service.
func New(o Options) (*Service, error) {
	if o.DB == nil || o.Secrets == nil {
		return nil, errors.New("bundle: no database, or nothing to seal with")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Service{o}, nil
}

var (
	// errNone is the one answer about an order that is none, or none of this agent's, or of something else.
	errNone  = cloud.Refuse(policy.NotFound, "there is no order of a support bundle of this id for you")
	errOver  = cloud.Refuse(policy.Conflict, "that order has ended, or was never sent: no bundle is taken for it")
	errOther = cloud.Refuse(policy.Conflict, "there is another bundle of that order already")
	errEmpty = cloud.Refuse(policy.NotFound, "there is no support bundle of that order")
)

// Expect judges whether an agent may send the bundle of an order now, and returns what there is of it already, nil for nothing: the same one
// once more is no new one. Ask before the body is read.
func (s *Service) Expect(ctx context.Context, tx *store.Tx, agent, id, sha256 string) (*Stored, error) {
	had, err := s.Has(ctx, tx, agent, id)
	switch {
	case err == nil && had.SHA256 == sha256:
		return had, nil
	case err == nil:
		return nil, errOther
	case !errors.Is(err, errEmpty):
		return nil, err
	}
	o, err := order.Find(ctx, tx, id)
	if err != nil {
		return nil, err
	}
	if !s.open(o) {
		return nil, errOver
	}
	if _, err := device.Get(ctx, tx, o.Device); errors.Is(err, device.ErrNone) {
		return nil, errOver
	} else if err != nil {
		return nil, err
	}
	return nil, nil
}

// open reports whether a bundle may come for an order: it was sent, nobody has taken it back, and it has not ended, but by our own word that
// nothing is known of it.
func (s *Service) open(o *order.Order) bool {
	if o.Attempts == 0 || o.Withheld {
		return false
	}
	late := o.State == wire.OrderUnknown && o.Decided == order.ByCloud && s.o.Now().Before(o.FinalAt.Add(grace))
	return !o.State.Final() || late
}

// Has returns what there is of an order for its agent.
func (s *Service) Has(ctx context.Context, tx *store.Tx, agent, id string) (*Stored, error) {
	o, err := order.Find(ctx, tx, id)
	if err != nil {
		return nil, err
	}
	if o == nil || o.Agent != agent || o.Action != policy.SupportBundle {
		return nil, errNone
	}
	return s.get(ctx, tx, id)
}

func (s *Service) get(ctx context.Context, tx *store.Tx, id string) (*Stored, error) {
	var b Stored
	var at, ends int64
	err := tx.QueryRow(ctx, `SELECT order_id, device, size, sha256, stored_at, ends_at FROM support_bundles WHERE order_id = $1 AND ends_at > $2`,
		id, store.Millis(s.o.Now())).Scan(&b.Order, &b.Device, &b.Size, &b.SHA256, &at, &ends)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, errEmpty
	}
	b.At, b.Ends = store.Instant(at), store.Instant(ends)
	return &b, err
}

// Put keeps a bundle, and logs it. Everything that Expect asks is asked again: the body took its time. sha256 is that of data.
func (s *Service) Put(ctx context.Context, tx *store.Tx, agent, id, sha256 string, data []byte) (b *Stored, fresh bool, err error) {
	if had, err := s.Expect(ctx, tx, agent, id, sha256); err != nil || had != nil {
		return had, false, err
	}
	if len(data) > MaxBytes {
		return nil, false, cloud.Refuse(policy.TooLarge, "a support bundle has at most %d bytes", MaxBytes)
	}
	dev, err := order.DeviceOf(ctx, tx, id)
	if err != nil {
		return nil, false, err
	}
	now := s.o.Now().UTC().Truncate(time.Millisecond)
	b = &Stored{Order: id, Device: dev, Size: int64(len(data)), SHA256: sha256, At: now, Ends: now.Add(Kept)}
	if err := s.insert(ctx, tx, agent, b, data); err != nil {
		return nil, false, err
	}
	return b, true, eventlog.Append(ctx, tx, eventlog.Entry{
		Device: dev, At: now, Actor: cloud.SystemRef, Action: logStored, Params: b.params(), Outcome: eventlog.Done, Request: id,
	})
}

func (s *Service) insert(ctx context.Context, tx *store.Tx, agent string, b *Stored, data []byte) error {
	// One that has ended and was not swept yet makes room.
	if err := s.remove(ctx, tx, `order_id = $1`, b.Order); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `INSERT INTO support_bundles (order_id, device, agent, size, sha256, stored_at, ends_at) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		b.Order, b.Device, agent, b.Size, b.SHA256, store.Millis(b.At), store.Millis(b.Ends)); err != nil {
		return fmt.Errorf("keep a bundle: %w", err)
	}
	if _, err := tx.Exec(ctx, `INSERT INTO support_bundle_bodies (order_id, body) VALUES ($1, $2)`, b.Order, s.o.Secrets.Seal(sealedFor(b.Order), string(data))); err != nil {
		return fmt.Errorf("keep a bundle: %w", err)
	}
	old, err := tx.Texts(ctx, `SELECT order_id FROM support_bundles WHERE device = $1 ORDER BY stored_at DESC, order_id DESC LIMIT 100 OFFSET $2`, b.Device, mostOfDevice)
	if err != nil {
		return err
	}
	for _, id := range old {
		if err := s.remove(ctx, tx, `order_id = $1`, id); err != nil {
			return err
		}
	}
	return nil
}

func sealedFor(id string) string { return "support bundle " + id }

func (b *Stored) params() map[string]string {
	return map[string]string{"order": b.Order, "size": fmt.Sprint(b.Size), "digest": b.SHA256}
}

// Take returns the bundle of an order to the owner, and logs it: the matrix is asked as if it were ordered now, and a second factor that is set
// up must be fresh (T-88), as with every export.
func (s *Service) Take(ctx context.Context, tx *store.Tx, actor cloud.Actor, id string) (*Stored, []byte, error) {
	dev, err := order.DeviceOf(ctx, tx, id)
	if err != nil {
		return nil, nil, err
	}
	now := s.o.Now()
	_, right, err := device.May(ctx, tx, actor, dev, policy.SupportBundle, now)
	var refusal *cloud.Error
	if errors.As(err, &refusal) && refusal.Reason == policy.NotFound {
		return nil, nil, errEmpty // whether there is such an order or not (PERM-9)
	}
	if err != nil {
		return nil, nil, err
	}
	if err := actor.StepUp(now); err != nil {
		return nil, nil, err
	}
	b, err := s.get(ctx, tx, id)
	if err != nil {
		return nil, nil, err
	}
	var sealed string
	if err := tx.QueryRow(ctx, `SELECT body FROM support_bundle_bodies WHERE order_id = $1`, id).Scan(&sealed); err != nil {
		return nil, nil, fmt.Errorf("bundle of order %s: %w", id, err)
	}
	data, err := s.o.Secrets.Open(sealedFor(id), sealed)
	if err != nil {
		return nil, nil, fmt.Errorf("bundle of order %s: %w", id, err)
	}
	return b, []byte(data), eventlog.Append(ctx, tx, eventlog.Entry{
		Device: dev, At: now, Actor: actor.Ref, Role: right.Role, Action: logTaken, Params: b.params(), Outcome: eventlog.Done, Request: actor.Request,
	})
}

// Refused logs that somebody was not given one (LOG-1).
func (s *Service) Refused(ctx context.Context, tx *store.Tx, actor cloud.Actor, id string, refusal *cloud.Error) error {
	dev, err := order.DeviceOf(ctx, tx, id)
	if err != nil {
		return err
	}
	return device.LogRefusal(ctx, tx, actor, dev, policy.SupportBundle, nil, refusal)
}

// remove deletes bundles by a condition on the first table.
func (s *Service) remove(ctx context.Context, tx *store.Tx, where string, args ...any) error {
	if _, err := tx.Exec(ctx, `DELETE FROM support_bundle_bodies WHERE order_id IN (SELECT order_id FROM support_bundles WHERE `+where+`)`, args...); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `DELETE FROM support_bundles WHERE `+where, args...)
	return err
}

// DeviceEnded deletes what there is of a device, in the transaction that ends it. It is for device.Registry.OnDeviceEnd.
func (s *Service) DeviceEnded(ctx context.Context, tx *store.Tx, d *device.Device) error {
	return s.remove(ctx, tx, `device = $1`, d.ID)
}

// Sweep deletes those whose time is over.
func (s *Service) Sweep(ctx context.Context) error {
	return s.o.DB.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
		return s.remove(ctx, tx, `ends_at <= $1`, store.Millis(s.o.Now()))
	})
}

// sweepEvery is how often Run sweeps; nobody gets one whose time is over before that either.
const sweepEvery = time.Hour

// Run sweeps until ctx ends, which is no error. Every process may.
func (s *Service) Run(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		if err := s.Sweep(ctx); err != nil && ctx.Err() == nil {
			s.o.Log.Error("support bundles whose time is over were not deleted", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
