package soak

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"

	"upsedge/internal/wire"
)

// A direction is one of the two of a connection.
type direction int

const (
	up   direction = iota // from the client to the broker
	down                  // and back
)

func (d direction) String() string { return [...]string{"up", "down"}[d] }

// packetNames are the control packets of MQTT 3.1.1, section 2.2.1, by type.
var packetNames = [16]string{
	1: "CONNECT", 2: "CONNACK", 3: "PUBLISH", 4: "PUBACK", 5: "PUBREC", 6: "PUBREL", 7: "PUBCOMP", 8: "SUBSCRIBE", 9: "SUBACK",
	10: "UNSUBSCRIBE", 11: "UNSUBACK", 12: "PINGREQ", 13: "PINGRESP", 14: "DISCONNECT",
}

const publish = 3

// A step is one kind of packet in one direction; of PUBLISH also the leaf of its topic.
type step struct {
	dir  direction
	kind string // "PUBACK", "PUBLISH events"
}

func (s step) String() string { return s.dir.String() + " " + s.kind }

const maxPacket = 8 << 20 // above every message of ours

// readPacket returns one control packet with its header, and what it is.
func readPacket(r *bufio.Reader) (raw []byte, kind string, err error) {
	first, err := r.ReadByte()
	if err != nil {
		return nil, "", err
	}
	raw = append(raw, first)
	length, shift := 0, 0
	for more := true; more; shift += 7 {
		b, err := r.ReadByte()
		if err != nil {
			return nil, "", err
		}
		raw = append(raw, b)
		length |= int(b&0x7f) << shift
		if more = b&0x80 != 0; more && shift == 21 {
			return nil, "", errors.New("length of a packet has more than four bytes")
		}
	}
	if length > maxPacket {
		return nil, "", errors.New("packet is too long")
	}
	head := len(raw)
	raw = append(raw, make([]byte, length)...)
	if _, err := io.ReadFull(r, raw[head:]); err != nil {
		return nil, "", err
	}
	return raw, kindOf(raw, head), nil
}

// kindOf names a packet whose header takes head bytes.
func kindOf(raw []byte, head int) string {
	kind := packetNames[raw[0]>>4]
	if raw[0]>>4 != publish {
		return kind
	}
	body := raw[head:]
	if len(body) < 2 || len(body) < 2+int(binary.BigEndian.Uint16(body)) {
		return kind
	}
	topic := string(body[2 : 2+binary.BigEndian.Uint16(body)])
	leaf := topic[strings.LastIndexByte(topic, '/')+1:]
	if leaf == string(wire.TopicState) {
		switch {
		case bytes.Contains(raw, []byte(`"units"`)):
			leaf += " full"
		case bytes.Contains(raw, []byte(`"online"`)):
			leaf += " offline"
		default:
			leaf += " first"
		}
	}
	return kind + " " + leaf
}

// body returns the packet id and the payload of a PUBLISH with quality of service 1.
func body(raw []byte) (id uint16, payload []byte) {
	at := 1
	for raw[at]&0x80 != 0 {
		at++
	}
	at++
	at += 2 + int(binary.BigEndian.Uint16(raw[at:]))
	return binary.BigEndian.Uint16(raw[at:]), raw[at+2:]
}

// decode returns the record of a message on events or samples.
func decode(leaf wire.Leaf, msg []byte) (rec wire.Record, ok bool, err error) {
	switch leaf {
	case wire.TopicEvents:
		m, err := wire.DecodeEventMessage(msg)
		if err != nil {
			return rec, false, err
		}
		return m.Record, true, nil
	case wire.TopicSamples:
		var none wire.Schemas
		m, err := none.Decode(msg)
		if m == nil {
			return rec, false, err
		}
		return m.Record, true, nil
	}
	return rec, false, nil
}
