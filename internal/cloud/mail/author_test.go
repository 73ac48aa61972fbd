package mail

import (
	"context"
	"slices"
	"testing"

	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/mailsink"
)

// An author that wants what it is told.
type author struct {
	wants map[string]bool
	ended []string
}

func (a *author) Wanted(_ context.Context, _ *store.Tx, key string) (bool, error) {
	return a.wants[key], nil
}

func (a *author) Ended(_ context.Context, _ *store.Tx, key string, fate Fate) error {
	a.ended = append(a.ended, key+" "+string(fate))
	return nil
}

// TestPERM10AnAuthorIsAskedRightBeforeAMailGoes, and told once what became of it.
func TestPERM10AnAuthorIsAskedRightBeforeAMailGoes(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		sink, k := &mailsink.Sink{}, newClock()
		q, a := open(t, db, plain(listen(t, sink)), k), &author{wants: map[string]bool{"yes": true}}
		q.By("test", a)
		for _, key := range []string{"yes", "no", ""} {
			m := hello("jo@example.com")
			m.Key = key
			put(t, db, q, m)
		}
		if round(t, q) != 3 || len(sink.Mails()) != 2 || queued(t, db) != 0 || q.Counts() != (Counts{Sent: 2, Withdrawn: 1}) {
			t.Errorf("%d came, %+v", len(sink.Mails()), q.Counts())
		}
		slices.Sort(a.ended)
		if !slices.Equal(a.ended, []string{"no withdrawn", "yes sent"}) {
			t.Errorf("%q", a.ended)
		}
	})
}

// TestNOTE2AMailThatIsWithdrawnDoesNotGo, whether it waits or was taken up for sending.
func TestNOTE2AMailThatIsWithdrawnDoesNotGo(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		sink, k := &mailsink.Sink{}, newClock()
		q := open(t, db, plain(listen(t, sink)), k)
		for _, key := range []string{"a", "b"} {
			m := hello("jo@example.com")
			m.Key = key
			put(t, db, q, m)
		}
		withdraw := func(key string) (n int64) {
			err := db.Write(t.Context(), func(ctx context.Context, tx *store.Tx) (err error) { n, err = q.Withdraw(ctx, tx, key); return err })
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		if withdraw("a") != 1 || withdraw("a") != 0 || withdraw("") != 0 {
			t.Error("one waited")
		}
		claimed, err := q.claim(t.Context())
		if err != nil || len(claimed) != 1 || withdraw("b") != 1 {
			t.Fatal(claimed, err)
		}
		if got := q.send(t.Context(), claimed); got[0].fate != Withdrawn || len(sink.Mails()) != 0 {
			t.Errorf("%+v, %d came", got, len(sink.Mails()))
		}
	})
}
