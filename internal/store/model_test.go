package store

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// model is what a store must look like from outside: slices and maps. Gap records of form one are not among its records: it knows
// which numbers are gone and why, and the store's gaps are held against that.
type model struct {
	lanes   [3][]wire.Record
	unit    [3]map[uint64]string // of each record
	gone    [3]map[uint64]wire.GapReason
	told    [3]map[uint64]bool // covered by a gap that could be read at some time
	last    [3]uint64
	raised  map[string]uint64
	states  map[string]string
	running map[string]wire.Stamp
	lost    []Interrupted
	boot    uint32
}

func (m *model) add(lane wire.Lane, unit string, r wire.Record) {
	m.last[lane]++
	m.unit[lane][m.last[lane]] = unit
	r.Lane, r.Seq, r.Boot = lane, m.last[lane], m.boot
	m.lanes[lane] = append(m.lanes[lane], r)
}

func (m *model) ack(lane wire.Lane, through uint64) {
	if through <= m.last[lane] {
		m.lanes[lane] = slices.DeleteFunc(m.lanes[lane], func(r wire.Record) bool { return r.Seq <= through })
	}
}

// lose takes the records of a unit in some epochs out of the model, and returns how many there were in each lane.
func (m *model) lose(why wire.GapReason, unit string, epoch func(uint32) bool) (n [3]uint64) {
	for _, l := range wire.Lanes {
		m.lanes[l] = slices.DeleteFunc(m.lanes[l], func(r wire.Record) bool {
			if m.unit[l][r.Seq] != unit || !epoch(r.Epoch) {
				return false
			}
			m.gone[l][r.Seq] = why
			n[l]++
			return true
		})
	}
	return n
}

func (m *model) erase(unit string, through uint32) [3]uint64 {
	delete(m.states, unit)
	maps.DeleteFunc(m.raised, func(key string, _ uint64) bool { return strings.HasPrefix(key, unit) })
	m.lost = slices.DeleteFunc(m.lost, func(i Interrupted) bool { return i.Unit == unit })
	return m.lose(wire.GapErasure, unit, func(e uint32) bool { return e <= through })
}

// stateLost stands for an alarm state whose key is lost.
const stateLost = "lost"

