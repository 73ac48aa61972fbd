package wire

import (
	"errors"
	"fmt"
)

// MaxAck is the length of the longest message on the topic acks, in bytes. One has about 90.
const MaxAck = 1 << 10

// An Ack is a message on the topic acks: the cloud has stored every record of the lane up to and including Through, or holds a
// gap record that covers it. Only then may the agent forget them (design, section 6).
type Ack struct {
	Stream  ID
	Lane    Lane
	Through uint64 // 0: nothing yet
}

// EncodeAck returns the message on the topic acks.
func EncodeAck(a Ack) ([]byte, error) {
	if a.Lane != Events && a.Lane != Samples {
		return nil, fmt.Errorf("acknowledgement of %v", a.Lane)
	}
	var b builder
	b.open()
	b.put("v", Version)
	b.put("stream", a.Stream)
	b.put("lane", a.Lane.String())
	b.put("through", a.Through)
	b.close()
	return b.buf, b.err
}

// DecodeAck reads a message of the topic acks. Fields it does not know are left out. It returns a *VersionError when the
// message is of another version.
func DecodeAck(msg []byte) (Ack, error) {
	if len(msg) > MaxAck {
		return Ack{}, fmt.Errorf("acknowledgement of %d bytes, want at most %d", len(msg), MaxAck)
	}
	o, err := parseObject(msg)
	if err != nil {
		return Ack{}, fmt.Errorf("acknowledgement: %w", err)
	}
	if err := o.checkVersion("acknowledgement"); err != nil {
		return Ack{}, err
	}
	var a Ack
	o.want("stream", &a.Stream)
	a.Lane = o.lane()
	o.want("through", &a.Through)
	if o.err == nil && a.Stream == (ID{}) {
		o.fail(errors.New("stream of zeros"))
	}
	if o.err != nil {
		return Ack{}, fmt.Errorf("acknowledgement: %w", o.err)
	}
	return a, nil
}
