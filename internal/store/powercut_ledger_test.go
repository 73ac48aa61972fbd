package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"upsedge/internal/wire"
)

// A ledger holds what a store said before its power went against what is there when it is opened again.
type ledger struct {
	stream wire.ID
	agent  string
	boot   uint32
	known  [3]map[uint64]*knownRecord
	sent   []wire.Gap // of form one, that a receiver has
	states map[string]uint64
	runs   map[string]knownRun
	cut    map[interruption]bool // interruptions that an opening has seen; true: their gap is told
	aside  bool                  // a broken file was set aside, and no run has ended since
	before oldStore1             // what a program of version 1 left
	floor  [3]uint64             // of which nothing above is missing: what was acknowledged before

	accepted int // records said in time
	faults   []fault
}

// A knownRecord is what was said of a number last.
type knownRecord struct {
	saidRecord
	sure bool // said before the cut, sent before it, or found on the disk after one
	sent bool // a receiver may have it

	erasing, erased bool // its unit may be erased; is
	anyUnit         bool // whose it is the ledger does not know
}

type knownRun struct {
	stamp wire.Stamp
	on    bool // samples are collected
	sure  bool
}

type interruption struct {
	unit string
	from wire.Stamp
}

// A fault is one broken promise.
type fault struct{ kind, what string }

// The kinds of faults.
const (
	faultLost    = "lost"    // accepted and gone without a gap that may be
	faultAltered = "altered" // other content than was put
	faultTwice   = "twice"   // a number, or what is told once, given again
	faultOpen    = "open"    // not opened, or set aside
)

func newLedger() *ledger {
	return &ledger{
		known:  [3]map[uint64]*knownRecord{wire.Events: {}, wire.Samples: {}},
		states: make(map[string]uint64), runs: make(map[string]knownRun), cut: make(map[interruption]bool),
	}
}

func (l *ledger) fault(kind, format string, args ...any) {
	l.faults = append(l.faults, fault{kind, fmt.Sprintf(format, args...)})
}

// hear takes a word of the child; sure is false for what came after the cut.
func (l *ledger) hear(w word, sure bool) {
	switch w.What {
	case "open":
		l.opened(w, sure)
	case "records":
		for _, r := range w.Records {
			l.record(r, sure)
		}
	case "sent":
		for _, r := range w.Records {
			l.deliver(r, sure)
		}
	case "state":
		if sure {
			l.states[w.Unit] = w.Number
		}
	case "moving":
		run := l.runs[w.Unit]
		run.sure = false
		l.runs[w.Unit] = run
	case "erasing":
		l.states[w.Unit] = 0
		run := l.runs[w.Unit]
		run.sure = false
		l.runs[w.Unit] = run
		maps.DeleteFunc(l.cut, func(i interruption, told bool) bool { return i.unit == w.Unit && !told })
		for _, r := range l.of(w.Unit) {
			r.erasing = true
		}
	case "erased":
		for _, r := range l.of(w.Unit) {
			r.erased = r.erased || r.erasing && !r.anyUnit && sure
		}
	case "closing":
		l.aside = false
		for unit, run := range l.runs {
			run.sure = false
			l.runs[unit] = run
		}
	case "runs":
		l.runs[w.Unit] = knownRun{w.Stamp, true, sure}
	case "ended":
		l.runs[w.Unit] = knownRun{l.runs[w.Unit].stamp, false, sure}
	case "closed":
		for unit, run := range l.runs {
			l.runs[unit] = knownRun{run.stamp, false, sure}
		}
	case "failed":
		if sure {
			l.fault(faultOpen, "a call failed before the cut: %s", w.Err)
		}
	}
}

// of returns the records of a unit. The epoch tells, and the gap.
func (l *ledger) of(unit string) (out []*knownRecord) {
	for _, lane := range wire.Lanes {
		for _, r := range l.known[lane] {
			its := int(r.Epoch)/10 == slices.Index(flipUnits, unit)
			if r.anyUnit || r.Gap == nil && its || r.Gap != nil && r.Gap.Unit == unit {
				out = append(out, r)
			}
		}
	}
	return out
}

func (l *ledger) opened(w word, sure bool) {
	if l.stream != (wire.ID{}) && w.Stream != l.stream || l.agent != "" && w.Agent != l.agent || w.Boot <= l.boot {
		l.fault(faultAltered, "stream %v, agent %s, opening %d; was %v, %s, %d", w.Stream, w.Agent, w.Boot, l.stream, l.agent, l.boot)
	}
	if sure {
		l.stream, l.agent, l.boot = w.Stream, w.Agent, w.Boot
	}
}

