package store

import (
	"context"
	"errors"
	"fmt"

	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// An Event is an event with what only the record carries. RaisedBy is filled in by PutEvents.
type Event struct {
	ups.Event
	Epoch uint32
	Stamp wire.Stamp
	// Picture is what led to it, nil for none: the payload is made by Encoder.EncodeAlone. It becomes the record directly behind
	// the event, in the same commit.
	Picture *Samples
}

// PutSamples numbers the blocks in their order and stores them in one commit. At the quota the oldest samples go first and
// leave a gap record; ErrFull when events alone fill it. After an error nothing is stored, and the units count as interrupted
// until a put of theirs succeeds.
func (s *Store) PutSamples(ctx context.Context, blocks []Samples) error {
	if len(blocks) == 0 {
		return nil
	}
	what := fmt.Sprintf("put %d sample blocks", len(blocks))
	fn := func(t *tx) {
		if err := s.keepReserve(); err != nil {
			t.fail(err)
			return
		}
		through := t.lanes[wire.Samples].last
		for _, b := range blocks {
			t.put(wire.Samples, wire.ClassSamples, owner{b.Unit, b.Epoch}, b.First, b.Payload)
		}
		for unit, b := range lastOfUnit(blocks) {
			t.resumed(unit, b.first)
			t.unitRuns(unit, b.last)
		}
		t.makeRoom(wire.Samples, through, blocks[len(blocks)-1].Last)
		t.after = append(t.after, func() { s.settle(blocks, false) })
	}
	// Without the reserve: on a full disk it is for what cannot wait.
	err := s.inTurn(ctx, what, func(ctx context.Context) error {
		err := s.commit(ctx, what, durable, fn)
		if err == nil {
			s.tidyPiece(ctx)
		}
		return err
	})
	if err != nil && !errors.Is(err, ErrClosed) {
		s.mu.Lock()
		s.settle(blocks, true)
		s.mu.Unlock()
	}
	return err
}

// settle notes whether the units' last put is owed. The caller holds mu.
func (s *Store) settle(blocks []Samples, owed bool) {
	for _, b := range blocks {
		if owed {
			s.owed[b.Unit] = true
		} else {
			delete(s.owed, b.Unit)
		}
	}
}

type span struct{ first, last wire.Stamp }

func lastOfUnit(blocks []Samples) map[string]span {
	units := make(map[string]span)
	for _, b := range blocks {
		u, seen := units[b.Unit]
		if !seen {
			u.first = b.First
		}
		u.last = b.Last
		units[b.Unit] = u
	}
	return units
}

// PutEvents numbers the events of a unit in their order and stores them in one commit, together with the unit's alarm state
// (opaque; nil leaves it as it is, events may then not be empty to do anything). The number of a Raise is kept until its Clear,
// whose RaisedBy it becomes. At the quota samples make room first, then the oldest pictures,
// then the oldest events. On a full disk
// the reserve is used, as far as acknowledgements can spare it.
func (s *Store) PutEvents(ctx context.Context, unit string, state []byte, events []Event) error {
	if len(events) == 0 && state == nil {
		return nil
	}
	what := fmt.Sprintf("put %d events of %q", len(events), unit)
	return s.write(ctx, what, durable, func(t *tx) {
		through := t.lanes[wire.Events].last
		var stamp wire.Stamp
		for _, e := range events {
			t.putEvent(unit, e)
			stamp = e.Stamp
		}
		if state != nil {
			t.saveState(unit, state)
		}
		if len(events) > 0 {
			t.makeRoom(wire.Events, through, stamp)
			t.leaveRoom()
		}
	})
}

func (t *tx) putEvent(unit string, e Event) {
	if e.Kind == ups.Clear {
		if n := t.takeRaise(unit, raiseKey(e.ID, e.Group)); n != 0 {
			e.RaisedBy = n
		}
	}
	payload, err := wire.EncodeEvent(e.Event)
	if err != nil {
		t.fail(err)
		return
	}
	seq := t.put(wire.Events, wire.ClassAlarm, owner{unit, e.Epoch}, e.Stamp, payload)
	if e.Kind == ups.Raise {
		t.putRaise(unit, raiseKey(e.ID, e.Group), seq)
	}
	if p := e.Picture; p != nil {
		t.put(wire.Events, wire.ClassPicture, owner{unit, e.Epoch}, p.First, wire.PicturePayload(seq, p.Payload))
	}
}

// PutGap stores a gap record. One of form two closes, in the same commit, the interruption of its unit that begins at
// g.From: it leaves the list of Crashed.
func (s *Store) PutGap(ctx context.Context, g wire.Gap, stamp wire.Stamp) error {
	return s.PutUnitGap(ctx, 0, g, stamp)
}

// PutUnitGap is PutGap of a unit in an epoch: the record is its owner's, and goes with the key of that epoch.
func (s *Store) PutUnitGap(ctx context.Context, epoch uint32, g wire.Gap, stamp wire.Stamp) error {
	return s.write(ctx, "put a gap", durable, func(t *tx) {
		through := t.lanes[wire.Events].last
		t.lanes[wire.Events].last++
		t.placeGapOf(t.lanes[wire.Events].last, epoch, g, stamp)
		if g.Lane == 0 {
			t.closeInterruption(g.Unit, g.From)
		}
		t.makeRoom(wire.Events, through, stamp)
		t.leaveRoom()
	})
}

// putGap numbers and stores a gap record.
func (t *tx) putGap(g wire.Gap, stamp wire.Stamp) {
	t.lanes[wire.Events].last++
	t.placeGap(t.lanes[wire.Events].last, g, stamp)
}

// placeGap stores a gap record under a number of the events lane that is free.
func (t *tx) placeGap(seq uint64, g wire.Gap, stamp wire.Stamp) { t.placeGapOf(seq, 0, g, stamp) }

func (t *tx) placeGapOf(seq uint64, epoch uint32, g wire.Gap, stamp wire.Stamp) {
	payload, err := wire.EncodeGap(g)
	if err != nil {
		t.fail(err)
		return
	}
	t.place(wire.Events, g.Unit, &wire.Record{Seq: seq, Class: wire.ClassGap, Epoch: epoch, Stamp: stamp, Payload: payload})
	if g.Lane != 0 {
		t.gaps = true
		t.exec("INSERT OR REPLACE INTO gaps VALUES (?, ?, ?, ?, ?)", int64(seq), g.Lane, int64(g.First), int64(g.Last), string(g.Reason))
	}
}

func (t *tx) fail(err error) {
	if t.err == nil {
		t.err = err
	}
}
