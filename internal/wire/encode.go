package wire

import (
	"encoding/binary"
	"fmt"

	"github.com/klauspost/compress/zstd"

	"upsedge/internal/ups"
)

// The first byte of a body says how the rest is packed.
const (
	bodyPlain = 0
	bodyZstd  = 1 // a zstd frame without its first four bytes, zstdMagic
)

var zstdMagic = []byte{0x28, 0xB5, 0x2F, 0xFD}

// repeatSchema is how long, by the times of the rows, a schema is not written again. Blocks can be lost to the quota, and those
// behind a lost announcement wait for the next one. 130 bytes for the three schemas of a unit are less than a byte per block of
// 10 s.
const repeatSchema = 30 * 60 * 1000 // ms

// announceTier marks a section that carries its schema instead of its name.
const announceTier = 0x80

// An Encoder encodes blocks, of as many units as one likes: its buffers, 1.3 MiB, are better shared. It remembers which
// schemas it has written for which unit: what one unit's blocks announced may go with that unit. Not safe for concurrent use.
type Encoder struct {
	layouts   map[*ups.Layout]*layoutUse
	announced map[string]map[SchemaHash]int64 // by unit; row time of the last announcement, ms
	columns   columnEncoder
	content   []byte
	packed    []byte
	zstd      *zstd.Encoder
}

// A layoutUse is what the encoder needs of a layout.
type layoutUse struct {
	encoded []byte
	hash    SchemaHash
	columns []int // those that are not text
}

// maxLayouts bounds the maps, the first within what one block has, against a driver that makes a layout per reading.
const maxLayouts = 4096

// NewEncoder returns an Encoder that has announced nothing.
func NewEncoder() *Encoder {
	z, err := zstd.NewWriter(nil,
		zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(64<<10),
		zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true))
	if err != nil {
		panic(err) // one of the options is wrong
	}
	return &Encoder{layouts: map[*ups.Layout]*layoutUse{}, announced: map[string]map[SchemaHash]int64{}, zstd: z}
}

// Forget makes the encoder carry each schema again with the next block of each unit: when a new stream begins, which has to be
// readable alone.
func (e *Encoder) Forget() { clear(e.announced) }

// ForgetUnit does so for one unit: between its blocks of one epoch and of the next, or where a block of it was lost.
func (e *Encoder) ForgetUnit(unit string) { delete(e.announced, unit) }

// Encode appends the body of b, the payload of a Record of ClassSamples, to dst. It fails only on a block outside the limits
// or with lengths that do not fit each other; then dst is returned as it was. The order of calls is the order of the records.
func (e *Encoder) Encode(dst []byte, b *Block) ([]byte, error) { return e.encode(dst, b, false) }

// EncodeAlone is Encode for a block that is sent out of its order, a picture: it carries every schema and can be read by itself,
// and for the blocks that Encode makes they do not count as announced.
func (e *Encoder) EncodeAlone(dst []byte, b *Block) ([]byte, error) { return e.encode(dst, b, true) }

func (e *Encoder) encode(dst []byte, b *Block, alone bool) ([]byte, error) {
	if err := b.check(); err != nil {
		return dst, err
	}
	c := append(e.content[:0], bodyPlain)
	c = appendText(c, b.Unit)
	c = appendText(c, b.Device)
	c = binary.AppendUvarint(c, uint64(len(b.Sections)))
	if len(e.layouts) >= maxLayouts { // here, and not between two layouts of this block: it needs them all
		clear(e.layouts)
	}
	for i := range b.Sections {
		if err := e.prepare(b.Sections[i].Layout); err != nil {
			return dst, err // before anything counts as announced
		}
	}
	announce := alone || e.announces(b)
	for i := range b.Sections {
		c = e.appendSection(c, &b.Sections[i], announce)
	}
	if announce && !alone {
		for i := range b.Sections {
			e.noteAnnounced(b.Unit, e.layouts[b.Sections[i].Layout].hash, b.Sections[i].At)
		}
	}
	e.content = c
	if len(c) > MaxContent {
		e.ForgetUnit(b.Unit) // what this block announced never leaves
		return dst, fmt.Errorf("block of %d bytes, want at most %d", len(c), MaxContent)
	}
	e.packed = e.zstd.EncodeAll(c[1:], e.packed[:0])
	if frame := e.packed[len(zstdMagic):]; len(frame) < len(c)-1 {
		return append(append(dst, bodyZstd), frame...), nil
	}
	return append(dst, c...), nil
}

func (e *Encoder) prepare(l *ups.Layout) error {
	if e.layouts[l] != nil {
		return nil
	}
	enc, err := appendSchema(nil, l)
	if err != nil {
		return err
	}
	u := &layoutUse{encoded: enc, hash: hashSchema(enc)}
	for i, c := range l.Columns {
		if c.Point.Info().Kind != ups.Text {
			u.columns = append(u.columns, i)
		}
	}
	e.layouts[l] = u
	return nil
}

// announces reports whether b carries its schemas: all of them when one is due, so that it can be read alone.
func (e *Encoder) announces(b *Block) bool {
	said := e.announced[b.Unit]
	for i := range b.Sections {
		s := &b.Sections[i]
		last, ok := said[e.layouts[s.Layout].hash]
		if !ok || len(s.At) > 0 && s.At[0]-last >= repeatSchema {
			return true
		}
	}
	return false
}

func (e *Encoder) appendSection(dst []byte, s *Rows, announce bool) []byte {
	u := e.layouts[s.Layout]
	if announce {
		dst = append(append(dst, byte(s.Tier)|announceTier), u.encoded...)
	} else {
		dst = append(append(dst, byte(s.Tier)), u.hash[:]...)
	}
	dst = binary.AppendUvarint(dst, uint64(len(s.At)))
	if len(s.At) == 0 {
		return dst
	}
	dst = e.columns.appendTimes(dst, s.At)
	for _, i := range u.columns {
		dst = e.columns.append(dst, s.Raw[i:], len(s.At), len(s.Layout.Columns))
	}
	return dst
}

func (e *Encoder) noteAnnounced(unit string, h SchemaHash, at []int64) {
	if len(e.announced) >= maxLayouts {
		clear(e.announced)
	}
	said := e.announced[unit]
	if said == nil || len(said) >= maxLayouts {
		said = map[SchemaHash]int64{}
		e.announced[unit] = said
	}
	now := said[h]
	if len(at) > 0 {
		now = at[0]
	}
	said[h] = now
}
