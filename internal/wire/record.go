// Package wire is what crosses the network: records and their identity, the sample block, events, state and topics. It does
// no I/O. FORMAT.md beside this file describes every byte well enough to write another cloud or another agent; golden files
// hold each shipped version.
package wire

import (
	"encoding/hex"
	"fmt"
	"time"
)

// A Lane is one of the two numbered queues between agent and cloud.
type Lane uint8

// The lanes.
const (
	Events  Lane = iota + 1 // alarms, log records, gap records, results, receipts
	Samples                 // sample blocks
)

// String returns the lane's name in topics, JSON and metrics.
func (l Lane) String() string {
	switch l {
	case Events:
		return "events"
	case Samples:
		return "samples"
	}
	return fmt.Sprintf("lane(%d)", uint8(l))
}

// Lanes lists the lanes in the order of their priority.
var Lanes = [...]Lane{Events, Samples}

// A Class says what the payload of a Record is. Numbers are part of the format.
type Class uint8

// The classes.
const (
	ClassAlarm   Class = 1 // JSON, an event of the event catalogue
	ClassGap     Class = 2 // JSON, a gap record
	ClassSamples Class = 3 // sample block
	ClassPicture Class = 4 // sample block of what led to an event, in the events lane
	ClassResult  Class = 5 // JSON, what became of an order
)

var classNames = [...]string{"", "alarm", "gap", "samples", "picture", "result"}

// String returns the class's name in JSON.
func (c Class) String() string {
	if c > 0 && int(c) < len(classNames) {
		return classNames[c]
	}
	return fmt.Sprintf("class(%d)", uint8(c))
}

// An ID is 128 bits: a stream or a boot id.
type ID [16]byte

// String returns 32 hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// MarshalText writes 32 hexadecimal digits.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads 32 hexadecimal digits.
func (id *ID) UnmarshalText(b []byte) error {
	if len(b) != 2*len(id) {
		return fmt.Errorf("id %q has %d characters, want %d", b, len(b), 2*len(id))
	}
	_, err := hex.Decode(id[:], b)
	return err
}

// A Stamp is an instant as the box knows it: always on the monotonic clock of one boot of the operating system, and on the
// wall clock when that can be trusted.
type Stamp struct {
	BootID ID
	Mono   time.Duration // since the boot BootID (CLOCK_BOOTTIME), not negative; crosses the network in whole microseconds
	Wall   time.Time     // UTC; zero while the clock is not trusted; crosses the network in whole milliseconds
}

// A Record is one numbered entry of a lane. (agent, Stream, Lane, Seq) is its identity; everything else are fields.
type Record struct {
	Stream ID // made with the database
	Lane   Lane
	Seq    uint64 // from 1, without holes per stream and lane
	Class  Class
	Epoch  uint32 // 0: no owner, or stand-alone
	Boot   uint32 // starts of the agent, counted in the database
	Stamp  Stamp  // when it was put; of samples and pictures the time of the first row
	// Payload is the body: a JSON object of an event or gap without its numbers, an encoded block, or a picture: the number of its
	// event and an encoded block.
	Payload []byte
}
