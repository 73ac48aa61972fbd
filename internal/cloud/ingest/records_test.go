package ingest

import (
	"slices"
	"testing"

	"upsedge/internal/wire"
)

func TestEachRecordOnceAndTheMarkBehindTheLastWithoutAHole(t *testing.T) {
	r, b := newReceiver(t), newBox(t, "rack7")
	wantMarks(t, take(t, r, b.publish(b.alarm(1, "one")), b.publish(b.alarm(2, "two"))), "rack7 events 2")
	wantMarks(t, take(t, r, b.publish(b.alarm(4, "four")), b.publish(b.block(1, 0, 3))), "rack7 events 2", "rack7 samples 1")
	wantMarks(t, take(t, r, b.publish(b.alarm(2, "two")), b.publish(b.alarm(4, "four"))), "rack7 events 2")
	wantMarks(t, take(t, r, b.publish(b.alarm(3, "three"))), "rack7 events 4")
	if got := numbers(t, r, b, wire.Events); !slices.Equal(got, []uint64{1, 2, 3, 4}) {
		t.Errorf("events %v", got)
	}
	var arrivals []int64
	for _, s := range stored(t, r, b, wire.Events) {
		arrivals = append(arrivals, s.Arrival)
	}
	if !slices.Equal(arrivals, []int64{1, 2, 4, 3}) {
		t.Errorf("arrived in the order %v, want 1 2 4 3", arrivals)
	}
	if got := stored(t, r, b, wire.Events)[2]; string(got.Record.Payload) != string(b.alarm(3, "three").Payload) || !got.Record.Stamp.Wall.Equal(b.stamp(3).Wall) {
		t.Errorf("record 3 is kept as %+v", got)
	}
	wantTold(t, r)
}
