package upstest

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
)

// A Playback is a link whose other end says what a transcript says, and only to the requests of the transcript. It has the
// shape of a modbus.Link. A request that was not recorded fails the test and the link; what is left over at the end of the
// test fails it, too.
type Playback struct {
	t      testing.TB
	closed chan struct{}
	once   sync.Once

	mu      sync.Mutex
	rest    []exchange
	replies [][]byte      // sent and not read yet
	more    chan struct{} // has one element when replies may have some
}

// An exchange is a request and what came back after it and before the next one.
type exchange struct {
	line    int
	request []byte
	replies [][]byte
}

// NewPlayback returns a link that plays a transcript: a line per frame, "> 01 03 …" to the unit and "< 01 03 …" from it, in
// hexadecimal, in the order in which they were seen. A request without an answer was met with silence; an answer that came
// late stands behind the request after it. Empty lines and those with # are skipped.
func NewPlayback(t testing.TB, transcript string) *Playback {
	t.Helper()
	exchanges, err := parse(transcript)
	if err != nil {
		t.Fatal(err)
	}
	p := &Playback{t: t, closed: make(chan struct{}), rest: exchanges, more: make(chan struct{}, 1)}
	t.Cleanup(func() {
		for _, x := range p.Rest() {
			t.Errorf("transcript, line %s", x)
		}
	})
	return p
}

func parse(transcript string) (out []exchange, err error) {
	in := bufio.NewScanner(strings.NewReader(transcript))
	for n := 1; in.Scan(); n++ {
		l := strings.TrimSpace(in.Text())
		if l == "" || l[0] == '#' {
			continue
		}
		frame, err := hex.DecodeString(strings.ReplaceAll(l[1:], " ", ""))
		switch {
		case err != nil:
			return nil, fmt.Errorf("transcript, line %d: %w", n, err)
		case l[0] == '>':
			out = append(out, exchange{line: n, request: frame})
		case l[0] == '<' && len(out) > 0:
			last := &out[len(out)-1]
			last.replies = append(last.replies, frame)
		default:
			return nil, fmt.Errorf("transcript, line %d: neither a request nor the answer to one", n)
		}
	}
	return out, in.Err()
}

// Rest describes the requests that have not come yet.
func (p *Playback) Rest() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []string
	for _, x := range p.rest {
		out = append(out, fmt.Sprintf("%d: request % X did not come", x.line, x.request))
	}
	return out
}

var errNotRecorded = errors.New("request not in the transcript")

// Write takes one whole request.
func (p *Playback) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.rest) == 0 {
		p.t.Errorf("request % X after the end of the transcript", b)
		return 0, errNotRecorded
	}
	x := p.rest[0]
	if !bytes.Equal(b, x.request) {
		p.t.Errorf("transcript, line %d: request % X instead of % X", x.line, b, x.request)
		return 0, errNotRecorded
	}
	p.rest = p.rest[1:]
	p.replies = append(p.replies, x.replies...)
	select {
	case p.more <- struct{}{}:
	default:
	}
	return len(b), nil
}

// Read returns the next bytes of the transcript's answers. It waits for them until Close.
func (p *Playback) Read(b []byte) (int, error) {
	for {
		if n := p.take(b); n > 0 {
			return n, nil
		}
		select {
		case <-p.more:
		case <-p.closed:
			return 0, io.EOF
		}
	}
}

func (p *Playback) take(b []byte) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.replies) == 0 {
		return 0
	}
	n := copy(b, p.replies[0])
	if p.replies[0] = p.replies[0][n:]; len(p.replies[0]) == 0 {
		p.replies = p.replies[1:]
	}
	return n
}

// Close ends a Read that waits.
func (p *Playback) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}
