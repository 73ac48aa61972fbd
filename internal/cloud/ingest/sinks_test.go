package ingest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"upsedge/internal/cloud/store"
	"upsedge/internal/wire"
)

// heardOf is what sinks were told, in order; what a transaction told that was given up is forgotten.
type heardOf struct{ list []string }

func (h *heardOf) add(tx *store.Tx, format string, args ...any) error {
	tx.After(func() { h.list = append(h.list, fmt.Sprintf(format, args...)) })
	return nil
}

func (h *heardOf) want(t testing.TB, want ...string) {
	t.Helper()
	if !slices.Equal(h.list, want) {
		t.Errorf("told %q, want %q", h.list, want)
	}
	h.list = nil
}

func (h *heardOf) sinks() Sinks {
	return Sinks{
		Event: func(_ context.Context, tx *store.Tx, agent string, s Stored, e *wire.PublishedEvent) error {
			what := "alarm"
			if e.Result != nil {
				what = "result " + string(e.Result.State)
			}
			return h.add(tx, "%s %s %d %v late=%v", agent, what, s.Record.Seq, s.Time.Kind, s.Late)
		},
		State: func(_ context.Context, tx *store.Tx, agent string, full *wire.FullState, _ time.Time) error {
			return h.add(tx, "%s state of %v", agent, full.Stream == wire.ID{})
		},
		Session: func(_ context.Context, tx *store.Tx, agent string, session uint64, nonce wire.ID, _ time.Time) error {
			return h.add(tx, "%s session %d %d", agent, session, nonce[0])
		},
		Presence: func(_ context.Context, tx *store.Tx, agent string, online bool, _ time.Time) error {
			return h.add(tx, "%s online %v", agent, online)
		},
	}
}

func (b *box) result(seq uint64, state wire.OrderState) wire.Record {
	b.t.Helper()
	body, err := wire.EncodeResult(wire.Result{
		Order: wire.ID{7}, Device: "AS1", Unit: "rack-a", Action: "reboot.ups", State: state, Actor: "u_1", Role: "OWNER",
	})
	must(b.t, err)
	return b.record(wire.Events, wire.ClassResult, seq, body)
}

// Each newly stored alarm and result is told once, whatever comes again.
func TestEventsAreToldOnce(t *testing.T) { both(t, testEventsAreToldOnce) }

func testEventsAreToldOnce(t *testing.T) {
	var h heardOf
	r, b := opened(t, config(t), Options{Sinks: h.sinks()}), newBox(t, "rack7")
	untimed := b.alarm(2, "two")
	untimed.Stamp.Wall = time.Time{}
	batch := []Message{b.publish(b.alarm(1, "one")), b.publish(untimed), b.publish(b.result(3, wire.OrderDone)), b.publish(b.block(1, 0, 5))}
	wantMarks(t, take(t, r, batch...), "rack7 events 3", "rack7 samples 1")
	h.want(t, "rack7 alarm 1 trusted late=false", "rack7 alarm 2 placed late=false", "rack7 result done 3 trusted late=false")
	take(t, r, batch...)
	take(t, r, b.publish(b.gap(4, quota(wire.Events, 5, 6))), b.publish(b.alarm(1, "another")))
	h.want(t)
	take(t, r, b.publish(b.alarm(5, "five")))
	h.want(t, "rack7 alarm 5 trusted late=true")
	if got := stored(t, r, b, wire.Events)[2]; got.Record.Class != wire.ClassResult || got.Class != "result" {
		t.Errorf("a result is kept as %v %q", got.Record.Class, got.Class)
	}
}

// What a sink refuses is not stored, nor anything beside it; it is tried again.
func TestASinkThatFailsUndoesTheBatch(t *testing.T) { both(t, testASinkThatFailsUndoesTheBatch) }

func testASinkThatFailsUndoesTheBatch(t *testing.T) {
	var h heardOf
	sinks, no := h.sinks(), errors.New("no")
	event, fails := sinks.Event, true
	sinks.Event = func(ctx context.Context, tx *store.Tx, agent string, s Stored, e *wire.PublishedEvent) error {
		if fails && s.Record.Seq == 2 {
			return no
		}
		return event(ctx, tx, agent, s, e)
	}
	r, b := opened(t, config(t), Options{Sinks: sinks}), newBox(t, "rack7")
	batch := []Message{b.publish(b.alarm(1, "one")), b.publish(b.alarm(2, "two"))}
	if answers, err := r.Take(t.Context(), batch); !errors.Is(err, no) || answers != nil || numbers(t, r, b, wire.Events) != nil {
		t.Errorf("%d answers, %v", len(answers), err)
	}
	h.want(t)
	fails = false
	wantMarks(t, take(t, r, batch...), "rack7 events 2")
	h.want(t, "rack7 alarm 1 trusted late=false", "rack7 alarm 2 trusted late=false")
}

