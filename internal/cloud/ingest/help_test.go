package ingest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A box is an agent that says what a test wants it to.
type box struct {
	t      testing.TB
	name   string
	stream wire.ID
	boot   uint32
	bootID wire.ID
	enc    *wire.Encoder
}

func newBox(t testing.TB, name string) *box {
	return &box{t: t, name: name, stream: wire.ID{1, name[0], name[len(name)-1]}, boot: 1, bootID: wire.ID{9, name[0]}, enc: wire.NewEncoder()}
}

var start = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

// stamp is n seconds after the boot, which was at start.
func (b *box) stamp(n int) wire.Stamp {
	d := time.Duration(n) * time.Second
	return wire.Stamp{BootID: b.bootID, Mono: d, Wall: start.Add(d)}
}

func (b *box) record(lane wire.Lane, class wire.Class, seq uint64, payload []byte) wire.Record {
	return wire.Record{Stream: b.stream, Lane: lane, Seq: seq, Class: class, Boot: b.boot, Stamp: b.stamp(int(seq % 1e6)), Payload: payload}
}

// publish is what the agent publishes for a record.
func (b *box) publish(r wire.Record) Message {
	b.t.Helper()
	encode := wire.EventMessage
	if r.Class.Leaf() == wire.TopicSamples {
		encode = wire.SampleMessage
	}
	msg, err := encode(nil, b.name, r)
	must(b.t, err)
	return Message{Topic: wire.Topic(b.name, r.Class.Leaf()), Payload: msg}
}

// alarm is record seq of the events lane; word is part of its content.
func (b *box) alarm(seq uint64, word string) wire.Record {
	b.t.Helper()
	body, err := wire.EncodeEvent(ups.Event{ID: 101, Kind: ups.Raise, Severity: ups.Critical, Unit: "rack-a", Text: word})
	must(b.t, err)
	return b.record(wire.Events, wire.ClassAlarm, seq, body)
}

func (b *box) gap(seq uint64, g wire.Gap) wire.Record {
	b.t.Helper()
	body, err := wire.EncodeGap(g)
	must(b.t, err)
	return b.record(wire.Events, wire.ClassGap, seq, body)
}

// block is record seq of the samples lane.
func (b *box) block(seq uint64, from int64, rows int) wire.Record {
	b.t.Helper()
	body, err := b.enc.EncodeAlone(nil, testBlock(from, rows))
	must(b.t, err)
	return b.record(wire.Samples, wire.ClassSamples, seq, body)
}

var testLayout = &ups.Layout{Columns: []ups.Column{{Point: ups.InputVoltage, Divisor: 64}, {Point: ups.OutputVoltage, Divisor: 64}}}

func testBlock(from int64, rows int) *wire.Block {
	s := wire.Rows{Tier: ups.TierLive, Layout: testLayout}
	for i := range int64(rows) {
		s.At = append(s.At, from+100*i)
		s.Raw = append(s.Raw, 14720+i%7, 14700+i%5)
	}
	return &wire.Block{Unit: "rack-a", Device: "AS1", Sections: []wire.Rows{s}}
}

func (b *box) state(s wire.State) Message {
	b.t.Helper()
	if s.Full != nil {
		s.Full.Agent, s.Full.Stream, s.Full.Boot = b.name, b.stream, b.boot
		if s.Full.Now.BootID == (wire.ID{}) {
			s.Full.Now = b.stamp(1)
		}
	}
	msg, err := wire.EncodeState(&s)
	must(b.t, err)
	return Message{Topic: wire.Topic(b.name, wire.TopicState), Payload: msg}
}

// first is the first message of a session.
func (b *box) first(session uint64, nonce byte) Message {
	return b.state(wire.State{Session: session, Online: true, Nonce: wire.ID{nonce}, Version: "1"})
}

