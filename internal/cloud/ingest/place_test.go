package ingest

import (
	"context"
	"testing"
	"time"

	"upsedge/internal/cloud/store"
	"upsedge/internal/wire"
)

// T-27: a box without a clock begins at no time, is set after ten minutes, and steps back an hour later on.
func TestRecordsWithoutATimeArePlacedByALaterOneOfTheirBoot(t *testing.T) {
	both(t, testRecordsWithoutATimeArePlacedByALaterOneOfTheirBoot)
}

func testRecordsWithoutATimeArePlacedByALaterOneOfTheirBoot(t *testing.T) {
	arrival := start.Add(50 * time.Hour)
	r, b := opened(t, config(t), Options{Now: func() time.Time { return arrival }}), newBox(t, "rack7")
	untimed := func(seq uint64, boot byte, mono time.Duration) Message {
		rec := b.alarm(seq, "text")
		rec.Stamp = wire.Stamp{BootID: wire.ID{boot}, Mono: mono}
		return b.publish(rec)
	}
	timed := func(seq uint64, boot byte, mono time.Duration, wall time.Time) Message {
		rec := b.alarm(seq, "text")
		rec.Stamp = wire.Stamp{BootID: wire.ID{boot}, Mono: mono, Wall: wall}
		return b.publish(rec)
	}
	take(t, r,
		timed(1, 1, time.Hour, start.Add(time.Hour)),                                    // the boot before
		untimed(2, 2, 5*time.Minute),                                                    // a boot that never learns the time
		untimed(3, 3, 2*time.Minute), untimed(4, 3, 9*time.Minute+250*time.Millisecond), // ten minutes without
		timed(5, 3, 10*time.Minute, start.Add(24*time.Hour)),                          // and then with
		timed(6, 3, 40*time.Minute, start.Add(24*time.Hour+30*time.Minute-time.Hour)), // set back an hour
		untimed(7, 3, 41*time.Minute),                                                 // holds on to that
		untimed(8, 3, 20*time.Minute),                                                 // nearer to the time before that
	)
	want := []Time{
		{Kind: Trusted, At: start.Add(time.Hour)},
		{Kind: Bounded, NotBefore: start.Add(time.Hour), NotAfter: arrival},
		{Kind: Placed, At: start.Add(24*time.Hour - 8*time.Minute)},
		{Kind: Placed, At: start.Add(24*time.Hour - 59750*time.Millisecond)},
		{Kind: Trusted, At: start.Add(24 * time.Hour)},
		{Kind: Trusted, At: start.Add(23*time.Hour + 30*time.Minute)},
		{Kind: Placed, At: start.Add(23*time.Hour + 31*time.Minute)},
		{Kind: Placed, At: start.Add(24*time.Hour + 10*time.Minute)},
	}
	for i, s := range stored(t, r, b, wire.Events) {
		if s.Record.Seq != uint64(i+1) || s.Time != want[i] {
			t.Errorf("record %d: %+v, want number %d, %+v", s.Record.Seq, s.Time, i+1, want[i])
		}
	}
	// A state, too, tells what time it was.
	full := &wire.FullState{Now: wire.Stamp{BootID: wire.ID{2}, Mono: 6 * time.Minute, Wall: start.Add(2 * time.Hour)}}
	take(t, r, b.state(wire.State{Session: 1, Online: true, Full: full}))
	if got := stored(t, r, b, wire.Events)[1].Time; got != (Time{Kind: Placed, At: start.Add(2*time.Hour - time.Minute)}) {
		t.Errorf("record 2 is placed at %+v", got)
	}
}

// What is known of a boot is bounded: one anchor an hour, and one for each step.
func TestAnchorsAreFew(t *testing.T) { both(t, testAnchorsAreFew) }

func testAnchorsAreFew(t *testing.T) {
	r, b := newReceiver(t), newBox(t, "rack7")
	var messages []Message
	for n := range uint64(1000) {
		rec := b.alarm(n+1, "text")
		rec.Stamp = b.stamp(int(n) * 30)
		messages = append(messages, b.publish(rec))
	}
	take(t, r, messages...)
	var n int
	must(t, r.db.Read(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		return tx.QueryRow(ctx, `SELECT COUNT(*) FROM anchors`).Scan(&n)
	}))
	if n < 8 || n > 10 {
		t.Errorf("%d anchors of eight hours, want one an hour", n)
	}
}
