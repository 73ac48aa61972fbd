package sampler

import (
	"encoding/binary"
	"slices"

	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// A Room is where rows are read into before they are encoded. One serves all units, one after the other: it keeps its size.
type Room struct {
	last     [][]int64 // the row before, by slot
	index    []int     // of the section, by slot; -1 for none yet
	sections []section // those of this reading first, then what is left of earlier ones
	used     int
}

type section struct {
	owner Owner
	rows  wire.Rows
}

// mostCells is how many values a section may hold and still be kept for the next reading: 1 MiB.
const mostCells = 1 << 17

// begin empties the room for rows of these slots.
func (r *Room) begin(kinds []kind) {
	for len(r.last) < len(kinds) {
		r.last, r.index = append(r.last, nil), append(r.index, 0)
	}
	for i, k := range kinds {
		r.last[i] = slices.Grow(r.last[i][:0], len(k.layout.Columns))[:len(k.layout.Columns)]
		r.index[i] = -1
	}
	for i := range r.sections {
		rows := &r.sections[i].rows
		if cap(rows.Raw) > mostCells || cap(rows.At) > mostCells {
			rows.At, rows.Raw = nil, nil
		}
	}
	r.used = 0
}

// add reads a part behind what is there already, without its first skip rows and without those from before from.
func (r *Room) add(kinds []kind, p *part, skip int, from int64) {
	for i := range kinds {
		for c := range r.last[i] {
			r.last[i][c] = ups.Absent
		}
	}
	b, at := p.buf, p.begin
	for n := range p.rows {
		head, size := binary.Uvarint(b)
		b = b[size:]
		since, size := binary.Varint(b)
		b = b[size:]
		at += since
		i := int(head / 2)
		if head&1 != 0 {
			b = change(r.last[i], b)
		}
		if n >= skip && at >= from {
			r.row(i, kinds[i], at)
		}
	}
}

// change reads what slot.append wrote of the columns of a row into the row before it, and returns what follows.
func change(raw []int64, b []byte) []byte {
	size := (len(raw) + 7) / 8
	bitmap, b := b[:size], b[size:]
	for c := range raw {
		if bitmap[c/8]&(1<<(c%8)) == 0 {
			continue
		}
		v, size := binary.Varint(b)
		b = b[size:]
		switch {
		case raw[c] == ups.Absent:
			raw[c] = v
		case v == 0:
			raw[c] = ups.Absent
		default:
			raw[c] += v
		}
	}
	return b
}

// row appends the last row of a slot to its section.
func (r *Room) row(slot int, k kind, at int64) {
	i := r.index[slot]
	if i < 0 {
		i = r.used
		if r.used++; r.used > len(r.sections) {
			r.sections = append(r.sections, section{})
		}
		s := &r.sections[i]
		s.owner = k.owner
		s.rows = wire.Rows{Tier: k.tier, Layout: k.layout, At: s.rows.At[:0], Raw: s.rows.Raw[:0]}
		r.index[slot] = i
	}
	rows := &r.sections[i].rows
	rows.At = append(rows.At, at)
	rows.Raw = append(rows.Raw, r.last[slot]...)
}

// rows returns the sections of one owner, in the order of their first rows.
func (r *Room) rows(of Owner) (out []wire.Rows) {
	for i := range r.sections[:r.used] {
		if r.sections[i].owner == of {
			out = append(out, r.sections[i].rows)
		}
	}
	return out
}

// owners returns those who have sections, in the order of their first rows.
func (r *Room) owners() (out []Owner) {
	for i := range r.sections[:r.used] {
		if of := r.sections[i].owner; !slices.Contains(out, of) {
			out = append(out, of)
		}
	}
	return out
}
