package uplink

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

const (
	// sendBuffer is asked of the kernel, which doubles it for its bookkeeping. What lies in it can no longer be overtaken by
	// an alarm; at 256 kbit/s 16 KiB take 0.5 s, and the window keeps it emptier than that.
	sendBuffer = 16 << 10
	// writeStall is how long the broker may take none of our bytes before the connection counts as lost.
	writeStall = 15 * time.Second
	// chunk is what is written at once: small, so that writeStall judges progress and not whole records, and so that a
	// limited rate is smooth.
	chunk = 4 << 10
)

// A link is the connection under one MQTT session, as the client library sees it. It adds what the library lacks: a guard over
// what comes in; writes that
// fail when the peer takes nothing for a while, however long the message; a paced rate; word of each message that has been
// handed to the kernel; and an end that no deaf peer can delay.
type link struct {
	net.Conn          // TLS or plain
	raw      net.Conn // the socket below
	in       *guard
	pace     *rate.Limiter // nil: unlimited
	proven   bool          // the dates of the peer's certificate were judged by a clock to be trusted; of the session's goroutine

	turn  chan struct{} // holds one token: whoever took it writes. The library pings from a goroutine of its own.
	wrote chan struct{} // gets a value when a PUBLISH has been written
	ended chan struct{} // closed by hangUp
	once  sync.Once

	began    time.Time
	progress atomic.Int64 // when the kernel last took a byte of a PUBLISH, nanoseconds since began: a wall clock may jump
}

func newLink(conn, raw net.Conn, maxRate int64) *link {
	l := &link{Conn: conn, raw: raw, in: newGuard(conn), turn: make(chan struct{}, 1), wrote: make(chan struct{}, 1), ended: make(chan struct{}), began: time.Now()}
	l.turn <- struct{}{}
	if maxRate > 0 {
		// A tenth of a second's worth may go at once, but never less than what keeps the number of writes sane.
		burst := int(min(max(maxRate/10, 256), chunk))
		l.pace = rate.NewLimiter(rate.Limit(maxRate), burst)
	}
	return l
}

// Read reads what the guard lets through.
func (l *link) Read(b []byte) (int, error) { return l.in.Read(b) }

// Write writes all of b, one MQTT packet: the library writes each packet at once.
func (l *link) Write(b []byte) (int, error) {
	select {
	case <-l.turn:
	case <-l.ended:
		return 0, net.ErrClosed
	}
	if len(b) > 0 {
		l.in.wrote(b[0])
	}
	n, err := l.writeChunks(b)
	l.turn <- struct{}{}
	if isPublish(b) {
		select {
		case l.wrote <- struct{}{}:
		default: // the session has gone; nobody counts any more
		}
	}
	return n, err
}

// isPublish tells a PUBLISH by its packet type (MQTT 3.1.1, 2.2.1).
func isPublish(packet []byte) bool { return len(packet) > 0 && packet[0]>>4 == typePublish }

func (l *link) writeChunks(b []byte) (n int, err error) {
	publish := isPublish(b) // a ping gets through to a broker that has forgotten our records
	for n < len(b) {
		size := min(len(b)-n, chunk)
		if l.pace != nil {
			size = min(size, l.pace.Burst())
			if err := l.wait(size); err != nil {
				return n, err
			}
		}
		if err := l.Conn.SetWriteDeadline(time.Now().Add(writeStall)); err != nil {
			return n, err
		}
		m, err := l.Conn.Write(b[n : n+size])
		n += m
		if publish {
			l.progress.Store(int64(time.Since(l.began)))
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// wait keeps the rate.
func (l *link) wait(size int) error {
	delay := l.pace.ReserveN(time.Now(), size).Delay()
	if delay == 0 {
		return nil
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-l.ended:
		return net.ErrClosed
	}
}

// SetWriteDeadline does nothing: the library would allow a time per message, we allow one per chunk.
func (l *link) SetWriteDeadline(time.Time) error { return nil }

// SetDeadline sets the deadline of reads only. The library uses it around CONNECT.
func (l *link) SetDeadline(t time.Time) error { return l.in.setDeadline(t) }

// hangUp ends the connection at once. The goodbye of TLS is left out: with a deaf peer it takes up to 5 s.
func (l *link) hangUp() {
	l.once.Do(func() { close(l.ended) })
	_ = l.raw.Close() // fails when it is closed already
}

// Close ends the connection, with a goodbye under TLS. The library calls it.
func (l *link) Close() error {
	l.once.Do(func() { close(l.ended) })
	return l.Conn.Close()
}

// lastProgress is when the kernel last took a byte of a PUBLISH.
func (l *link) lastProgress() time.Time { return l.began.Add(time.Duration(l.progress.Load())) }
