package ingest

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"upsedge/internal/wire"
)

func TestWhatBreaksTheFormatIsSetAsideAndNeverAcknowledged(t *testing.T) {
	both(t, testWhatBreaksTheFormatIsSetAsideAndNeverAcknowledged)
}

func testWhatBreaksTheFormatIsSetAsideAndNeverAcknowledged(t *testing.T) {
	b := newBox(t, "rack7")
	event := func(old, with string) Message {
		m := b.publish(b.alarm(1, "one"))
		m.Payload = []byte(strings.Replace(string(m.Payload), old, with, 1))
		return m
	}
	damaged := b.publish(b.block(1, 0, 1))
	damaged.Payload = bytes.Clone(damaged.Payload)
	damaged.Payload[30] ^= 1
	newer := b.publish(b.block(1, 0, 1))
	newer.Payload = bytes.Clone(newer.Payload)
	newer.Payload[3] = 9
	zero := b.first(1, 1)
	zero.Payload = []byte(strings.Replace(string(zero.Payload), `"version":"1"`, `"version":"\u0000"`, 1))
	foreignState := b.full(1, 1)
	foreignState.Topic = wire.Topic("rack8", wire.TopicState)
	for name, c := range map[string]struct {
		m    Message
		want string
	}{
		"no JSON":                {Message{Topic: "upsedge/v1/rack7/events", Payload: []byte("hello")}, Malformed},
		"empty":                  {Message{Topic: "upsedge/v1/rack7/samples"}, Malformed},
		"a field is missing":     {event(`"boot"`, `"boat"`), Malformed},
		"another agent's name":   {event(`"rack7"`, `"rack8"`), Malformed},
		"number of 64 bits":      {event(`"seq":1`, `"seq":18446744073709551615`), Malformed},
		"number 0":               {event(`"seq":1`, `"seq":0`), Malformed},
		"stream of zeros":        {event(b.stream.String(), wire.ID{}.String()), Malformed},
		"version 2":              {event(`"v":1`, `"v":2`), UnknownVersion},
		"block of version 9":     {newer, UnknownVersion},
		"flipped bit":            {damaged, Malformed},
		"state of another agent": {foreignState, Malformed},
		"state with a zero":      {zero, Malformed},
		"a topic of ours":        {Message{Topic: "upsedge/v1/rack7/acks", Payload: []byte("{}")}, Malformed},
		"no topic of agents":     {Message{Topic: "else/where", Payload: []byte("{}")}, Malformed},
		"host that is no JSON":   {Message{Topic: "upsedge/v1/rack7/host", Payload: []byte("{")}, Malformed},
	} {
		t.Run(name, func(t *testing.T) {
			r := newReceiver(t)
			wantMarks(t, take(t, r, c.m, c.m))
			notices, err := r.Reader().Notices(t.Context())
			must(t, err)
			if len(notices) != 1 || notices[0].What != c.want || notices[0].Times != 2 {
				t.Errorf("told %+v, want %s twice", notices, c.want)
			}
			aside, err := r.Reader().Quarantine(t.Context())
			must(t, err)
			if len(aside) != 1 || aside[0].Copies != 2 || aside[0].Reason == "" || aside[0].Length != len(c.m.Payload) || !bytes.Equal(aside[0].Payload, c.m.Payload) {
				t.Errorf("in quarantine %+v", aside)
			}
			// It has done no harm: the real record comes.
			wantMarks(t, take(t, r, b.publish(b.alarm(1, "one"))), "rack7 events 1")
		})
	}
}

func TestTheQuarantineIsBounded(t *testing.T) { both(t, testTheQuarantineIsBounded) }

func testTheQuarantineIsBounded(t *testing.T) {
	r := newReceiver(t)
	long := bytes.Repeat([]byte("x"), maxSpecimen+1)
	messages := []Message{{Topic: "upsedge/v1/rack7/events", Payload: long}}
	for n := range maxQuarantine + 9 {
		messages = append(messages, Message{Topic: "upsedge/v1/rack7/events", Payload: fmt.Append(nil, n)})
	}
	take(t, r, messages[0])
	aside, err := r.Reader().Quarantine(t.Context())
	must(t, err)
	if len(aside) != 1 || len(aside[0].Payload) != maxSpecimen || aside[0].Length != maxSpecimen+1 {
		t.Fatalf("kept of a long one: %d of %d bytes", len(aside[0].Payload), aside[0].Length)
	}
	take(t, r, messages[1:]...)
	aside, err = r.Reader().Quarantine(t.Context())
	must(t, err)
	if len(aside) != maxQuarantine || string(aside[maxQuarantine-1].Payload) != fmt.Sprint(maxQuarantine+8) {
		t.Errorf("%d in quarantine, want the last %d", len(aside), maxQuarantine)
	}
	wantTold(t, r, fmt.Sprintf("rack7 ingest.malformed %d", maxQuarantine+10))
}

// TestARecordThatNobodyCanReadStopsNothing: which one it is stands outside its body, so it is kept as it came, and its lane goes on.
func TestARecordThatNobodyCanReadStopsNothing(t *testing.T) {
	both(t, testARecordThatNobodyCanReadStopsNothing)
}

func testARecordThatNobodyCanReadStopsNothing(t *testing.T) {
	b := newBox(t, "rack7")
	for name, c := range map[string]struct {
		m    Message
		mark string
	}{
		"samples": {b.publish(b.record(wire.Samples, wire.ClassSamples, 1, []byte("rubbish"))), "rack7 samples 1"},
		"picture": {b.publish(b.record(wire.Events, wire.ClassPicture, 1, make([]byte, 3000))), "rack7 events 1"},
		"alarm":   {b.publish(b.record(wire.Events, wire.ClassAlarm, 1, []byte(`{"event_id":0}`))), "rack7 events 1"},
		"gap":     {b.publish(b.record(wire.Events, wire.ClassGap, 1, []byte(`{"gap":{"lane":"samples","first":9,"last":3,"reason":"quota"}}`))), "rack7 events 1"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newReceiver(t)
			wantMarks(t, take(t, r, c.m), c.mark)
			notices, err := r.Reader().Notices(t.Context())
			must(t, err)
			if len(notices) != 1 || notices[0].What != Unreadable || notices[0].Times != 1 {
				t.Errorf("told %+v", notices)
			}
			if aside, err := r.Reader().Quarantine(t.Context()); err != nil || len(aside) > 0 {
				t.Errorf("in quarantine %+v, %v", aside, err)
			}
		})
	}
}
