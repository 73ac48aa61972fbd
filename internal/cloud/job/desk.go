package job

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"upsedge/internal/cloud/order"
	"upsedge/internal/cloud/store"
)

// Limits are of one account (T-07). Those of devices are package order's, and hold for orders of jobs as for any other.
type Limits struct {
	Open         int // jobs without an end
	Day, LoadDay int // devices in the jobs of a day; of those, in jobs that can drop the load
}

// DefaultLimits let each of the greatest jobs be done once a day where it drops the load, and four times else.
func DefaultLimits() Limits { return Limits{Open: 5, Day: 4 * MaxDevices, LoadDay: MaxDevices} }

// Config is what a Desk needs. DB and Orders are required.
type Config struct {
	DB     *store.DB
	Orders *order.Book
	Log    *slog.Logger     // nil discards
	Now    func() time.Time // nil: time.Now
	Poll   time.Duration    // how often what other processes did is looked for; 0: 2 s
	Limits Limits           // zero: DefaultLimits
	// DropsLoad is told, in its transaction, of a job that can drop the load of devices (T-07). nil: nobody is.
	DropsLoad func(ctx context.Context, tx *store.Tx, j *Job, devices []string) error
}

// A Desk takes jobs and sees them through. Use New.
type Desk struct {
	db     *store.DB
	orders *order.Book
	log    *slog.Logger
	now    func() time.Time
	poll   time.Duration
	limits Limits
	drops  func(ctx context.Context, tx *store.Tx, j *Job, devices []string) error
	work   chan struct{} // holds one: there may be a step to take
}

// New returns a Desk. Nothing is ordered before Run.
func New(c Config) (*Desk, error) {
	if c.DB == nil || c.Orders == nil {
		return nil, errors.New("job: no database, or nobody who makes orders")
	}
	d := &Desk{db: c.DB, orders: c.Orders, log: c.Log, now: c.Now, poll: c.Poll, limits: c.Limits, drops: c.DropsLoad, work: make(chan struct{}, 1)}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	if d.now == nil {
		d.now = time.Now
	}
	if d.poll == 0 {
		d.poll = 2 * time.Second
	}
	if d.limits == (Limits{}) {
		d.limits = DefaultLimits()
	}
	return d, nil
}

// Wake has Run look for something to do. It is for order.Book.OnChange, and never waits.
func (d *Desk) Wake() {
	select {
	case d.work <- struct{}{}:
	default: // it will look anyway
	}
}

// A database that fails is asked again after leastRetry, and twice that each time up to mostRetry.
const (
	leastRetry = 50 * time.Millisecond
	mostRetry  = 5 * time.Second
)

// Run takes the steps of all jobs until ctx ends: when it is woken, and each Config.Poll. It may run in several processes.
func (d *Desk) Run(ctx context.Context) error {
	pause := leastRetry
	for ctx.Err() == nil {
		next, err := d.Pass(ctx)
		woken := d.work
		switch {
		case err == nil:
			pause = leastRetry
		case ctx.Err() == nil:
			d.log.Error("jobs stand still", "err", err)
			next, woken = pause, nil
			pause = min(2*pause, mostRetry)
		}
		t := time.NewTimer(next)
		select {
		case <-ctx.Done():
		case <-woken:
		case <-t.C:
		}
		t.Stop()
	}
	return nil
}

// Pass takes every step that can be taken now, and returns after how long to look again. One job that fails keeps no other.
func (d *Desk) Pass(ctx context.Context) (next time.Duration, err error) {
	var open []*Job
	err = d.db.Read(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
		open, err = query(ctx, tx, `WHERE ended_at = 0 ORDER BY requested_at, id`)
		return err
	})
	next = d.poll
	for _, j := range open {
		more := true
		for more && ctx.Err() == nil {
			var failed error
			if more, failed = d.step(ctx, j.ID); failed != nil {
				err = errors.Join(err, failed)
				more = false
			}
		}
		if rest := j.StartUntil.Sub(d.now()); rest > 0 {
			next = min(next, rest)
		}
	}
	return next, err
}

// step looks at a job, and where there is something to do does some of it in one transaction. more says that there may be more.
func (d *Desk) step(ctx context.Context, id string) (more bool, err error) {
	err = d.db.Read(ctx, func(ctx context.Context, tx *store.Tx) error {
		more = false
		list, err := query(ctx, tx, `WHERE id = $1 AND ended_at = 0`, id)
		if err != nil || len(list) == 0 {
			return err
		}
		s, err := d.look(ctx, tx, list[0])
		more = err == nil && s.next(d.now()) != nothing
		return err
	})
	if err != nil || !more {
		return false, err
	}
	err = d.db.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
		more = false
		j, err := take(ctx, tx, id)
		if err != nil || j == nil {
			return err
		}
		more, err = d.proceed(ctx, tx, j)
		return err
	})
	return more, err
}
