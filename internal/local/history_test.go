package local

import (
	"math"
	"strconv"
	"testing"
	"time"
	"unsafe"

	"upsedge/internal/ups"
)

func TestAHistoryIsSmallAndAllocatesNothing(t *testing.T) {
	if n := unsafe.Sizeof(History{}); n > 2<<10 {
		t.Errorf("%d bytes", n)
	}
	h, st, at := &History{}, stateWith(ups.UOnline, 230, 40, 100, 1800), time.Now()
	if n := testing.AllocsPerRun(1000, func() {
		at = at.Add(time.Second)
		h.Note(at, st, true)
	}); n != 0 {
		t.Errorf("%v allocations for each reading", n)
	}
}

// What was read is where it was read, what was not is a gap, and what is older than a span has left it.
func TestAHistoryKeepsGapsAndExtremes(t *testing.T) {
	h, begin := &History{}, time.Now()
	note := func(second int, flags uint32, volts, load, charge float64) {
		h.Note(begin.Add(time.Duration(second)*time.Second), stateWith(flags, volts, load, charge, 1800), true)
	}
	note(0, ups.UOnline, 230, 40, 100)
	note(5, ups.UOnline, 210.5, 90, 99)
	note(9, ups.UOnBattery, 231, 40, 98)
	note(40, ups.UOnline, 229, 41, 97) // 10 to 40: a gap
	fine := h.Spans(begin.Add(55 * time.Second))[0]
	n := len(fine.Buckets)
	at := func(second int) Bucket { return fine.Buckets[n-1-(5-second/10)] }
	if b := at(0); !b.Read || !b.OnBattery || b.Low != 210.5 || b.High != 231 || b.Load != 90 || b.Charge != 98 || b.Runtime != 1800 {
		t.Errorf("the first ten seconds: %+v", b)
	}
	for _, second := range []int{10, 20, 30, 50} {
		if b := at(second); b.Read || !math.IsNaN(b.High) || !math.IsNaN(b.Charge) {
			t.Errorf("nothing was read at %d s: %+v", second, b)
		}
	}
	if b := at(40); b.OnBattery || b.Low != 229 || b.High != 229 || !math.IsNaN(b.Temperature) {
		t.Errorf("at 40 s: %+v", b)
	}
	if b := fine.Buckets[0]; b.Read {
		t.Errorf("something was read before the start: %+v", b)
	}
	// An hour later the quarter of an hour is empty and the day is not; three days later both are, also when something is read then.
	spans := h.Spans(begin.Add(time.Hour))
	if reads(spans[0]) != 0 || reads(spans[1]) != 1 {
		t.Errorf("an hour later %d and %d buckets", reads(spans[0]), reads(spans[1]))
	}
	note(3*86400, ups.UOnline, 230, 40, 100)
	spans = h.Spans(begin.Add(72*time.Hour + time.Second))
	if reads(spans[0]) != 1 || reads(spans[1]) != 1 {
		t.Errorf("three days later %d and %d buckets, want the new one", reads(spans[0]), reads(spans[1]))
	}
	if reads((&History{}).Spans(begin)[0]) != 0 {
		t.Error("an empty one has something")
	}
}

func reads(s Span) (n int) {
	for _, b := range s.Buckets {
		if b.Read {
			n++
		}
	}
	return n
}

func TestAPlotSaysItsExtremesInWords(t *testing.T) {
	spans := testSpans()
	s := &allSeries[0]
	of := s.summary(spans[0])
	if of.low != 230 || of.high != 236 || of.battery < time.Minute || of.unread < 40*time.Second || of.unread > 80*time.Second {
		t.Errorf("%+v", of)
	}
	if words := s.words(spans[0], of); words == "" || of.last < 230 {
		t.Errorf("%q", words)
	}
}

// BenchmarkHistory says what the plots of so many units take of memory.
func BenchmarkHistory(b *testing.B) {
	for _, units := range []int{1, 16, 1000} {
		b.Run(strconv.Itoa(units), func(b *testing.B) {
			b.ReportAllocs()
			all := make([]*History, units)
			for b.Loop() {
				for i := range all {
					all[i] = &History{}
				}
			}
		})
	}
}
