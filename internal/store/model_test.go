package store

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// model is what a store must look like from outside: slices and maps.
type model struct {
	lanes   [3][]wire.Record
	last    [3]uint64
	raised  map[string]uint64
	states  map[string]string
	running map[string]wire.Stamp
	lost    []Interrupted
	boot    uint32
}

func (m *model) add(lane wire.Lane, r wire.Record) {
	m.last[lane]++
	r.Lane, r.Seq, r.Boot = lane, m.last[lane], m.boot
	m.lanes[lane] = append(m.lanes[lane], r)
}

func (m *model) ack(lane wire.Lane, through uint64) {
	if through <= m.last[lane] {
		m.lanes[lane] = slices.DeleteFunc(m.lanes[lane], func(r wire.Record) bool { return r.Seq <= through })
	}
}

func (m *model) crash() {
	for _, unit := range []string{"a", "b", "c"} {
		if last, ok := m.running[unit]; ok {
			m.lost = append(m.lost, Interrupted{Unit: unit, Last: last})
		}
	}
	clear(m.running)
}

func TestBehavesLikeTheModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir := fastDir(t)
		s, err := Open(t.Context(), dir, Options{})
		must(t, err)
		defer func() { s.crash() }()
		m := &model{raised: map[string]uint64{}, states: map[string]string{}, running: map[string]wire.Stamp{}, boot: 1}
		unit := rapid.SampledFrom([]string{"a", "b", "c"})
		lane := rapid.SampledFrom(wire.Lanes[:])
		now := 0
		rt.Repeat(map[string]func(*rapid.T){
			"put samples": func(rt *rapid.T) {
				var put []Samples
				for range rapid.IntRange(1, 3).Draw(rt, "blocks") {
					now++
					b := block(unit.Draw(rt, "unit"), now, rapid.SampledFrom([]int{0, 1, 100, 5000}).Draw(rt, "size"))
					put = append(put, b)
					m.add(wire.Samples, wire.Record{Class: wire.ClassSamples, Epoch: 7, Stamp: b.First, Payload: b.Payload})
					m.running[b.Unit] = b.Last
					for i := range m.lost {
						if m.lost[i].Unit == b.Unit && m.lost[i].Resumed == (wire.Stamp{}) {
							m.lost[i].Resumed = b.First
						}
					}
				}
				must(t, s.PutSamples(t.Context(), put))
			},
			"put events": func(rt *rapid.T) { now++; putModelEvents(rt, t, s, m, unit.Draw(rt, "unit"), now) },
			"acknowledge": func(rt *rapid.T) {
				l := lane.Draw(rt, "lane")
				n := rapid.Uint64Range(0, m.last[l]+1).Draw(rt, "through")
				m.ack(l, n)
				must(t, s.Ack(t.Context(), l, n))
			},
			"begin": func(rt *rapid.T) {
				now++
				u := unit.Draw(rt, "unit")
				m.running[u] = at(now)
				must(t, s.Begin(t.Context(), u, at(now)))
			},
			"gap": func(rt *rapid.T) {
				if len(m.lost) == 0 {
					rt.Skip("nothing is open")
				}
				g := wire.Gap{Unit: m.lost[0].Unit, From: m.lost[0].Last, To: at(now), Reason: wire.GapCrash}
				payload, err := wire.EncodeGap(g)
				must(t, err)
				m.add(wire.Events, wire.Record{Class: wire.ClassGap, Stamp: at(now), Payload: payload})
				m.lost = slices.DeleteFunc(m.lost, func(i Interrupted) bool { return i.Unit == g.Unit && i.Last == g.From })
				must(t, s.PutGap(t.Context(), g, at(now)))
			},
			"restart": func(rt *rapid.T) {
				if rapid.Bool().Draw(rt, "clean") {
					must(t, s.Close())
					clear(m.running)
				} else {
					s.crash()
					m.crash()
				}
				m.boot++
				s, err = Open(t.Context(), dir, Options{})
				must(t, err)
			},
			"": func(rt *rapid.T) { compareModel(t, s, m) },
		})
	})
}

