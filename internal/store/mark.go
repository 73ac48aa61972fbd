package store

import (
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"

	"upsedge/internal/wire"
)

// The mark is a small file with the highest numbers committed. SQLite ends its recovery at the first frame of the write-ahead
// log that fails its checksum, and drops all commits after it without a word: numbers would be given twice. The mark is not
// synced, so after a power cut it may lag behind the database, which is harmless; when it is ahead, the database lost commits.
//
// It also carries the count of openings over the loss of a database: sessions and records of a new stream come behind those of the
// one before (FORMAT.md of package wire, sections 2 and 5).

const (
	markName = "mark"
	markSize = 16 + 8 + 8 + 4 + 4 // stream, last of events, last of samples, count of openings, CRC
)

func openMark(dir string) (*os.File, error) {
	return os.OpenFile(filepath.Join(dir, markName), os.O_RDWR|os.O_CREATE, 0o600)
}

// writeMark notes the numbers of the last commit. The caller holds mu. A failure costs the check, not the data.
func (s *Store) writeMark() {
	b := append(make([]byte, 0, markSize), s.stream[:]...)
	for _, l := range wire.Lanes {
		b = binary.LittleEndian.AppendUint64(b, s.lanes[l].last)
	}
	b = binary.LittleEndian.AppendUint32(b, s.boot)
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	if _, err := s.mark.WriteAt(b, 0); err != nil {
		s.log.Debug("mark not written", "err", err)
	}
}

// A markRow is what the mark says.
type markRow struct {
	stream wire.ID
	last   [len(laneTables)]uint64
	boot   uint32
}

// readMark returns the mark, false if it is not whole.
func (s *Store) readMark() (m markRow, ok bool) {
	b := make([]byte, markSize)
	if n, _ := s.mark.ReadAt(b, 0); n != markSize {
		return m, false
	}
	if binary.LittleEndian.Uint32(b[markSize-4:]) != crc32.Checksum(b[:markSize-4], castagnoli) {
		return m, false
	}
	m.stream = wire.ID(b[:16])
	for i, l := range wire.Lanes {
		m.last[l] = binary.LittleEndian.Uint64(b[16+8*i:])
	}
	m.boot = binary.LittleEndian.Uint32(b[32:])
	return m, true
}

// catchUp closes the numbers up to those of mark, which were given and which the database lost, by gap records of reason damage.
func (t *tx) catchUp(mark [len(laneTables)]uint64) {
	lost := func(l wire.Lane) wire.Gap {
		g := wire.Gap{Lane: l, First: t.lanes[l].last + 1, Last: mark[l], Reason: wire.GapDamage}
		t.s.log.Error("the database lost commits", "lane", l, "first", g.First, "last", g.Last)
		t.lose(l, g.Reason, Loss{Records: g.Last - g.First + 1, First: g.First, Last: g.Last})
		t.lanes[l].last = mark[l]
		t.noteHole(l, g.First, g.Last)
		return g
	}
	if mark[wire.Events] > t.lanes[wire.Events].last {
		t.placeGap(mark[wire.Events], lost(wire.Events), t.s.o.Now())
	}
	if mark[wire.Samples] > t.lanes[wire.Samples].last {
		t.putGap(lost(wire.Samples), t.s.o.Now())
	}
}

// Behind the mark stands what is expected: the number that the events lane will have when all that waits in the memory of the agent
// is stored. It is overwritten in place, which a full disk does not refuse, and not synced. Where the next run finds a lower
// number, what waited was lost with the run, and a gap record says so.

const expectSize = 16 + 8 + 4 // stream, number, CRC

// Expect notes that n events wait to be put. A failure costs the trace that they would leave, if they never are.
func (s *Store) Expect(n uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	b := append(make([]byte, 0, expectSize), s.stream[:]...)
	b = binary.LittleEndian.AppendUint64(b, s.lanes[wire.Events].last+n)
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	if _, err := s.mark.WriteAt(b, markSize); err != nil {
		s.log.Debug("what is expected was not written", "err", err)
	}
}

// expected returns the number of the last Expect, 0 for none.
func (s *Store) expected() uint64 {
	b := make([]byte, expectSize)
	if n, _ := s.mark.ReadAt(b, markSize); n != expectSize || wire.ID(b[:16]) != s.stream {
		return 0
	}
	if binary.LittleEndian.Uint32(b[expectSize-4:]) != crc32.Checksum(b[:expectSize-4], castagnoli) {
		return 0
	}
	return binary.LittleEndian.Uint64(b[16:])
}

// missExpected covers the numbers of events that waited in the memory of the run before by a gap record.
func (t *tx) missExpected() {
	last := t.lanes[wire.Events].last
	if want := t.s.expected(); want > last {
		t.s.log.Error("events of the run before could not be stored and are lost", "first", last+1, "last", want)
		t.lose(wire.Events, wire.GapStorage, Loss{Records: want - last, First: last + 1, Last: want})
		t.skip(want-last, t.s.o.Now())
	}
}
