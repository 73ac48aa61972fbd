package ingest

import (
	"context"
	"database/sql"

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
	if err := r.each(ctx, selectSchemas, []any{agent}, s.scan); err != nil {
		return n, err
	}
	seen := map[rowsOf]map[int64]bool{}
	const query = `SELECT r.class, r.boot_id, r.payload FROM records r JOIN lanes l ON l.id = r.lane
		WHERE l.agent = $1 AND r.class IN ('samples', 'picture')`
	err = r.each(ctx, query, []any{agent}, func(rows *sql.Rows) error {
		var class string
		var boot, payload []byte
		if err := rows.Scan(&class, &boot, &payload); err != nil {
			return err
		}
		block, err := s.decode(class, payload)
		if err != nil {
			n.Unreadable++
			return nil
		}
		for i := range block.Sections {
			n.count(seen, block, &block.Sections[i], id(boot))
		}
		return nil
	})
	return n, err
}

func (s *schemas) decode(class string, payload []byte) (block *wire.Block, err error) {
	if class == wire.ClassPicture.String() {
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
