package ingest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/wire"
)

// faulty is a Receiver on a database of the test's own whose calls can fail.
func faulty(t testing.TB, o Options) (*Receiver, *storetest.Faults) {
	t.Helper()
	f, c := &storetest.Faults{}, config(t)
	c.Wrap = f.Wrap
	return opened(t, c, o), f
}

// script is a bit of everything.
func script(b *box) [][]Message {
	return [][]Message{
		{b.first(5, 1), b.full(5, 1, wire.Waiting{First: 3, Last: 9}, wire.Waiting{First: 1})},
		{b.publish(b.alarm(3, "three")), b.publish(b.encoded(1, 0, 5)), b.publish(b.gap(4, quota(wire.Samples, 2, 6)))},
		{b.publish(b.alarm(3, "another")), b.publish(b.alarm(7, "seven")), {Topic: "upsedge/v1/rack7/host", Payload: []byte(`{"os":"x"}`)}},
		{b.publish(b.alarm(5, "five")), b.publish(b.block(5, 0, 5)), {Topic: "upsedge/v1/rack7/events", Payload: []byte("no")}},
		{b.publish(b.alarm(3, "three")), b.will(5)},
	}
}

// picture is all that can be seen of a receiver.
func picture(t testing.TB, r *Receiver) (out string) {
	t.Helper()
	ctx, rd := context.Background(), r.Reader()
	lanes, err := rd.Lanes(ctx)
	must(t, err)
	for _, l := range lanes {
		shown := l
		shown.ID = 0 // a transaction that was given up leaves a hole in PostgreSQL's numbers
		out += fmt.Sprintln(shown)
		must(t, rd.Records(ctx, l, func(s Stored) error {
			s.LaneID = 0
			out += fmt.Sprintln(s)
			return nil
		}))
		gaps, err := rd.Gaps(ctx, l.Agent, l.Stream)
		must(t, err)
		out += fmt.Sprintln(gaps)
	}
	agents, err := rd.Agents(ctx)
	must(t, err)
	asides, err := rd.Asides(ctx)
	must(t, err)
	quarantine, err := rd.Quarantine(ctx)
	must(t, err)
	return out + fmt.Sprintln(agents, asides, quarantine, told(t, r))
}

func fixed() time.Time { return start.Add(time.Hour) }

// T-22 at the receiving end: whatever fails, nothing of the batch is kept and nothing answered, and the next attempt keeps all.
func TestAFailingDiskKeepsAllOfABatchOrNothing(t *testing.T) {
	both(t, testAFailingDiskKeepsAllOfABatchOrNothing)
}

func testAFailingDiskKeepsAllOfABatchOrNothing(t *testing.T) {
	b := newBox(t, "rack7")
	steps := script(b)
	want := make([]string, len(steps))
	sound := opened(t, config(t), Options{Now: fixed})
	for i, step := range steps {
		take(t, sound, step...)
		want[i] = picture(t, sound)
	}
	failed := 0
	for i := range steps {
		r, f := faulty(t, Options{Now: fixed})
		for _, step := range steps[:i] {
			take(t, r, step...)
		}
		before := picture(t, r)
		for n := int64(1); ; n++ {
			f.Arm(n, 1)
			answers, err := r.Take(t.Context(), steps[i])
			f.Arm(1, 0)
			if err == nil {
				break // it takes fewer calls than that
			}
			failed++
			if !errors.Is(err, storetest.ErrInjected) || answers != nil || picture(t, r) != before {
				t.Fatalf("step %d, call %d: %v, %d answers\nbefore:\n%s\nafter:\n%s", i, n, err, len(answers), before, picture(t, r))
			}
		}
		if got := picture(t, r); got != want[i] {
			t.Errorf("step %d, at last:\n%s\nwant:\n%s", i, got, want[i])
		}
	}
	if failed < 60 {
		t.Errorf("only %d calls failed", failed)
	}
}

// A commit may have been made though its success was never learnt.
func TestABatchCommittedTwiceIsThereOnce(t *testing.T) { both(t, testABatchCommittedTwiceIsThereOnce) }

func testABatchCommittedTwiceIsThereOnce(t *testing.T) {
	r, f := faulty(t, Options{})
	b := newBox(t, "rack7")
	batch := []Message{b.publish(b.alarm(1, "one")), b.publish(b.gap(2, quota(wire.Samples, 1, 6))), b.publish(b.block(7, 0, 5))}
	take(t, r, b.full(1, 1))
	f.Late.Store(true)
	f.Commits.Store(true)
	f.Arm(1, 1)
	if answers, err := r.Take(t.Context(), batch); !errors.Is(err, storetest.ErrInjected) || answers != nil {
		t.Fatalf("the commit did not fail: %d answers, %v", len(answers), err)
	}
	if got := numbers(t, r, b, wire.Events); len(got) != 2 {
		t.Fatalf("the commit was not made: %v", got)
	}
	f.Arm(1, 0)
	wantMarks(t, take(t, r, batch...), "rack7 events 2", "rack7 samples 7")
	if l := laneOf(t, r, b, wire.Events); l.Records != 2 {
		t.Errorf("%+v", l)
	}
	wantTold(t, r)
}

func TestNothingIsAcknowledgedWhileTheDiskRefuses(t *testing.T) {
	both(t, testNothingIsAcknowledgedWhileTheDiskRefuses)
}

func testNothingIsAcknowledgedWhileTheDiskRefuses(t *testing.T) {
	f, c := &storetest.Faults{}, config(t)
	c.Wrap = f.Wrap
	synctest.Test(t, func(t *testing.T) {
		r := opened(t, c, Options{})
		var published, stored atomic.Int64
		g := NewGroup(r, func(a []Answer) { published.Add(int64(len(a))) })
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); must(t, g.Run(ctx)) }()
		b := newBox(t, "rack7")
		f.Arm(1, 1<<40)
		g.Put(ctx, b.publish(b.alarm(1, "one")), func(err error) {
			must(t, err)
			stored.Add(1)
		})
		time.Sleep(time.Minute)
		synctest.Wait()
		if published.Load() != 0 || stored.Load() != 0 {
			t.Errorf("%d answers, %d acknowledged on a disk that refuses", published.Load(), stored.Load())
		}
		f.Arm(1, 0)
		time.Sleep(mostRetry)
		synctest.Wait()
		if published.Load() != 1 || stored.Load() != 1 {
			t.Errorf("%d answers, %d acknowledged afterwards, want one each", published.Load(), stored.Load())
		}
		cancel()
		<-done
	})
}

// A database that is deleted under a running receiver takes commits on; what is only there must not be acknowledged.
func TestNothingIsAcknowledgedIntoADatabaseThatIsGone(t *testing.T) {
	c := storetest.SQLite(t)
	r := opened(t, c, Options{})
	b := newBox(t, "rack7")
	take(t, r, b.publish(b.block(1, 0, 1)))
	path := c.DSN
	must(t, os.Rename(path, path+".away"))
	for range 2 {
		if answers, err := r.Take(t.Context(), []Message{b.publish(b.block(2, 0, 1))}); !errors.Is(err, store.ErrGone) || len(answers) > 0 {
			t.Errorf("%d answers, %v", len(answers), err)
		}
	}
	must(t, os.Rename(path+".away", path))
	take(t, r, b.publish(b.block(2, 0, 1)))
}
