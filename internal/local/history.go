package local

import (
	"math"
	"time"

	"upsedge/internal/ups"
)

// A History is what the plots of one unit show: the last quarter of an hour in steps of ten seconds and the last day in steps of a quarter
// of an hour, in two rings of a fixed size. It takes 2 KB and no more, of which a thousand units make two megabytes, and Note allocates nothing. It begins empty with each run: what was
// before is in the spool, encoded and sealed, and gone from there as soon as the cloud has it.
//
// The zero value is empty and ready. It guards nothing: who owns it does.
type History struct {
	began time.Time // the beginning of bucket 0
	// Rings: bucket n is at n modulo the length, up to the newest.
	fine                     [fineBuckets]bucket
	coarse                   [coarseBuckets]bucket
	newestFine, newestCoarse int32
}

const (
	fineStep      = 10 * time.Second
	fineBuckets   = 90
	coarseStep    = 15 * time.Minute
	coarseBuckets = 96
)

// A bucket is what was read in one step. Each number is one more than the value in its unit, so that 0 says that there is none: a bucket
// nobody wrote to is a gap.
type bucket struct {
	low, high uint16 // input voltage, 0.1 V
	runtime   uint16 // the shortest, 4 s: three days
	load      uint8  // the highest, 1 %
	charge    uint8  // the lowest, 0.5 %
	warmth    uint8  // the last battery temperature, 0.5 °C above -40 °C
	flags     uint8
}

// Flags of a bucket.
const (
	flagRead    = 1 << iota // something was read
	flagBattery             // the unit was on battery at some moment
)

// Note takes over what st says at the time at, which was read then; live says that the measurements were.
func (h *History) Note(at time.Time, st *ups.State, live bool) {
	if h.began.IsZero() {
		h.began = at
	}
	since := at.Sub(h.began)
	if since < 0 {
		return
	}
	for _, b := range [...]*bucket{
		advance(h.fine[:], &h.newestFine, int32(since/fineStep)),
		advance(h.coarse[:], &h.newestCoarse, int32(since/coarseStep)),
	} {
		b.flags |= flagRead
		if st.Flags(ups.StatusFlags)&ups.UOnBattery != 0 {
			b.flags |= flagBattery
		}
		if live {
			b.note(st)
		}
	}
}

// advance returns bucket n of a ring, and empties those between it and the newest before.
func advance(buckets []bucket, newest *int32, n int32) *bucket {
	if missed := n - *newest; missed >= int32(len(buckets)) {
		clear(buckets)
		*newest = n
	} else {
		for *newest < n {
			*newest++
			buckets[int(*newest)%len(buckets)] = bucket{}
		}
	}
	return &buckets[int(*newest)%len(buckets)]
}

func (b *bucket) note(st *ups.State) {
	if v, ok := packed[uint16](st, ups.InputVoltage, 10, 0); ok {
		b.high = max(b.high, v)
		if b.low == 0 || v < b.low {
			b.low = v
		}
	}
	if v, ok := packed[uint8](st, ups.LoadReal, 1, 0); ok {
		b.load = max(b.load, v)
	}
	if v, ok := packed[uint8](st, ups.Charge, 2, 0); ok && (b.charge == 0 || v < b.charge) {
		b.charge = v
	}
	if v, ok := packed[uint16](st, ups.Runtime, 0.25, 0); ok && (b.runtime == 0 || v < b.runtime) {
		b.runtime = v
	}
	if v, ok := packed[uint8](st, ups.BatteryTemperature, 2, 40); ok {
		b.warmth = v
	}
}

// packed is a value as a bucket has it; what does not fit is the most that does.
func packed[T uint8 | uint16](st *ups.State, p ups.Point, scale, offset float64) (T, bool) {
	v, ok := st.Value(p)
	if !ok {
		return 0, false
	}
	most := float64(^T(0) - 1)
	return T(min(max(math.Round((v+offset)*scale), 0), most)) + 1, true
}

// A Span is one of the times that plots show, oldest bucket first; the last one is still being written.
type Span struct {
	Name    string // "last 15 minutes"
	Step    time.Duration
	Buckets []Bucket
}

// A Bucket is what was read in one step of a Span. NaN: nothing was.
type Bucket struct {
	Read, OnBattery      bool
	Low, High            float64 // input voltage, V
	Load, Charge         float64 // %
	Runtime, Temperature float64 // s, °C
}

// Spans is what there is at the time now. What was not read since is a gap up to it.
func (h *History) Spans(now time.Time) []Span {
	return []Span{
		h.span("last 15 minutes", now, fineStep, h.fine[:], h.newestFine),
		h.span("last 24 hours", now, coarseStep, h.coarse[:], h.newestCoarse),
	}
}

func (h *History) span(name string, now time.Time, step time.Duration, buckets []bucket, newest int32) Span {
	s := Span{Name: name, Step: step, Buckets: make([]Bucket, len(buckets))}
	last := int32(-1)
	if !h.began.IsZero() {
		last = max(int32(now.Sub(h.began)/step), newest)
	}
	for i := range s.Buckets {
		n := last - int32(len(buckets)-1-i)
		var b bucket
		if n >= 0 && n <= newest && n > newest-int32(len(buckets)) {
			b = buckets[int(n)%len(buckets)]
		}
		s.Buckets[i] = b.shown()
	}
	return s
}

func (b bucket) shown() Bucket {
	value := func(v uint16, scale, offset float64) float64 {
		if v == 0 {
			return math.NaN()
		}
		return float64(v-1)/scale - offset
	}
	return Bucket{
		Read: b.flags&flagRead != 0, OnBattery: b.flags&flagBattery != 0,
		Low: value(b.low, 10, 0), High: value(b.high, 10, 0), Load: value(uint16(b.load), 1, 0), Charge: value(uint16(b.charge), 2, 0),
		Runtime: value(b.runtime, 0.25, 0), Temperature: value(uint16(b.warmth), 2, 40),
	}
}
