package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"upsedge/internal/store"
	"upsedge/internal/wire"
)

// A disk is the store for all who write, and its absence: while none can be opened, because the file system is full, read only,
// failing or gone, or because the database broke, those who write keep in memory what they have, and ever so often another
// attempt is made. Units are polled and shown all the while (T-22, T-23).
//
// It may be used concurrently.
type disk struct {
	open func(context.Context) (*store.Store, error)
	tell func(Storage) // the state changed; nil: nobody asks
	log  *slog.Logger
	// unowned reports whether records of units in epoch 0 are nobody's and are not put any more: they were made before the agent had
	// a cloud. nil: they are put.
	unowned func() bool

	noting sync.Mutex

	mu      sync.Mutex
	store   *store.Store // nil: none
	before  wire.ID      // stream of the last one
	gone    chan struct{}
	came    chan struct{} // closed when there is a store
	old     *store.Store  // out of use, to be closed
	refused map[string]error
	since   time.Time
}

// Storage is how it goes with what is written (alarm 832 of the event catalogue).
type Storage struct {
	Err   error     // of what was refused first and has not gone well since, nil: all is well
	Since time.Time // when Err came, or when all was well again
}

// errNoStore is what a write is answered while no store is open.
var errNoStore = errors.New("no database is open")

func newDisk(open func(context.Context) (*store.Store, error), log *slog.Logger) *disk {
	return &disk{open: open, log: log, gone: make(chan struct{}), came: make(chan struct{}), refused: map[string]error{}}
}

// Between two attempts to open a store.
const (
	leastReopen = time.Second
	mostReopen  = 30 * time.Second
)

// start makes the first attempt. A disk that refuses is a state; an error is something only a person can mend: a directory in use
// by another agent, a database of a newer program, a file without the right to read it.
func (d *disk) start(ctx context.Context) error {
	s, err := d.open(ctx)
	if err == nil {
		d.install(s)
		return nil
	}
	if !errors.Is(err, store.ErrDisk) {
		return fmt.Errorf("state_dir: %w", err)
	}
	d.note("open", err)
	return nil
}

// run opens a store whenever there is none, until ctx ends; then it tries once more. arrived is called with one that was opened
// so, before anybody else writes to it.
func (d *disk) run(ctx context.Context, arrived func(context.Context, *store.Store) error) error {
	pause := time.Duration(0)
	for ctx.Err() == nil {
		if _, gone, err := d.now(); err == nil {
			select {
			case <-gone:
				pause = 0
			case <-ctx.Done():
				return nil
			}
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		pause = min(max(2*pause, leastReopen), mostReopen)
		d.again(context.WithoutCancel(ctx), arrived)
	}
	return nil
}

// again closes what is out of use and opens a store in its place.
func (d *disk) again(ctx context.Context, arrived func(context.Context, *store.Store) error) {
	d.mu.Lock()
	old := d.old
	d.old = nil
	d.mu.Unlock()
	if old != nil {
		if err := old.Close(); err != nil {
			d.log.Debug("the store that is out of use was not closed in order", "err", err)
		}
	}
	s, err := d.open(ctx)
	if err == nil {
		if err = arrived(ctx, s); err != nil {
			err = errors.Join(err, s.Close())
		}
	}
	d.note("open", err)
	if err == nil {
		d.install(s)
	}
}

func (d *disk) install(s *store.Store) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.store, d.before, d.gone = s, s.Stream(), make(chan struct{})
	close(d.came)
}

// drop takes a store out of use that is broken.
func (d *disk) drop(s *store.Store, why error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.store != s {
		return
	}
	d.log.Error("the database broke; another one is begun", "err", why)
	d.store, d.old, d.came = nil, s, make(chan struct{})
	close(d.gone)
}

// lostStream reports whether a store begins another stream than that of the one before it in this run.
func (d *disk) lostStream(s *store.Store) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.before != wire.ID{} && d.before != s.Stream()
}

// last returns the stream of the last store of this run, zero without one.
func (d *disk) last() wire.ID {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.before
}

// now returns the store, with a channel that is closed when it is out of use.
func (d *disk) now() (s *store.Store, gone <-chan struct{}, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.store != nil {
		return d.store, d.gone, nil
	}
	if err := d.refused["open"]; err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errNoStore, err)
	}
	return nil, nil, errNoStore
}

// await waits for a store; nil when ctx ends first.
func (d *disk) await(ctx context.Context) (*store.Store, <-chan struct{}) {
	for {
		s, gone, err := d.now()
		if err == nil {
			return s, gone
		}
		d.mu.Lock()
		came := d.came
		d.mu.Unlock()
		select {
		case <-came:
		case <-ctx.Done():
			return nil, nil
		}
	}
}

// close closes the store, if there is one.
func (d *disk) close() error {
	var errs []error
	for _, s := range []*store.Store{d.store, d.old} {
		if s != nil {
			errs = append(errs, s.Close())
		}
	}
	return errors.Join(errs...)
}

