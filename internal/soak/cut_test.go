package soak

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"time"
)

// A place says where in a packet a cut falls.
type place int

const (
	before place = iota
	middle
	behind
)

// A manner says what a cut does to the connection.
type manner int

const (
	hangUp manner = iota // both ends are told, in order
	reset                // both ends are told with a reset
	swallow
	deafen
	dripping
	late
	twice // a PUBLISH comes a second time, as the protocol allows
	manners
)

var (
	placeNames  = [...]string{"before", "middle", "behind"}
	mannerNames = [manners]string{"hang-up", "reset", "blackhole", "half-open", "drip", "delay", "twice"}
)

// A cut is what happens at the n-th packet of a step from when it is armed.
type cut struct {
	at    step
	place place
	how   manner
	n     int
	long  time.Duration // of a blackhole, a half-open connection, a delay
}

func (c cut) String() string {
	return fmt.Sprintf("%s at the %d. %v, %s", mannerNames[c.how], c.n, c.at, placeNames[c.place])
}

var errCut = errors.New("cut")

// fall lets a cut happen at the packet raw.
func (p *proxy) fall(w *wired, to net.Conn, c cut, raw []byte) error {
	switch c.how {
	case late:
		time.Sleep(c.long)
		return w.send(to, c.at.dir, raw)
	case dripping:
		w.mu.Lock()
		w.slow[c.at.dir] = true
		w.mu.Unlock()
		return w.send(to, c.at.dir, raw)
	case twice:
		if err := w.send(to, c.at.dir, raw); err != nil {
			return err
		}
		again := slices.Clone(raw)
		again[0] |= 0x08 // DUP
		return w.send(to, c.at.dir, again)
	}
	n := [...]int{0, len(raw) / 2, len(raw)}[c.place]
	if err := w.send(to, c.at.dir, raw[:n]); err != nil {
		return err
	}
	switch c.how {
	case hangUp:
		w.close(false)
		return errCut
	case reset:
		w.close(true)
		return errCut
	case deafen: // one end is told, the other is not
		if c.at.dir == up {
			_ = w.client.Close()
		} else {
			_ = w.broker.Close()
		}
	}
	w.mu.Lock()
	w.dark = true
	w.mu.Unlock()
	time.AfterFunc(c.long, func() { w.close(true) })
	return nil // what still comes is read and goes nowhere
}

// send writes raw, a few bytes at a time where the connection drips.
func (w *wired) send(to net.Conn, d direction, raw []byte) error {
	for len(raw) > 0 {
		w.mu.Lock()
		n := len(raw)
		if w.slow[d] {
			n = min(n, 1+rand.IntN(40))
		}
		w.mu.Unlock()
		if _, err := to.Write(raw[:n]); err != nil {
			return err
		}
		if raw = raw[n:]; len(raw) > 0 {
			time.Sleep(time.Millisecond)
		}
	}
	return nil
}
