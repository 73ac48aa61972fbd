package upstest

import (
	"fmt"
	"io"
	"sync"
)

// Record returns link with everything that passes over it written to w, as a transcript for NewPlayback. Errors of w are not
// reported: the transcript is checked when it is played.
func Record(link io.ReadWriteCloser, w io.Writer) io.ReadWriteCloser {
	return &recorder{ReadWriteCloser: link, w: w}
}

type recorder struct {
	io.ReadWriteCloser
	mu sync.Mutex
	w  io.Writer
}

func (r *recorder) Write(b []byte) (int, error) {
	r.note('>', b)
	return r.ReadWriteCloser.Write(b)
}

func (r *recorder) Read(b []byte) (int, error) {
	n, err := r.ReadWriteCloser.Read(b)
	if n > 0 {
		r.note('<', b[:n])
	}
	return n, err
}

func (r *recorder) note(direction byte, b []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, _ = fmt.Fprintf(r.w, "%c % X\n", direction, b)
}
