package capture

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"upsedge/internal/ups/modbus"
)

// mostReply is how many bytes after one request are kept: about a second of a line that chatters without end.
const mostReply = 1024

// Options say how to record.
type Options struct {
	TCP     bool             // frames are those of Modbus TCP, otherwise RTU
	Private []Span           // registers whose texts are masked; nil: nothing is
	Now     func() time.Time // nil: time.Now
}

// A Recorder writes the lines of a capture while a link is used: each when the next request goes out, so that a file that
// ends early has everything up to its last line.
type Recorder struct {
	mu      sync.Mutex
	w       io.Writer
	now     func() time.Time
	began   time.Time
	private *redactor // nil: nothing is masked
	entry   *Entry    // not yet written
	asked   time.Time // when it began
	err     error     // of the first failed write
}

// NewRecorder writes the header and returns a recorder.
func NewRecorder(w io.Writer, h Header, o Options) *Recorder {
	r := &Recorder{w: w, now: o.Now}
	if r.now == nil {
		r.now = time.Now
	}
	if o.Private != nil {
		r.private = &redactor{spans: o.Private, tcp: o.TCP}
	}
	r.began = r.now()
	r.err = h.write(w)
	return r
}

// Open returns open with everything recorded that passes over the links it opens.
func (r *Recorder) Open(open func(context.Context) (modbus.Link, error)) func(context.Context) (modbus.Link, error) {
	return func(ctx context.Context) (modbus.Link, error) {
		begin := r.now()
		link, err := open(ctx)
		r.opened(begin, err)
		if err != nil {
			return nil, err
		}
		return tap(link, r), nil
	}
}

// Close writes the line under way and returns the first error of writing. More may be recorded afterwards.
func (r *Recorder) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.finish()
	return r.err
}

func (r *Recorder) opened(begin time.Time, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.begin(begin, nil)
	r.entry.Took = r.now().Sub(begin)
	switch {
	case err == nil:
	case errors.Is(err, syscall.ECONNREFUSED):
		r.entry.End = Refused
	default:
		r.entry.End = Unreachable
	}
}

// begin ends the entry before and begins one.
func (r *Recorder) begin(at time.Time, request []byte) {
	r.finish()
	r.asked = at
	r.entry = &Entry{At: at.Sub(r.began), Request: request}
	if request != nil && r.private != nil {
		r.private.ask(request)
	}
}

// finish writes the entry.
func (r *Recorder) finish() {
	e := r.entry
	if e == nil {
		return
	}
	r.entry = nil
	if e.Request != nil && e.Reply == nil && e.End == Answered {
		e.End, e.Took = Silence, r.now().Sub(r.asked)
	}
	if r.private != nil {
		r.private.reply(e.Reply)
	}
	if r.err == nil {
		_, r.err = io.WriteString(r.w, e.String()+"\n")
	}
}

func (r *Recorder) wrote(b []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.begin(r.now(), append([]byte{}, b...))
}

// came takes what was read, or why there will be no more.
func (r *Recorder) came(b []byte, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.entry == nil {
		return // of a link that was closed by now
	}
	if b = b[:min(len(b), mostReply-len(r.entry.Reply))]; len(b) > 0 {
		r.entry.Reply, r.entry.Took = append(r.entry.Reply, b...), r.now().Sub(r.asked)
	}
	switch {
	case err == nil, errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, os.ErrClosed):
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrClosedPipe), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		r.entry.End = Closed
	default:
		r.entry.End = Failed
	}
}
