package history

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/klauspost/compress/zstd"

	"upsedge/internal/ups"
)

// A Cell is what the samples of one point in one span of time come to.
type Cell struct {
	N              int64 // samples; never 0
	Min, Max, Last float64
	Sum            float64
}

func (c *Cell) add(v float64) {
	if c.N == 0 || v < c.Min {
		c.Min = v
	}
	if c.N == 0 || v > c.Max {
		c.Max = v
	}
	c.N++
	c.Sum += v
	c.Last = v
}

// join adds the cell of a later span.
func (c *Cell) join(o Cell) {
	if c.N == 0 {
		*c = o
		return
	}
	c.Min, c.Max, c.Last = min(c.Min, o.Min), max(c.Max, o.Max), o.Last
	c.N, c.Sum = c.N+o.N, c.Sum+o.Sum
}

// A grid has the cells of points, by the number of the span: time / width.
type grid map[ups.Point]map[int64]*Cell

func (g grid) at(p ups.Point, n int64) *Cell {
	cells := g[p]
	if cells == nil {
		cells = map[int64]*Cell{}
		g[p] = cells
	}
	c := cells[n]
	if c == nil {
		c = &Cell{}
		cells[n] = c
	}
	return c
}

// Bounds of a summary: what is longer is damaged.
const maxSummary = 4 << 20

var (
	packer, _   = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true))
	unpacker, _ = zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(maxSummary))
)

// pack writes a grid whose spans begin with number first: for each point its number, the count of its cells, and each cell's distance from
// the one before, its count and four IEEE 754 numbers; then zstd, with its checksum.
func (g grid) pack(first int64) []byte {
	var b []byte
	for _, p := range slices.Sorted(maps.Keys(g)) {
		cells := g[p]
		b = binary.AppendUvarint(b, uint64(p))
		b = binary.AppendUvarint(b, uint64(len(cells)))
		before := first
		for _, n := range slices.Sorted(maps.Keys(cells)) {
			c := cells[n]
			b = binary.AppendUvarint(b, uint64(n-before))
			b = binary.AppendUvarint(b, uint64(c.N))
			for _, v := range [...]float64{c.Min, c.Max, c.Last, c.Sum} {
				b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
			}
			before = n
		}
	}
	return packer.EncodeAll(b, nil)
}

var errSummary = errors.New("a summary that cannot be read")

// unpack reads what pack wrote. count is how many spans a summary has.
func unpack(body []byte, first, count int64) (grid, error) {
	b, err := unpacker.DecodeAll(body, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errSummary, err)
	}
	g := grid{}
	number := func() uint64 {
		n, used := binary.Uvarint(b)
		if used <= 0 {
			err = errSummary
			return 0
		}
		b = b[used:]
		return n
	}
	for len(b) > 0 && err == nil {
		p, cells := number(), number()
		if p > math.MaxUint16 || cells > uint64(count) {
			return nil, errSummary
		}
		n := first
		for range cells {
			step, samples := number(), number()
			if err != nil || len(b) < 32 || step >= uint64(count) || samples == 0 || samples > math.MaxInt64 {
				return nil, errSummary
			}
			if n += int64(step); n >= first+count {
				return nil, errSummary
			}
			var v [4]float64
			for i := range v {
				v[i] = math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:]))
			}
			b = b[32:]
			*g.at(ups.Point(p), n) = Cell{int64(samples), v[0], v[1], v[2], v[3]}
		}
	}
	if err != nil {
		return nil, err
	}
	return g, nil
}
