package wire

import (
	"encoding/binary"
	"errors"
	"math/bits"

	"upsedge/internal/ups"
)

// The head byte of a column (FORMAT.md, "Column").
const (
	headDelta = 1 << 0 // residuals are against the value before, not against the line through base
	headStep  = 1 << 1 // a step follows the base; without it the step is 0

	headPresence = 3 << 2
	headAllThere = 0 << 2
	headNone     = 1 << 2 // no value at all; nothing follows but the count
	headRuns     = 2 << 2 // run lengths follow: present, absent, present …
	headZero     = 3 << 2 // every value is there and 0; nothing follows but the count

	headMore = 4 // shift of the count in headNone and headZero: so many columns behind this one are like it
	maxMore  = 15

	headCoding   = 4        // shift of the residuals' coding
	codingZero   = 0        // every residual is 0; none is written
	codingVarint = 15       // zigzag varints; 1 to 14 are that many bits each
	maxPacked    = 14       // bits
	medianOf     = 1<<4 - 1 // differences looked at for the usual one
)

// A columnEncoder keeps the buffers of appendColumn.
type columnEncoder struct {
	values []int64 // those present
	rest   []uint64
	plain  byte // headNone or headZero if that is the last byte written, 0 if not
}

// append writes the column whose i-th value is src[i·stride].
func (e *columnEncoder) append(dst []byte, src []int64, rows, stride int) []byte {
	e.values = e.values[:0]
	var any int64
	for i := 0; i < rows; i++ {
		if v := src[i*stride]; v != ups.Absent {
			e.values = append(e.values, v)
			any |= v
		}
	}
	switch n := len(e.values); {
	case n == 0:
		return e.appendPlain(dst, headNone)
	case n == rows && any == 0:
		return e.appendPlain(dst, headZero)
	}
	e.plain = 0
	if len(e.values) == rows {
		return e.appendValues(dst, headAllThere, nil, 0, 0)
	}
	return e.appendValues(dst, headRuns, src, rows, stride)
}

// appendPlain writes a column without content, or counts it with the one before.
func (e *columnEncoder) appendPlain(dst []byte, head byte) []byte {
	if last := len(dst) - 1; e.plain == head && dst[last]>>headMore < maxMore {
		dst[last] += 1 << headMore
		return dst
	}
	e.plain = head
	return append(dst, head)
}

// appendTimes writes the column of row times, the first of a section: Absent has no meaning in it.
func (e *columnEncoder) appendTimes(dst []byte, src []int64) []byte {
	e.plain = 0
	e.values = append(e.values[:0], src...)
	return e.appendValues(dst, headAllThere, nil, 0, 0)
}

func appendRuns(dst []byte, src []int64, rows, stride int) []byte {
	run, present := uint64(0), true
	for i := 0; i < rows; i++ {
		if (src[i*stride] != ups.Absent) != present {
			dst = binary.AppendUvarint(dst, run)
			run, present = 0, !present
		}
		run++
	}
	return binary.AppendUvarint(dst, run)
}

func (e *columnEncoder) appendValues(dst []byte, head byte, src []int64, rows, stride int) []byte {
	m := e.model()
	head |= m.head()
	dst = append(dst, head)
	if head&headPresence == headRuns {
		dst = appendRuns(dst, src, rows, stride)
	}
	dst = appendVarint(dst, m.base)
	if m.step != 0 {
		dst = appendVarint(dst, m.step)
	}
	switch m.coding {
	case codingZero:
		return dst
	case codingVarint:
		for _, r := range e.rest {
			dst = binary.AppendUvarint(dst, r)
		}
		return dst
	}
	return appendPacked(dst, e.rest, uint(m.coding))
}

// A model is what a column is predicted with: value i is base + i·step on a line, or the value before + step. Arithmetic is
// modulo 2^64, so that the extremes need no care.
type model struct {
	base, step int64
	delta      bool
	coding     byte
}

func (m model) head() byte {
	h := m.coding << headCoding
	if m.delta {
		h |= headDelta
	}
	if m.step != 0 {
		h |= headStep
	}
	return h
}

// model finds the cheaper of the two predictions and leaves its residuals in e.rest.
func (e *columnEncoder) model() model {
	v := e.values
	n := int64(len(v))
	if n == 1 {
		return model{base: v[0]}
	}
	line := model{base: v[0], step: divRound(v[n-1]-v[0], n-1)}
	line.base += e.offset(line)
	delta := model{base: v[0], step: usualDifference(v), delta: true}
	lineSum, deltaSum := e.cost(line), e.cost(delta)
	m := line
	if deltaSum < lineSum {
		m = delta
	}
	m.coding = e.residuals(m)
	return m
}

// offset is how far the values lie above the line in the mean: noise costs least around its middle.
func (e *columnEncoder) offset(m model) int64 {
	var sum int64
	p := m.base
	for _, v := range e.values {
		sum += v - p
		p += m.step
	}
	return divRound(sum, int64(len(e.values)))
}

// cost is the sum of the residuals' lengths in bits.
func (e *columnEncoder) cost(m model) (sum int) {
	p := m.base
	for _, v := range e.values {
		sum += bits.Len64(zigzag(v - p))
		p += m.step
		if m.delta {
			p = v + m.step
		}
	}
	return sum
}

