package wire

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"upsedge/internal/ups"
)

// A SchemaHash names a schema: the first 8 bytes of the SHA-256 of its encoding.
type SchemaHash [8]byte

// String returns 16 hexadecimal digits.
func (h SchemaHash) String() string { return hex.EncodeToString(h[:]) }

// An UnknownSchemaError says that a block names a schema that no block before it carried. Keep the block: the agent repeats
// each schema, and then it can be read.
type UnknownSchemaError struct{ Hash SchemaHash }

func (e *UnknownSchemaError) Error() string {
	return fmt.Sprintf("schema %s was not announced yet", e.Hash)
}

// appendSchema writes the number of columns, then point and divisor of each; columns of text are left out.
func appendSchema(dst []byte, l *ups.Layout) ([]byte, error) {
	n := 0
	for _, c := range l.Columns {
		if c.Divisor == 0 {
			return nil, fmt.Errorf("%v has the divisor 0", c.Point)
		}
		if c.Point.Info().Kind != ups.Text {
			n++
		}
	}
	if n > MaxColumns {
		return nil, fmt.Errorf("layout of %d columns, want at most %d", n, MaxColumns)
	}
	dst = binary.AppendUvarint(dst, uint64(n))
	for _, c := range l.Columns {
		if c.Point.Info().Kind != ups.Text {
			dst = binary.AppendUvarint(dst, uint64(c.Point))
			dst = binary.AppendUvarint(dst, uint64(c.Divisor))
		}
	}
	return dst, nil
}

func hashSchema(encoded []byte) (h SchemaHash) {
	sum := sha256.Sum256(encoded)
	copy(h[:], sum[:])
	return h
}

// HashLayout returns the name of the schema that blocks with this layout have.
func HashLayout(l *ups.Layout) (SchemaHash, error) {
	b, err := appendSchema(nil, l)
	if err != nil {
		return SchemaHash{}, err
	}
	return hashSchema(b), nil
}

// schema reads a schema and its name.
func (c *cursor) schema() (*ups.Layout, SchemaHash) {
	from := c.b
	n := c.number("number of columns", MaxColumns)
	l := &ups.Layout{Columns: make([]ups.Column, 0, n)}
	for range n {
		p := c.number("point", 1<<16-1)
		d := c.number("divisor", 1<<16-1)
		if d == 0 || ups.Point(p).Info().Kind == ups.Text {
			c.fail(fmt.Errorf("schema has the column %v with the divisor %d", ups.Point(p), d))
		}
		l.Columns = append(l.Columns, ups.Column{Point: ups.Point(p), Divisor: uint16(d)})
	}
	if c.err != nil {
		return nil, SchemaHash{}
	}
	// Hashed is what a reader understood, not the bytes: a number can be written longer than it needs to be.
	b := binary.AppendUvarint(nil, uint64(len(l.Columns)))
	for _, col := range l.Columns {
		b = binary.AppendUvarint(b, uint64(col.Point))
		b = binary.AppendUvarint(b, uint64(col.Divisor))
	}
	if len(b) != len(from)-len(c.b) {
		c.fail(errors.New("schema has numbers longer than they need to be"))
	}
	return l, hashSchema(b)
}

// Schemas are the schemas known so far, filled by decoding blocks. Keep one per agent: a schema means the same wherever it
// comes from, but what one agent sends should not cost another one memory. Not safe for concurrent use.
type Schemas struct{ known map[SchemaHash]*ups.Layout }

// maxSchemas bounds what one agent can make a receiver keep. A unit has about ten.
const maxSchemas = 4096

// Add makes a layout known, as a receiver does that has kept it over a restart.
func (s *Schemas) Add(l *ups.Layout) (SchemaHash, error) {
	b, err := appendSchema(nil, l)
	if err != nil {
		return SchemaHash{}, err
	}
	h := hashSchema(b)
	c := cursor{b: b}
	plain, _ := c.schema()
	s.add(h, plain)
	return h, nil
}

func (s *Schemas) add(h SchemaHash, l *ups.Layout) {
	if s.known == nil {
		s.known = map[SchemaHash]*ups.Layout{}
	}
	if len(s.known) < maxSchemas {
		s.known[h] = l
	}
}

// Layout returns the layout of that name, nil if it is not known.
func (s *Schemas) Layout(h SchemaHash) *ups.Layout { return s.known[h] }
