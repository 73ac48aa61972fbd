package sampler

import (
	"encoding/binary"
	"slices"

	"upsedge/internal/ups"
)

// A rowLog holds rows of one unit as bytes, in the order in which they came: a row that says what the one before it said costs
// two or three bytes, one of thirty restless columns about twenty. It consists of parts that can be read alone, so that the
// oldest can be let go; a part lets go of all its rows or of none. Rows come out exactly as they went in.
//
//	row    = uvarint(2·slot + changed) varint(time, ms, since the row before in the part) [bitmap code…]
//	bitmap = one bit per column that changed, from the least significant bit of the first byte
//	code   = 0: no value now | zigzag of the change, modulo 2^64; from 0 where there was no value
//
// A slot says whose row it is; changes count from the row before it in the same slot and part, and from no values at all where
// there is none. The code of a change that was none does not occur, which leaves 0 for "no value".
type rowLog struct {
	slots []slot
	parts []part // oldest first; rows go into the last
	spare [][]byte
	count uint64 // parts begun so far
	bytes int    // in parts
	lost  Span   // of rows that were dropped before they were taken
}

// A Span is from the first row to the last one, in ms on the monotonic clock of the box; zero where there is no row.
type Span struct{ First, Last int64 }

// A kind is what rows have in common that are handed out together.
type kind struct {
	owner  Owner
	tier   ups.Tier
	layout *ups.Layout
}

// A slot is a kind with the row that was written last. A kind whose rows are all gone gives its slot to another one.
type slot struct {
	kind
	last []int64
	part uint64 // number of the part that last is in, 0 for none
}

// A part is some rows that can be read without the parts before it.
type part struct {
	number uint64 // from 1
	buf    []byte
	rows   int
	taken  int   // the first so many rows were taken
	begin  int64 // time of the first row, ms
	newest int64 // of the rows, ms
	before int64 // time of the row written last
}

const (
	// partBytes is the size of a part. What the oldest part holds beyond what is wanted is less than that, and so is what the
	// newest one has still free: at 10 refreshes a second a part lasts for seconds.
	partBytes = 1 << 10
	// keep is how long rows are kept, in ms: as long as what led to an event is wanted (design, section 4).
	keep = 30_000
	// mostBytes bounds a log whose rows nobody takes, because the disk stands still; at half of it they are urgently wanted
	// elsewhere. Restless rows at 10 refreshes a second are 2 KiB/s.
	mostBytes = 256 << 10
	// mostSpare is how many empty parts are kept, so that steady rows allocate nothing.
	mostSpare = 2
)

// put appends a row.
func (l *rowLog) put(k kind, at int64, raw []int64) {
	i := l.slot(k)
	if len(l.parts) == 0 {
		l.begin(at)
	}
	var room [256]byte
	p := &l.parts[len(l.parts)-1]
	row := l.slots[i].append(room[:0], i, p, at, raw)
	if p.rows > 0 && len(p.buf)+len(row) > cap(p.buf) {
		p = l.begin(at)
		row = l.slots[i].append(room[:0], i, p, at, raw)
	}
	p.buf = append(p.buf, row...)
	p.rows++
	p.before, p.newest = at, max(p.newest, at)
	l.bytes += len(row)
	s := &l.slots[i]
	copy(s.last, raw)
	s.part = p.number
}

// slot finds the slot of a kind, or makes one. Layouts that say the same are the same: a driver makes new ones when it connects.
func (l *rowLog) slot(k kind) int {
	for i := range l.slots {
		if l.slots[i].kind == k {
			return i
		}
	}
	for i := range l.slots {
		if s := &l.slots[i]; s.owner == k.owner && s.tier == k.tier && slices.Equal(s.layout.Columns, k.layout.Columns) {
			s.layout = k.layout
			return i
		}
	}
	fresh := slot{kind: k, last: make([]int64, len(k.layout.Columns))}
	for i := range l.slots {
		if len(l.parts) == 0 || l.slots[i].part < l.parts[0].number {
			l.slots[i] = fresh
			return i
		}
	}
	l.slots = append(l.slots, fresh)
	return len(l.slots) - 1
}

// begin begins a part, with what is left of one that is not wanted any more.
func (l *rowLog) begin(at int64) *part {
	l.trim(at)
	l.count++
	p := part{number: l.count, begin: at, newest: at, before: at}
	if n := len(l.spare); n > 0 {
		p.buf, l.spare = l.spare[n-1], l.spare[:n-1]
	} else {
		p.buf = make([]byte, 0, partBytes)
	}
	l.parts = append(l.parts, p)
	return &l.parts[len(l.parts)-1]
}

// trim lets the oldest parts go that were taken and are older than keep, and where there is too much any.
func (l *rowLog) trim(now int64) {
	n := 0
	for n < len(l.parts) {
		p := &l.parts[n]
		taken := p.taken == p.rows
		if !(taken && p.newest < now-keep) && l.bytes < mostBytes {
			break
		}
		if !taken {
			if l.lost == (Span{}) {
				l.lost.First = p.begin
			}
			l.lost.Last = p.newest
		}
		l.bytes -= len(p.buf)
		n++
	}
	l.drop(n)
}

// drop lets the n oldest parts go.
func (l *rowLog) drop(n int) {
	for i := range n {
		p := &l.parts[i]
		if len(l.spare) < mostSpare && cap(p.buf) == partBytes {
			l.spare = append(l.spare, p.buf[:0])
		}
	}
	l.parts = slices.Delete(l.parts, 0, n)
}

// append writes the row raw of the slot at index i, which goes into p.
func (s *slot) append(dst []byte, i int, p *part, at int64, raw []int64) []byte {
	known := s.part == p.number
	head := len(dst)
	dst = binary.AppendUvarint(dst, uint64(2*i))
	dst = binary.AppendVarint(dst, at-p.before)
	bitmap := len(dst)
	for range (len(raw) + 7) / 8 {
		dst = append(dst, 0)
	}
	codes := len(dst)
	for c, v := range raw {
		was := int64(ups.Absent)
		if known {
			was = s.last[c]
		}
		if v == was {
			continue
		}
		dst[bitmap+c/8] |= 1 << (c % 8)
		switch {
		case v == ups.Absent:
			dst = append(dst, 0)
		case was == ups.Absent:
			dst = binary.AppendVarint(dst, v)
		default:
			dst = binary.AppendVarint(dst, v-was)
		}
	}
	if len(dst) == codes {
		return dst[:bitmap]
	}
	dst[head] |= 1
	return dst
}

// waiting is how many bytes the parts have of which not all was taken.
func (l *rowLog) waiting() (n int) {
	for i := range l.parts {
		if p := &l.parts[i]; p.taken < p.rows {
			n += len(p.buf)
		}
	}
	return n
}

// kinds copies what the slots hold.
func (l *rowLog) kinds() []kind {
	out := make([]kind, len(l.slots))
	for i := range l.slots {
		out[i] = l.slots[i].kind
	}
	return out
}
