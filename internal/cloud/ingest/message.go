package ingest

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"upsedge/internal/wire"
)

// A Message is what came on a topic.
type Message struct {
	Topic    string
	Payload  []byte
	Retained bool // the broker had it before we asked
}

// An Answer is what is to be published, with quality of service 1 and never retained.
type Answer struct {
	Topic   string
	Payload []byte
}

// maxHost bounds the facts about the box that are kept of an agent, in bytes.
const maxHost = 64 << 10

// An item is a message as understood. Exactly one of record, state and host is set.
type item struct {
	agent    string
	record   *record
	state    *wire.State
	host     []byte
	text     []byte // of a full state, as it came
	retained bool
}

// A record is what the tables keep of one.
type record struct {
	wire.Record                      // Payload is the body
	class       string               // its name on the wire; Record.Class is 0 for one this program does not know
	device      string               // the serial number it names, "" without one
	event       *wire.PublishedEvent // of an alarm or result that can be read
	gap         *wire.Gap
	block       *wire.Block // nil while its schema is not known
	unreadable  error       // its body cannot be read, and never will be: it is kept as it came
}

// hash tells whether two records with one identity say the same. The time of the wall clock is no part of it: an agent whose clock
// has been set meanwhile may send a record with the time that it could not give before.
func (r *record) hash() [sha256.Size]byte {
	h := sha256.New()
	fmt.Fprintf(h, "%s %d %d %s %d ", r.class, r.Epoch, r.Boot, r.Stamp.BootID, r.Stamp.Mono.Microseconds())
	h.Write(r.Payload)
	return [sha256.Size]byte(h.Sum(nil))
}

// replacesItself reports whether the record is a gap that took the number of a record that was lost (FORMAT.md, section 4.2).
func (r *record) replacesItself() bool {
	return r.gap != nil && r.gap.Lane == r.Lane && r.gap.First <= r.Seq && r.Seq <= r.gap.Last
}

// read understands a message. schemas are those of its agent.
func read(m Message, schemas func(agent string) (*wire.Schemas, error)) (*item, error) {
	agent, leaf, err := wire.SplitTopic(m.Topic)
	if err != nil {
		return nil, err
	}
	it := &item{agent: agent, retained: m.Retained}
	switch leaf {
	case wire.TopicState:
		err = it.readState(m.Payload)
	case wire.TopicEvents, wire.TopicResults:
		err = it.readEvent(m.Payload)
	case wire.TopicSamples:
		var known *wire.Schemas
		if known, err = schemas(agent); err == nil {
			err = it.readBlock(m.Payload, known)
		}
	case wire.TopicHost:
		err = it.readHost(m.Payload)
	default:
		err = fmt.Errorf("nobody but us publishes on %s", leaf)
	}
	if err != nil {
		return nil, err
	}
	return it, nil
}

func (it *item) readState(msg []byte) (err error) {
	if it.state, err = wire.DecodeState(msg); err != nil {
		return err
	}
	if bytes.Contains(msg, []byte(`\u0000`)) {
		return errors.New("a text with the character 0") // see readEvent
	}
	if it.state.Session > math.MaxInt64 {
		return fmt.Errorf("session %d is more than 63 bits", it.state.Session)
	}
	if full := it.state.Full; full != nil {
		if it.text = msg; full.Agent != it.agent {
			return foreign(full.Agent, it.agent)
		}
		for _, w := range full.Lanes {
			if max(w.First, w.Last) > math.MaxInt64 {
				return fmt.Errorf("a lane of up to %d is more than 63 bits", max(w.First, w.Last))
			}
		}
	}
	return nil
}

func (it *item) readEvent(msg []byte) error {
	p, err := wire.DecodeEventMessage(msg)
	var body *wire.BodyError
	if err != nil && !errors.As(err, &body) {
		return err
	}
	if p.Gap != nil && p.Gap.Last > math.MaxInt64 {
		return fmt.Errorf("a gap up to %d is more than 63 bits", p.Gap.Last)
	}
	if len(p.ClassName) > 32 || p.ClassName != clean(p.ClassName, 32) {
		return fmt.Errorf("class %.64q, want at most 32 characters", p.ClassName)
	}
	r := &record{Record: p.Record, class: p.ClassName, gap: p.Gap, unreadable: err}
	switch {
	case p.Event != nil:
		r.event, r.device = p, p.Event.Device
	case p.Result != nil:
		r.event, r.device = p, p.Result.Device
	}
	if r.event != nil && bytes.Contains(msg, []byte(`\u0000`)) {
		// No text of ours has that character, and PostgreSQL takes it nowhere. The record is kept as it came.
		r.event, r.unreadable = nil, errors.New("a text with the character 0")
	}
	r.device = clean(r.device, maxDevice)
	return it.takeRecord(p.Agent, r)
}

// maxDevice bounds a serial number in bytes: wire lets none pass that is longer.
const maxDevice = 255

func (it *item) readBlock(msg []byte, known *wire.Schemas) error {
	p, err := known.Decode(msg)
	var unknown *wire.UnknownSchemaError
	var body *wire.BodyError
	switch {
	case errors.As(err, &unknown):
		err = nil
	case err != nil && !errors.As(err, &body):
		return err
	}
	p.Record.Payload = bytes.Clone(p.Record.Payload) // of the message, which has a header and is not ours
	r := &record{Record: p.Record, class: p.Record.Class.String(), block: p.Block, unreadable: err}
	if p.Block != nil {
		r.device = p.Block.Device
	} else {
		r.device, _ = wire.DeviceOf(p.Record.Class, p.Record.Payload)
	}
	r.device = clean(r.device, maxDevice)
	return it.takeRecord(p.Agent, r)
}

func (it *item) takeRecord(agent string, r *record) error {
	if agent != it.agent {
		return foreign(agent, it.agent)
	}
	if r.Seq > math.MaxInt64 {
		return fmt.Errorf("number %d is more than 63 bits", r.Seq)
	}
	if r.Stream == (wire.ID{}) {
		return errors.New("stream of zeros")
	}
	it.record = r
	return nil
}

func (it *item) readHost(msg []byte) error {
	if len(msg) > maxHost || !json.Valid(msg) {
		return fmt.Errorf("%d bytes that are not JSON of at most %d", len(msg), maxHost)
	}
	it.host = msg
	return nil
}

func foreign(said, topic string) error {
	return fmt.Errorf("agent %.64q on the topic of %q", said, topic)
}

// id reads an identifier that the database holds.
func id(b []byte) (out wire.ID) {
	copy(out[:], b)
	return out
}
