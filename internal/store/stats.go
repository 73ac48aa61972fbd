package store

import (
	"upsedge/internal/wire"
)

// Stats is what the store holds now.
type Stats struct {
	Events, Samples LaneStats
	FileBytes       int64 // of the database and its write-ahead log after the last commit
	MaxBytes        int64 // the quota
	// Used is how much of Limit is taken: bytes in pages that hold something, after the last commit. Limit is what of the quota is for
	// records; at Limit the oldest are dropped.
	Used, Limit int64
	// Damaged is how many entries beside the lanes were found damaged since Open, and not believed: open raises, and since when a
	// unit's samples are missing.
	Damaged uint64
}

// LaneStats is what waits in a lane.
type LaneStats struct {
	First   uint64                    // every number below it was acknowledged, or a gap record of it was; Last + 1 when all were
	Last    uint64                    // highest number given, 0 before the first
	Records int64                     // waiting
	Bytes   int64                     // of their payloads
	Oldest  wire.Stamp                // of the oldest record, zero without any
	Dropped map[wire.GapReason]uint64 // records lost since Open
	Lost    map[wire.GapReason]Loss   // the same with what is known of them
}

// A Loss is what was lost for one reason since Open.
type Loss struct {
	Records     uint64
	First, Last uint64 // lowest and highest number
	// From and To are the stamps of the first and the last of them in the order in which they were lost: for samples the time of the
	// first row of the block. Zero where they are not known.
	From, To wire.Stamp
}

// and returns both losses together; other came later.
func (l Loss) and(other Loss) Loss {
	if l.Records == 0 {
		return other
	}
	l.Records += other.Records
	l.First, l.Last = min(l.First, other.First), max(l.Last, other.Last)
	if l.From == (wire.Stamp{}) {
		l.From = other.From
	}
	if other.To != (wire.Stamp{}) {
		l.To = other.To
	}
	return l
}

// loss is what a commit loses of a lane.
type loss struct {
	Loss
	lane   wire.Lane
	reason wire.GapReason
}

// lose notes that the commit in hand loses something of a lane.
func (t *tx) lose(lane wire.Lane, why wire.GapReason, l Loss) {
	t.losses = append(t.losses, loss{l, lane, why})
}

func (t *tx) stampAt(lane wire.Lane, seq uint64) wire.Stamp {
	return t.stamp("SELECT boot_id, mono, wall FROM "+laneTables[lane]+" WHERE seq = ?", int64(seq))
}

// Stats returns the numbers from memory; it never touches the disk.
func (s *Store) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{
		Events: s.laneStats(wire.Events), Samples: s.laneStats(wire.Samples), FileBytes: s.fileBytes, MaxBytes: s.o.MaxBytes,
		Used: s.usedPages * pageSize, Limit: s.limit.pages * pageSize,
		Damaged: s.damaged,
	}
}

// Lane returns the numbers of one lane.
func (s Stats) Lane(l wire.Lane) LaneStats {
	if l == wire.Events {
		return s.Events
	}
	return s.Samples
}

func (s *Store) laneStats(l wire.Lane) LaneStats {
	row := s.lanes[l]
	out := LaneStats{
		First: row.done + 1, Last: row.last, Records: row.records, Bytes: row.bytes, Oldest: s.oldest[l],
		Dropped: make(map[wire.GapReason]uint64), Lost: make(map[wire.GapReason]Loss),
	}
	if l == wire.Samples && s.firstUntold > 0 { // dropped, and nobody knows yet
		out.First = min(out.First, s.firstUntold)
	}
	for why, loss := range s.lost[l] {
		out.Dropped[why], out.Lost[why] = loss.Records, loss
	}
	return out
}
