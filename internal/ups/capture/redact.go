package capture

import (
	"encoding/binary"

	"upsedge/internal/ups/modbus"
)

// A Span is an item that holds a name or a serial number.
type Span struct{ Addr, Count uint16 }

const (
	mask = 'X'
	// run is how many printable characters in a row, in what fits no request, are taken for a text.
	run = 4
	// remembered is how many requests back a late reply is looked for.
	remembered = 8

	mbapBytes = 7 // transaction 2, protocol 2, length 2, unit 1
)

// A redactor masks texts in replies: every character but blanks becomes an X, so that lengths and padding stay. What was wrong
// with a frame stays wrong, and what was right stays right, the checksum included.
type redactor struct {
	spans []Span
	tcp   bool
	asked [][]byte // requests, the last one last
}

// ask takes note of a request.
func (r *redactor) ask(request []byte) {
	if len(r.asked) == remembered {
		r.asked = r.asked[1:]
	}
	r.asked = append(r.asked, request)
}

// reply masks what came, in place.
func (r *redactor) reply(b []byte) {
	if r.tcp {
		r.replyTCP(b)
		return
	}
	r.replyRTU(b)
}

// replyRTU masks a reply with a checksum. A damaged one keeps by how much its checksum is off.
func (r *redactor) replyRTU(b []byte) {
	if len(b) < 5 {
		return
	}
	body, tail := b[:len(b)-2], b[len(b)-2:]
	off := modbus.CRC(body) ^ binary.LittleEndian.Uint16(tail)
	r.pdu(body, func(request []byte) []byte { return request }, nil)
	binary.LittleEndian.PutUint16(tail, modbus.CRC(body)^off)
}

// replyTCP masks frame after frame; what is no frame is masked as text.
func (r *redactor) replyTCP(b []byte) {
	for len(b) >= mbapBytes {
		size := mbapBytes - 1 + int(binary.BigEndian.Uint16(b[4:]))
		if size <= mbapBytes || size > len(b) {
			break
		}
		id := b[:2]
		r.pdu(b[mbapBytes-1:size], func(request []byte) []byte {
			if len(request) < mbapBytes {
				return nil
			}
			return request[mbapBytes-1:]
		}, id)
		b = b[size:]
	}
	maskRuns(b)
}

// pdu masks unit and PDU of a reply by the newest request that it fits, or else as text. id is the transaction on TCP.
func (r *redactor) pdu(b []byte, pduOf func([]byte) []byte, id []byte) {
	for i := len(r.asked) - 1; i >= 0; i-- {
		if id != nil && (len(r.asked[i]) < 2 || string(r.asked[i][:2]) != string(id)) {
			continue
		}
		if r.fitting(pduOf(r.asked[i]), b) {
			return
		}
	}
	maskRuns(b)
}

// fitting masks a reply that fits the request, and reports whether it does. Both begin with the unit.
func (r *redactor) fitting(request, b []byte) bool {
	const read, exception = 3, 0x80
	if len(request) < 6 || len(b) < 2 || b[0] != request[0] || request[1] != read {
		return false
	}
	if b[1] == read|exception {
		return len(b) == 3
	}
	addr, count := binary.BigEndian.Uint16(request[2:]), int(binary.BigEndian.Uint16(request[4:]))
	if b[1] != read || len(b) != 3+2*count || int(b[2]) != 2*count {
		return false
	}
	for _, s := range r.spans {
		from, to := max(0, int(s.Addr)-int(addr)), min(count, int(s.Addr)+int(s.Count)-int(addr))
		for i := from; i < to; i++ {
			maskText(b[3+2*i:][:2])
		}
	}
	return true
}

func maskText(b []byte) {
	for i, c := range b {
		if printable(c) {
			b[i] = mask
		}
	}
}

// maskRuns masks whatever may be a text.
func maskRuns(b []byte) {
	begin := 0
	for i := range len(b) + 1 {
		if i < len(b) && printable(b[i]) {
			continue
		}
		if i-begin >= run {
			maskText(b[begin:i])
		}
		begin = i + 1
	}
}

func printable(c byte) bool { return c > ' ' && c <= '~' }
