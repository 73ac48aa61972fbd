package ingest

import (
	"context"
	"errors"

	"upsedge/internal/wire"
)

// A RowCount is how many rows an agent's blocks and pictures have, each once.
type RowCount struct {
	Rows       int64
	Repeated   int64 // rows of pictures that blocks bring as well, or the other way round
	Unreadable int64 // blocks whose schema has not come yet
}

// rowsOf tells rows of one layout of one unit in one boot apart: by their time (FORMAT.md, section 6).
type rowsOf struct {
	unit, device string
	tier         uint8
	schema       wire.SchemaHash
	boot         wire.ID
}

// Rows counts the rows of an agent, over all its streams. It reads all its blocks, and remembers the time of each row meanwhile.
func (r *Reader) Rows(ctx context.Context, agent string) (n RowCount, err error) {
	s := &schemas{saved: map[wire.SchemaHash]bool{}}
	layouts, err := list(ctx, r, selectSchemas, []any{agent}, scanBytes)
	for _, text := range layouts {
		err = errors.Join(err, s.add(text))
	}
	if err != nil {
		return n, err
	}
	lanes, err := r.Lanes(ctx)
	seen := map[rowsOf]map[int64]bool{}
	for _, l := range lanes {
		if l.Agent != agent || err != nil {
			continue
		}
		err = r.Records(ctx, l, func(rec Stored) error {
			if c := rec.Record.Class; c != wire.ClassSamples && c != wire.ClassPicture {
				return nil
			}
			block, err := s.decode(rec.Record.Class, rec.Record.Payload)
			if err != nil {
				n.Unreadable++
				return nil
			}
			for i := range block.Sections {
				n.count(seen, block, &block.Sections[i], rec.Record.Stamp.BootID)
			}
			return nil
		})
	}
	return n, err
}

func (s *schemas) decode(class wire.Class, payload []byte) (block *wire.Block, err error) {
	if class == wire.ClassPicture {
		_, block, err = s.known.DecodePicture(payload)
		return block, err
	}
	return s.known.DecodeBody(payload)
}

func (n *RowCount) count(seen map[rowsOf]map[int64]bool, b *wire.Block, section *wire.Rows, boot wire.ID) {
	schema, err := wire.HashLayout(section.Layout)
	if err != nil {
		return
	}
	key := rowsOf{b.Unit, b.Device, uint8(section.Tier), schema, boot}
	times := seen[key]
	if times == nil {
		times = map[int64]bool{}
		seen[key] = times
	}
	for _, at := range section.At {
		if times[at] {
			n.Repeated++
			continue
		}
		times[at] = true
		n.Rows++
	}
}
