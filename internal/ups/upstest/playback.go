package upstest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"upsedge/internal/ups/capture"
	"upsedge/internal/ups/modbus"
)

// A Playback is a line's other end that says what a capture says, when it says it, and only to the requests of the capture. A
// request that was not recorded fails the test and the link, and so does an opening; a request that is left over at the end of
// the test fails it, too.
type Playback struct {
	t testing.TB

	mu   sync.Mutex
	rest []capture.Entry
}

// NewPlayback plays a capture. Its replies take as long as they took: it is meant for the bubble of a synctest.
func NewPlayback(t testing.TB, text string) *Playback {
	t.Helper()
	c, err := capture.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if c.Cut {
		t.Fatal("the capture was cut off")
	}
	p := &Playback{t: t, rest: c.Entries}
	t.Cleanup(func() {
		for _, e := range p.Rest() {
			if e.Request == nil {
				continue // a line may end between the loss of a link and the next attempt
			}
			t.Errorf("capture, line %d: %s did not come", e.Line, what(e))
		}
	})
	return p
}

func what(e capture.Entry) string {
	if e.Request == nil {
		return "the opening"
	}
	return fmt.Sprintf("request % X", e.Request)
}

// Rest returns what has not been played yet.
func (p *Playback) Rest() []capture.Entry {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rest
}

var (
	errNotRecorded = errors.New("not in the capture")
	errFailed      = errors.New("the link failed, says the capture")
	errNoWay       = errors.New("no way there, says the capture")
)

// next takes the entry that comes next, if it is an opening (request nil) or has this request.
func (p *Playback) next(request []byte) (capture.Entry, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	asked := what(capture.Entry{Request: request})
	if len(p.rest) == 0 && request == nil {
		return capture.Entry{}, errNotRecorded // nobody has asked for anything yet
	}
	if len(p.rest) == 0 {
		p.t.Errorf("%s after the end of the capture", asked)
		return capture.Entry{}, errNotRecorded
	}
	e := p.rest[0]
	if !bytes.Equal(e.Request, request) || (e.Request == nil) != (request == nil) {
		p.t.Errorf("capture, line %d: %s instead of %s", e.Line, asked, what(e))
		return capture.Entry{}, errNotRecorded
	}
	p.rest = p.rest[1:]
	return e, nil
}

// Open opens the link as the capture says.
func (p *Playback) Open(ctx context.Context) (modbus.Link, error) {
	e, err := p.next(nil)
	if err != nil {
		return nil, err
	}
	select {
	case <-time.After(e.Took):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	switch e.End {
	case capture.Refused:
		return nil, syscall.ECONNREFUSED
	case capture.Unreachable:
		return nil, errNoWay
	}
	l := &playedLink{p: p, closed: make(chan struct{}), said: make(chan capture.Entry, mostAhead)}
	l.said <- e
	return l, nil
}

// mostAhead is how many requests go out at most before the first answer is read.
const mostAhead = 16

// A playedLink is open until the capture or its user closes it. It has the shape of a modbus.Link.
type playedLink struct {
	p      *Playback
	closed chan struct{}
	once   sync.Once
	said   chan capture.Entry // what came after an opening or a request, until Read takes it over

	// Of Read alone.
	ready []byte
	end   capture.End
}

// Write takes one whole request.
func (l *playedLink) Write(b []byte) (int, error) {
	e, err := l.p.next(b)
	if err != nil {
		return 0, err
	}
	if e.End == capture.Silence {
		return len(b), nil
	}
	e.At = time.Duration(time.Now().UnixNano()) + e.Took // when it has come
	select {
	case l.said <- e:
	case <-l.closed:
	}
	return len(b), nil
}

// Read returns the next bytes of the capture's replies when their time has come. It waits for them until Close.
func (l *playedLink) Read(b []byte) (int, error) {
	for {
		switch {
		case len(l.ready) > 0:
			n := copy(b, l.ready)
			l.ready = l.ready[n:]
			return n, nil
		case l.end == capture.Closed:
			return 0, io.EOF
		case l.end == capture.Failed:
			return 0, errFailed
		}
		select {
		case e := <-l.said:
			if e.Request != nil && !l.sleep(e) {
				return 0, io.EOF
			}
			l.ready, l.end = e.Reply, e.End
		case <-l.closed:
			return 0, io.EOF
		}
	}
}

// sleep waits until e has come, and returns false when the link was closed before.
func (l *playedLink) sleep(e capture.Entry) bool {
	select {
	case <-time.After(time.Until(time.Unix(0, int64(e.At)))):
		return true
	case <-l.closed:
		return false
	}
}

// Close ends a Read that waits.
func (l *playedLink) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}
