package ingest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/testenv"
	"upsedge/internal/wire"
)

// run runs a Group until stop is called.
func run(t testing.TB, g *Group) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var ended sync.WaitGroup
	ended.Go(func() { must(t, g.Run(ctx)) })
	stop = sync.OnceFunc(func() {
		cancel()
		ended.Wait()
	})
	t.Cleanup(stop)
	return stop
}

// One message that a part of the cloud cannot bear, by a mistake of ours, is set aside; all others are stored.
func TestOneMessageThatCannotBeStoredStandsBeforeNobody(t *testing.T) {
	both(t, testOneMessageThatCannotBeStoredStandsBeforeNobody)
}

func testOneMessageThatCannotBeStoredStandsBeforeNobody(t *testing.T) {
	const poison = 17
	r := opened(t, config(t), Options{Sinks: Sinks{
		Event: func(ctx context.Context, tx *store.Tx, _ string, s Stored, _ *wire.PublishedEvent) error {
			if s.Record.Seq != poison {
				return nil
			}
			_, err := tx.Exec(ctx, `SELECT no_such_function()`)
			return err
		},
	}})
	g, b := NewGroup(r, func([]Answer) {}), newBox(t, "rack7")
	var all sync.WaitGroup
	for n := range uint64(40) {
		all.Add(1)
		g.Put(t.Context(), b.publish(b.alarm(n+1, "text")), func(err error) {
			must(t, err)
			all.Done()
		})
	}
	run(t, g)
	all.Wait()
	if l := laneOf(t, r, b, wire.Events); l.Records != 39 || l.Through != poison-1 {
		t.Errorf("%+v", l)
	}
	wantTold(t, r, "rack7 ingest.refused 1")
}

// What a Group still has when it stops is given back, once each.
func TestAGroupThatStopsGivesBackWhatItHas(t *testing.T) {
	r, f := faulty(t, Options{})
	g, b := NewGroup(r, func([]Answer) { t.Error("answered") }), newBox(t, "rack7")
	f.Arm(1, 1<<40)
	var mu sync.Mutex
	back := map[uint64]int{}
	put := func(n uint64) {
		g.Put(t.Context(), b.publish(b.alarm(n, "text")), func(err error) {
			mu.Lock()
			defer mu.Unlock()
			if back[n]++; !errors.Is(err, ErrStopped) {
				t.Errorf("%d: %v", n, err)
			}
		})
	}
	for n := range uint64(50) {
		put(n + 1)
	}
	stop := run(t, g)
	var all sync.WaitGroup
	for n := range uint64(50) {
		all.Go(func() { put(51 + n) }) // while it stops
	}
	stop()
	all.Wait()
	put(101)
	for n := uint64(1); n <= 101; n++ {
		if back[n] != 1 {
			t.Errorf("%d was given back %d times", n, back[n])
		}
	}
}

// The server is killed while messages come, and comes back: what was acknowledged is there, each record once, and the rest follows.
func TestAServerThatIsKilledLosesNothing(t *testing.T) {
	server := testenv.OwnPostgres(t, "")
	r, b := opened(t, storetest.PostgresOn(t, server), Options{}), newBox(t, "rack7")
	g := NewGroup(r, func([]Answer) {})
	run(t, g)
	const messages = 300
	stored := make(chan uint64, messages)
	go func() {
		for n := uint64(1); n <= messages; n++ {
			g.Put(t.Context(), b.publish(b.alarm(n, "text")), func(err error) {
				must(t, err)
				stored <- n
			})
			time.Sleep(time.Millisecond)
		}
	}()
	for n := uint64(1); n <= messages; n++ {
		select {
		case got := <-stored:
			if got != n {
				t.Fatalf("%d behind %d", got, n-1)
			}
		case <-time.After(60 * time.Second):
			t.Fatalf("%d of %d stored after a minute", n-1, messages)
		}
		if n == 50 || n == 150 {
			server.Kill()
			server.Start(t)
			if l := laneOf(t, r, b, wire.Events); l.Through < n {
				t.Errorf("%d was acknowledged, stored is %+v", n, l)
			}
		}
	}
	if got := fmt.Sprint(len(numbers(t, r, b, wire.Events)), laneOf(t, r, b, wire.Events).Through); got != "300 300" {
		t.Errorf("kept %s", got)
	}
	wantTold(t, r)
}
