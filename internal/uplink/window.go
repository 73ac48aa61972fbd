package uplink

import (
	"time"

	"upsedge/internal/wire"
)

const (
	// maxRecords is how many records may be in flight (design, section 6); the last few are for events.
	maxRecords      = 64
	reservedRecords = 8
	// queueing is how much of the measured link rate may be in flight (design, section 6). The last quarter is for events,
	// so that an alarm need not wait for a sample's acknowledgement.
	queueing   = 200 * time.Millisecond
	eventShare = queueing / 4
	// firstWindow is allowed before anything is measured, and always: less would stop a link that was measured badly.
	firstWindow = 4 << 10
	// maxWindow bounds memory on a fast link: the library keeps a copy of what is in flight.
	maxWindow = 1 << 20
	// maxBase bounds the empty link's round trip that is believed; a geostationary satellite has 0.6 s.
	maxBase = 800 * time.Millisecond
)

// A window says how much may be in flight on one connection. It measures the link by the progress of acknowledgements: the
// bytes acknowledged between the sending of a record and its own acknowledgement, divided by that time.
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
	acked   int64
	ackedAt time.Time
}

// allowance returns the bytes that may be in flight for lane to send more.
//
// In flight divided by rate is the round trip. If the empty link alone takes longer than queueing, the allowance has to exceed
// its round trip, or the measured rate, and with it the allowance, would shrink with every round.
func (w *window) allowance(lane wire.Lane) int {
	span := max(queueing-eventShare, w.base+w.base/4)
	if lane == wire.Events {
		span += eventShare
	}
	return int(min(max(w.rate*span.Seconds(), firstWindow), maxWindow))
}

// admits reports whether a record of size bytes may be sent. The first of its lane always may: a record larger than the
// window must go, too, and an alarm does not wait behind samples.
func (w *window) admits(lane wire.Lane, size, flyingOfLane int) bool {
	limit := maxRecords
	if lane == wire.Samples {
		limit -= reservedRecords
	}
	fits := w.bytes+size <= w.allowance(lane)
	first := flyingOfLane == 0 && (lane == wire.Events || w.records == 0)
	ok := w.records < limit && (fits || first)
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
	return mark{size: size, acked: w.acked, ackedAt: w.ackedAt}
}

// delivered notes that the record behind m was acknowledged.
func (w *window) delivered(m mark, now time.Time) {
	w.records--
	w.bytes -= m.size
	w.acked += int64(m.size)
	w.ackedAt = now
	took := max(now.Sub(m.ackedAt), time.Millisecond)
	sample := float64(w.acked-m.acked) / took.Seconds()
	switch {
	case sample > w.rate:
		w.rate += (sample - w.rate) / 2
	case w.full: // the link, not a lack of records, made it slower
		w.rate += (sample - w.rate) / 8
	}
	w.full = false
}

// measuredBase notes the round trip of a small message that had the link to itself.
func (w *window) measuredBase(roundTrip time.Duration) {
	w.base = min(roundTrip, maxBase)
}
