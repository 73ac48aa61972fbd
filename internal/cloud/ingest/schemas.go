package ingest

import (
	"database/sql"
	"encoding/binary"
	"fmt"

	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// schemas are those of one agent, with the names of those that the table has.
type schemas struct {
	known wire.Schemas
	saved map[wire.SchemaHash]bool
}

// maxSchemas of one agent are kept. A unit has about ten.
const maxSchemas = 4096

// schemas returns what an agent has announced so far.
func (b *batch) schemas(agent string) (*wire.Schemas, error) {
	s := b.cache.schemas[agent]
	if s == nil {
		s = &schemas{saved: map[wire.SchemaHash]bool{}}
		b.each(selectSchemas, []any{agent}, s.scan)
		if b.err != nil {
			return nil, b.err
		}
		b.cache.schemas[agent] = s
	}
	return &s.known, nil
}

const selectSchemas = `SELECT layout FROM schemas WHERE agent = $1`

func (s *schemas) scan(rows *sql.Rows) error {
	text, err := scanBytes(rows)
	if err != nil {
		return err
	}
	return s.add(text)
}

func scanBytes(rows *sql.Rows) (text []byte, err error) { return text, rows.Scan(&text) }

// add makes a schema of the table known.
func (s *schemas) add(text []byte) error {
	l, err := parseLayout(text)
	if err != nil {
		return err
	}
	hash, err := s.known.Add(l)
	s.saved[hash] = true
	return err
}

// learn keeps the schemas that a block announced, for ever (FORMAT.md, section 6).
func (b *batch) learn(agent string, r *record) {
	if r.block == nil || b.err != nil {
		return
	}
	s := b.cache.schemas[agent]
	for _, section := range r.block.Sections {
		hash, err := wire.HashLayout(section.Layout)
		if err != nil || s.saved[hash] || len(s.saved) >= maxSchemas {
			continue
		}
		s.saved[hash] = true
		b.exec(`INSERT INTO schemas (agent, hash, layout) VALUES ($1, $2, $3) ON CONFLICT (agent, hash) DO NOTHING`,
			agent, hash[:], formatLayout(section.Layout))
	}
}

// formatLayout writes point and divisor of each column as uvarints.
func formatLayout(l *ups.Layout) (out []byte) {
	for _, c := range l.Columns {
		out = binary.AppendUvarint(binary.AppendUvarint(out, uint64(c.Point)), uint64(c.Divisor))
	}
	return out
}

func parseLayout(b []byte) (*ups.Layout, error) {
	l := &ups.Layout{}
	for len(b) > 0 {
		p, n := binary.Uvarint(b)
		d, m := binary.Uvarint(b[max(n, 0):])
		if n <= 0 || m <= 0 || p > 1<<16-1 || d > 1<<16-1 {
			return nil, fmt.Errorf("schema of %d bytes that cannot be read", len(b))
		}
		l.Columns = append(l.Columns, ups.Column{Point: ups.Point(p), Divisor: uint16(d)})
		b = b[n+m:]
	}
	return l, nil
}
