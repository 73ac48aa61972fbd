package sampler

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// fromStart is a monotonic clock that began with the zero time.
func fromStart(at time.Time) time.Duration { return at.Sub(time.Time{}) }

func instant(ms int64) time.Time { return time.Time{}.Add(time.Duration(ms) * time.Millisecond) }

func TestBatchGivesEveryReadingOnce(t *testing.T) {
	b, room := NewBatch(fromStart), &Room{}
	other := &ups.Layout{Columns: []ups.Column{{Point: ups.Charge, Divisor: 512}, {Point: ups.Runtime, Divisor: 1}}}
	texts := &ups.Layout{Columns: []ups.Column{{Point: ups.MapID, Divisor: 1}}}
	put := func(l *ups.Layout, tier ups.Tier, ms int64, device string, raw ...int64) {
		b.Put(&ups.Reading{Tier: tier, Layout: l, At: instant(ms), Raw: raw}, Owner{Device: device})
	}
	for round := range int64(3) {
		put(oneColumn, ups.TierWatch, 10, "A", 1)
		put(oneColumn, ups.TierWatch, 20, "A", 2)
		put(other, ups.TierLive, 15, "A", 3, ups.Absent)
		b.Put(&ups.Reading{Layout: texts, At: instant(0), Raw: []int64{ups.Absent}, Text: []string{"00.5"}}, Owner{Device: "A"}) // who the unit is: no sample
		put(oneColumn, ups.TierWatch, 30, "B", 4)                                                                                // another unit in its place
		var got []string
		_, err := b.Take(room, func(device Owner, rows []wire.Rows) error {
			for _, r := range rows {
				got = append(got, fmt.Sprint(device.Device, r.At, r.Raw))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		want := []string{"A[10 20] [1 2]", "A[15] [3 -9223372036854775808]", "B[30] [4]"}
		if !slices.Equal(got, want) {
			t.Errorf("round %d: %q, want %q", round, got, want)
		}
	}
	if _, err := b.Take(room, func(Owner, []wire.Rows) error { return errors.New("called") }); err != nil {
		t.Errorf("an empty batch was taken: %v", err)
	}
}

// A modelRow is a row that was put.
type modelRow struct {
	Device Owner
	Tier   ups.Tier
	Points int // of its layout
	At     int64
	Raw    []int64
}

func flat(device Owner, rows []wire.Rows) (out []modelRow) {
	for _, r := range rows {
		n := len(r.Layout.Columns)
		for i, at := range r.At {
			out = append(out, modelRow{device, r.Tier, n, at, slices.Clone(r.Raw[i*n:][:n])})
		}
	}
	return out
}

func byTime(a, b modelRow) int {
	switch {
	case a.At != b.At:
		return int(max(-1, min(1, a.At-b.At)))
	case a.Tier != b.Tier:
		return int(a.Tier) - int(b.Tier)
	case a.Device != b.Device:
		return strings.Compare(fmt.Sprint(a.Device), fmt.Sprint(b.Device))
	}
	return a.Points - b.Points
}

func layoutOf(columns int) *ups.Layout {
	l := &ups.Layout{}
	for i := range columns {
		l.Columns = append(l.Columns, ups.Column{Point: ups.Point(i), Divisor: 1})
	}
	return l
}

// TestRowsComeOutAsTheyWentIn puts any rows, takes at any time, connects anew and changes the unit: what is taken is what was put
// since, and a picture is all of the last 30 s of the device that was read last.
func TestRowsComeOutAsTheyWentIn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b, room := NewBatch(fromStart), &Room{}
		var waiting, all []modelRow
		value := rapid.OneOf(rapid.Just(int64(ups.Absent)), rapid.Int64Range(0, 3), rapid.Int64(), rapid.Just(int64(math.MaxInt64)), rapid.Just(int64(-1)))
		owners := []Owner{{"A", 0, false}, {"A", 7, false}, {"A", 7, false}, {"A", 0, true}, {"B", 7, false}}
		layouts := []*ups.Layout{layoutOf(1), layoutOf(9), layoutOf(70)}
		now := int64(1)
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			switch rapid.IntRange(0, 20).Draw(t, "what") {
			case 0:
				var got []modelRow
				lost, err := b.Take(room, func(device Owner, rows []wire.Rows) error { got = append(got, flat(device, rows)...); return nil })
				if err != nil || lost != (Span{}) {
					t.Fatalf("lost %v, %v", lost, err)
				}
				slices.SortStableFunc(got, byTime)
				slices.SortStableFunc(waiting, byTime)
				if d := cmp.Diff(waiting, got); d != "" {
					t.Fatalf("taken (-put +got):\n%s", d)
				}
				waiting = nil
			case 1:
				layouts[1] = layoutOf(9) // the driver connected anew
			case 2:
				if len(all) == 0 {
					continue
				}
				p := b.Picture(0)
				want := slices.DeleteFunc(slices.Clone(all), func(r modelRow) bool { return r.Device != p.Owner || r.At < p.Newest-keep })
				got := flat(p.Owner, p.Rows(room, keep*time.Millisecond))
				slices.SortStableFunc(got, byTime)
				slices.SortStableFunc(want, byTime)
				if d := cmp.Diff(want, got); d != "" {
					t.Fatalf("picture (-put +got):\n%s", d)
				}
			default:
				now += rapid.Int64Range(0, 1500).Draw(t, "pause")
				l := rapid.SampledFrom(layouts).Draw(t, "layout")
				r := modelRow{
					Device: rapid.SampledFrom(owners).Draw(t, "device"), Tier: ups.Tier(len(l.Columns) % 3),
					Points: len(l.Columns), At: now, Raw: rapid.SliceOfN(value, len(l.Columns), len(l.Columns)).Draw(t, "raw"),
				}
				b.Put(&ups.Reading{Tier: r.Tier, Layout: l, At: instant(r.At), Raw: r.Raw}, r.Device)
				waiting, all = append(waiting, r), append(all, r)
			}
		}
	})
}