// TIME-4: an agent is there with its session, and not behind its will or three silent heartbeats.
func TestTIME4PresenceFollowsSessionsWillsAndSilence(t *testing.T) { both(t, testTIME4) }

func testTIME4(t *testing.T) {
	var h heardOf
	now := start
	r, b := opened(t, config(t), Options{Sinks: h.sinks(), Now: func() time.Time { return now }}), newBox(t, "rack7")
	r.Listening(true)
	watch := func(d time.Duration) {
		t.Helper()
		now = now.Add(d)
		must(t, r.Watch(t.Context()))
	}
	take(t, r, b.first(5, 1), b.full(5, 1))
	h.want(t, "rack7 session 5 1", "rack7 online true", "rack7 state of false")
	take(t, r, b.first(5, 2))
	h.want(t, "rack7 session 5 2") // its nonce was renewed
	take(t, r, b.will(4), b.will(5))
	h.want(t, "rack7 online false")
	take(t, r, b.first(6, 3))
	h.want(t, "rack7 session 6 3", "rack7 online true")
	watch(silentAfter - time.Second)
	h.want(t)
	watch(time.Second)
	h.want(t, "rack7 online false")
	watch(time.Minute)
	h.want(t)
	wantTold(t, r, "rack7 840 1")
	take(t, r, b.publish(b.alarm(1, "one")))
	h.want(t, "rack7 online true", "rack7 alarm 1 trusted late=false")
	wantTold(t, r, "rack7 840 1 over")
}

// DEL-11: what a dead epoch still sends is not stored, and settled all the same, so that the agent forgets it.
func TestDEL11RecordsOfADeadEpochAreAcknowledgedAndNotKept(t *testing.T) { both(t, testDEL11) }

func testDEL11(t *testing.T) {
	var h heardOf
	sinks := h.sinks()
	sinks.Keep = func(_ context.Context, _ *store.Tx, agent, device string, epoch uint32) (bool, error) {
		if agent != "rack7" || device != "AS1" {
			t.Errorf("asked for %s %s", agent, device)
		}
		return epoch >= 2, nil
	}
	c := config(t)
	r, b := opened(t, c, Options{Sinks: sinks}), newBox(t, "rack7")
	of := func(epoch uint32, rec wire.Record) Message {
		rec.Epoch = epoch
		return b.publish(rec)
	}
	batch := []Message{
		of(1, b.result(1, wire.OrderDone)), of(2, b.result(2, wire.OrderDone)), of(1, b.block(1, 0, 5)), of(2, b.block(2, 0, 5)), of(1, b.encoded(3, 0, 5)),
		of(1, b.alarm(3, "of the agent itself")), // names no device
	}
	for range 2 { // and again
		wantMarks(t, take(t, r, batch...), "rack7 events 3", "rack7 samples 3")
		r = restarted(t, c, r, Options{Sinks: sinks})
	}
	h.want(t, "rack7 result done 2 trusted late=false", "rack7 alarm 3 trusted late=false")
	if got := fmt.Sprint(numbers(t, r, b, wire.Events), numbers(t, r, b, wire.Samples)); got != "[2 3] [2]" {
		t.Errorf("kept %s, want [2 3] [2]", got)
	}
}

// A text with the character 0, which PostgreSQL takes nowhere, is kept as it came and told to nobody.
func TestTheCharacterZeroStopsNothing(t *testing.T) { both(t, testTheCharacterZeroStopsNothing) }

func testTheCharacterZeroStopsNothing(t *testing.T) {
	var h heardOf
	r, b := opened(t, config(t), Options{Sinks: h.sinks()}), newBox(t, "rack7")
	take(t, r, b.publish(b.alarm(1, "a\x00b")), b.publish(b.gap(2, wire.Gap{Unit: "a\x00b", Reason: "\x00"})), b.publish(b.alarm(3, "three")))
	h.want(t, "rack7 alarm 3 trusted late=false")
	if got := numbers(t, r, b, wire.Events); len(got) != 3 {
		t.Errorf("kept %v", got)
	}
	wantTold(t, r, "rack7 ingest.unreadable 1")
}

// countOnce counts what is told and committed, and complains of what is told twice.
func countOnce(t testing.TB, seen *sync.Map, n *atomic.Int64) func(context.Context, *store.Tx, string, Stored, *wire.PublishedEvent) error {
	return func(_ context.Context, tx *store.Tx, agent string, s Stored, _ *wire.PublishedEvent) error {
		tx.After(func() {
			if _, again := seen.LoadOrStore(fmt.Sprint(agent, s.Record.Seq), true); again {
				t.Errorf("%s %d was told twice", agent, s.Record.Seq)
			}
			n.Add(1)
		})
		return nil
	}
}