// residuals fills e.rest and returns the shortest coding.
func (e *columnEncoder) residuals(m model) byte {
	values := e.values
	p := m.base
	if m.delta {
		p, values = values[0]+m.step, values[1:] // the base is the first value
	}
	e.rest = e.rest[:0]
	var all uint64
	varints := 0
	for _, v := range values {
		r := zigzag(v - p)
		e.rest = append(e.rest, r)
		all |= r
		varints += (bits.Len64(r|1) + 6) / 7
		p += m.step
		if m.delta {
			p = v + m.step
		}
	}
	width := bits.Len64(all)
	switch {
	case width == 0:
		return codingZero
	case width > maxPacked || (width*len(values)+7)/8 > varints:
		return codingVarint
	}
	return byte(width)
}

// usualDifference is the median of the first differences between neighbours.
func usualDifference(v []int64) int64 {
	var d [medianOf]int64
	n := min(len(v)-1, medianOf)
	for i := 0; i < n; i++ {
		x, j := v[i+1]-v[i], i
		for ; j > 0 && d[j-1] > x; j-- {
			d[j] = d[j-1]
		}
		d[j] = x
	}
	return d[n/2]
}

func divRound(a, b int64) int64 {
	if a < 0 {
		return -((-a + b/2) / b)
	}
	return (a + b/2) / b
}

// appendPacked writes each number in width bits, the least significant bit first, and fills the last byte with zeros.
func appendPacked(dst []byte, src []uint64, width uint) []byte {
	var acc uint64
	var have uint
	for _, r := range src {
		acc |= r << have
		for have += width; have >= 8; have -= 8 {
			dst = append(dst, byte(acc))
			acc >>= 8
		}
	}
	if have > 0 {
		dst = append(dst, byte(acc))
	}
	return dst
}

var errRuns = errors.New("runs of present and absent values do not fill the rows")

// times reads the column of row times.
func (c *cursor) times(dst []int64) {
	head := c.byte()
	if head&headPresence != headAllThere {
		c.fail(errors.New("row without a time"))
		return
	}
	c.values(dst, 1, head, len(dst))
}

// columns reads the columns of rows rows into dst, row-major.
func (c *cursor) columns(dst []int64, rows, columns int) {
	for i := 0; i < columns && c.err == nil; i++ {
		head := c.byte()
		switch head & headPresence {
		case headAllThere:
			c.values(dst[i:], columns, head, rows)
		case headRuns:
			runs, present := c.runs(rows)
			if c.err == nil {
				c.values(dst[i:], columns, head, present)
				spread(dst[i:], rows, columns, present, runs)
			}
		default:
			more := int(head >> headMore)
			if head&(headDelta|headStep) != 0 || i+more >= columns {
				c.fail(errors.New("columns without content that cannot be"))
				return
			}
			if head&headPresence == headNone {
				for k := range rows {
					fill(dst[k*columns+i:][:more+1], ups.Absent)
				}
			}
			i += more
		}
	}
}

func fill(dst []int64, v int64) {
	for i := range dst {
		dst[i] = v
	}
}

// runs reads run lengths until they fill the rows. Only the first may be 0, and both kinds occur.
func (c *cursor) runs(rows int) (runs []uint64, present int) {
	for left := uint64(rows); left > 0 && c.err == nil; {
		n := c.uvarint()
		if n > left || n == 0 && len(runs) > 0 {
			c.fail(errRuns)
		}
		if len(runs)%2 == 0 {
			present += int(n)
		}
		runs = append(runs, n)
		left -= min(n, left)
	}
	if present == 0 || present == rows {
		c.fail(errRuns)
	}
	return runs, present
}

// values reads n values into the front of the column.
func (c *cursor) values(dst []int64, stride int, head byte, n int) {
	base, step := c.varint(), int64(0)
	if head&headStep != 0 {
		step = c.varint()
	}
	next := c.residuals(head>>headCoding, n-int(head&headDelta))
	p, i := base, 0
	if head&headDelta != 0 {
		dst[0] = base
		p, i = base+step, 1
	}
	for ; i < n && c.err == nil; i++ {
		v := p + unzigzag(next())
		dst[i*stride] = v
		if p += step; head&headDelta != 0 {
			p = v + step
		}
	}
}

// residuals returns a function that yields the n residuals one by one.
func (c *cursor) residuals(coding byte, n int) func() uint64 {
	switch coding {
	case codingZero:
		return func() uint64 { return 0 }
	case codingVarint:
		return c.uvarint
	}
	width := uint(coding)
	packed := c.take((n*int(coding) + 7) / 8)
	var acc uint64
	var have uint
	return func() uint64 {
		for have < width && len(packed) > 0 {
			acc |= uint64(packed[0]) << have
			packed = packed[1:]
			have += 8
		}
		v := acc & (1<<width - 1)
		acc >>= width
		have -= width
		return v
	}
}

// spread moves the values from the front of the column to where the runs say, back to front.
func spread(dst []int64, rows, stride, present int, runs []uint64) {
	to, from := rows, present
	for k := len(runs) - 1; k >= 0; k-- {
		for range runs[k] {
			to--
			if k%2 == 1 {
				dst[to*stride] = ups.Absent
				continue
			}
			from--
			dst[to*stride] = dst[from*stride]
		}
	}
}
