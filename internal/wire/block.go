package wire

import (
	"fmt"

	"upsedge/internal/ups"
)

// Limits of a block. Writers keep to them and readers insist on them, so that a hostile message of a few bytes cannot claim
// more memory than about 16 MiB. A minute at 100 rows a second is 6000 rows.
const (
	MaxSections = 64
	MaxRows     = 1 << 16           // of one section
	MaxColumns  = 256               // of one section
	MaxCells    = 1 << 20           // of a block: rows · (columns + 1), the row times included
	MaxContent  = 4 << 20           // bytes of a block before compression
	MaxMessage  = MaxContent + 1024 // bytes of a message: what could be encoded can also be sent
	maxName     = 256               // bytes of a unit's name or a serial number
)

// Rows are the rows of one layout of one unit, in time order.
type Rows struct {
	Tier   ups.Tier
	Layout *ups.Layout
	At     []int64 // ms on the monotonic clock since the boot of the record's stamp
	Raw    []int64 // row-major, len(At)·len(Layout.Columns); ups.Absent where there is no value
}

// A Block is what one unit said in a span of time. Columns of text are not part of it: they are left out when it is encoded.
type Block struct {
	Unit     string // name in the configuration
	Device   string // serial number, "" while it is not known
	Sections []Rows
}

// Samples is the number of values in b that are present, text left out.
func (b *Block) Samples() (n int) {
	for i := range b.Sections {
		s := &b.Sections[i]
		cols := s.Layout.Columns
		for k, v := range s.Raw {
			if v != ups.Absent && cols[k%len(cols)].Point.Info().Kind != ups.Text {
				n++
			}
		}
	}
	return n
}

func (b *Block) check() error {
	if len(b.Unit) > maxName || len(b.Device) > maxName {
		return fmt.Errorf("unit name of %d and device of %d bytes, want at most %d", len(b.Unit), len(b.Device), maxName)
	}
	if len(b.Sections) > MaxSections {
		return fmt.Errorf("%d sections, want at most %d", len(b.Sections), MaxSections)
	}
	cells := 0
	for i := range b.Sections {
		s := &b.Sections[i]
		if s.Layout == nil {
			return fmt.Errorf("section %d has no layout", i)
		}
		if len(s.Raw) != len(s.At)*len(s.Layout.Columns) {
			return fmt.Errorf("section %d has %d values for %d rows of %d columns", i, len(s.Raw), len(s.At), len(s.Layout.Columns))
		}
		if len(s.At) > MaxRows || s.Tier >= ups.TierCount {
			return fmt.Errorf("section %d has %d rows of tier %d, want at most %d rows", i, len(s.At), uint8(s.Tier), MaxRows)
		}
		cells += len(s.At) * (len(s.Layout.Columns) + 1)
	}
	if cells > MaxCells {
		return fmt.Errorf("%d cells, want at most %d", cells, MaxCells)
	}
	return nil
}
