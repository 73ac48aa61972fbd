package order

import (
	"context"
	"sync"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

const (
	feedsOfActor = 8                // at one time, in one process
	feedOnce     = 100              // events read at once
	feedLook     = 3 * time.Second  // between two looks of a feed that nobody wakes: rights are asked then, within TIME-1's 5 s
	feedLookSQL  = time.Second      // the same on PostgreSQL, where another process may write
	feedBeat     = 15 * time.Second // between two words, so that who is between keeps the connection, and one that is gone is noticed
)

// feeds counts who listens.
type feeds struct {
	mu sync.Mutex
	n  map[string]int // by actor
}

func (f *feeds) take(actor string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.n == nil {
		f.n = map[string]int{}
	}
	if f.n[actor] >= feedsOfActor {
		return false
	}
	f.n[actor]++
	return true
}

func (f *feeds) leave(actor string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.n[actor]--; f.n[actor] <= 0 {
		delete(f.n, actor)
	}
}

// A Feed tells the events of one order, or of all orders of a device, as they come. Use Subscribe.
type Feed struct {
	b      *Book
	actor  cloud.Actor
	device string
	order  string // "": all of the device
	after  uint64
	alive  func(context.Context) error
	asked  time.Time // when alive was
	once   sync.Once
}

// Subscribe returns the feed of an order or, where that is "", of a device, behind the event of a number (0: from the first). It is
// refused as Get and List are, and with RATE_LIMIT where one actor has too many. alive, unless nil, is asked now and then whether who
// asked is still signed in. Close is to be called.
func (b *Book) Subscribe(ctx context.Context, actor cloud.Actor, device, order string, after uint64, alive func(context.Context) error) (*Feed, error) {
	f := &Feed{b: b, actor: actor, device: device, order: order, after: after, alive: alive}
	err := b.db.Read(ctx, func(ctx context.Context, tx *store.Tx) error {
		if order == "" {
			_, err := b.mayRead(ctx, tx, actor, device)
			return err
		}
		o, err := b.Get(ctx, tx, actor, order)
		if err == nil {
			f.device = o.Device
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if !b.feeds.take(actor.Ref) {
		return nil, &cloud.Error{Reason: policy.RateLimit, Detail: "too many feeds are open", Retry: feedBeat}
	}
	return f, nil
}

// Close gives the feed's place back.
func (f *Feed) Close() { f.once.Do(func() { f.b.feeds.leave(f.actor.Ref) }) }

// Run calls emit with what has come, and with nil now and then so that the connection is used. It ends with nil behind the final state of
// an order, with the error of emit, with a *cloud.Error when the right to listen ended, and with ctx.
func (f *Feed) Run(ctx context.Context, emit func([]Event) error) error {
	defer f.Close()
	changed, stop := f.b.hub.listen(f.device)
	defer stop()
	timer := time.NewTicker(f.b.feedLook)
	defer timer.Stop()
	quiet := time.Now()
	for {
		events, ended, err := f.read(ctx)
		if err != nil {
			return err
		}
		if len(events) > 0 || time.Since(quiet) >= feedBeat {
			if err := emit(events); err != nil {
				return err
			}
			quiet = time.Now()
		}
		switch {
		case len(events) == feedOnce:
			continue
		case ended:
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		case <-timer.C:
		}
	}
}

// read returns what is behind the last number told, if who listens still may, and whether nothing more will come.
func (f *Feed) read(ctx context.Context) (events []Event, ended bool, err error) {
	if f.alive != nil && time.Since(f.asked) >= f.b.feedLook {
		if err := f.alive(ctx); err != nil {
			return nil, false, err
		}
		f.asked = time.Now()
	}
	err = f.b.db.Read(ctx, func(ctx context.Context, tx *store.Tx) error {
		events, ended = nil, false
		var since time.Time
		if f.order == "" {
			if since, err = f.b.mayRead(ctx, tx, f.actor, f.device); err != nil {
				return err
			}
		} else {
			o, from, err := f.b.get(ctx, tx, f.actor, f.order)
			if err != nil {
				return err
			}
			ended, since = !o.FinalAt.IsZero(), from
		}
		events, err = eventsAfter(ctx, tx, f.device, f.order, f.after, since, feedOnce)
		return err
	})
	if err == nil && len(events) > 0 {
		f.after = events[len(events)-1].Number
	}
	return events, ended, err
}
