package front

import (
	"errors"
	"net"
	"sync"
	"time"
)

const (
	// maxOut is what may wait to be written to one agent, in bytes: the greatest statement (256 KiB) twice, with acknowledgements.
	maxOut = 640 << 10
	// A piece of pieceOut bytes must leave within pieceWithin, or nobody reads.
	pieceOut    = 16 << 10
	pieceWithin = 20 * time.Second
	// keepOut is the longest buffer that an outbox keeps while nothing waits.
	keepOut = 512
)

var (
	errOutFull   = errors.New("its queue is full")
	errOutClosed = errors.New("its connection ends")
)

// An outbox writes to a connection without making anybody wait: packets are appended to a bounded buffer, and a goroutine that
// lives while something waits writes what has come, as one TLS record where it fits. An idle connection has no goroutine and
// hardly a buffer.
type outbox struct {
	conn   net.Conn
	failed func(error) // called once, from the goroutine that writes

	mu      sync.Mutex
	waits   []byte
	writing bool
	closed  bool
	until   time.Time // once closed: nothing is written later
	done    sync.WaitGroup
}

// put hands over whole packets.
func (o *outbox) put(packet []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.closed:
		return errOutClosed
	case len(o.waits)+len(packet) > maxOut:
		return errOutFull
	}
	o.waits = append(o.waits, packet...)
	if !o.writing {
		o.writing = true
		o.done.Go(o.write)
	}
	return nil
}

// write writes until nothing waits.
func (o *outbox) write() {
	var spare []byte
	for {
		o.mu.Lock()
		now := o.waits
		if len(now) == 0 {
			o.writing, o.waits = false, nil
			if cap(spare) <= keepOut {
				o.waits = spare
			}
			o.mu.Unlock()
			return
		}
		o.waits = spare[:0]
		o.mu.Unlock()
		if err := o.send(now); err != nil {
			o.mu.Lock()
			o.closed, o.waits = true, nil
			o.mu.Unlock()
			o.failed(err)
			return
		}
		spare = now[:0]
	}
}

func (o *outbox) send(b []byte) error {
	for len(b) > 0 {
		piece := b[:min(len(b), pieceOut)]
		if err := o.patience(); err != nil {
			return err
		}
		if _, err := o.conn.Write(piece); err != nil {
			return err
		}
		b = b[len(piece):]
	}
	return nil
}

// patience sets until when the next piece must have left.
func (o *outbox) patience() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	by := time.Now().Add(pieceWithin)
	if o.closed && o.until.Before(by) {
		by = o.until
	}
	return o.conn.SetWriteDeadline(by)
}

// close takes nothing more and returns when what waited is written, or within has passed.
func (o *outbox) close(within time.Duration) {
	o.mu.Lock()
	o.closed, o.until = true, time.Now().Add(within)
	if o.writing {
		_ = o.conn.SetWriteDeadline(o.until) // the piece on its way, too
	}
	o.mu.Unlock()
	o.done.Wait()
}
