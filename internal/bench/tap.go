package main

import (
	"encoding/binary"
	"sync"
	"time"

	"upsedge/internal/ups/upssim"
)

// An exchange is a read that was answered, seen from the wire.
type exchange struct {
	span
	asked time.Time // the request was seen
	ended time.Time // the last byte of the reply left
	// pause is the silence since the end of the reply before, as the poller kept it; 0 for the first exchange, and after a
	// request that was not answered.
	pause time.Duration
}

// slow is by how much the simulation itself took longer than the wire would: a part of the shortfall that is not the poller's.
func (e exchange) slow() time.Duration { return e.ended.Sub(e.asked) - (e.ideal() - gap) }

// A tap stands between the simulation and its terminal and notes which reads were answered, and when. The simulation counts
// requests; which registers they ask for it does not tell.
type tap struct {
	*upssim.PTY

	mu        sync.Mutex
	request   []byte
	heard     time.Time // last byte of a request
	asked     exchange  // request seen last
	reply     []byte
	answering exchange
	last      time.Time // end of the last reply, zero when a request came since
	done      []exchange
}

// Read notes the requests among what it reads.
func (t *tap) Read(p []byte) (int, error) {
	n, err := t.PTY.Read(p)
	if n > 0 {
		t.hear(time.Now(), p[:n])
	}
	return n, err
}

// Write notes the bytes of replies. The simulation writes each by itself at its instant.
func (t *tap) Write(p []byte) (int, error) {
	now := time.Now()
	n, err := t.PTY.Write(p)
	if n > 0 {
		t.say(now, p[:n])
	}
	return n, err
}

func (t *tap) hear(now time.Time, b []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.Sub(t.heard) > 15*time.Millisecond { // what is left of a request that was cut short
		t.request = t.request[:0]
	}
	if len(t.request) == 0 {
		t.asked = exchange{asked: now}
		if !t.last.IsZero() {
			t.asked.pause = now.Sub(t.last)
		}
		t.last = time.Time{}
	}
	t.heard = now
	t.request = append(t.request, b...)
	if len(t.request) < 8 {
		return
	}
	if t.request[1] == 3 {
		t.asked.span = span{binary.BigEndian.Uint16(t.request[2:]), binary.BigEndian.Uint16(t.request[4:])}
	}
	t.request = t.request[:0]
}

func (t *tap) say(now time.Time, b []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.reply) == 0 {
		t.answering = t.asked
	}
	t.reply = append(t.reply, b...)
	size := 5 // of an exception
	if len(t.reply) < 3 {
		return
	}
	if t.reply[1] == 3 {
		size += int(t.reply[2])
	}
	if len(t.reply) < size {
		return
	}
	if e := t.answering; t.reply[1] == 3 && int(t.reply[2]) == 2*int(e.count) {
		e.ended = now
		t.done = append(t.done, e)
	}
	t.reply, t.last = t.reply[:0], now
}

// between returns the exchanges that ended in the window.
func (t *tap) between(from, to time.Time) []exchange {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []exchange
	for _, e := range t.done {
		if e.ended.After(from) && !e.ended.After(to) {
			out = append(out, e)
		}
	}
	return out
}