// full is the full state of a session, waiting what it says of its lanes.
func (b *box) full(session uint64, nonce byte, waiting ...wire.Waiting) Message {
	f := &wire.FullState{}
	copy(f.Lanes[:], waiting)
	return b.state(wire.State{Session: session, Online: true, Nonce: wire.ID{nonce}, Version: "1", Full: f})
}

func (b *box) will(session uint64) Message { return b.state(wire.State{Session: session}) }

// both runs a test on SQLite and on PostgreSQL. The name of the subtest says which, to config.
func both(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	t.Run(store.SQLite, test)
	t.Run(store.Postgres, test)
}

// config is a database of the test's own.
func config(t testing.TB) store.Config {
	t.Helper()
	if strings.Contains(t.Name(), "/"+store.Postgres) {
		return storetest.Postgres(t)
	}
	return storetest.SQLite(t)
}

// opened is a Receiver on a database that is closed with the test.
func opened(t testing.TB, c store.Config, o Options) *Receiver {
	t.Helper()
	return New(storetest.Open(t, c), o)
}

// restarted is what comes behind a Receiver's end.
func restarted(t testing.TB, c store.Config, r *Receiver, o Options) *Receiver {
	t.Helper()
	must(t, r.db.Close())
	return opened(t, c, o)
}

func newReceiver(t testing.TB) *Receiver {
	t.Helper()
	return opened(t, config(t), Options{})
}

// take gives messages to the receiver and returns what it answers.
func take(t testing.TB, r *Receiver, messages ...Message) []Answer {
	t.Helper()
	out, err := r.Take(t.Context(), messages)
	must(t, err)
	return out
}

// marks are the acknowledgements among answers, as "agent lane through".
func marks(t testing.TB, answers []Answer) (out []string) {
	t.Helper()
	for _, a := range answers {
		agent, leaf, err := wire.SplitTopic(a.Topic)
		must(t, err)
		if leaf != wire.TopicAcks {
			continue
		}
		ack, err := wire.DecodeAck(a.Payload)
		must(t, err)
		out = append(out, fmt.Sprintf("%s %v %d", agent, ack.Lane, ack.Through))
	}
	return out
}

func wantMarks(t testing.TB, answers []Answer, want ...string) {
	t.Helper()
	if got := marks(t, answers); !slices.Equal(got, want) {
		t.Errorf("marks %q, want %q", got, want)
	}
}

// laneOf returns what is known of a lane.
func laneOf(t testing.TB, r *Receiver, b *box, lane wire.Lane) LaneInfo {
	t.Helper()
	lanes, err := r.Reader().Lanes(context.Background())
	must(t, err)
	for _, l := range lanes {
		if l.Agent == b.name && l.Stream == b.stream && l.Lane == lane {
			return l
		}
	}
	return LaneInfo{}
}

// stored returns the records of a lane.
func stored(t testing.TB, r *Receiver, b *box, lane wire.Lane) (out []Stored) {
	t.Helper()
	must(t, r.Reader().Records(context.Background(), laneOf(t, r, b, lane), func(s Stored) error {
		out = append(out, s)
		return nil
	}))
	return out
}

// numbers of the records of a lane.
func numbers(t testing.TB, r *Receiver, b *box, lane wire.Lane) (out []uint64) {
	t.Helper()
	for _, s := range stored(t, r, b, lane) {
		out = append(out, s.Record.Seq)
	}
	return out
}

// told returns what the operator was told, "agent what times", with "over" behind it where it has ended.
func told(t testing.TB, r *Receiver) (out []string) {
	t.Helper()
	list, err := r.Reader().Notices(context.Background())
	must(t, err)
	for _, n := range list {
		s := fmt.Sprintf("%s %s %d", n.Agent, n.What, n.Times)
		if !n.Ended.IsZero() {
			s += " over"
		}
		out = append(out, s)
	}
	return out
}

func wantTold(t testing.TB, r *Receiver, want ...string) {
	t.Helper()
	if got := told(t, r); !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
}
