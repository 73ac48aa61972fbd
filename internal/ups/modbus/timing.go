package modbus

import (
	"sync/atomic"
	"time"
)

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

// Timing is what is known of the speed of a line and of one unit on it. The read plan computes milliseconds from it.
type Timing struct {
	ByteTime   time.Duration // one byte on the wire; 0 on TCP
	Gap        time.Duration // silence kept before a request, as learned so far; where each needs a connection of its own, the wait for it, too
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

// turnarounds are those of the units of a line, in µs, for Timing; 0 before the first reply. Most lines have one unit, and there
// may be a thousand lines.
type turnarounds [16]atomic.Pointer[[16]atomic.Uint32]

func (all *turnarounds) of(unit uint8) time.Duration {
	if some := all[unit/16].Load(); some != nil {
		return time.Duration(some[unit%16].Load()) * time.Microsecond
	}
	return 0
}

// set is called by who owns the line.
func (all *turnarounds) set(unit uint8, d time.Duration) {
	some := all[unit/16].Load()
	if some == nil {
		some = new([16]atomic.Uint32)
		all[unit/16].Store(some)
	}
	some[unit%16].Store(uint32(max(d/time.Microsecond, 1)))
}
