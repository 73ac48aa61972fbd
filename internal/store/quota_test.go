package store

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// cloud is the other side: it keeps numbers by identity and takes a gap record's range as delivered.
type cloud struct{ have [3]map[uint64]string }

func newCloud() *cloud {
	return &cloud{[3]map[uint64]string{wire.Events: {}, wire.Samples: {}}}
}

func (c *cloud) take(t testing.TB, records []wire.Record) {
	t.Helper()
	for _, r := range records {
		if c.have[r.Lane][r.Seq] == "" {
			c.have[r.Lane][r.Seq] = "record"
		}
		if r.Class != wire.ClassGap {
			continue
		}
		g, err := wire.DecodeGap(r.Payload)
		must(t, err)
		for n := g.First; g.Lane != 0 && n <= g.Last; n++ {
			if c.have[g.Lane][n] == "" {
				c.have[g.Lane][n] = string(g.Reason)
			}
		}
	}
}

// through is the number to acknowledge.
func (c *cloud) through(l wire.Lane) (n uint64) {
	for c.have[l][n+1] != "" {
		n++
	}
	return n
}

// drain takes everything and fails where a number is neither a record nor in a gap.
func (c *cloud) drain(t testing.TB, s *Store) {
	t.Helper()
	for _, l := range wire.Lanes {
		c.take(t, all(t, s, l))
	}
	for _, l := range wire.Lanes {
		if last := s.Stats().Lane(l).Last; c.through(l) != last {
			t.Fatalf("lane %v: number %d of %d is neither a record nor in a gap", l, c.through(l)+1, last)
		}
	}
}

func (c *cloud) count(l wire.Lane, what string) (n int) {
	for _, v := range c.have[l] {
		if v == what {
			n++
		}
	}
	return n
}

func filesOf(t testing.TB, dir string) (n int64) {
	t.Helper()
	for _, name := range []string{fileName, fileName + "-wal", reserveName} {
		fi, err := os.Stat(filepath.Join(dir, name))
		must(t, err)
		n += fi.Size()
	}
	return n
}

func TestQuotaDropsTheOldestSamplesAndLeavesOneGap(t *testing.T) {
	dir := t.TempDir()
	s := reopen(t, dir, Options{MaxBytes: MinBytes})
	must(t, s.PutEvents(t.Context(), "rack-a", nil, []Event{event(101, ups.Raise, 1)}))
	for n := range 300 {
		must(t, s.PutSamples(t.Context(), []Samples{block("rack-a", n, 9000), block("rack-b", n, 300)}))
		if size := filesOf(t, dir); size > MinBytes {
			t.Fatalf("files of %d bytes, the quota is %d", size, MinBytes)
		}
	}
	st := s.Stats()
	dropped := st.Samples.Dropped[wire.GapQuota]
	if st.Samples.Last != 600 || dropped == 0 || int64(dropped)+st.Samples.Records != 600 || st.Samples.Records < 50 {
		t.Errorf("samples %+v", st.Samples)
	}
	if oldest := all(t, s, wire.Samples)[0]; oldest.Seq != dropped+1 || st.Samples.Oldest != oldest.Stamp {
		t.Errorf("oldest record %d, %v, want %d, statistics say %v", oldest.Seq, oldest.Stamp, dropped+1, st.Samples.Oldest)
	}
	events := all(t, s, wire.Events)
	if len(events) != 2 {
		t.Fatalf("%d events, want the alarm and one gap", len(events))
	}
	g, err := wire.DecodeGap(events[1].Payload)
	must(t, err)
	same(t, "gap", g, wire.Gap{Lane: wire.Samples, First: 1, Last: dropped, Reason: wire.GapQuota})

	// It has been handed out now: it must not grow any more.
	for n := range 20 {
		must(t, s.PutSamples(t.Context(), []Samples{block("rack-a", n, 9000)}))
	}
	same(t, "the gap handed out", all(t, s, wire.Events)[1], events[1])
	newCloud().drain(t, s)
}