// state says whether everything that is to be written is.
func (d *disk) state() Storage {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.stateNow()
}

func (d *disk) stateNow() Storage {
	out := Storage{Since: d.since}
	for _, what := range []string{"open", "events", "samples"} {
		if out.Err == nil {
			out.Err = d.refused[what]
		}
	}
	return out
}

// note takes note of how a write went. The begin and the end of a time in which something is refused are one line each.
func (d *disk) note(what string, err error) {
	d.noting.Lock() // begin and end are told in their order
	defer d.noting.Unlock()
	if st, news := d.noted(what, err); news && d.tell != nil {
		d.tell(st)
	}
}

func (d *disk) noted(what string, err error) (st Storage, news bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	was := len(d.refused)
	if err != nil {
		d.refused[what] = err
	} else {
		delete(d.refused, what)
	}
	now := time.Now()
	switch is := len(d.refused); {
	case was == 0 && is > 0:
		d.since = now
		d.log.Error("the disk refuses; alarms and samples are kept in memory and tried again", "err", err)
	case was > 0 && is == 0:
		d.log.Info("everything is stored again", "after", now.Sub(d.since).Round(time.Millisecond))
		d.since = now
	default:
		return st, false
	}
	return d.stateNow(), true
}

// with calls fn with the store.
func (d *disk) with(fn func(*store.Store) error) error {
	s, _, err := d.now()
	if err != nil {
		return err
	}
	if err = fn(s); errors.Is(err, store.ErrBroken) {
		d.drop(s, err)
	}
	return err
}

// write is with for what must not be lost.
func (d *disk) write(what string, fn func(*store.Store) error) error {
	err := d.with(fn)
	d.note(what, err)
	return err
}

// PutSamples is the store's.
func (d *disk) PutSamples(ctx context.Context, blocks []store.Samples) error {
	if d.unowned != nil && d.unowned() {
		blocks = slices.DeleteFunc(slices.Clone(blocks), func(b store.Samples) bool { return b.Epoch == 0 })
	}
	return d.write("samples", func(s *store.Store) error { return s.PutSamples(ctx, blocks) })
}

// PutEvents is the store's.
func (d *disk) PutEvents(ctx context.Context, unit string, state []byte, events []store.Event) error {
	if unit != "" && d.unowned != nil && d.unowned() {
		events = slices.DeleteFunc(slices.Clone(events), func(e store.Event) bool { return e.Epoch == 0 })
	}
	return d.write("events", func(s *store.Store) error { return s.PutEvents(ctx, unit, state, events) })
}

// PutResults is the store's.
func (d *disk) PutResults(ctx context.Context, journal wire.ID, results []store.Result) error {
	return d.with(func(s *store.Store) error { return s.PutResults(ctx, journal, results) })
}

// PutUnitGap is the store's.
func (d *disk) PutUnitGap(ctx context.Context, epoch uint32, g wire.Gap, stamp wire.Stamp) error {
	if g.Unit != "" && epoch == 0 && d.unowned != nil && d.unowned() {
		return nil
	}
	return d.with(func(s *store.Store) error { return s.PutUnitGap(ctx, epoch, g, stamp) })
}

// AlarmState is the store's.
func (d *disk) AlarmState(ctx context.Context, unit string) (saved []byte, err error) {
	err = d.with(func(s *store.Store) error { saved, err = s.AlarmState(ctx, unit); return err })
	return saved, err
}

// Begin is the store's.
func (d *disk) Begin(ctx context.Context, unit string, at wire.Stamp) error {
	return d.with(func(s *store.Store) error { return s.Begin(ctx, unit, at) })
}

// End is the store's.
func (d *disk) End(ctx context.Context, unit string) error {
	return d.with(func(s *store.Store) error { return s.End(ctx, unit) })
}

// PutLost is the store's.
func (d *disk) PutLost(ctx context.Context, n uint64, stamp wire.Stamp) error {
	return d.write("events", func(s *store.Store) error { return s.PutLost(ctx, n, stamp) })
}

// Expect is the store's.
func (d *disk) Expect(n uint64) {
	if s, _, err := d.now(); err == nil {
		s.Expect(n)
	}
}

// AgentID is the store's.
func (d *disk) AgentID(ctx context.Context) (id string, err error) {
	err = d.with(func(s *store.Store) error { id, err = s.AgentID(ctx); return err })
	return id, err
}

// stats are those of the store, zero without one.
func (d *disk) stats() store.Stats {
	if s, _, err := d.now(); err == nil {
		return s.Stats()
	}
	return store.Stats{}
}

// stream is the store's, "" without one.
func (d *disk) stream() string {
	if s, _, err := d.now(); err == nil {
		return s.Stream().String()
	}
	return ""
}
