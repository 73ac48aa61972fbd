package ingest

import (
	"slices"
	"testing"

	"upsedge/internal/wire"
)

func quota(lane wire.Lane, first, last uint64) wire.Gap {
	return wire.Gap{Lane: lane, First: first, Last: last, Reason: wire.GapQuota}
}

func TestAGapSettlesWhatWillNotCome(t *testing.T) { both(t, testAGapSettlesWhatWillNotCome) }

func testAGapSettlesWhatWillNotCome(t *testing.T) {
	r, b := newReceiver(t), newBox(t, "rack7")
	take(t, r, b.publish(b.block(1, 0, 1)), b.publish(b.block(6, 0, 1)))
	if got := laneOf(t, r, b, wire.Samples); got.Through != 1 || !slices.Equal(got.Holes, []Span{{2, 5}}) {
		t.Errorf("before the gap: %+v", got)
	}
	// It covers 6 as well, which is here and stays.
	wantMarks(t, take(t, r, b.publish(b.gap(1, quota(wire.Samples, 2, 8)))), "rack7 events 1", "rack7 samples 8")
	if got := numbers(t, r, b, wire.Samples); !slices.Equal(got, []uint64{1, 6}) {
		t.Errorf("samples %v", got)
	}
	gaps, err := r.Reader().Gaps(t.Context(), b.name, b.stream)
	must(t, err)
	if len(gaps) != 1 || gaps[0].Seq != 1 || gaps[0].Gap != quota(wire.Samples, 2, 8) {
		t.Errorf("gaps %+v", gaps)
	}
}

func TestAGapBeforeItsRecordsCome(t *testing.T) { both(t, testAGapBeforeItsRecordsCome) }

func testAGapBeforeItsRecordsCome(t *testing.T) {
	r, b := newReceiver(t), newBox(t, "rack7")
	wantMarks(t, take(t, r, b.publish(b.gap(1, quota(wire.Samples, 1, 3)))), "rack7 events 1", "rack7 samples 3")
	// It was on its way when the box lost it. It is true, so it is kept; the mark has passed it.
	wantMarks(t, take(t, r, b.publish(b.block(2, 0, 1)), b.publish(b.block(2, 0, 1))), "rack7 samples 3")
	if got := stored(t, r, b, wire.Samples); len(got) != 1 || !got[0].Late {
		t.Errorf("kept: %+v", got)
	}
	wantTold(t, r)
}

func TestWhatWasErasedIsNotKept(t *testing.T) { both(t, testWhatWasErasedIsNotKept) }

func testWhatWasErasedIsNotKept(t *testing.T) {
	r, b := newReceiver(t), newBox(t, "rack7")
	take(t, r, b.publish(b.gap(1, wire.Gap{Lane: wire.Samples, First: 1, Last: 3, Reason: wire.GapErasure})))
	wantMarks(t, take(t, r, b.publish(b.block(2, 0, 1))), "rack7 samples 3")
	if got := stored(t, r, b, wire.Samples); len(got) != 0 {
		t.Errorf("kept: %+v", got)
	}
}

// Of the events lane a gap takes the number of the record that came to harm (FORMAT.md, section 4.2).
func TestAGapUnderTheNumberOfARecordThatIsHere(t *testing.T) {
	both(t, testAGapUnderTheNumberOfARecordThatIsHere)
}

func testAGapUnderTheNumberOfARecordThatIsHere(t *testing.T) {
	r, b := newReceiver(t), newBox(t, "rack7")
	take(t, r, b.publish(b.alarm(3, "three")))
	damage := wire.Gap{Lane: wire.Events, First: 1, Last: 3, Reason: wire.GapDamage}
	wantMarks(t, take(t, r, b.publish(b.gap(3, damage)), b.publish(b.gap(3, damage))), "rack7 events 3")
	if got := stored(t, r, b, wire.Events); len(got) != 1 || got[0].Class != "alarm" {
		t.Errorf("kept: %+v", got)
	}
	if l := laneOf(t, r, b, wire.Events); l.Frozen != 0 {
		t.Errorf("frozen at %d: that is no conflict", l.Frozen)
	}
	wantTold(t, r)
}

func TestARecordBehindTheGapThatTookItsNumber(t *testing.T) {
	both(t, testARecordBehindTheGapThatTookItsNumber)
}