// Whether an earlier run has handed a gap record out is not known: it may be on its way to be acknowledged, so it must not grow.
func TestAGapOfAnEarlierRunDoesNotGrow(t *testing.T) {
	dir := t.TempDir()
	s := reopen(t, dir, Options{MaxBytes: MinBytes})
	fill := func() []wire.Record {
		for n := range 150 {
			must(t, s.PutSamples(t.Context(), []Samples{block("rack-a", n, 9000)}))
		}
		return all(t, s, wire.Events)
	}
	before := fill()
	s.crash()
	s = reopen(t, dir, Options{MaxBytes: MinBytes})
	after := fill()
	if len(before) != 1 || len(after) != 2 {
		t.Fatalf("%d gap records before and %d after the restart, want 1 and 2", len(before), len(after))
	}
	same(t, "the gap of the earlier run", after[0], before[0])
	must(t, s.Ack(t.Context(), wire.Events, 1))
	c := newCloud()
	c.take(t, before)
	c.drain(t, s)
}

func TestQuotaDropsEventsOnlyForEventsAndOnlyWithoutSamples(t *testing.T) {
	s := reopen(t, t.TempDir(), Options{MaxBytes: MinBytes})
	for n := range 50 {
		must(t, s.PutSamples(t.Context(), []Samples{block("rack-a", n, 5000)}))
	}
	long := event(102, ups.Moment, 1)
	long.Detail = strings.Repeat("x", 200)
	many := make([]Event, 50)
	for i := range many {
		many[i] = long
	}
	for range 100 {
		must(t, s.PutEvents(t.Context(), "rack-a", nil, many))
		st := s.Stats()
		if st.Events.Dropped[wire.GapQuota] > 0 && st.Samples.Records > 0 {
			t.Fatal("events dropped while there were samples")
		}
	}
	st := s.Stats()
	if st.Events.Dropped[wire.GapQuota] == 0 || st.Samples.Records != 0 {
		t.Fatalf("statistics %+v", st)
	}
	gaps := 0
	for _, r := range all(t, s, wire.Events) {
		if r.Class == wire.ClassGap {
			gaps++
		}
	}
	if gaps > 5 {
		t.Errorf("%d gap records, they should have been merged", gaps)
	}
	err := s.PutSamples(t.Context(), []Samples{block("rack-a", 1, 100000)})
	if !errors.Is(err, ErrFull) {
		t.Errorf("samples into a spool full of events: %v, want ErrFull", err)
	}
	if err := s.PutSamples(t.Context(), []Samples{block("rack-a", 1, 2*MinBytes)}); !errors.Is(err, ErrFull) {
		t.Errorf("a block above the quota: %v, want ErrFull", err)
	}
	same(t, "statistics after ErrFull", s.Stats().Events.Records, st.Events.Records)
	c := newCloud()
	c.drain(t, s)
	if n := c.count(wire.Events, "quota"); n == 0 {
		t.Error("no event in a gap")
	}
	must(t, s.Ack(t.Context(), wire.Events, s.Stats().Events.Last))
	must(t, s.PutSamples(t.Context(), []Samples{block("rack-a", 1, 100000)}))
}