// record takes one that was put. What was sure stays so, unless a gap record grew or took its place.
func (l *ledger) record(r saidRecord, sure bool) {
	if sure {
		l.accepted++
	}
	was := l.known[r.Lane][r.Seq]
	if was != nil && was.sure && was.Sum != r.Sum && !replaces(was, r) {
		l.fault(faultTwice, "number %d of %v given twice", r.Seq, r.Lane)
	}
	if was != nil && was.sure && !sure {
		return // the disk will show which of the two it kept
	}
	l.known[r.Lane][r.Seq] = &knownRecord{saidRecord: r, sure: sure}
}

// replaces reports whether r may stand in the place of was: a gap that names its number, or one that has grown.
func replaces(was *knownRecord, r saidRecord) bool {
	if r.Gap == nil || r.Gap.Reason != wire.GapQuota && r.Gap.Reason != wire.GapErasure {
		return false
	}
	old := was.Gap
	if old != nil && old.Reason == r.Gap.Reason && old.Lane == r.Gap.Lane && r.Gap.First <= old.First && r.Gap.Last >= old.Last && !was.sent {
		return true // grown
	}
	return covers(*r.Gap, r.Lane, r.Seq) && (was.erasing || r.Gap.Reason == wire.GapQuota)
}

func covers(g wire.Gap, lane wire.Lane, n uint64) bool {
	return g.Lane == lane && g.First <= n && n <= g.Last
}

// deliver takes one that Next returned.
func (l *ledger) deliver(r saidRecord, sure bool) {
	was := l.known[r.Lane][r.Seq]
	switch {
	case was == nil:
		was = &knownRecord{saidRecord: r}
	case was.Sum != r.Sum && was.sure && !replaces(was, r):
		l.fault(faultAltered, "record %d of %v was read with other content", r.Seq, r.Lane)
	}
	was.saidRecord, was.sent = r, true
	was.sure = was.sure || sure
	l.known[r.Lane][r.Seq] = was
	if r.Gap != nil && r.Gap.Lane != 0 {
		l.sent = append(l.sent, *r.Gap)
	}
}

// compare holds the store, just opened, against what is known; what is found becomes known, but for what this opening of a copy
// has put itself. acked is up to where the child has acknowledged, at most.
func (l *ledger) compare(ctx context.Context, s *Store, acked [3]uint64, copied bool) error {
	own := uint32(0)
	if copied {
		own = s.Boot()
	}
	var found [3]map[uint64]saidRecord
	gaps := slices.Clone(l.sent)
	for _, lane := range wire.Lanes {
		found[lane] = make(map[uint64]saidRecord)
		for after := uint64(0); ; {
			records, err := s.Next(ctx, lane, after, 100, 1<<20)
			if err != nil {
				return err
			}
			if len(records) == 0 {
				break
			}
			for _, r := range records {
				after = r.Seq
				found[lane][r.Seq] = said(r)
				if g := said(r).Gap; g != nil && g.Lane != 0 {
					gaps = append(gaps, *g)
				}
				if was := l.known[lane][r.Seq]; was == nil || !was.sure {
					l.genuine(r)
				}
			}
		}
		if n := s.Stats().Lane(lane).Records; n != int64(len(found[lane])) {
			l.fault(faultLost, "%d records counted in %v, %d there", n, lane, len(found[lane]))
		}
	}
	for _, g := range gaps {
		if g.Reason == wire.GapDamage && !l.before.damaged(g) {
			l.fault(faultLost, "%d to %d of %v told as damaged", g.First, g.Last, g.Lane)
		}
	}
	for _, lane := range wire.Lanes {
		l.lane(lane, s.Stats().Lane(lane).Last, acked[lane], found[lane], gaps)
		l.learn(lane, found[lane], own)
	}
	l.told()
	l.interrupted(s.Crashed())
	return l.alarmStates(ctx, s)
}

// genuine checks a payload by itself: of what was put without a word there is nothing else to hold it against.
func (l *ledger) genuine(r wire.Record) {
	ok := true
	switch r.Class {
	case wire.ClassSamples:
		ok = genuine(r.Payload) != 0
	case wire.ClassAlarm:
		_, err := wire.DecodeEvent(r.Payload)
		ok = err == nil
	}
	if !ok {
		l.fault(faultAltered, "record %d of %v is not what anybody put", r.Seq, r.Lane)
	}
}