func testARecordBehindTheGapThatTookItsNumber(t *testing.T) {
	r, b := newReceiver(t), newBox(t, "rack7")
	take(t, r, b.publish(b.gap(2, wire.Gap{Lane: wire.Events, First: 1, Last: 2, Reason: wire.GapDamage})))
	wantMarks(t, take(t, r, b.publish(b.alarm(2, "two")), b.publish(b.alarm(2, "two")), b.publish(b.alarm(1, "one"))), "rack7 events 2")
	asides, err := r.Reader().Asides(t.Context())
	must(t, err)
	if len(asides) != 1 || asides[0].Conflict || asides[0].Copies != 2 || asides[0].Record.Seq != 2 {
		t.Errorf("aside: %+v", asides)
	}
	if got := numbers(t, r, b, wire.Events); !slices.Equal(got, []uint64{1, 2}) {
		t.Errorf("events %v", got)
	}
	wantTold(t, r)
}

func TestAGapOfFormTwoIsListed(t *testing.T) { both(t, testAGapOfFormTwoIsListed) }

func testAGapOfFormTwoIsListed(t *testing.T) {
	r, b := newReceiver(t), newBox(t, "rack7")
	g := wire.Gap{Unit: "rack-a", From: b.stamp(1), To: b.stamp(9), Reason: wire.GapCrash}
	wantMarks(t, take(t, r, b.publish(b.gap(1, g)), b.publish(b.gap(1, g))), "rack7 events 1")
	gaps, err := r.Reader().Gaps(t.Context(), b.name, b.stream)
	must(t, err)
	if len(gaps) != 1 || gaps[0].Gap != g {
		t.Errorf("gaps %+v", gaps)
	}
}

// The agent never sends again what was acknowledged: a receiver with an empty database must not wait for it.
func TestAReceiverThatLostItsRecordsGoesOnWhereTheAgentBegins(t *testing.T) {
	both(t, testAReceiverThatLostItsRecordsGoesOnWhereTheAgentBegins)
}

func testAReceiverThatLostItsRecordsGoesOnWhereTheAgentBegins(t *testing.T) {
	r, b := newReceiver(t), newBox(t, "rack7")
	take(t, r, b.publish(b.block(100_000, 0, 1)), b.publish(b.block(99_998, 0, 1)))
	if got := laneOf(t, r, b, wire.Samples); got.Through != 0 {
		t.Errorf("mark %d before the agent has said where it begins", got.Through)
	}
	waiting := []wire.Waiting{{First: 41, Last: 40}, {First: 99_998, Last: 100_002}}
	wantMarks(t, take(t, r, b.full(7, 1, waiting...)), "rack7 events 40", "rack7 samples 99998")
	wantMarks(t, take(t, r, b.publish(b.block(99_999, 0, 1)), b.full(7, 1, waiting...)), "rack7 samples 100000")
	gaps, err := r.Reader().Gaps(t.Context(), b.name, b.stream)
	must(t, err)
	want := []wire.Gap{{Lane: wire.Events, First: 1, Last: 40, Reason: Forgotten}, {Lane: wire.Samples, First: 1, Last: 99_997, Reason: Forgotten}}
	if len(gaps) != 2 || gaps[0].Gap != want[0] || gaps[1].Gap != want[1] {
		t.Errorf("gaps %+v, want %+v", gaps, want)
	}
	wantTold(t, r, "rack7 ingest.forgotten 2")
	// What a broker still had of them is kept all the same.
	take(t, r, b.publish(b.block(5, 0, 1)))
	if got := stored(t, r, b, wire.Samples); len(got) != 4 || !got[0].Late {
		t.Errorf("kept: %+v", got)
	}
}

// What the agent still holds is not written off, though it is in one hole with what it does not.
func TestAHoleIsWrittenOffOnlyBelowWhatTheAgentHolds(t *testing.T) {
	both(t, testAHoleIsWrittenOffOnlyBelowWhatTheAgentHolds)
}

func testAHoleIsWrittenOffOnlyBelowWhatTheAgentHolds(t *testing.T) {
	r, b := newReceiver(t), newBox(t, "rack7")
	take(t, r, b.publish(b.block(2, 0, 1)), b.publish(b.block(20, 0, 1)))
	take(t, r, b.full(7, 1, wire.Waiting{First: 1}, wire.Waiting{First: 10, Last: 20}))
	if got := laneOf(t, r, b, wire.Samples); got.Through != 9 || !slices.Equal(got.Holes, []Span{{10, 19}}) {
		t.Errorf("kept: %+v, want a hole from 10 to 19", got)
	}
}
