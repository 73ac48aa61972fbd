package upssim

import (
	"io"
	"os"
	"sync"
	"time"
)

// NewCable returns the two ends of a serial cable in memory. What is written with WritePaced arrives byte by byte at its
// instants, as on a wire, and costs no wake-up for each: thousands of hours of a line fit into a test in testing/synctest.
func NewCable() (near, far *End) {
	near, far = newEnd(), newEnd()
	near.other, far.other = far, near
	return near, far
}

// An End is one end of a cable. One goroutine may read it while another one writes.
type End struct {
	other *End

	mu       sync.Mutex
	waiting  []arriving
	changed  chan struct{} // one token: something is different since the reader looked
	deadline time.Time
	closed   bool // this end
	hungUp   bool // the other one
	timer    *time.Timer
}

// arriving is bytes on their way to an end.
type arriving struct {
	bytes []byte
	first time.Time // of the first byte
	each  time.Duration
}

func newEnd() *End { return &End{changed: make(chan struct{}, 1)} }

// arrived is how many of the bytes are there at now.
func (a *arriving) arrived(now time.Time) int {
	switch d := now.Sub(a.first); {
	case d < 0:
		return 0
	case a.each == 0:
		return len(a.bytes)
	default:
		return min(len(a.bytes), 1+int(d/a.each))
	}
}

// Read returns what has arrived, and waits for the first byte until the deadline.
func (e *End) Read(p []byte) (int, error) {
	for {
		n, next, err := e.take(p, time.Now())
		if n > 0 || err != nil {
			return n, err
		}
		e.wait(next)
	}
}

// take takes what has arrived. Where that is nothing it says when to look again, zero for not before a change.
func (e *End) take(p []byte, now time.Time) (n int, next time.Time, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return 0, next, os.ErrClosed
	}
	for len(e.waiting) > 0 && n < len(p) {
		a := &e.waiting[0]
		m := copy(p[n:], a.bytes[:a.arrived(now)])
		n += m
		a.bytes, a.first = a.bytes[m:], a.first.Add(time.Duration(m)*a.each)
		if len(a.bytes) > 0 {
			break
		}
		e.waiting = e.waiting[1:]
	}
	switch {
	case n > 0:
		return n, next, nil
	case !e.deadline.IsZero() && !now.Before(e.deadline):
		return 0, next, os.ErrDeadlineExceeded
	case len(e.waiting) > 0:
		next = e.waiting[0].first
	case e.hungUp:
		return 0, next, io.EOF
	}
	if !e.deadline.IsZero() && (next.IsZero() || e.deadline.Before(next)) {
		next = e.deadline
	}
	return 0, next, nil
}

// wait returns at next, or when something is different.
func (e *End) wait(next time.Time) {
	if next.IsZero() {
		<-e.changed
		return
	}
	if e.timer == nil {
		e.timer = time.NewTimer(time.Until(next))
	} else {
		e.timer.Reset(time.Until(next))
	}
	select {
	case <-e.changed:
		e.timer.Stop()
	case <-e.timer.C:
	}
}

// Write sends bytes that are there at once.
func (e *End) Write(p []byte) (int, error) {
	if err := e.WritePaced(p, time.Now(), 0); err != nil {
		return 0, err
	}
	return len(p), nil
}

// WritePaced sends bytes of which the i-th is there at start + (i+1)·each. It does not wait.
func (e *End) WritePaced(b []byte, start time.Time, each time.Duration) error {
	e.mu.Lock()
	closed := e.closed
	e.mu.Unlock()
	if closed {
		return os.ErrClosed
	}
	o := e.other
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return io.ErrClosedPipe
	}
	if len(b) > 0 {
		o.waiting = append(o.waiting, arriving{append([]byte(nil), b...), start.Add(each), each})
		o.signal()
	}
	return nil
}

// SetReadDeadline ends a Read at t, one that waits already included.
func (e *End) SetReadDeadline(t time.Time) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.deadline = t
	e.signal()
	return nil
}

// SetWriteDeadline does nothing: a write does not wait.
func (e *End) SetWriteDeadline(time.Time) error { return nil }

// Check tells without waiting whether bytes are there, and whether the other end is.
func (e *End) Check() (waiting bool, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case len(e.waiting) > 0:
		return e.waiting[0].arrived(time.Now()) > 0, nil
	case e.closed:
		return false, os.ErrClosed
	case e.hungUp:
		return false, io.EOF
	}
	return false, nil
}

// Close unplugs this end. The other one reads what has been sent, and then io.EOF.
func (e *End) Close() error {
	e.mu.Lock()
	e.closed = true
	e.signal()
	e.mu.Unlock()
	e.other.mu.Lock()
	e.other.hungUp = true
	e.other.signal()
	e.other.mu.Unlock()
	return nil
}

// signal leaves a token for the reader. The lock is held.
func (e *End) signal() {
	select {
	case e.changed <- struct{}{}:
	default:
	}
}
