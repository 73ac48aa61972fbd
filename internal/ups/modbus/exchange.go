package modbus

import (
	"bytes"
	"time"
)

const (
	writeTimeout = 500 * time.Millisecond // for a request to leave; a serial driver and a socket take one at once

	// longestNap bounds a sleep that the end of the context cannot interrupt.
	longestNap = 400 * time.Millisecond
	// heldBack is how long an adapter may keep bytes of a reply that has begun: common ones do for 16 ms, some over a network for more.
	heldBack = 100 * time.Millisecond
	// atOnce: a reply that was read within this had its bytes waiting.
	atOnce = 150 * time.Microsecond
)

// transporter is what goburrow sends through: always the request that handle has just given it.
type transporter struct{ r *runner }

// Send sends a request and returns the reply that matches it. The reply is valid until the next Send.
func (t transporter) Send(request []byte) ([]byte, error) {
	r := t.r
	if r.whole != nil {
		return r.sendWhole(request)
	}
	begin := time.Now()
	if err := r.write(request, begin); err != nil {
		return nil, err
	}
	r.out = time.Now()
	if r.cfg.Framing == TCP {
		return r.receiveTCP(request)
	}
	return r.receiveRTU(request)
}

// sendWhole sends a request over a link that can make the exchange in one step; handle has just set the time.
func (r *runner) sendWhole(request []byte) ([]byte, error) {
	for tries := 0; ; tries++ {
		if err := r.arm(r.out, r.out.Add(r.asked.pace.timeout)); err != nil {
			return nil, err
		}
		n, sent, err := r.whole.Exchange(request, r.buf[r.fill:])
		switch {
		case err == nil:
			r.fill += n
		case !sent && isDeadline(err) && tries < 3: // it came between the look at the clock and this
			r.armed, r.out = time.Time{}, time.Now()
			continue
		case !sent:
			return nil, &LinkError{Op: "write", Err: err, unanswered: !r.answered}
		case !isDeadline(err):
			return nil, &LinkError{Op: "read", Err: err, unanswered: !r.answered}
		}
		return r.receiveTCP(request)
	}
}

func (r *runner) write(request []byte, now time.Time) error {
	err := r.link.SetWriteDeadline(now.Add(writeTimeout))
	if err == nil {
		_, err = r.link.Write(request)
	}
	if err != nil {
		return &LinkError{Op: "write", Err: err, unanswered: !r.answered}
	}
	return nil
}

// receiveRTU sleeps until the reply should just be complete and then reads it. Bytes come one by one at the far end, and
// waking up for each of them would cost more than everything else together.
func (r *runner) receiveRTU(request []byte) ([]byte, error) {
	pace := &r.asked.pace
	ask := r.byteTime * time.Duration(len(request))
	wire := ask + r.byteTime*time.Duration(replyBytes(request))
	if !r.sleepUntil(r.out.Add(wire+pace.early)) && r.current.function == readFunction {
		return nil, ErrClosed
	}
	// Silence is over with the first byte; the rest may take as long as it takes on the wire. Where the reply should be here and is
	// not, or not all of it, nothing but an adapter can hold it back, and not for long.
	first, last := r.out.Add(ask+pace.wait()), r.out.Add(wire+pace.wait())
	n, before := 0, time.Now()
	r.in = before
	for {
		deadline := first
		if n > 0 || first.Before(before) {
			deadline = r.in.Add(heldBack)
			if deadline.After(last) {
				deadline = last
			}
		}
		m, err := r.read(r.buf[n:], deadline)
		r.in = time.Now()
		if err != nil {
			return nil, r.silent(err, n)
		}
		n += m
		size, err := matchRTU(request, r.buf[:n])
		if err != nil {
			rest, ok := r.behindEcho(request, n)
			if !ok {
				return nil, err
			}
			if n = rest; n > 0 {
				size, err = matchRTU(request, r.buf[:n])
			} else {
				err = nil
			}
			if err != nil {
				return nil, err
			}
		}
		if size > 0 {
			if size == replyBytes(request) { // in pieces or not: what counts is whether there was anything to wait for
				r.learn(r.in.Sub(r.out)-wire, r.in.Sub(before) > atOnce, leastTimeout)
			}
			return r.buf[:size], nil
		}
	}
}

// behindEcho takes the request itself off the beginning of the n bytes that came: adapters that hear what they send give it back
// before the reply. It returns how many bytes are left, all of them while the request is not back whole, and false if it is
// something else that came.
func (r *runner) behindEcho(request []byte, n int) (rest int, ok bool) {
	got := r.buf[:n]
	switch {
	case bytes.HasPrefix(got, request):
		if !r.echoes {
			r.echoes = true
			r.cfg.Log.Info("the line gives back what is sent")
		}
		return copy(r.buf[:], got[len(request):]), true
	case bytes.HasPrefix(request, got):
		return n, true
	}
	return 0, false
}

// receiveTCP reads frames until the wanted one. Later frames stay in the buffer, late ones are dropped.
func (r *runner) receiveTCP(request []byte) ([]byte, error) {
	deadline := r.out.Add(r.asked.pace.wait())
	used := 0
	for {
		size, wanted, err := matchTCP(request, r.buf[used:r.fill], len(r.units) > 1)
		if err != nil {
			r.in = time.Now()
			r.keepRest(used, size)
			return nil, err
		}
		if wanted {
			r.in = time.Now()
			r.learn(r.in.Sub(r.out), true, leastTCPTimeout)
			return r.keepRest(used, size), nil
		}
		if size > 0 {
			used += size
			continue
		}
		r.keepRest(used, 0)
		used = 0
		n, err := r.read(r.buf[r.fill:], deadline)
		if err != nil {
			r.in = time.Now()
			return nil, r.silent(err, 0)
		}
		r.fill += n
	}
}

// keepRest takes size bytes at used out of the buffer and everything before them, and moves what follows to the front.
func (r *runner) keepRest(used, size int) []byte {
	if used+size == r.fill { // as nearly always
		frame := r.buf[used:r.fill]
		r.fill = 0
		return frame
	}
	frame := append([]byte(nil), r.buf[used:used+size]...)
	r.fill = copy(r.buf[:], r.buf[used+size:r.fill])
	return frame
}

// learn takes the turnaround of a whole reply into account.
func (r *runner) learn(turnaround time.Duration, waited bool, least time.Duration) {
	r.asked.pace.reply(turnaround, waited, least)
	r.turnarounds.set(r.current.unit, r.asked.pace.mean)
}

// silent makes the error of a reply that did not come, or not to its end: n bytes are in the buffer.
func (r *runner) silent(err error, n int) error {
	if err != ErrTimeout {
		return err
	}
	if n > 0 {
		return frameError(r.buf[:n], "ends after %d bytes", n)
	}
	return silence(r.in.Sub(r.out))
}

// sleepUntil sleeps until t, to a tenth of a millisecond where the link can. It returns false at the end of ctx.
func (r *runner) sleepUntil(t time.Time) bool {
	rest := time.Until(t)
	if rest <= 0 {
		return r.ctx.Err() == nil
	}
	if r.precise != nil && rest < longestNap && r.precise.SleepUntil(t) == nil {
		return r.ctx.Err() == nil
	}
	r.timer.Reset(time.Until(t))
	select {
	case <-r.timer.C:
		return true
	case <-r.ctx.Done():
		return false
	}
}