// TestPicturesGoBeforeEventsAndAfterSamples: of an outage that fills the spool the alarms are kept longest.
func TestPicturesGoBeforeEventsAndAfterSamples(t *testing.T) {
	s := reopen(t, t.TempDir(), Options{MaxBytes: MinBytes})
	for n := range 20 {
		must(t, s.PutSamples(t.Context(), []Samples{block("rack-a", n, 5000)}))
	}
	puts := uint64(0)
	for s.Stats().Events.Dropped[wire.GapQuota] < 50 {
		e, picture := event(102, ups.Moment, 1), block("rack-a", 1, 3000)
		e.Picture = &picture
		must(t, s.PutEvents(t.Context(), "rack-a", nil, []Event{e}))
		puts++
		if st := s.Stats(); st.Events.Dropped[wire.GapQuota] > 0 && st.Samples.Records > 0 {
			t.Fatal("a picture was dropped while there were samples")
		}
	}
	alarms, pictures := uint64(0), uint64(0)
	for _, r := range all(t, s, wire.Events) {
		switch r.Class {
		case wire.ClassAlarm:
			alarms++
		case wire.ClassPicture:
			if pictures++; r.Seq < 100 {
				t.Errorf("picture %d is still there: the oldest go first", r.Seq)
			}
		}
	}
	if alarms != puts || pictures == 0 || pictures >= puts {
		t.Errorf("%d alarms and %d pictures of %d left; pictures go first", alarms, pictures, puts)
	}
	newCloud().drain(t, s)
}

func TestASmallerQuotaIsReachedWithTheNextPut(t *testing.T) {
	dir := t.TempDir()
	s := reopen(t, dir, Options{MaxBytes: 4 * MinBytes})
	for n := range 60 {
		must(t, s.PutSamples(t.Context(), []Samples{block("rack-a", n, 40000)}))
	}
	must(t, s.Close())
	s = reopen(t, dir, Options{MaxBytes: MinBytes})
	must(t, s.PutSamples(t.Context(), []Samples{block("rack-a", 99, 40000)}))
	if b := s.Stats().Samples.Bytes; b > MinBytes {
		t.Errorf("%d bytes wait", b)
	}
	newCloud().drain(t, s)
}

// Every number that was ever given reaches the other side as a record or inside a gap: over drops, crashes, restarts and a link
// that comes and goes, whatever the order.
func TestEveryNumberIsDeliveredOrInAGap(t *testing.T) {
	seeds := uint64(2)
	if soak {
		seeds = 100
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			dir := fastDir(t)
			s := reopen(t, dir, Options{MaxBytes: MinBytes})
			c := newCloud()
			for n := range 600 {
				switch r.IntN(12) {
				case 0, 1, 2, 3, 4:
					must(t, ignoreFull(s.PutSamples(t.Context(), []Samples{block("rack-a", n, r.IntN(40000))})))
				case 5, 6, 7, 8:
					e := event(102, ups.Moment, n)
					e.Detail = strings.Repeat("y", r.IntN(3000))
					shown := e
					picture := block("rack-a", n, r.IntN(2000))
					shown.Picture = &picture
					must(t, s.PutEvents(t.Context(), "rack-a", nil, []Event{e, shown, e, e, shown, e}))
				case 9: // sent, and not all of it arrives
					l := wire.Lanes[r.IntN(2)]
					records, err := s.Next(t.Context(), l, c.through(l), 1+r.IntN(20), 1<<20)
					must(t, err)
					for _, one := range records {
						if r.IntN(4) > 0 {
							c.take(t, []wire.Record{one})
						}
					}
				case 10:
					if l := wire.Lanes[r.IntN(2)]; r.IntN(3) == 0 {
						must(t, s.Ack(t.Context(), l, c.through(l)))
					}
				case 11:
					if r.IntN(4) > 0 {
						continue
					}
					if r.IntN(2) == 0 {
						must(t, s.Close())
					} else {
						s.crash()
					}
					s = reopen(t, dir, Options{MaxBytes: MinBytes})
				}
			}
			c.drain(t, s)
			t.Logf("samples: %d records, %d dropped; events: %d records, %d dropped", c.count(wire.Samples, "record"),
				c.count(wire.Samples, "quota"), c.count(wire.Events, "record"), c.count(wire.Events, "quota"))
		})
	}
}

func ignoreFull(err error) error {
	if errors.Is(err, ErrFull) {
		return nil
	}
	return err
}