// TestWhatNobodyTakesIsBounded: a disk that stands still costs the oldest rows and not the memory, and it is said which.
func TestWhatNobodyTakesIsBounded(t *testing.T) {
	b, room := NewBatch(fromStart), &Room{}
	rnd := rand.New(rand.NewPCG(1, 1))
	l := layoutOf(30)
	raw := make([]int64, 30)
	begun, rows, asked := int64(1000), int64(20_000), int64(0)
	for i := range rows {
		for c := range raw {
			raw[c] = rnd.Int64N(60)
		}
		if b.Put(&ups.Reading{Tier: ups.TierLive, Layout: l, At: instant(begun + 100*i), Raw: raw}, Owner{Device: "A"}) && asked == 0 {
			asked = i
		}
	}
	if n := b.log.bytes; n > mostBytes+partBytes || n < mostBytes/2 {
		t.Errorf("%d bytes kept, want about %d", n, mostBytes)
	}
	if n := int64(b.log.bytes) / (asked + 1); asked == 0 || asked > rows/2 {
		t.Errorf("first asked to be taken after %d rows, %d", asked, n)
	}
	var got []int64
	lost, _ := b.Take(room, func(_ Owner, rows []wire.Rows) error { got = append(got, rows[0].At...); return nil })
	if lost.First != begun || lost.Last+100 != got[0] || got[len(got)-1] != begun+100*(rows-1) {
		t.Errorf("lost %v, got %d to %d of %d to %d", lost, got[0], got[len(got)-1], begun, begun+100*(rows-1))
	}
	if lost, _ := b.Take(room, nil); lost != (Span{}) {
		t.Errorf("lost %v, it was said before", lost)
	}
}

// refreshes puts one refresh a period, n times: a status block that hardly changes, and a live block of which half of the
// columns do.
func refreshes(b *Batch, n int, period time.Duration) {
	status, live := layoutOf(17), layoutOf(30)
	rnd := rand.New(rand.NewPCG(1, 2))
	s := ups.Reading{Tier: ups.TierStatus, Layout: status, Raw: make([]int64, 17)}
	m := ups.Reading{Tier: ups.TierLive, Layout: live, Raw: make([]int64, 30)}
	for c := range m.Raw {
		m.Raw[c] = 14_000
		if c%2 == 1 {
			m.Raw[c] = ups.Absent
		}
	}
	for i := range n {
		s.At = instant(1000 + int64(i)*period.Milliseconds())
		m.At = s.At.Add(40 * time.Millisecond)
		for c := 0; c < len(m.Raw); c += 2 {
			m.Raw[c] += rnd.Int64N(5) - 2
		}
		b.Put(&s, Owner{Device: "AS2130000001"})
		b.Put(&m, Owner{Device: "AS2130000001"})
		if i%100 == 99 {
			_, _ = b.Take(&Room{}, func(Owner, []wire.Rows) error { return nil })
		}
	}
}

// TestARingIsSmall: 30 s at 10 refreshes a second of a restless unit, of which a thousand fit into the memory of the box.
func TestARingIsSmall(t *testing.T) {
	b := NewBatch(fromStart)
	refreshes(b, 3000, 100*time.Millisecond)
	held := 0
	for _, p := range b.log.parts {
		held += cap(p.buf)
	}
	for _, p := range b.log.spare {
		held += cap(p)
	}
	t.Logf("%d bytes of rows, %d held, in %d parts; raw they were %d", b.log.bytes, held, len(b.log.parts), 300*(18+31)*8)
	if held > 16<<10 {
		t.Errorf("%d bytes are held for 30 s at 10 refreshes a second, want at most 16 KiB", held)
	}
	if p := b.Picture(0); len(p.Rows(&Room{}, keep*time.Millisecond)[0].At) < 300 {
		t.Error("the picture has not the last 30 s")
	}
}

func TestPutDoesNotAllocate(t *testing.T) {
	b := NewBatch(fromStart)
	refreshes(b, 1000, 100*time.Millisecond)
	room, none := &Room{}, func(Owner, []wire.Rows) error { return nil }
	l := b.newest.layout
	r := ups.Reading{Tier: ups.TierLive, Layout: l, Raw: make([]int64, 30), At: instant(200_000)}
	step := func() {
		r.At = r.At.Add(100 * time.Millisecond)
		r.Raw[3]++
		b.Put(&r, Owner{Device: "AS2130000001"})
	}
	for range 1000 {
		step()
	}
	_, _ = b.Take(room, none)
	if n := testing.AllocsPerRun(100, step); n != 0 {
		t.Errorf("%v allocations per Put", n)
	}
}

func BenchmarkBatchPut(b *testing.B) {
	batch, room := NewBatch(fromStart), &Room{}
	r := &ups.Reading{Layout: layoutOf(30), Raw: make([]int64, 30), At: instant(1)}
	b.ReportAllocs()
	for i := range b.N {
		r.At = r.At.Add(100 * time.Millisecond)
		r.Raw[i%30]++
		batch.Put(r, Owner{Device: "A"})
		if i%256 == 0 {
			_, _ = batch.Take(room, func(Owner, []wire.Rows) error { return nil })
		}
	}
}
