package ingest

import (
	"slices"
	"strings"
	"testing"
	"time"

	"upsedge/internal/wire"
)

func TestEachRecordOnceAndTheMarkBehindTheLastWithoutAHole(t *testing.T) {
	both(t, testEachRecordOnceAndTheMarkBehindTheLastWithoutAHole)
}

func testEachRecordOnceAndTheMarkBehindTheLastWithoutAHole(t *testing.T) {
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

func TestARecordOfAnUnknownClassIsStoredAsItIs(t *testing.T) {
	both(t, testARecordOfAnUnknownClassIsStoredAsItIs)
}

func testARecordOfAnUnknownClassIsStoredAsItIs(t *testing.T) {
	r, b := newReceiver(t), newBox(t, "rack7")
	m := b.publish(b.alarm(1, "one"))
	m.Payload = []byte(strings.Replace(string(m.Payload), `"class":"alarm"`, `"class":"receipt","more":[1,2]`, 1))
	m.Topic = wire.Topic(b.name, wire.TopicResults)
	wantMarks(t, take(t, r, m), "rack7 events 1")
	if got := stored(t, r, b, wire.Events); len(got) != 1 || got[0].Class != "receipt" || !strings.Contains(string(got[0].Record.Payload), `"more":[1,2]`) {
		t.Errorf("kept: %+v", got)
	}
	wantTold(t, r)
}

// What an agent says by its own clock may become known after a record was sent for the first time.
func TestTheSameRecordWithATimeIsTheSameRecord(t *testing.T) {
	both(t, testTheSameRecordWithATimeIsTheSameRecord)
}

func testTheSameRecordWithATimeIsTheSameRecord(t *testing.T) {
	r, b := newReceiver(t), newBox(t, "rack7")
	with := b.alarm(1, "one")
	without := with
	without.Stamp.Wall = time.Time{}
	take(t, r, b.publish(without))
	wantMarks(t, take(t, r, b.publish(with)), "rack7 events 1")
	if got := stored(t, r, b, wire.Events); len(got) != 1 || got[0].Time.Kind != Trusted || !got[0].Time.At.Equal(with.Stamp.Wall) {
		t.Errorf("kept: %+v", got)
	}
	wantTold(t, r)
}

func TestStreamsAndAgentsAreNumberedApart(t *testing.T) {
	both(t, testStreamsAndAgentsAreNumberedApart)
}

func testStreamsAndAgentsAreNumberedApart(t *testing.T) {
	r, a, b := newReceiver(t), newBox(t, "rack-a"), newBox(t, "rack-b")
	old := *a
	old.stream = wire.ID{77}
	wantMarks(t, take(t, r, a.publish(a.alarm(1, "a")), b.publish(b.alarm(1, "b")), old.publish(old.alarm(2, "old"))),
		"rack-a events 1", "rack-b events 1", "rack-a events 0")
	if got := numbers(t, r, &old, wire.Events); !slices.Equal(got, []uint64{2}) {
		t.Errorf("of the other stream: %v", got)
	}
}

// A hostile agent must not make a lane of any number of pieces, nor any number of lanes.
func TestPiecesAndStreamsAreBounded(t *testing.T) { both(t, testPiecesAndStreamsAreBounded) }

func testPiecesAndStreamsAreBounded(t *testing.T) {
	r, b := newReceiver(t), newBox(t, "rack7")
	var messages []Message
	for n := range uint64(maxSpans + 10) {
		messages = append(messages, b.publish(b.alarm(3+2*n, "odd")))
	}
	take(t, r, messages...)
	if got := laneOf(t, r, b, wire.Events); got.Records != maxSpans || len(got.Holes) != maxSpans {
		t.Errorf("%d records, %d holes, want %d", got.Records, len(got.Holes), maxSpans)
	}
	take(t, r, b.publish(b.alarm(2, "fills a hole")), b.publish(b.gap(4, wire.Gap{Lane: wire.Events, First: 1, Last: 4, Reason: wire.GapQuota})))
	if got := laneOf(t, r, b, wire.Events); got.Through != 5 {
		t.Errorf("mark %d, want 5: holes can still be filled", got.Through)
	}
	messages = nil
	for n := range maxStreams + 10 {
		b.stream = wire.ID{5, byte(n), byte(n >> 8)}
		messages = append(messages, b.publish(b.alarm(1, "new")), b.publish(b.block(1, 0, 1)))
	}
	take(t, r, messages...)
	lanes, err := r.Reader().Lanes(t.Context())
	must(t, err)
	if len(lanes) != maxStreams*len(wire.Lanes) {
		t.Errorf("%d lanes, want %d", len(lanes), maxStreams*len(wire.Lanes))
	}
}
