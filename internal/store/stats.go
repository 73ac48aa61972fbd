package store

import (
	"maps"

	"upsedge/internal/wire"
)

// Stats is what the store holds now.
type Stats struct {
	Events, Samples LaneStats
	FileBytes       int64 // of the database and its write-ahead log after the last commit
	MaxBytes        int64 // the quota
}

// LaneStats is what waits in a lane.
type LaneStats struct {
	Last    uint64                    // highest number given, 0 before the first
	Records int64                     // waiting
	Bytes   int64                     // of their payloads
	Oldest  wire.Stamp                // of the oldest record, zero without any
	Dropped map[wire.GapReason]uint64 // records lost since Open
}

// Stats returns the numbers from memory; it never touches the disk.
func (s *Store) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{Events: s.laneStats(wire.Events), Samples: s.laneStats(wire.Samples), FileBytes: s.fileBytes, MaxBytes: s.o.MaxBytes}
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
	return LaneStats{Last: row.last, Records: row.records, Bytes: row.bytes, Oldest: s.oldest[l], Dropped: maps.Clone(s.dropped[l])}
}