func (m *model) loseKey(o owner) {
	m.lose(wire.GapDamage, o.unit, func(e uint32) bool { return e == o.epoch })
	if _, ok := m.states[o.unit]; ok && o.epoch == 0 {
		m.states[o.unit] = stateLost
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

func newModel() *model {
	m := &model{raised: map[string]uint64{}, states: map[string]string{}, running: map[string]wire.Stamp{}, boot: 1}
	for _, l := range wire.Lanes {
		m.unit[l], m.gone[l], m.told[l] = map[uint64]string{}, map[uint64]wire.GapReason{}, map[uint64]bool{}
	}
	return m
}

func TestBehavesLikeTheModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir := fastDir(t)
		s, err := Open(t.Context(), dir, Options{})
		must(t, err)
		defer func() { s.crash() }()
		m := newModel()
		unit := rapid.SampledFrom([]string{"a", "b", "c"})
		lane := rapid.SampledFrom(wire.Lanes[:])
		epoch := rapid.SampledFrom([]uint32{0, 7})
		now := 0
		rt.Repeat(map[string]func(*rapid.T){
			"put samples": func(rt *rapid.T) {
				var put []Samples
				for range rapid.IntRange(1, 3).Draw(rt, "blocks") {
					now++
					b := block(unit.Draw(rt, "unit"), now, rapid.SampledFrom([]int{0, 1, 100, 5000}).Draw(rt, "size"))
					b.Epoch = epoch.Draw(rt, "epoch")
					put = append(put, b)
					m.add(wire.Samples, b.Unit, wire.Record{Class: wire.ClassSamples, Epoch: b.Epoch, Stamp: b.First, Payload: b.Payload})
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
				m.add(wire.Events, g.Unit, wire.Record{Class: wire.ClassGap, Stamp: at(now), Payload: payload})
				m.lost = slices.DeleteFunc(m.lost, func(i Interrupted) bool { return i.Unit == g.Unit && i.Last == g.From })
				must(t, s.PutGap(t.Context(), g, at(now)))
			},
			"erase": func(rt *rapid.T) {
				u, through := unit.Draw(rt, "unit"), rapid.SampledFrom([]uint32{0, 6, 7}).Draw(rt, "through")
				want := m.erase(u, through)
				done, err := s.Erase(t.Context(), u, through)
				must(t, err)
				if done.Events != want[wire.Events] || done.Samples != want[wire.Samples] {
					t.Fatalf("erased %+v, want %v", done, want)
				}
				m.newGaps(t, s)
			},
			"lose a key": func(rt *rapid.T) {
				names := keyNames(t, dir)
				if len(names) == 0 {
					rt.Skip("there is none")
				}
				path := filepath.Join(dir, keysName, rapid.SampledFrom(names).Draw(rt, "key"))
				k, err := readKeyFile(path)
				must(t, err)
				s.crash()
				m.crash()
				must(t, os.Remove(path))
				m.loseKey(k.owner)
				m.boot++
				s, err = Open(t.Context(), dir, Options{})
				must(t, err)
				m.newGaps(t, s)
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
		e.Unit, e.Epoch = unit, rapid.SampledFrom([]uint32{0, 7}).Draw(rt, "epoch")
		put = append(put, e)
		key := fmt.Sprint(unit, e.ID)
		if e.Kind == ups.Clear {
			e.RaisedBy = m.raised[key]
			delete(m.raised, key)
		}
		payload, err := wire.EncodeEvent(e.Event)
		must(t, err)
		m.add(wire.Events, unit, wire.Record{Class: wire.ClassAlarm, Epoch: e.Epoch, Stamp: e.Stamp, Payload: payload})
		if e.Kind == ups.Raise {
			m.raised[key] = m.last[wire.Events]
		}
		if p := e.Picture; p != nil {
			body := wire.PicturePayload(m.last[wire.Events], p.Payload)
			m.add(wire.Events, unit, wire.Record{Class: wire.ClassPicture, Epoch: e.Epoch, Stamp: p.First, Payload: body})
		}
	}
	var state []byte
	if rapid.Bool().Draw(rt, "with state") {
		state = []byte(fmt.Sprint("state ", now))
		m.states[unit] = string(state)
	}
	must(t, s.PutEvents(t.Context(), unit, state, put))
}

// formOne returns the gap of a record that is one of form one.
func formOne(t *testing.T, r wire.Record) (g wire.Gap, ok bool) {
	t.Helper()
	if r.Class != wire.ClassGap {
		return g, false
	}
	g, err := wire.DecodeGap(r.Payload)
	must(t, err)
	return g, g.Lane != 0
}

// newGaps expects that every number given since is that of a gap.
func (m *model) newGaps(t *testing.T, s *Store) {
	t.Helper()
	for _, r := range all(t, s, wire.Events) {
		if r.Seq <= m.last[wire.Events] {
			continue
		}
		if m.last[wire.Events]++; r.Seq != m.last[wire.Events] {
			t.Fatalf("event %d where %d belongs", r.Seq, m.last[wire.Events])
		}
		if _, ok := formOne(t, r); !ok {
			t.Fatalf("event %d is no gap", r.Seq)
		}
	}
}

// holdGaps compares the gaps with what is gone: a gap names nothing that is there, and nothing is gone without one.
func (m *model) holdGaps(t *testing.T, s *Store) {
	t.Helper()
	for _, r := range all(t, s, wire.Events) {
		g, ok := formOne(t, r)
		if !ok {
			continue
		}
		for n := g.First; n <= g.Last; n++ {
			if m.gone[g.Lane][n] == "" || m.told[g.Lane][n] == false && m.gone[g.Lane][n] != g.Reason {
				t.Fatalf("gap %+v names %d, which is gone for %q", g, n, m.gone[g.Lane][n])
			}
		}
		for n := g.First; n <= g.Last; n++ {
			m.told[g.Lane][n] = true
		}
	}
	for _, l := range wire.Lanes {
		for n, why := range m.gone[l] {
			if !m.told[l][n] {
				t.Fatalf("number %d of %v is gone for %q and in no gap", n, l, why)
			}
		}
	}
}

func compareModel(t *testing.T, s *Store, m *model) {
	t.Helper()
	m.holdGaps(t, s)
	for _, l := range wire.Lanes {
		got := all(t, s, l)
		st, size := s.Stats().Lane(l), int64(0)
		var oldest wire.Stamp
		if len(got) > 0 {
			oldest = got[0].Stamp
		}
		for _, r := range got {
			size += int64(len(r.Payload))
		}
		if st.Last != m.last[l] || st.Records != int64(len(got)) || st.Bytes != size || st.Oldest != oldest {
			t.Fatalf("lane %v: %+v, want %d records of %d bytes, last %d, oldest %v", l, st, len(got), size, m.last[l], oldest)
		}
		got = slices.DeleteFunc(got, func(r wire.Record) bool { _, ok := formOne(t, r); return ok })
		if !slices.EqualFunc(got, m.lanes[l], func(a, b wire.Record) bool {
			return a.Stream == s.Stream() && a.Lane == l && a.Seq == b.Seq && a.Class == b.Class && a.Epoch == b.Epoch &&
				a.Boot == b.Boot && a.Stamp == b.Stamp && bytes.Equal(a.Payload, b.Payload)
		}) {
			t.Fatalf("lane %v holds\n%v, want\n%v", l, got, m.lanes[l])
		}
	}
	if got := s.Crashed(); !slices.Equal(got, m.lost) {
		t.Fatalf("crashed: %v, want %v", got, m.lost)
	}
	for _, unit := range []string{"a", "b", "c"} {
		if state, err := s.AlarmState(t.Context(), unit); m.states[unit] == stateLost {
			if !errors.As(err, new(*CorruptError)) {
				t.Fatalf("state of %q: %q, %v, want it lost", unit, state, err)
			}
		} else if string(state) != m.states[unit] || err != nil {
			t.Fatalf("state of %q: %q, %v, want %q", unit, state, err, m.states[unit])
		}
		for _, id := range []ups.AlarmID{101, 801} {
			if seq, err := s.RaisedSeq(t.Context(), unit, id, ups.NoGroup); seq != m.raised[fmt.Sprint(unit, id)] || err != nil {
				t.Fatalf("alarm %d of %q raised by %d, %v, want %d", id, unit, seq, err, m.raised[fmt.Sprint(unit, id)])
			}
		}
	}
}
