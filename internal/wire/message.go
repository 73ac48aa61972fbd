package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"
)

// sampleMagic begins every samples message; the byte behind it is the version.
const sampleMagic = "UPS"

// Versions of the samples message. The block in it is the same.
const (
	BlockVersion   = 1 // a record of the samples lane
	PictureVersion = 2 // a picture: a record of the events lane, with its lane in the header
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrDamaged says that a samples message is not what an agent sent: its checksum does not fit.
var ErrDamaged = errors.New("samples message is damaged: its checksum does not fit")

// A BodyError says that the body of a record cannot be read, though the message is whole and says which record it is. The record
// should be kept as it is: it counts as stored, or one that nobody can read would keep its lane from being acknowledged for ever.
type BodyError struct {
	Seq uint64
	Err error
}

func (e *BodyError) Error() string { return fmt.Sprintf("body of record %d: %v", e.Seq, e.Err) }
func (e *BodyError) Unwrap() error { return e.Err }

// SampleMessage appends what is published on the samples topic for r, a record of ClassSamples or ClassPicture, to dst.
func SampleMessage(dst []byte, agent string, r Record) ([]byte, error) {
	if err := CheckAgent(agent); err != nil {
		return dst, err
	}
	picture := r.Class == ClassPicture && r.Lane == Events
	if !picture && (r.Class != ClassSamples || r.Lane != Samples) || r.Seq == 0 {
		return dst, fmt.Errorf("record %d of class %v and lane %v is not one of samples", r.Seq, r.Class, r.Lane)
	}
	if r.Stamp.Mono < 0 {
		return dst, fmt.Errorf("time on the monotonic clock %v is negative", r.Stamp.Mono)
	}
	from := len(dst)
	if dst = append(dst, sampleMagic...); picture {
		dst = append(dst, PictureVersion, byte(r.Lane))
	} else {
		dst = append(dst, BlockVersion)
	}
	dst = appendText(dst, agent)
	dst = append(dst, r.Stream[:]...)
	dst = binary.AppendUvarint(dst, r.Seq)
	dst = binary.AppendUvarint(dst, uint64(r.Epoch))
	dst = binary.AppendUvarint(dst, uint64(r.Boot))
	dst = append(dst, r.Stamp.BootID[:]...)
	dst = binary.AppendUvarint(dst, uint64(r.Stamp.Mono.Microseconds()))
	if r.Stamp.Wall.IsZero() {
		dst = append(dst, 0)
	} else {
		dst = appendVarint(append(dst, 1), r.Stamp.Wall.UnixMilli())
	}
	dst = append(dst, r.Payload...)
	if n := len(dst) - from + crc32.Size; n > MaxMessage {
		return dst[:from], fmt.Errorf("message of %d bytes, want at most %d", n, MaxMessage)
	}
	return binary.BigEndian.AppendUint32(dst, crc32.Checksum(dst[from:], castagnoli)), nil
}

// PicturePayload returns the payload of a Record of ClassPicture: body, made by Encoder.EncodeAlone, as the picture of the event
// with that number.
func PicturePayload(event uint64, body []byte) []byte {
	out := make([]byte, 0, binary.MaxVarintLen64+len(body))
	return append(binary.AppendUvarint(out, event), body...)
}

// openMessage checks a samples message as a whole and reads its header. The payload is part of msg.
func openMessage(msg []byte) (agent string, r Record, err error) {
	const least = len(sampleMagic) + 1 + crc32.Size
	if len(msg) < least || len(msg) > MaxMessage || string(msg[:len(sampleMagic)]) != sampleMagic {
		return "", r, fmt.Errorf("%d bytes that are not a samples message", len(msg))
	}
	v := msg[len(sampleMagic)]
	if v != BlockVersion && v != PictureVersion {
		return "", r, &VersionError{"samples message", uint64(v)}
	}
	whole, sum := msg[:len(msg)-crc32.Size], binary.BigEndian.Uint32(msg[len(msg)-crc32.Size:])
	if crc32.Checksum(whole, castagnoli) != sum {
		return "", r, ErrDamaged
	}
	c := cursor{b: whole[len(sampleMagic)+1:]}
	r = Record{Lane: Samples, Class: ClassSamples}
	if v == PictureVersion {
		r = Record{Lane: Events, Class: ClassPicture}
		if lane := Lane(c.byte()); lane != Events {
			c.fail(fmt.Errorf("a picture of lane %v", lane))
		}
	}
	agent = c.text("length of the agent id", MaxAgent)
	r.Stream, r.Seq = c.id(), c.uvarint()
	r.Epoch = uint32(c.number("epoch", 1<<32-1))
	r.Boot = uint32(c.number("boot", 1<<32-1))
	r.Stamp.BootID = c.id()
	r.Stamp.Mono = time.Duration(c.number("time on the monotonic clock", maxSeconds*1e6)) * time.Microsecond
	switch c.byte() {
	case 0:
	case 1:
		r.Stamp.Wall = time.UnixMilli(c.varint()).UTC()
	default:
		c.fail(errors.New("unknown kind of wall clock"))
	}
	if r.Payload = c.b; c.err == nil && r.Seq == 0 {
		c.fail(errors.New("number 0"))
	}
	if c.err == nil {
		c.err = CheckAgent(agent)
	}
	if c.err != nil {
		return "", Record{}, fmt.Errorf("header of a samples message: %w", c.err)
	}
	return agent, r, nil
}