func TestGivesSpaceBackAfterABacklog(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 40 MB")
	}
	dir := t.TempDir()
	s := reopen(t, dir, Options{})
	blocks := make([]Samples, 20)
	for i := range blocks {
		blocks[i] = Samples{Unit: "rack-a", First: at(1), Last: at(2), Payload: bytes.Repeat([]byte{1}, 100000)}
	}
	for range 20 {
		must(t, s.PutSamples(t.Context(), blocks))
	}
	full := s.Stats().FileBytes
	for n := range uint64(400) {
		must(t, s.Ack(t.Context(), wire.Samples, n+1))
	}
	must(t, s.Close())
	fi, err := os.Stat(filepath.Join(dir, fileName))
	must(t, err)
	if full < 40e6 || fi.Size() > 20<<20 {
		t.Errorf("file of %d bytes after an acknowledged backlog of %d", fi.Size(), full)
	}
}

// What an alarm about the buffer is made of: how full it is, and what went, from when to when.
func TestStatisticsTellHowFullAndWhatWent(t *testing.T) {
	s := reopen(t, t.TempDir(), Options{MaxBytes: MinBytes})
	if st := s.Stats(); st.Limit <= 0 || st.Limit >= MinBytes || st.Used <= 0 || st.Used > st.Limit/5 {
		t.Errorf("empty: %d of %d used", st.Used, st.Limit)
	}
	for n := range 200 {
		must(t, s.PutSamples(t.Context(), []Samples{block("rack-a", n, 9000)}))
		if st := s.Stats(); st.Used > st.Limit {
			t.Fatalf("%d of %d used", st.Used, st.Limit)
		}
	}
	st := s.Stats()
	lost := st.Samples.Lost[wire.GapQuota]
	if st.Used*100 < st.Limit*90 {
		t.Errorf("full: %d of %d used", st.Used, st.Limit)
	}
	n := uint64(200) - uint64(st.Samples.Records)
	same(t, "lost", lost, Loss{Records: n, First: 1, Last: n, From: at(0), To: at(10 * int(n-1))})
	same(t, "counted", st.Samples.Dropped[wire.GapQuota], n)
	must(t, s.Ack(t.Context(), wire.Samples, 200))
	if st := s.Stats(); st.Used*100 > st.Limit*20 {
		t.Errorf("acknowledged: %d of %d used", st.Used, st.Limit)
	}
}

// What a receiver that has lost everything is told: below First nothing will come, not even a gap record of it.
func TestStatisticsTellWhatWillNotComeAgain(t *testing.T) {
	dir := t.TempDir()
	o := Options{BootID: bootID, MaxBytes: MinBytes}
	s := reopen(t, dir, o)
	first := func(when string, events, samples uint64) {
		t.Helper()
		st := s.Stats()
		same(t, when, [2]uint64{st.Events.First, st.Samples.First}, [2]uint64{events, samples})
	}
	first("empty", 1, 1)
	must(t, s.PutEvents(t.Context(), "rack-a", nil, []Event{event(101, ups.Raise, 5)}))
	for n := range 3 {
		must(t, s.PutSamples(t.Context(), []Samples{block("rack-a", n, 9000)}))
	}
	must(t, s.Ack(t.Context(), wire.Samples, 2))
	first("acknowledged", 1, 3)
	for n := range 200 {
		must(t, s.PutSamples(t.Context(), []Samples{block("rack-a", n, 9000)}))
	}
	if st := s.Stats().Samples; st.Lost[wire.GapQuota].Records == 0 {
		t.Fatal("nothing was dropped")
	}
	first("dropped, and the gap record waits", 1, 3)
	s.crash()
	s = reopen(t, dir, o)
	first("another run", 1, 3)
	st := s.Stats()
	must(t, s.Ack(t.Context(), wire.Events, st.Events.Last))
	first("told", st.Events.Last+1, st.Samples.Last-uint64(st.Samples.Records)+1)
	must(t, s.Ack(t.Context(), wire.Samples, st.Samples.Last))
	first("all acknowledged", st.Events.Last+1, st.Samples.Last+1)
}
