package ingest

import (
	"bytes"
	"strings"
	"testing"

	"upsedge/internal/wire"
)

// T-28: a restored state directory, or two boxes that run the same one, use numbers again.
func TestANumberUsedAgainIsAConflictAndNothingIsOverwritten(t *testing.T) {
	both(t, testANumberUsedAgainIsAConflictAndNothingIsOverwritten)
}

func testANumberUsedAgainIsAConflictAndNothingIsOverwritten(t *testing.T) {
	r, b := newReceiver(t), newBox(t, "rack7")
	take(t, r, b.publish(b.alarm(1, "one")), b.publish(b.alarm(2, "two")), b.publish(b.alarm(3, "three")))
	wantMarks(t, take(t, r, b.publish(b.alarm(2, "another")), b.publish(b.alarm(4, "four"))), "rack7 events 1")
	wantMarks(t, take(t, r, b.publish(b.alarm(2, "another")), b.publish(b.alarm(3, "a third"))), "rack7 events 1")
	got := stored(t, r, b, wire.Events)
	if len(got) != 4 || !bytes.Equal(got[1].Record.Payload, b.alarm(2, "two").Payload) {
		t.Errorf("kept: %+v", got)
	}
	asides, err := r.Reader().Asides(t.Context())
	must(t, err)
	if len(asides) != 2 || !asides[0].Conflict || asides[0].Copies != 2 || bytes.Equal(asides[0].Hash, asides[0].Stored) ||
		!bytes.Equal(asides[0].Record.Payload, b.alarm(2, "another").Payload) {
		t.Errorf("aside: %+v", asides)
	}
	wantTold(t, r, "rack7 identity.clone_suspected 3")
}

// What a second copy says of its numbers must not settle those of the first.
func TestAGapThatContradictsARecordIsNotApplied(t *testing.T) {
	both(t, testAGapThatContradictsARecordIsNotApplied)
}

func testAGapThatContradictsARecordIsNotApplied(t *testing.T) {
	r, b := newReceiver(t), newBox(t, "rack7")
	take(t, r, b.publish(b.alarm(1, "one")))
	wantMarks(t, take(t, r, b.publish(b.gap(1, quota(wire.Samples, 1, 5)))), "rack7 events 0")
	if l := laneOf(t, r, b, wire.Samples); l.Through != 0 {
		t.Errorf("mark of the samples %d", l.Through)
	}
}

func TestAConflictLastsOverARestartUntilSomebodyHasLooked(t *testing.T) {
	both(t, testAConflictLastsOverARestartUntilSomebodyHasLooked)
}

func testAConflictLastsOverARestartUntilSomebodyHasLooked(t *testing.T) {
	c, b := config(t), newBox(t, "rack7")
	r := opened(t, c, Options{})
	take(t, r, b.publish(b.alarm(1, "one")), b.publish(b.alarm(2, "two")), b.publish(b.alarm(1, "another")))
	r = restarted(t, c, r, Options{})
	wantMarks(t, take(t, r, b.publish(b.alarm(2, "two"))), "rack7 events 0")
	must(t, r.Resolve(t.Context(), b.name, b.stream, wire.Events))
	wantMarks(t, take(t, r, b.publish(b.alarm(1, "another")), b.publish(b.alarm(3, "three"))), "rack7 events 3")
	wantTold(t, r, "rack7 identity.clone_suspected 1 over")
	wantMarks(t, take(t, r, b.publish(b.alarm(2, "one more"))), "rack7 events 1")
}

func TestAsidesAreBounded(t *testing.T) { both(t, testAsidesAreBounded) }

func testAsidesAreBounded(t *testing.T) {
	r, b := newReceiver(t), newBox(t, "rack7")
	messages := []Message{b.publish(b.alarm(1, "one"))}
	for n := range maxAsides + 20 {
		messages = append(messages, b.publish(b.alarm(1, strings.Repeat("x", n))))
	}
	take(t, r, messages...)
	asides, err := r.Reader().Asides(t.Context())
	must(t, err)
	if len(asides) != maxAsides {
		t.Errorf("%d set aside, want %d", len(asides), maxAsides)
	}
}

// Numbers that went back are seen before a record contradicts.
func TestALastNumberBelowWhatIsHereIsARestoredState(t *testing.T) {
	both(t, testALastNumberBelowWhatIsHereIsARestoredState)
}

func testALastNumberBelowWhatIsHereIsARestoredState(t *testing.T) {
	r, b := newReceiver(t), newBox(t, "rack7")
	take(t, r, b.full(10, 1, wire.Waiting{First: 1}, wire.Waiting{First: 1}), b.publish(b.alarm(1, "one")), b.publish(b.alarm(2, "two")))
	wantTold(t, r)
	retained := b.full(10, 1, wire.Waiting{First: 1}, wire.Waiting{First: 1})
	retained.Retained = true
	take(t, r, retained, b.full(10, 1, wire.Waiting{First: 1}, wire.Waiting{First: 1})) // old words, once more
	wantTold(t, r)
	b.boot++ // a copy begins with a start of its own
	take(t, r, b.full(11, 2, wire.Waiting{First: 1, Last: 1}, wire.Waiting{First: 1}))
	wantTold(t, r, "rack7 identity.clone_suspected 1")
}

// A broker that lost its connection to us keeps no order between topics: a state may come behind records that were put after it.
func TestAStateThatIsOvertakenByItsRecordsIsNoCopy(t *testing.T) {
	both(t, testAStateThatIsOvertakenByItsRecordsIsNoCopy)
}

func testAStateThatIsOvertakenByItsRecordsIsNoCopy(t *testing.T) {
	b, r := newBox(t, "rack7"), newReceiver(t)
	waiting := []wire.Waiting{{First: 1, Last: 1}, {First: 1, Last: 0}}
	take(t, r, b.publish(b.alarm(1, "one")), b.publish(b.alarm(2, "two")))
	take(t, r, b.first(1, 1), b.full(1, 1, waiting...))
	wantTold(t, r)

	b.bootID = wire.ID{8} // a copy that counts its starts alike, on another machine
	take(t, r, b.first(2, 2), b.full(2, 2, waiting...))
	wantTold(t, r, "rack7 identity.clone_suspected 1")
}
