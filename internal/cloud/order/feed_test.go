package order

import (
	"context"
	"errors"
	"testing"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/policy"
	"upsedge/internal/wire"
)

// follow runs a feed; what it emits comes out of the channel, which is closed at its end.
func (w *world) follow(t *testing.T, f *Feed) (events <-chan Event, end <-chan error) {
	out, ended := make(chan Event, 100), make(chan error, 1)
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(stop)
	go func() {
		ended <- f.Run(ctx, func(events []Event) error {
			for _, e := range events {
				out <- e
			}
			return nil
		})
		close(out)
	}()
	return out, ended
}

func TestAFeedTellsEveryStateOnceAndEndsWithTheLast(t *testing.T) {
	onSQLite(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.connect()
		o := w.reboot()
		f, err := w.book.Subscribe(t.Context(), owner, "", o.ID.String(), 0, nil)
		must(t, err)
		events, end := w.follow(t, f)
		if e := <-events; e.State != Pending || e.Number != 1 {
			t.Errorf("first %+v", e)
		}
		w.pass()
		if e := <-events; e.State != Sent {
			t.Errorf("then %+v", e)
		}
		w.deliver()
		var last Event
		for e := range events {
			if e.Number <= last.Number {
				t.Errorf("%d behind %d", e.Number, last.Number)
			}
			last = e
		}
		if err := <-end; err != nil || last.State != wire.OrderDone || last.Number != 6 {
			t.Errorf("ended with %v behind %+v", err, last)
		}
		if len(w.book.feeds.n) != 0 {
			t.Errorf("places are still taken: %v", w.book.feeds.n)
		}
	})
}

// Another process writes: nobody wakes the feed.
func TestAFeedSeesWhatAnotherProcessHasWritten(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		o := w.reboot()
		f, err := w.book.Subscribe(t.Context(), owner, deviceID, "", 1, nil)
		must(t, err)
		events, _ := w.follow(t, f)
		w.start()
		_, _, err = w.cancel(owner, o.ID)
		must(t, err)
		if e := <-events; e.Number != 2 || e.Action != policy.OrderCancel {
			t.Errorf("%+v", e)
		}
		if e := <-events; e.Number != 3 || e.State != wire.OrderCancelled {
			t.Errorf("%+v", e)
		}
	})
}

func TestTIME1AFeedEndsWithTheRightToIt(t *testing.T) {
	w := newWorld(t, storetest.Open(t, storetest.SQLite(t)))
	w.reboot()
	f, err := w.book.Subscribe(t.Context(), owner, deviceID, "", 0, nil)
	must(t, err)
	events, end := w.follow(t, f)
	<-events
	w.exec(`UPDATE devices SET owner = 'a_bob'`)
	select {
	case err := <-end:
		if reasonOf(t, err) != policy.NotFound {
			t.Errorf("ended with %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("it goes on")
	}
	signedOut := cloud.Refuse(policy.Unauthenticated, "signed out")
	w.exec(`UPDATE devices SET owner = 'a_ada'`)
	f, err = w.book.Subscribe(t.Context(), owner, deviceID, "", 0, func(context.Context) error { return signedOut })
	must(t, err)
	if err := f.Run(t.Context(), func([]Event) error { return nil }); !errors.Is(err, signedOut) {
		t.Errorf("of who signed out: %v", err)
	}
}

func TestFeedsAreBounded(t *testing.T) {
	w := newWorld(t, storetest.Open(t, storetest.SQLite(t)))
	var open []*Feed
	for range feedsOfActor {
		f, err := w.book.Subscribe(t.Context(), owner, deviceID, "", 0, nil)
		must(t, err)
		open = append(open, f)
	}
	if _, err := w.book.Subscribe(t.Context(), owner, deviceID, "", 0, nil); reasonOf(t, err) != policy.RateLimit {
		t.Errorf("one too many: %v", err)
	}
	open[0].Close()
	open[0].Close()
	if _, err := w.book.Subscribe(t.Context(), owner, deviceID, "", 0, nil); err != nil {
		t.Errorf("one less: %v", err)
	}
	if _, err := w.book.Subscribe(t.Context(), alien, deviceID, "", 0, nil); reasonOf(t, err) != policy.NotFound {
		t.Errorf("a stranger: %v", err)
	}
}
