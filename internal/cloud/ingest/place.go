package ingest

import (
	"context"
	"database/sql"
	"sort"
	"time"

	"upsedge/internal/wire"
)

// A TimeKind says what a record's time rests on.
type TimeKind uint8

// The kinds (FORMAT.md, section 3; T-27).
const (
	Bounded TimeKind = iota + 1 // nobody knows: somewhere between NotBefore and NotAfter
	Placed                      // the agent did not know it then; another message of the same boot tells it
	Trusted                     // the agent's own, from a clock that was set
)

var timeKinds = [...]string{Bounded: "bounded", Placed: "placed", Trusted: "trusted"}

func (k TimeKind) String() string { return timeKinds[k] }

// A Time is when a record was made. At is set of the kinds Trusted and Placed. The order of records is that of their numbers, and
// never that of their times.
type Time struct {
	Kind TimeKind
	At   time.Time
	// Of the kind Bounded: the time of the last record before it that has one, zero without any; and the arrival here.
	NotBefore, NotAfter time.Time
}

// A placer finds the times of the records of one lane, asked in the order of their numbers. Times are found when they are asked
// for: what ties an old boot to the wall clock may come last.
type placer struct {
	r       *Reader
	agent   string
	anchors map[wire.ID][]wire.Stamp // of a boot, ascending
	last    time.Time                // the last time that is known
}

func (p *placer) place(ctx context.Context, s *Stored) error {
	stamp := s.Record.Stamp
	if !stamp.Wall.IsZero() {
		s.Time, p.last = Time{Kind: Trusted, At: stamp.Wall}, stamp.Wall
		return nil
	}
	anchors, err := p.ofBoot(ctx, stamp.BootID)
	if err != nil {
		return err
	}
	if len(anchors) == 0 {
		s.Time = Time{Kind: Bounded, NotBefore: p.last, NotAfter: s.Arrived}
		if s.Arrived.Before(p.last) { // their clock is ahead of ours
			s.Time.NotAfter = p.last
		}
		return nil
	}
	near := nearest(anchors, stamp.Mono)
	at := near.Wall.Add(stamp.Mono - near.Mono).Truncate(time.Millisecond)
	s.Time, p.last = Time{Kind: Placed, At: at}, at
	return nil
}

// nearest returns the stamp that is nearest on the monotonic clock.
func nearest(anchors []wire.Stamp, mono time.Duration) wire.Stamp {
	i := sort.Search(len(anchors), func(i int) bool { return anchors[i].Mono >= mono })
	switch {
	case i == len(anchors):
		return anchors[i-1]
	case i > 0 && mono-anchors[i-1].Mono < anchors[i].Mono-mono:
		return anchors[i-1]
	}
	return anchors[i]
}

func (p *placer) ofBoot(ctx context.Context, boot wire.ID) ([]wire.Stamp, error) {
	if known, ok := p.anchors[boot]; ok {
		return known, nil
	}
	out, err := list(ctx, p.r, `SELECT mono, wall FROM anchors WHERE agent = $1 AND boot_id = $2 ORDER BY mono`, []any{p.agent, boot[:]},
		func(rows *sql.Rows) (wire.Stamp, error) {
			var mono, wall int64
			err := rows.Scan(&mono, &wall)
			return stampOf(boot[:], mono, &wall), err
		})
	if err == nil {
		p.anchors[boot] = out
	}
	return out, err
}
