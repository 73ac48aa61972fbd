package wire

import (
	"bytes"
	"fmt"
	"slices"

	"upsedge/internal/ups"
)

// envelope are the fields that EventMessage writes; no body may have them.
var envelope = []string{
	"v", "agent", "stream", "lane", "seq", "epoch", "boot", "boot_id", "mono", "time", "time_trusted", "class",
}

// EventMessage appends what is published on the topics events and results for r, a record of the events lane, to dst: one JSON object, the
// record's numbers before the fields of its body.
func EventMessage(dst []byte, agent string, r Record) ([]byte, error) {
	if err := CheckAgent(agent); err != nil {
		return dst, err
	}
	if leaf := r.Class.Leaf(); leaf != TopicEvents && leaf != TopicResults || r.Lane != Events || r.Seq == 0 {
		return dst, fmt.Errorf("record %d of class %v and lane %v is not one of events", r.Seq, r.Class, r.Lane)
	}
	body, err := parseObject(r.Payload)
	if err != nil {
		return dst, fmt.Errorf("body of record %d: %w", r.Seq, err)
	}
	for _, f := range body.fields {
		if slices.Contains(envelope, f.name) {
			return dst, fmt.Errorf("body of record %d has the field %q", r.Seq, f.name)
		}
	}
	b := builder{}
	b.open()
	b.put("v", Version)
	b.put("agent", agent)
	b.put("stream", r.Stream)
	b.put("lane", r.Lane.String())
	b.put("seq", r.Seq)
	b.put("epoch", uint64(r.Epoch))
	b.put("boot", uint64(r.Boot))
	b.putStamp(r.Stamp)
	b.put("time_trusted", !r.Stamp.Wall.IsZero())
	b.put("class", r.Class.String())
	if b.err != nil {
		return dst, fmt.Errorf("record %d: %w", r.Seq, b.err)
	}
	for _, f := range body.fields {
		b.put(f.name, f.raw)
	}
	b.close()
	if len(b.buf) > MaxJSON {
		return dst, fmt.Errorf("record %d has %d bytes, want at most %d", r.Seq, len(b.buf), MaxJSON)
	}
	return append(dst, b.buf...), b.err
}

// A PublishedEvent is what an events or results message says. Exactly one of Event, Gap and Result is set for a class this program knows, none
// for another one: such a record is kept as it is, counts as stored and has Class 0.
type PublishedEvent struct {
	Agent     string
	Record    Record // Payload is the body, without white space
	ClassName string
	Event     *ups.Event // its At is the record's time on the wall clock
	Gap       *Gap
	Result    *Result
}

// DecodeEventMessage reads an events message. Fields it does not know stay in the payload and are otherwise ignored. It
// returns a *VersionError when the message is of another version, and a *BodyError, with the PublishedEvent but for its Event,
// Gap or Result, when only the body is not what its class has: the record should be kept.
func DecodeEventMessage(msg []byte) (*PublishedEvent, error) {
	o, err := parseObject(msg)
	if err != nil {
		return nil, fmt.Errorf("events message: %w", err)
	}
	if err := o.checkVersion("events message"); err != nil {
		return nil, err
	}
	p := &PublishedEvent{}
	o.identity(p)
	if o.err != nil {
		return nil, fmt.Errorf("events message: %w", o.err)
	}
	switch p.Record.Class {
	case ClassAlarm:
		var e ups.Event
		if e, err = o.event(); err == nil {
			e.At = p.Record.Stamp.Wall
			p.Event = &e
		}
	case ClassGap:
		var g Gap
		if g, err = o.gap(); err == nil {
			p.Gap = &g
		}
	case ClassResult:
		var res Result
		if res, err = o.result(); err == nil {
			p.Result = &res
		}
	}
	if err != nil {
		return p, &BodyError{p.Record.Seq, err}
	}
	return p, nil
}

// identity reads the envelope and takes the rest for the body.
func (o *object) identity(p *PublishedEvent) {
	r := &p.Record
	o.want("agent", &p.Agent)
	o.want("stream", &r.Stream)
	r.Lane = o.lane()
	o.want("seq", &r.Seq)
	o.want("epoch", &r.Epoch)
	o.want("boot", &r.Boot)
	r.Stamp = o.stamp()
	var trusted bool
	o.want("time_trusted", &trusted)
	o.want("class", &p.ClassName)
	for _, c := range []Class{ClassAlarm, ClassGap, ClassResult} {
		if c.String() == p.ClassName {
			r.Class = c
		}
	}
	if o.err == nil {
		o.err = CheckAgent(p.Agent)
	}
	switch {
	case o.err != nil:
	case trusted == r.Stamp.Wall.IsZero():
		o.fail(fmt.Errorf("time_trusted is %v, against the time", trusted))
	case r.Seq == 0 || r.Lane != Events:
		o.fail(fmt.Errorf("number %d of lane %v", r.Seq, r.Lane))
	}
	b := builder{}
	b.open()
	for _, f := range o.fields {
		if !slices.Contains(envelope, f.name) {
			b.put(f.name, f.raw)
		}
	}
	b.close()
	if b.err != nil {
		o.fail(b.err)
	}
	r.Payload = bytes.Clone(b.buf)
}
