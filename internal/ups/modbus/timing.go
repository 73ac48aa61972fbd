package modbus

import "time"

const (
	serialGap = 35 * time.Millisecond // AN176 4.2.2: least silence before a request
	missGap   = 45 * time.Millisecond // after a miss: apcupsd's value; at 35 ms units miss a request now and then

	// serialTimeout and tcpTimeout are where a unit's time-out begins; the observed turnaround then moves it.
	serialTimeout = 500 * time.Millisecond
	tcpTimeout    = 2 * time.Second
	leastTimeout  = 250 * time.Millisecond // AN176 4.2.2
	mostTimeout   = 2 * time.Second
	// leastTCPTimeout: on TCP a late reply is recognised by its transaction id and costs nothing, but cards answer just
	// under 500 ms and one unit's port was captured at 700 ms (protocol reference, sections 2.3 and 2.4).
	leastTCPTimeout = time.Second

	// settled is how many replies a unit must have given before its time-out is lowered.
	settled = 8

	silenceAfterError = 100 * time.Millisecond // protocol reference, section 10
	drainAtMost       = time.Second            // a 125 register reply takes 266 ms at 9600 baud

	// After a write the unit is left alone for a while: 100 ms before anything else, 200 ms before the next write. Writes
	// closer together made two units reset their control processor (protocol reference, section 3.6).
	afterWrite    = 100 * time.Millisecond
	betweenWrites = 200 * time.Millisecond

	requestBytes   = 8 // of a read on RTU: unit, function, address, count, CRC
	replyOverhead  = 5 // of the reply to a read: unit, function, byte count, CRC
	exceptionBytes = 5
	writeReply     = 8
)

// Timing is what is known of a line's speed. The read plan computes milliseconds from it.
type Timing struct {
	ByteTime   time.Duration // one byte on the wire; 0 on TCP
	Gap        time.Duration // silence kept before a request
	Turnaround time.Duration // from the end of a request to the beginning of the reply; 0 = not measured yet
}

// Read returns how long a read of count registers occupies the line, its gap included.
func (t Timing) Read(count int) time.Duration {
	return t.ByteTime*time.Duration(requestBytes+replyOverhead+2*count) + t.Turnaround + t.Gap
}

// byteTime of a line with bits per byte (start, parity and stop bits included) at baud.
func byteTime(baud, bits int) time.Duration {
	return time.Duration(bits) * time.Second / time.Duration(baud)
}

// A pace is what one unit's replies have shown of its speed.
type pace struct {
	early   time.Duration // the line sleeps until a reply with this turnaround has ended
	mean    time.Duration
	spread  time.Duration // mean deviation from mean
	timeout time.Duration
	replies int
}

const (
	// A reply that has not ended when the line wakes up costs a wait, one that ended long ago costs line time. After a wait
	// the line sleeps a little longer, otherwise a little shorter, so that about one reply in ten is waited for.
	longer  = 300 * time.Microsecond
	shorter = 30 * time.Microsecond
)

// reply takes the turnaround of a reply into account. seen tells that the end of the reply was waited for; otherwise
// it had already come when it was read, and took is only an upper bound.
func (p *pace) reply(took time.Duration, seen bool, least time.Duration) {
	took = max(took, 0)
	switch {
	case !seen:
		p.early = max(0, min(p.early, took)-shorter-p.spread/4)
	case p.replies == 0:
		p.early = took + longer
	default:
		p.early += max(0, took-p.early)/2 + longer
	}
	if p.replies == 0 {
		p.mean, p.spread = took, took/2
	} else {
		off := took - p.mean
		p.mean += off / 8
		p.spread += (off.Abs() - p.spread) / 4
	}
	p.replies++
	wanted := min(max(p.mean+4*p.spread+leastTimeout/2, least), mostTimeout)
	if p.replies >= settled || wanted > p.timeout {
		p.timeout = wanted
	}
}

// miss lengthens the time-out: the unit may be slower than anything seen so far, and a reply that always comes late
// would never be seen at all.
func (p *pace) miss() {
	p.timeout = min(max(2*p.timeout, leastTimeout), mostTimeout)
	p.replies = min(p.replies, settled/2) // and do not lower it again after the first reply
}
