package upssim

import (
	"encoding/binary"
	"time"
)

const (
	// gapInside is the shortest silence the unit can see: a shorter one inside a frame is tolerated (AN176 4.2.2).
	gapInside = 15 * time.Millisecond
	// gapBetween is the silence a request needs before it (AN176 4.2.2).
	gapBetween = 35 * time.Millisecond

	maxFrame = 256
)

// A frame is what arrived between two places where the unit saw an end: a request, or something that is none.
type frame struct {
	bytes      []byte
	start, end time.Time // of the first bit of the first and the last bit of the last byte
}

// sound reports whether the frame is a request: address, function and a right checksum.
func (f frame) sound() bool {
	n := len(f.bytes)
	return n >= 4 && n <= maxFrame && crc(f.bytes[:n-2]) == binary.LittleEndian.Uint16(f.bytes[n-2:])
}

// A framer makes frames of the bytes on a line. Bytes follow each other no faster than the line carries them: what is
// written to a pty at once arrives in as many byte times as it has bytes.
type framer struct {
	byteTime time.Duration
	frame    frame
}

// add takes a byte that was seen at t. It returns a frame that ended before this byte, and one that ends with it; either may
// be empty.
func (f *framer) add(t time.Time, b byte) (before, complete frame) {
	start := t
	if start.Before(f.frame.end) {
		start = f.frame.end
	}
	if len(f.frame.bytes) > 0 && start.Sub(f.frame.end) > gapInside {
		before = f.take()
	}
	if len(f.frame.bytes) == 0 {
		f.frame.start = start
	}
	f.frame.bytes = append(f.frame.bytes, b)
	f.frame.end = start.Add(f.byteTime)
	if n := requestLength(f.frame.bytes); n == len(f.frame.bytes) || len(f.frame.bytes) > maxFrame {
		complete = f.take()
	}
	return before, complete
}

// take ends the frame, whatever it is.
func (f *framer) take() frame {
	out := f.frame
	f.frame = frame{end: out.end}
	return out
}

// open reports whether a frame has begun.
func (f *framer) open() bool { return len(f.frame.bytes) > 0 }

// requestLength returns the length of the request that begins with b, 0 while that is not known: then only silence ends it.
func requestLength(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case 1, 2, 3, 4, 5, 6:
		return 8
	case 15, 16:
		if len(b) < 7 {
			return 0
		}
		return 9 + int(b[6])
	}
	return 0
}

// crc is the checksum of Modbus RTU: polynomial 0xA001 reflected, initial 0xFFFF; it goes low byte first.
func crc(b []byte) uint16 {
	c := uint16(0xFFFF)
	for _, v := range b {
		c = c>>8 ^ crcTable[byte(c)^v]
	}
	return c
}

var crcTable = func() (t [256]uint16) {
	for i := range t {
		c := uint16(i)
		for range 8 {
			if c&1 != 0 {
				c = c>>1 ^ 0xA001
			} else {
				c >>= 1
			}
		}
		t[i] = c
	}
	return t
}()
