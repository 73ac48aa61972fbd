package upssim

import (
	"bytes"
	"slices"
	"time"
)

// A reply is what goes back for one request: whose, what, and on TCP under which number.
type reply struct {
	number [2]byte
	unit   byte
	pdu    []byte
}

// A conversation is what a line, or one TCP connection, remembers: some faults bring back what was said before.
type conversation struct {
	units   map[uint8]*Unit
	before  reply              // to the request before, as it should have been; no pdu: there was none
	pending reply              // of Shift: not sent yet
	reads   map[byte][2][]byte // of each unit, the last read and the last one of other registers than that
	resets  int                // exchanges with Resetting
}

// answer decides what the unit's answer to a request is. It returns false for silence.
func (c *conversation) answer(u *Unit, v *verdict, number [2]byte, unit byte, request []byte) (reply, bool) {
	c.note(unit, request)
	good := reply{number: number, unit: unit, pdu: u.Handle(request)}
	if good.pdu == nil || v.hit[Deaf] {
		return reply{}, false
	}
	out := good
	switch {
	case v.hit[NoSingle]:
		out.pdu = exception(request[0], illegalFunction)
	case v.hit[Refusal]:
		out.pdu = exception(request[0], deviceFailure)
	case v.hit[Resetting]:
		if c.resets++; c.resets%2 == 0 {
			out.pdu = exception(request[0], illegalAddress)
		} else {
			v.hit[BadCRC] = true
		}
	case v.hit[OtherBlock] && request[0] == readHolding:
		out.pdu = u.Handle(c.elsewhere(unit, request))
	case v.hit[OtherUnit]:
		out = c.somebody(out, request)
	}
	return c.shift(v, number, out)
}

// shift gives back an earlier reply in the place of this one, where a fault says so.
func (c *conversation) shift(v *verdict, number [2]byte, out reply) (reply, bool) {
	before, pending := c.before, c.pending
	c.before, c.pending = out, reply{}
	switch {
	case v.hit[Shift] || v.hit[Renumbered]:
		c.pending = out
		if pending.pdu == nil {
			return reply{}, false
		}
		out = pending
	case v.hit[Stale] && before.pdu != nil:
		out = before
	}
	if v.hit[Renumbered] {
		out.number = number
	}
	return out, true
}

// note keeps the last two reads of a unit that differ.
func (c *conversation) note(unit byte, request []byte) {
	last := c.reads[unit]
	if request[0] != readHolding || bytes.Equal(request, last[0]) {
		return
	}
	if c.reads == nil {
		c.reads = map[byte][2][]byte{}
	}
	c.reads[unit] = [2][]byte{bytes.Clone(request), last[0]}
}

// elsewhere is a read of other registers of the unit than those of request.
func (c *conversation) elsewhere(unit byte, request []byte) []byte {
	if other := c.reads[unit][1]; other != nil {
		return other
	}
	if bytes.Equal(request, statusRead) {
		return verifyRead
	}
	return statusRead
}

// Reads that every unit answers: what a stranger on the line might ask.
var (
	statusRead = []byte{readHolding, 0, 0, 0, 27}
	verifyRead = []byte{readHolding, 8, 0, 0, 14}
)

// somebody makes a reply one of another unit: of one on this line if there is one, and otherwise of one nobody knows, that
// holds the same.
func (c *conversation) somebody(r reply, request []byte) reply {
	ids := make([]int, 0, len(c.units))
	for id := range c.units {
		ids = append(ids, int(id))
	}
	slices.Sort(ids)
	for _, id := range ids {
		if other := c.units[uint8(id)]; uint8(id) != r.unit {
			if pdu := other.Handle(request); pdu != nil {
				return reply{number: r.number, unit: uint8(id), pdu: pdu}
			}
		}
	}
	r.unit = r.unit%223 + 1
	return r
}

// A piece is bytes that follow each other without a pause, after one.
type piece struct {
	after time.Duration
	bytes []byte
}

const (
	// splitPause is between the pieces of an exception: longer than the silence that ends a frame by the book (3.6 ms at 9600
	// baud), and within the 15 ms that the units tolerate themselves.
	splitPause = 10 * time.Millisecond
	// strangerPause is between what another master asks and what it gets.
	strangerPause = 8 * time.Millisecond
)

// pieces applies the faults that concern the bytes of a frame. damage changes what makes a receiver refuse it.
func (v *verdict) pieces(adu []byte, damage func([]byte)) []piece {
	if v.hit[BadCRC] {
		adu = bytes.Clone(adu)
		damage(adu)
	}
	if v.hit[Cut] {
		adu = adu[:(len(adu)+1)/2]
	}
	out := []piece{{0, adu}}
	if v.hit[Refusal] {
		out = []piece{{0, adu[:len(adu)/2]}, {splitPause, adu[len(adu)/2:]}}
	}
	if v.hit[Garbage] {
		out[0].bytes = append(v.garbage(), out[0].bytes...)
	}
	return out
}

// garbage is 1 to 16 bytes of noise.
func (v *verdict) garbage() []byte {
	out := make([]byte, 1+v.noise%16)
	for i := range out {
		out[i] = byte(v.noise >> (3 * i))
	}
	return out
}
