package soak

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"upsedge/internal/store"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// A story is a book and a holding that fit: a run that was killed behind two blocks, and one that was stopped behind two more.
type story struct {
	t     testing.TB
	press *wire.Encoder
	book  *book
	held  *holding
	base  time.Duration // since the boot of the machine
}

var storyStream = wire.ID{1, 2, 3}

func newStory(t testing.TB) *story {
	s := &story{t: t, press: wire.NewEncoder(), book: newBook(), held: newHolding(), base: (sinceBoot() - time.Minute).Truncate(time.Second)}
	s.book.runs = []*run{
		{started: s.base, ended: s.base + 10*time.Second, boots: map[uint32]bool{1: true}},
		{started: s.base + 11*time.Second, ended: s.base + 20*time.Second, boots: map[uint32]bool{2: true}, clean: true},
	}
	s.put(s.block(1, 1, 1, 2))
	s.put(s.alarm(1, 1, 3))
	s.put(s.block(2, 1, 3, 4))
	s.put(s.gap(2, 2, wire.Gap{Unit: "rack-1", From: s.stamp(4), To: s.stamp(12), Reason: wire.GapCrash}))
	s.put(s.block(3, 2, 13, 14))
	s.put(s.alarm(3, 2, 15))
	s.put(s.block(4, 2, 15, 16))
	return s
}

// stamp is an instant of the story, in seconds.
func (s *story) stamp(at int64) wire.Stamp {
	return wire.Stamp{BootID: wire.ID{9}, Mono: s.base + time.Duration(at)*time.Second}
}

// block is a record of rows at the given seconds.
func (s *story) block(seq uint64, boot uint32, at ...int64) wire.Record {
	rows := wire.Rows{Tier: ups.TierWatch, Layout: &ups.Layout{Columns: []ups.Column{{Point: ups.BatteryVoltage, Divisor: 32}}}}
	for _, sec := range at {
		rows.At, rows.Raw = append(rows.At, s.stamp(sec).Mono.Milliseconds()), append(rows.Raw, 800+sec)
	}
	body, err := s.press.Encode(nil, &wire.Block{Unit: "rack-1", Sections: []wire.Rows{rows}})
	if err != nil {
		s.t.Fatal(err)
	}
	return wire.Record{Stream: storyStream, Lane: wire.Samples, Seq: seq, Class: wire.ClassSamples, Boot: boot, Stamp: s.stamp(at[0]), Payload: body}
}

func (s *story) alarm(seq uint64, boot uint32, at int64) wire.Record {
	body, err := wire.EncodeEvent(ups.Event{ID: 101, Kind: ups.Raise, Severity: ups.Warning, Text: "on battery", Unit: "rack-1"})
	if err != nil {
		s.t.Fatal(err)
	}
	return wire.Record{Stream: storyStream, Lane: wire.Events, Seq: seq, Class: wire.ClassAlarm, Boot: boot, Stamp: s.stamp(at), Payload: body}
}

func (s *story) gap(seq uint64, boot uint32, g wire.Gap) wire.Record {
	body, err := wire.EncodeGap(g)
	if err != nil {
		s.t.Fatal(err)
	}
	return wire.Record{Stream: storyStream, Lane: wire.Events, Seq: seq, Class: wire.ClassGap, Boot: boot, Stamp: s.stamp(12), Payload: body}
}

func (s *story) put(r wire.Record) {
	s.tell(r)
	s.hold(r)
}

func (s *story) tell(r wire.Record) { s.book.told[idOf(r)] = append(s.book.told[idOf(r)], r) }

func (s *story) hold(r wire.Record) {
	s.held.records[idOf(r)] = r
	s.held.order = append(s.held.order, idOf(r))
	if g, err := wire.DecodeGap(r.Payload); err == nil && r.Class == wire.ClassGap {
		s.held.apply(r.Stream, g)
	}
}

func sampleID(seq uint64) identity { return identity{storyStream, wire.Samples, seq} }

func (s *story) lose(id identity) {
	delete(s.held.records, id)
	s.held.order = slices.DeleteFunc(s.held.order, func(o identity) bool { return o == id })
}

// alter changes a record that is held.
func (s *story) alter(id identity, f func(*wire.Record)) {
	r := s.held.records[id]
	r.Payload = bytes.Clone(r.Payload)
	f(&r)
	s.held.records[id] = r
}

