package ingest

import (
	"time"

	"upsedge/internal/wire"
)

// record applies a record. It returns what forbids to keep it, which is the message's fault; errors of the database stick.
//
// Numbers that are settled are looked up; all others are new. So the usual record costs one insertion.
func (b *batch) record(agent string, r *record) error {
	l := b.lane(agent, r.Stream, r.Lane)
	if b.err != nil {
		return nil
	}
	if l == nil {
		return errTooManyStreams
	}
	if len(l.settled) >= maxSpans && !l.settled.touches(r.Seq, r.Seq) {
		return errTooManyHoles
	}
	about, err := b.about(l, r.gap)
	if err != nil || b.err != nil {
		return err
	}
	b.touch(l)
	b.anchor(agent, r.Stamp)
	b.learn(agent, r)
	switch {
	case !l.settled.has(r.Seq) && !b.wanted(agent, r):
		b.cover(l, r.Seq, r.Seq) // of a dead epoch: settled, and not kept
		return nil
	case !l.settled.has(r.Seq):
		b.insert(l, r, false)
		if r.unreadable != nil {
			b.notice(agent, Unreadable, subjectOf(l), clean(r.unreadable.Error(), 300))
		}
	case !b.settledBefore(l, r):
		return nil // it contradicts what is there: nothing it says counts
	}
	if r.gap != nil {
		b.gap(l, about, r)
	}
	return nil
}

// settledBefore deals with a record whose number is stored or covered. It reports whether the record is to be believed.
func (b *batch) settledBefore(l *lane, r *record) bool {
	kept := b.kept(l, r.Seq)
	switch {
	case b.err != nil:
		return false
	case kept == nil:
		b.insertLate(l, r)
	case kept.hash() == r.hash():
		b.adoptTime(l, kept, r)
	case r.replacesItself():
		// Its range is applied; what is here of the range stays.
	case kept.replacesItself():
		b.setAside(l, kept, r, false) // it was on its way before it came to harm
	default:
		b.conflict(l, kept, r)
		return false
	}
	return true
}

// insertLate keeps a record that comes behind the gap which covers it: it was sent before it was lost. What was erased on purpose
// is not kept.
func (b *batch) insertLate(l *lane, r *record) {
	if b.erased(l, r.Seq) || !b.wanted(l.agent, r) {
		return
	}
	b.insert(l, r, true)
}

// wallOf is how the tables keep the time of the wall clock: NULL without any.
func wallOf(s wire.Stamp) any {
	if s.Wall.IsZero() {
		return nil
	}
	return millis(s.Wall)
}

// kept reads the record that has the number, nil when there is none.
func (b *batch) kept(l *lane, seq uint64) *record {
	b.flush()
	r := &record{Record: wire.Record{Stream: l.stream, Lane: l.lane, Seq: seq}}
	var bootID []byte
	var mono int64
	var wall *int64
	if !b.one(`SELECT class, epoch, boot, boot_id, mono, wall, payload FROM records WHERE lane = $1 AND seq = $2`, []any{l.id, int64(seq)},
		&r.class, &r.Epoch, &r.Boot, &bootID, &mono, &wall, &r.Payload) {
		return nil
	}
	r.Stamp = stampOf(bootID, mono, wall)
	if r.class == wire.ClassGap.String() {
		if g, err := wire.DecodeGap(r.Payload); err == nil {
			r.gap = &g
		}
	}
	return r
}

func stampOf(bootID []byte, mono int64, wall *int64) wire.Stamp {
	s := wire.Stamp{BootID: id(bootID), Mono: time.Duration(mono) * time.Microsecond}
	if wall != nil {
		s.Wall = fromMillis(*wall)
	}
	return s
}

// adoptTime gives a record that came without a time the one its copy has.
func (b *batch) adoptTime(l *lane, kept, r *record) {
	if kept.Stamp.Wall.IsZero() && !r.Stamp.Wall.IsZero() {
		b.exec(`UPDATE records SET wall = $1 WHERE lane = $2 AND seq = $3`, wallOf(r.Stamp), l.id, int64(r.Seq))
	}
}
