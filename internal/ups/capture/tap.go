package capture

import (
	"time"

	"upsedge/internal/ups/modbus"
)

// A tapped link has what the link under it has: package modbus uses deadlines, a look at what waits, and a precise sleep where
// a link offers them.
type tapped struct {
	modbus.Link
	r *Recorder
}

type deadlines interface {
	SetReadDeadline(t time.Time) error
	SetWriteDeadline(t time.Time) error
}

type checker interface {
	Check() (waiting bool, err error)
}

type sleeper interface{ SleepUntil(t time.Time) error }

// tap returns link with everything recorded that passes over it.
func tap(link modbus.Link, r *Recorder) modbus.Link {
	t := tapped{link, r}
	d, timed := link.(deadlines)
	c, checked := link.(checker)
	s, precise := link.(sleeper)
	switch {
	case timed && checked && precise:
		return struct {
			timedTap
			sleeper
		}{timedTap{t, d, c}, s}
	case timed && checked:
		return timedTap{t, d, c}
	default: // a pipe of a test
		return t
	}
}

func (t tapped) Write(b []byte) (int, error) {
	t.r.wrote(b)
	n, err := t.Link.Write(b)
	if err != nil {
		t.r.came(nil, err)
	}
	return n, err
}

func (t tapped) Read(b []byte) (int, error) {
	n, err := t.Link.Read(b)
	t.r.came(b[:n], err)
	return n, err
}

// Close ends what is recorded first: that the link is closed from this side says nothing of the unit.
func (t tapped) Close() error {
	_ = t.r.Close() // an error of writing stays for the caller's own Close
	return t.Link.Close()
}

// timedTap is a port or connection.
type timedTap struct {
	tapped
	deadlines
	checker
}

// Check is the link's own; that the other end has closed the link it often tells first.
func (t timedTap) Check() (bool, error) {
	waiting, err := t.checker.Check()
	if err != nil {
		t.r.came(nil, err)
	}
	return waiting, err
}