func putModelEvents(rt *rapid.T, t *testing.T, s *Store, m *model, unit string, now int) {
	var put []Event
	for range rapid.IntRange(1, 3).Draw(rt, "events") {
		e := event(rapid.SampledFrom([]ups.AlarmID{101, 801}).Draw(rt, "alarm"), rapid.SampledFrom([]ups.EventKind{ups.Raise, ups.Clear, ups.Moment}).Draw(rt, "kind"), now)
		if rapid.IntRange(0, 3).Draw(rt, "with picture") == 0 {
			p := block(unit, now, rapid.SampledFrom([]int{0, 1, 5000}).Draw(rt, "size"))
			e.Picture = &p
		}
		put = append(put, e)
		key := fmt.Sprint(unit, e.ID)
		if e.Kind == ups.Clear {
			e.RaisedBy = m.raised[key]
			delete(m.raised, key)
		}
		payload, err := wire.EncodeEvent(e.Event)
		must(t, err)
		m.add(wire.Events, wire.Record{Class: wire.ClassAlarm, Epoch: 7, Stamp: e.Stamp, Payload: payload})
		if e.Kind == ups.Raise {
			m.raised[key] = m.last[wire.Events]
		}
		if p := e.Picture; p != nil {
			body := wire.PicturePayload(m.last[wire.Events], p.Payload)
			m.add(wire.Events, wire.Record{Class: wire.ClassPicture, Epoch: 7, Stamp: p.First, Payload: body})
		}
	}
	var state []byte
	if rapid.Bool().Draw(rt, "with state") {
		state = []byte(fmt.Sprint("state ", now))
		m.states[unit] = string(state)
	}
	must(t, s.PutEvents(t.Context(), unit, state, put))
}

func compareModel(t *testing.T, s *Store, m *model) {
	t.Helper()
	for _, l := range wire.Lanes {
		got := all(t, s, l)
		if !slices.EqualFunc(got, m.lanes[l], func(a, b wire.Record) bool {
			return a.Stream == s.Stream() && a.Lane == l && a.Seq == b.Seq && a.Class == b.Class && a.Epoch == b.Epoch &&
				a.Boot == b.Boot && a.Stamp == b.Stamp && bytes.Equal(a.Payload, b.Payload)
		}) {
			t.Fatalf("lane %v holds\n%v, want\n%v", l, got, m.lanes[l])
		}
		st, bytes := s.Stats().Lane(l), int64(0)
		for _, r := range m.lanes[l] {
			bytes += int64(len(r.Payload))
		}
		var oldest wire.Stamp
		if len(m.lanes[l]) > 0 {
			oldest = m.lanes[l][0].Stamp
		}
		if st.Last != m.last[l] || st.Records != int64(len(m.lanes[l])) || st.Bytes != bytes || st.Oldest != oldest {
			t.Fatalf("lane %v: %+v, want %d records of %d bytes, last %d, oldest %v", l, st, len(m.lanes[l]), bytes, m.last[l], oldest)
		}
	}
	if got := s.Crashed(); !slices.Equal(got, m.lost) {
		t.Fatalf("crashed: %v, want %v", got, m.lost)
	}
	for _, unit := range []string{"a", "b", "c"} {
		if state, err := s.AlarmState(t.Context(), unit); string(state) != m.states[unit] || err != nil {
			t.Fatalf("state of %q: %q, %v, want %q", unit, state, err, m.states[unit])
		}
		for _, id := range []ups.AlarmID{101, 801} {
			if seq, err := s.RaisedSeq(t.Context(), unit, id, ups.NoGroup); seq != m.raised[fmt.Sprint(unit, id)] || err != nil {
				t.Fatalf("alarm %d of %q raised by %d, %v, want %d", id, unit, seq, err, m.raised[fmt.Sprint(unit, id)])
			}
		}
	}
}
