package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// errShort says that a message ends inside a field.
var errShort = errors.New("ends too early")

// A cursor reads a binary message from front to back. After its first error every read returns zero.
type cursor struct {
	b   []byte
	err error
}

func (c *cursor) fail(err error) {
	if c.err == nil {
		c.err = err
	}
	c.b = nil
}

// take returns the next n bytes, which stay part of the message.
func (c *cursor) take(n int) []byte {
	if n > len(c.b) {
		c.fail(errShort)
		return nil
	}
	out := c.b[:n:n]
	c.b = c.b[n:]
	return out
}

func (c *cursor) byte() byte {
	if b := c.take(1); b != nil {
		return b[0]
	}
	return 0
}

// uvarint reads a number in groups of seven bits, the low ones first (Protocol Buffers encoding, "Base 128 Varints").
func (c *cursor) uvarint() uint64 {
	v, n := binary.Uvarint(c.b)
	if n <= 0 {
		if n < 0 {
			c.fail(errors.New("number of more than 64 bits"))
		}
		c.fail(errShort)
		return 0
	}
	c.b = c.b[n:]
	return v
}

// number reads a uvarint of at most limit.
func (c *cursor) number(what string, limit uint64) uint64 {
	v := c.uvarint()
	if v > limit {
		c.fail(fmt.Errorf("%s is %d, want at most %d", what, v, limit))
		return 0
	}
	return v
}

func (c *cursor) varint() int64 { return unzigzag(c.uvarint()) }

func (c *cursor) text(what string, limit uint64) string {
	return string(c.take(int(c.number(what, limit))))
}

func (c *cursor) id() (id ID) {
	copy(id[:], c.take(len(id)))
	return id
}

// zigzag maps 0, -1, 1, -2 … to 0, 1, 2, 3 …, so that small numbers of either sign are short.
func zigzag(v int64) uint64 { return uint64(v<<1) ^ uint64(v>>63) }

func unzigzag(u uint64) int64 { return int64(u>>1) ^ -int64(u&1) }

func appendVarint(dst []byte, v int64) []byte { return binary.AppendUvarint(dst, zigzag(v)) }

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}
