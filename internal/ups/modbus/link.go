package modbus

import (
	"io"
	"os"
	"sync"
	"time"
)

// A Link carries bytes to the units: a serial port, a TCP connection, one end of a net.Pipe, a playback.
//
// A Link that has the SetReadDeadline and SetWriteDeadline of a net.Conn is used with them, from one goroutine only. Any
// other is read by one goroutine of its own until Close, which must end a Read that waits; its Write must not block.
type Link interface{ io.ReadWriteCloser }

// A timedLink is a Link whose Read and Write return os.ErrDeadlineExceeded when their time is over.
type timedLink interface {
	Link
	SetReadDeadline(t time.Time) error
	SetWriteDeadline(t time.Time) error
}

// A checkedLink tells, without waiting, whether bytes are waiting that nobody has asked for, or why it cannot be used.
type checkedLink interface {
	Check() (waiting bool, err error)
}

// A preciseLink can sleep more exactly than a Go timer, which wakes up to a millisecond late. Only a real port does: in
// the bubble of a test the time would stand still meanwhile.
type preciseLink interface {
	SleepUntil(t time.Time) error
}

// A wholeLink can make an exchange in one step: it writes a request, waits for the first bytes that come then, as Read does, and
// reads them. sent tells whether the request has left.
type wholeLink interface {
	Exchange(request, reply []byte) (n int, sent bool, err error)
}

// timed returns link itself if it has deadlines, and otherwise a link that reads it ahead.
func timed(link Link) timedLink {
	if t, ok := link.(timedLink); ok {
		return t
	}
	p := &pumped{Link: link, chunks: make(chan []byte), failed: make(chan struct{}), closed: make(chan struct{})}
	p.timer = time.NewTimer(time.Hour)
	p.pumping.Go(p.pump)
	return p
}

// pumped gives a plain Link a read deadline by reading it in a goroutine of its own.
type pumped struct {
	Link
	chunks   chan []byte   // each read by pump, taken by Read
	failed   chan struct{} // closed when the link is at its end, after err
	err      error
	closed   chan struct{}
	closing  sync.Once
	pumping  sync.WaitGroup
	rest     []byte
	timer    *time.Timer
	deadline time.Time
}

func (p *pumped) pump() {
	defer close(p.failed)
	for {
		buf := make([]byte, 512)
		n, err := p.Link.Read(buf)
		if n > 0 {
			select {
			case p.chunks <- buf[:n]:
			case <-p.closed:
				return
			}
		}
		if err != nil {
			p.err = err
			return
		}
	}
}

func (p *pumped) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		if err := p.wait(); err != nil {
			return 0, err
		}
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

// wait fetches the next chunk; what is there already is had even after the deadline.
func (p *pumped) wait() error {
	select {
	case p.rest = <-p.chunks:
		return nil
	default:
	}
	p.timer.Reset(time.Until(p.deadline))
	select {
	case p.rest = <-p.chunks:
		return nil
	case <-p.failed:
		return p.err
	case <-p.closed:
		return os.ErrClosed
	case <-p.timer.C:
		return os.ErrDeadlineExceeded
	}
}

func (p *pumped) SetReadDeadline(t time.Time) error {
	p.deadline = t
	return nil
}

func (p *pumped) SetWriteDeadline(time.Time) error { return nil }

// Check tells whether something was read ahead.
func (p *pumped) Check() (bool, error) {
	if len(p.rest) > 0 {
		return true, nil
	}
	select {
	case p.rest = <-p.chunks:
		return true, nil
	case <-p.failed:
		return false, p.err
	default:
		return false, nil
	}
}

func (p *pumped) Close() error {
	p.closing.Do(func() { close(p.closed) })
	err := p.Link.Close()
	p.pumping.Wait()
	p.timer.Stop()
	return err
}
