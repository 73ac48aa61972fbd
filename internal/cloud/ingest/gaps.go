package ingest

import (
	"fmt"

	"upsedge/internal/wire"
)

// Forgotten is the reason of gaps that the receiver states itself: the agent was told that these records are stored, and has them
// no more, and they are not here. Its own database was lost.
const Forgotten wire.GapReason = "forgotten"

// about returns the lane that a gap of form one concerns, nil for another one.
func (b *batch) about(l *lane, g *wire.Gap) (*lane, error) {
	if g == nil || g.Lane == 0 {
		return nil, nil
	}
	about := l
	if g.Lane != l.lane {
		about = b.lane(l.agent, l.stream, g.Lane)
	}
	switch {
	case b.err != nil:
		return nil, nil
	case about == nil:
		return nil, errTooManyStreams
	case len(about.settled) >= maxSpans && !about.settled.touches(g.First, g.Last):
		return nil, errTooManyHoles
	}
	return about, nil
}

// gap applies a gap record. It counts though its number, and some of its range, are known: what is here stays, the rest of the
// range is settled.
func (b *batch) gap(l, about *lane, r *record) {
	if about != nil {
		b.cover(about, r.gap.First, r.gap.Last)
	}
	b.stateGap(l, r.Seq, about, r.gap, r.Payload)
}

// cover settles a range.
func (b *batch) cover(l *lane, first, last uint64) {
	b.touch(l)
	if l.settled.add(first, last) {
		l.changed = true
	}
}

// stateGap puts a gap on the list, once.
func (b *batch) stateGap(l *lane, seq uint64, about *lane, g *wire.Gap, body []byte) {
	var aboutID int64
	if about != nil {
		aboutID = about.id
	}
	b.exec(`INSERT INTO gaps (lane, seq, about, first, last, unit, body, reason, arrived) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
		ON CONFLICT (lane, seq, about, first, last) DO NOTHING`,
		l.id, int64(seq), aboutID, int64(g.First), int64(g.Last), clean(g.Unit, 255), body, clean(string(g.Reason), 32), millis(b.now))
}

// erased reports whether a gap says that the number was erased on purpose.
func (b *batch) erased(l *lane, seq uint64) bool {
	var n int
	return b.one(`SELECT 1 FROM gaps WHERE about = $1 AND first <= $2 AND last >= $2 AND reason = $3 LIMIT 1`,
		[]any{l.id, int64(seq), string(wire.GapErasure)}, &n)
}

// begins settles what lies below the first number that the agent still holds. Without this a receiver that has lost its database
// would wait for ever for what will not come again.
func (b *batch) begins(l *lane, first uint64) {
	if first <= 1 {
		return
	}
	below := l.settled.holes()
	if n := len(l.settled); n == 0 || l.settled[n-1].Last < first-1 {
		from := uint64(1)
		if n > 0 {
			from = l.settled[n-1].Last + 1
		}
		below = append(below, Span{from, first - 1})
	}
	for _, s := range below {
		if s.First >= first {
			break
		}
		s.Last = min(s.Last, first-1)
		b.stateGap(l, 0, l, &wire.Gap{Lane: l.lane, First: s.First, Last: s.Last, Reason: Forgotten}, []byte{})
		b.cover(l, s.First, s.Last)
		b.notice(l.agent, DatabaseLost, "", fmt.Sprintf(
			"%v %d to %d were acknowledged and are not here", l.lane, s.First, s.Last))
	}
}