func TestTheComparisonFindsWhatIsWrong(t *testing.T) {
	quota := func(first, last uint64) wire.Gap {
		return wire.Gap{Lane: wire.Samples, First: first, Last: last, Reason: wire.GapQuota}
	}
	unput := func(first, last uint64) wire.Gap {
		return wire.Gap{Lane: wire.Events, First: first, Last: last, Reason: wire.GapStorage}
	}
	for _, row := range []struct {
		name, want string // want begins a complaint; "": none
		allowed    rules
		change     func(*story)
	}{
		{"nothing", "", rules{}, func(*story) {}},
		{"a block lost", "lost", rules{}, func(s *story) { s.lose(sampleID(3)) }},
		{"the last block lost, never told", "hole", rules{}, func(s *story) { s.lose(sampleID(4)); delete(s.book.told, sampleID(4)) }},
		{"an event lost", "lost", rules{}, func(s *story) { s.lose(identity{storyStream, wire.Events, 3}) }},
		{"the gap of the crash lost", "gap", rules{}, func(s *story) { s.held.gaps = nil }},
		{"the gap of the crash twice", "gap", rules{}, func(s *story) { s.held.gaps = append(s.held.gaps, s.held.gaps...) }},
		{"a gap from before the last block", "gap", rules{}, func(s *story) { s.held.gaps[0].From = s.stamp(2) }},
		{"a gap from behind the last sample", "gap", rules{}, func(s *story) { s.held.gaps[0].From = s.stamp(5) }},
		{"a gap that ends before the kill", "gap", rules{}, func(s *story) { s.held.gaps[0].To = s.stamp(9) }},
		{"a gap into the next run's samples", "gap", rules{}, func(s *story) { s.held.gaps[0].To = s.stamp(15) }},
		{"a bit flipped", "altered", rules{}, func(s *story) { s.alter(sampleID(2), func(r *wire.Record) { r.Payload[len(r.Payload)-1] ^= 1 }) }},
		{"another epoch", "altered", rules{}, func(s *story) { s.alter(sampleID(2), func(r *wire.Record) { r.Epoch = 7 }) }},
		{"another time", "altered", rules{}, func(s *story) {
			s.alter(sampleID(2), func(r *wire.Record) { r.Stamp.Mono++; r.Stamp.Mono += time.Microsecond })
		}},
		{"a wrong wall time", "time", rules{}, func(s *story) { s.alter(sampleID(2), func(r *wire.Record) { r.Stamp.Wall = time.Unix(9, 0) }) }},
		{"a block put twice", "duplicated", rules{}, func(s *story) { r := s.block(5, 2, 15, 16); s.put(r) }},
		{"an event put twice", "duplicated", rules{}, func(s *story) { s.put(s.alarm(4, 2, 15)) }},
		{"a block out of order", "order", rules{}, func(s *story) { slices.Reverse(s.held.order) }},
		{"a block out of order behind a broker that forgot", "", rules{late: true}, func(s *story) { slices.Reverse(s.held.order) }},
		{"a block nobody put", "never accepted", rules{}, func(s *story) { delete(s.book.told, sampleID(3)) }},
		{"the last commit of a killed run, not told", "", rules{}, func(s *story) { delete(s.book.told, sampleID(2)) }},
		{"dropped for room", "", rules{quota: true}, func(s *story) { s.lose(sampleID(1)); s.put(s.gap(4, 2, quota(1, 1))) }},
		{"dropped for room where there is plenty", "gap", rules{}, func(s *story) { s.lose(sampleID(1)); s.put(s.gap(4, 2, quota(1, 1))) }},
		{"dropped for room, a gap too short", "lost", rules{quota: true}, func(s *story) { s.lose(sampleID(1)); s.lose(sampleID(2)); s.put(s.gap(4, 2, quota(1, 1))) }},
		{"a gap beyond what was given", "gap", rules{quota: true}, func(s *story) { s.put(s.gap(4, 2, quota(4, 5))) }},
		{"events that were never put", "", rules{}, func(s *story) { s.book.runs[0].unsure = true; s.put(s.gap(6, 2, unput(4, 6))) }},
		{"events that were never put, though no disk failed", "gap", rules{}, func(s *story) { s.put(s.gap(6, 2, unput(4, 6))) }},
		{"an event that was put and is said never to have been", "gap", rules{}, func(s *story) { s.book.runs[0].unsure = true; s.put(s.gap(6, 2, unput(3, 6))) }},
		{"a gap that arrived before it had grown", "gap", rules{quota: true}, func(s *story) { s.put(s.gap(4, 2, quota(1, 1))); s.tell(s.gap(4, 2, quota(1, 2))) }},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newStory(t)
			stats := store.Stats{Events: store.LaneStats{Last: 3}, Samples: store.LaneStats{Last: 4}}
			row.change(s)
			for id := range maps.Keys(s.held.records) {
				if id.lane == wire.Events {
					stats.Events.Last = max(stats.Events.Last, id.seq)
				} else {
					stats.Samples.Last = max(stats.Samples.Last, id.seq)
				}
			}
			var c complaints
			s.book.compare(s.held, row.allowed, &c)
			holes(s.held, storyStream, stats, &c)
			found := slices.ContainsFunc(c.all(), func(line string) bool { return strings.HasPrefix(line, row.want+":") })
			if row.want == "" && len(c.list) > 0 || row.want != "" && !found {
				t.Errorf("complaints %q, want %q", c.list, row.want)
			}
		})
	}
}
