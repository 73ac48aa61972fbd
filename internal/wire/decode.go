package wire

import (
	"errors"
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"

	"upsedge/internal/ups"
)

// A PublishedBlock is what a samples message says.
type PublishedBlock struct {
	Agent  string
	Record Record // Payload is the body and part of the message
	Event  uint64 // of a picture: the number of its event; 0 for samples
	Block  *Block // Layouts are shared by all blocks of one schema
}

// Decode reads a samples message. It returns an *UnknownSchemaError when the block cannot be read yet and a *BodyError when it
// never can, both with the PublishedBlock but for its Block: the record should be kept. Without one it returns a *VersionError
// when the message cannot be read by this program, and ErrDamaged or another error when it never can. It never returns values other
// than those that were sent.
func (s *Schemas) Decode(msg []byte) (*PublishedBlock, error) {
	agent, r, err := openMessage(msg)
	if err != nil {
		return nil, err
	}
	p := &PublishedBlock{Agent: agent, Record: r}
	if r.Class == ClassPicture {
		p.Event, p.Block, err = s.DecodePicture(r.Payload)
	} else {
		p.Block, err = s.DecodeBody(r.Payload)
	}
	var unknown *UnknownSchemaError
	if err != nil && !errors.As(err, &unknown) {
		p.Block, err = nil, &BodyError{r.Seq, err}
	}
	return p, err
}

// DecodeBody reads what Encoder.Encode wrote. It fails as Decode does; nothing is learnt from a body with an error.
func (s *Schemas) DecodeBody(body []byte) (*Block, error) {
	content, err := unpack(body)
	if err != nil {
		return nil, err
	}
	d := decoder{cursor: cursor{b: content}, schemas: s, fresh: map[SchemaHash]*ups.Layout{}}
	b := &Block{Unit: d.text("length of the unit's name", maxName), Device: d.text("length of the serial number", maxName)}
	for range d.number("number of sections", MaxSections) {
		rows := d.section()
		if d.err != nil {
			return nil, d.err
		}
		b.Sections = append(b.Sections, rows)
	}
	if d.err == nil && len(d.b) > 0 {
		d.fail(fmt.Errorf("%d bytes behind the last section", len(d.b)))
	}
	if d.err != nil {
		return nil, d.err
	}
	for h, l := range d.fresh {
		s.add(h, l)
	}
	return b, nil
}

// DecodePicture reads the payload of a Record of ClassPicture: the number of its event and a block. It fails as Decode does.
func (s *Schemas) DecodePicture(payload []byte) (event uint64, b *Block, err error) {
	c := cursor{b: payload}
	event = c.uvarint()
	if c.err == nil && event == 0 {
		c.fail(errors.New("a picture of the event 0"))
	}
	if c.err != nil {
		return 0, nil, c.err
	}
	b, err = s.DecodeBody(c.b)
	return event, b, err
}

type decoder struct {
	cursor
	schemas *Schemas
	fresh   map[SchemaHash]*ups.Layout // announced by this block
	cells   int
}

func (d *decoder) section() Rows {
	head := d.byte()
	r := Rows{Tier: ups.Tier(head &^ announceTier), Layout: d.layout(head&announceTier != 0)}
	if r.Tier >= ups.TierCount {
		d.fail(fmt.Errorf("tier %d is not known", r.Tier))
	}
	rows := int(d.number("number of rows", MaxRows))
	if d.err != nil {
		return Rows{}
	}
	cols := len(r.Layout.Columns)
	if d.cells += rows * (cols + 1); d.cells > MaxCells {
		d.fail(fmt.Errorf("block has more than %d cells", MaxCells))
		return Rows{}
	}
	r.At, r.Raw = make([]int64, rows), make([]int64, rows*cols)
	if rows == 0 {
		return r
	}
	d.times(r.At)
	d.columns(r.Raw, rows, cols)
	return r
}

func (d *decoder) layout(announced bool) *ups.Layout {
	if announced {
		l, h := d.schema()
		if d.err != nil {
			return nil
		}
		if known := d.schemas.Layout(h); known != nil {
			return known
		}
		d.fresh[h] = l
		return l
	}
	var h SchemaHash
	copy(h[:], d.take(len(h)))
	if d.err != nil {
		return nil
	}
	if l := d.schemas.Layout(h); l != nil {
		return l
	}
	if l := d.fresh[h]; l != nil {
		return l
	}
	d.fail(&UnknownSchemaError{h})
	return nil
}

// unzstd is shared: its DecodeAll may be called concurrently.
var unzstd = sync.OnceValue(func() *zstd.Decoder {
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(MaxContent),
		zstd.WithDecoderLowmem(true))
	if err != nil {
		panic(err) // one of the options is wrong
	}
	return z
})

// unpack returns the content of a body.
func unpack(body []byte) ([]byte, error) {
	if len(body) == 0 {
		return nil, errShort
	}
	switch body[0] {
	case bodyPlain:
		if len(body)-1 > MaxContent {
			return nil, fmt.Errorf("%d bytes, want at most %d", len(body)-1, MaxContent)
		}
		return body[1:], nil
	case bodyZstd:
	default:
		return nil, fmt.Errorf("packing %d is not known", body[0])
	}
	frame := append(append(make([]byte, 0, len(zstdMagic)+len(body)), zstdMagic...), body[1:]...)
	var h zstd.Header
	if err := h.Decode(frame); err != nil {
		return nil, fmt.Errorf("zstd frame: %w", err)
	}
	if !h.HasFCS || h.FrameContentSize > MaxContent || h.Skippable {
		return nil, fmt.Errorf("zstd frame of no or too great a size (%d bytes, want at most %d)", h.FrameContentSize, MaxContent)
	}
	// The frame's size is only a promise: room grows with what really comes out, and DecodeAll insists on the promise.
	out, err := unzstd().DecodeAll(frame, nil)
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	if uint64(len(out)) != h.FrameContentSize {
		return nil, errors.New("zstd: more than one frame")
	}
	return out, nil
}