// lane checks one lane: nothing sure is missing or other, no number without an owner.
func (l *ledger) lane(lane wire.Lane, last, acked uint64, found map[uint64]saidRecord, gaps []wire.Gap) {
	covered := func(n uint64) bool {
		return slices.ContainsFunc(gaps, func(g wire.Gap) bool { return covers(g, lane, n) })
	}
	excused := func(n uint64, why wire.GapReason) bool {
		return slices.ContainsFunc(gaps, func(g wire.Gap) bool { return covers(g, lane, n) && g.Reason == why })
	}
	for n, was := range l.known[lane] {
		r, there := found[n]
		switch {
		case !was.sure && !there && !was.sent:
			delete(l.known[lane], n) // it was not accepted, its number is free
		case !was.sure:
		case n > last:
			l.fault(faultLost, "record %d of %v is gone, its number will be given again", n, lane)
		case there && r.Sum != was.Sum && !replaces(was, r):
			l.fault(faultAltered, "record %d of %v has other content", n, lane)
		case !there && n > acked && !excused(n, wire.GapQuota) && !((was.erasing || was.Gap != nil) && excused(n, wire.GapErasure)):
			l.fault(faultLost, "record %d of %v", n, lane)
		case there && was.erased && r.Gap == nil:
			l.fault(faultLost, "the erasure of record %d of %v", n, lane)
		}
	}
	for n := l.floor[lane] + 1; n <= last; n++ {
		if was := l.known[lane][n]; found[n].Seq == 0 && (was == nil || !was.sent) && !covered(n) {
			l.fault(faultLost, "number %d of %v, of %d, has no record and no gap", n, lane, last)
		}
	}
}

// learn notes what was found.
func (l *ledger) learn(lane wire.Lane, found map[uint64]saidRecord, own uint32) {
	for n, r := range found {
		if r.boot == own {
			continue
		}
		was := l.known[lane][n]
		k := &knownRecord{saidRecord: r, sure: true}
		if was != nil {
			k.sent, k.erasing, k.erased, k.anyUnit = was.sent, was.erasing, was.erased, was.anyUnit
		}
		l.known[lane][n] = k
	}
}

// told checks that each interruption is told once.
func (l *ledger) told() {
	seen := make(map[interruption]uint64)
	for n, r := range l.known[wire.Events] {
		if g := r.Gap; g != nil && g.Lane == 0 && g.Unit != "" && r.sure {
			i := interruption{g.Unit, g.From}
			if other := seen[i]; other != 0 {
				l.fault(faultTwice, "gaps %d and %d tell the same", other, n)
			}
			seen[i] = n
			l.cut[i] = true
		}
	}
}

// interrupted checks the list of Crashed.
func (l *ledger) interrupted(list []Interrupted) {
	open := make(map[interruption]bool)
	for _, i := range list {
		k := interruption{i.Unit, i.Last}
		open[k] = true
		if l.cut[k] {
			l.fault(faultTwice, "interruption %v is told and still open", k)
		}
	}
	for k, told := range l.cut {
		if !told && !open[k] {
			l.fault(faultLost, "interruption %v", k)
		}
	}
	for k := range open {
		l.cut[k] = false
	}
	for unit, run := range l.runs {
		k := interruption{unit, run.stamp}
		if run.sure && run.on && !open[k] && !l.cut[k] {
			l.fault(faultLost, "unit %s was interrupted at %v, nobody knows", unit, run.stamp.Mono)
		}
		if run.sure && !run.on && open[k] {
			l.fault(faultTwice, "unit %s ended cleanly and counts as interrupted", unit)
		}
	}
}

func (l *ledger) alarmStates(ctx context.Context, s *Store) error {
	for _, unit := range flipUnits {
		state, err := s.AlarmState(ctx, unit)
		if err != nil && !errors.As(err, new(*CorruptError)) {
			return err
		}
		n := genuine(state)
		switch {
		case err == nil && state != nil && string(state) == l.before.states[unit] && l.states[unit] == 0:
		case err != nil || n == 0 && state != nil:
			l.fault(faultAltered, "the alarm state of %s is not what anybody put: %v", unit, err)
		case n < l.states[unit]:
			l.fault(faultLost, "alarm state %d of %s is %d", l.states[unit], unit, n)
		default:
			l.states[unit] = n
		}
	}
	return nil
}
