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

const (
	markName = "mark"
	markSize = 16 + 8 + 8 + 4 // stream, last of events, last of samples, CRC
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
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	if _, err := s.mark.WriteAt(b, 0); err != nil {
		s.log.Debug("mark not written", "err", err)
	}
}

// readMark returns the numbers of the mark, false if it is not of this stream or not whole.
func (s *Store) readMark() (last [len(laneTables)]uint64, ok bool) {
	b := make([]byte, markSize)
	if n, _ := s.mark.ReadAt(b, 0); n != markSize || wire.ID(b[:16]) != s.stream {
		return last, false
	}
	if binary.LittleEndian.Uint32(b[markSize-4:]) != crc32.Checksum(b[:markSize-4], castagnoli) {
		return last, false
	}
	for i, l := range wire.Lanes {
		last[l] = binary.LittleEndian.Uint64(b[16+8*i:])
	}
	return last, true
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
