package ingest

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"upsedge/internal/cloud/store"
	"upsedge/internal/wire"
)

// soak makes the random tests run long.
var soak = os.Getenv("UPSEDGE_SOAK") != ""

func TestMain(m *testing.M) {
	if driver, dsn, ok := strings.Cut(os.Getenv(childEnv), " "); ok {
		if err := child(store.Config{Driver: driver, DSN: dsn}, os.Getenv(childBroker)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if !soak {
		if err := flag.Set("rapid.checks", "15"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// A model is what a receiver should have of one lane, number by number.
type model struct {
	records map[uint64]string // content that came first
	gaps    map[uint64]bool
	frozen  uint64
}

func (m *model) through() (n uint64) {
	for m.records[n+1] != "" || m.gaps[n+1] {
		n++
	}
	if m.frozen > 0 {
		n = min(n, m.frozen-1)
	}
	return n
}

// alarm is what a record does to it.
func (m *model) alarm(seq uint64, word string) {
	switch was := m.records[seq]; {
	case was == "":
		m.records[seq] = word
	case was != word && (m.frozen == 0 || seq < m.frozen):
		m.frozen = seq
	}
}

// Random records, copies, contradictions, gaps before and behind their records, in batches of any size, over restarts, against a
// model that knows no ranges.
func TestModel(t *testing.T) { both(t, testModel) }

func testModel(t *testing.T) {
	var c store.Config
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		if run%50 == 0 {
			c = config(t) // a database costs more than all that is done in it here
		}
		if run++; c.Driver == store.Postgres && run > 5 && !soak {
			return // a round takes ten times as long as on SQLite
		}
		r := opened(t, c, Options{})
		first, second := fmt.Sprintf("rack%da", run), fmt.Sprintf("rack%db", run)
		boxes := []*box{newBox(t, first), newBox(t, second), newBox(t, first)}
		boxes[2].stream = wire.ID{42}
		type key struct {
			box  int
			lane wire.Lane
		}
		models := map[key]*model{}
		for i := range boxes {
			for _, l := range wire.Lanes {
				models[key{i, l}] = &model{records: map[uint64]string{}, gaps: map[uint64]bool{}}
			}
		}
		// Gap records have numbers of their own, above those that alarms get.
		next := []uint64{100, 100, 100}
		for range rapid.IntRange(1, 12).Draw(rt, "batches") {
			var batch []Message
			touched := map[key]bool{}
			for range rapid.IntRange(1, 20).Draw(rt, "messages") {
				i := rapid.IntRange(0, len(boxes)-1).Draw(rt, "box")
				b, seq := boxes[i], rapid.Uint64Range(1, 24).Draw(rt, "seq")
				events, samples := key{i, wire.Events}, key{i, wire.Samples}
				switch rapid.IntRange(0, 9).Draw(rt, "what") {
				case 0, 1, 2, 3:
					batch = append(batch, b.publish(b.alarm(seq, "text")))
					models[events].alarm(seq, "text")
					touched[events] = true
				case 4:
					if rapid.IntRange(0, 7).Draw(rt, "contradict") == 0 {
						batch = append(batch, b.publish(b.alarm(seq, "another")))
						models[events].alarm(seq, "another")
						touched[events] = true
					}
				case 5, 6, 7:
					batch = append(batch, b.publish(b.block(seq, int64(seq)*1000, 2)))
					models[samples].alarm(seq, "block")
					touched[samples] = true
				default:
					lane := rapid.SampledFrom(wire.Lanes[:]).Draw(rt, "lane")
					last := seq + rapid.Uint64Range(0, 6).Draw(rt, "more")
					batch = append(batch, b.publish(b.gap(next[i], quota(lane, seq, last))))
					models[events].alarm(next[i], fmt.Sprint(lane, seq, last))
					for n := seq; n <= last; n++ {
						models[key{i, lane}].gaps[n] = true
					}
					touched[events], touched[key{i, lane}] = true, true
					if next[i]++; rapid.Bool().Draw(rt, "twice") {
						batch = append(batch, batch[len(batch)-1])
					}
				}
			}
			said := marks(t, take(t, r, batch...))
			var want []string
			for k := range touched {
				want = append(want, fmt.Sprintf("%s %v %d", boxes[k.box].name, k.lane, models[k].through()))
			}
			slices.Sort(said)
			if slices.Sort(want); !slices.Equal(said, want) {
				rt.Fatalf("marks %v, want %v", said, want)
			}
			if rapid.IntRange(0, 3).Draw(rt, "restart") == 0 {
				r = restarted(t, c, r, Options{})
			}
		}
		for k, m := range models {
			got, want := numbers(t, r, boxes[k.box], k.lane), slices.Sorted(maps.Keys(m.records))
			if !slices.Equal(got, want) {
				rt.Fatalf("%s %v: numbers %v, want %v", boxes[k.box].name, k.lane, got, want)
			}
			if l := laneOf(t, r, boxes[k.box], k.lane); l.Frozen != m.frozen || l.Records != int64(len(want)) {
				rt.Fatalf("%s %v: %+v, want frozen %d and %d records", boxes[k.box].name, k.lane, l, m.frozen, len(want))
			}
		}
		must(t, r.db.Close())
	})
}

// Ranges against a set of numbers.
func TestSpans(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s spans
		set := map[uint64]bool{}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			first := rapid.Uint64Range(1, 60).Draw(t, "first")
			last := first + rapid.Uint64Range(0, 8).Draw(t, "more")
			anew := false
			for n := first; n <= last; n++ {
				anew = anew || !set[n]
				set[n] = true
			}
			pieces, touches := len(s), s.touches(first, last)
			if s.add(first, last) != anew {
				t.Fatalf("add %d to %d says %v", first, last, !anew)
			}
			if touches != (len(s) <= pieces) {
				t.Fatalf("%d to %d touches: %v, from %d to %d pieces", first, last, touches, pieces, len(s))
			}
		}
		var holes, wantHoles []uint64
		for _, h := range s.holes() {
			for n := h.First; n <= h.Last; n++ {
				holes = append(holes, n)
			}
		}
		mark := uint64(0)
		for n := uint64(1); n <= s[len(s)-1].Last; n++ {
			if set[n] != s.has(n) {
				t.Fatalf("has(%d) = %v", n, s.has(n))
			}
			if !set[n] {
				wantHoles = append(wantHoles, n)
			}
			if set[n] && mark == n-1 {
				mark = n
			}
		}
		if !slices.Equal(holes, wantHoles) || s.mark() != mark {
			t.Fatalf("holes %v, mark %d; want %v, %d", holes, s.mark(), wantHoles, mark)
		}
		for i := 1; i < len(s); i++ {
			if s[i].First < s[i-1].Last+2 {
				t.Fatalf("pieces %v and %v are one", s[i-1], s[i])
			}
		}
	})
}
