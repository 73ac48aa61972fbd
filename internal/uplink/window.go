package uplink

import (
	"time"

	"upsedge/internal/wire"
)

const (
	// maxRecords is how many records may be in flight (design, section 6); the last few are for events.
	maxRecords      = 64
	reservedRecords = 8
	// queueing is how much of the measured link rate may be in flight (design, section 6).
	queueing = 200 * time.Millisecond
	// firstWindow is allowed before anything is measured, leastWindow always: 200 ms of 40 kbit/s.
	firstWindow = 4 << 10
	leastWindow = 1 << 10
	// maxWindow bounds memory on a fast link: the library keeps a copy of what is in flight.
	maxWindow = 1 << 20
	// maxBase bounds the empty link's round trip that is believed; a geostationary satellite has 0.6 s, GPRS up to 2 s. Beyond it
	// the window shrinks to its least, a kilobyte per round trip.
	maxBase = 3 * time.Second
)

// A window says how much may be in flight on one connection. It measures the link from the progress of acknowledgements and
// lets so much go that what waits in the link, ahead of an alarm, is gone in 200 ms.
type window struct {
	rate    float64       // bytes per second; 0 until measured
	base    time.Duration // round trip of the empty link, broker included; 0 until measured
	full    bool          // it refused something since the last acknowledgement
	records int           // in flight
	bytes   int           // in flight
	acked   int64         // bytes acknowledged on this connection
	ackedAt time.Time     // the last acknowledgement, or the last send into an empty window
}

// A mark is the state of the window when something was sent.
type mark struct {
	size    int
	sent    time.Time
	acked   int64
	ackedAt time.Time
}

// allowance returns the bytes that may be in flight.
//
// In flight divided by rate is the round trip. If the empty link alone takes longer than queueing, the allowance has to exceed
// its round trip, or the link would never be filled.
func (w *window) allowance() int {
	if w.rate == 0 {
		return firstWindow
	}
	span := max(queueing, w.base+w.base/4)
	return int(min(max(w.rate*span.Seconds(), leastWindow), maxWindow))
}

// admits reports whether a record of size bytes may be sent, of whose lane so many are in flight. With nothing in flight one
// may go however large it is, and the first event always may: an alarm does not wait for a sample's acknowledgement.
func (w *window) admits(lane wire.Lane, size, flyingOfLane int) bool {
	limit, first := maxRecords, flyingOfLane == 0
	if lane == wire.Samples {
		limit, first = maxRecords-reservedRecords, w.records == 0
	}
	ok := w.records < limit && (first || w.bytes+size <= w.allowance())
	w.full = w.full || !ok
	return ok
}

// sent notes that a record of size bytes goes out.
func (w *window) sent(size int, now time.Time) mark {
	if w.records == 0 {
		w.ackedAt = now
	}
	w.records++
	w.bytes += size
	return mark{size: size, sent: now, acked: w.acked, ackedAt: w.ackedAt}
}

// delivered notes that the record behind m was acknowledged.
func (w *window) delivered(m mark, now time.Time) {
	w.records--
	w.bytes -= m.size
	w.acked += int64(m.size)
	w.ackedAt = now
	sample := w.measure(m, now)
	switch {
	case sample > w.rate:
		w.rate += (sample - w.rate) / 2
	case w.full: // the link, not a lack of records, made it slower
		w.rate += (sample - w.rate) / 8
	}
	w.full = false
}

// measure returns the rate of the link as this acknowledgement shows it, the higher of two lower bounds: what was acknowledged
// from the send to now, divided by that time; and, since the first leaves the link idle while too little is in flight, the
// record itself divided by the time it took beyond the empty link's. A sample at most doubles the rate: a round trip
// can be short by chance.
func (w *window) measure(m mark, now time.Time) float64 {
	const least = time.Millisecond // between two instants, lest a coarse clock make a rate without bounds
	roundTrip := now.Sub(m.sent)
	sample := float64(w.acked-m.acked) / max(now.Sub(m.ackedAt), least).Seconds()
	if w.base > 0 {
		w.base = min(w.base, max(roundTrip, least))
		sample = max(sample, float64(m.size)/max(roundTrip-w.base, least).Seconds())
	}
	return min(sample, 2*max(w.rate, firstWindow/queueing.Seconds()))
}

// measuredBase notes the round trip of a small message that had the link to itself.
func (w *window) measuredBase(roundTrip time.Duration) {
	w.base = min(max(roundTrip, time.Millisecond), maxBase)
}
