package modbus

import (
	"errors"
	"net"
	"time"
)

// A loss is the time between a link that worked and the next one that does.
type loss struct {
	err      *LinkError // what requests are told meanwhile; nil while they had better wait
	logged   bool
	first    bool // there was no link before
	since    time.Time
	attempts int
	pause    time.Duration // the last one; doubles until a unit has answered
	until    time.Time     // no attempt before
}

// connect opens the link, as often as it takes. It returns false at the end of ctx. Requests that come while there is no
// link fail at once with the reason, except before the first attempt and while a closed connection is being replaced.
func (r *runner) connect() bool {
	for {
		if !r.refuseUntil(r.loss.until) {
			return false
		}
		link, err := r.open()
		if err != nil {
			if r.ctx.Err() != nil {
				return false
			}
			r.lose(&LinkError{Op: "open", Err: err}, false)
			continue
		}
		r.links.Add(1)
		r.link = timed(link)
		r.precise, _ = link.(preciseLink)
		r.whole, _ = link.(wholeLink)
		r.armed = time.Time{}
		if r.cfg.Framing == RTU {
			r.logRestored() // a TCP connection proves nothing before the first answer: some are accepted and closed at once
		}
		return true
	}
}

// open calls Config.Open and refuses requests while it lasts.
func (r *runner) open() (link Link, err error) {
	r.loss.attempts++
	done := make(chan struct{})
	go func() {
		defer close(done)
		link, err = r.cfg.Open(r.ctx)
	}()
	for {
		urgent, background := r.refused()
		select {
		case q := <-urgent:
			q.finish(r.loss.err)
		case q := <-background:
			q.finish(r.loss.err)
		case <-done:
			return link, err
		}
	}
}

// refuseUntil waits until t and refuses requests meanwhile. It returns false at the end of ctx.
func (r *runner) refuseUntil(t time.Time) bool {
	r.timer.Reset(time.Until(t))
	for {
		urgent, background := r.refused()
		select {
		case q := <-urgent:
			q.finish(r.loss.err)
		case q := <-background:
			q.finish(r.loss.err)
		case <-r.timer.C:
			return r.ctx.Err() == nil
		case <-r.ctx.Done():
			return false
		}
	}
}

// refused returns the queues if the requests in them are to be refused, and otherwise nothing to receive from.
func (r *runner) refused() (urgent, background <-chan *request) {
	if r.loss.err == nil {
		return nil, nil
	}
	return r.urgent, r.background
}

// lose notes why there is no link, and when the next attempt is due. had tells that there was one.
func (r *runner) lose(err error, had bool) {
	l := &r.loss
	var wait time.Duration
	if !had || !r.answered || r.cfg.Framing == TCP { // a port that worked is opened again at once
		l.pause = min(max(2*l.pause, firstPause), lastPause)
		wait = l.pause
	}
	if had && r.cfg.Framing == TCP {
		wait = max(wait, r.reopenTCP)
	}
	l.until = time.Now().Add(wait)
	if had {
		l.attempts = 0
	}
	if had && r.held != nil {
		return // a connection that the other end closes is the way of some units: replaced without a word
	}
	link, ok := err.(*LinkError)
	if !ok {
		link = &LinkError{Op: "read", Err: err}
	}
	if !l.logged {
		l.logged, l.since, l.first = true, time.Now(), r.links.Load() == 0
		r.cfg.Log.Warn(word(l.first, "link not opened", "link lost"), "err", bare(link.Err))
	}
	if had && r.answered {
		return // requests wait for one attempt, or three refusals in a millisecond would make a loss of a moment's
	}
	l.err = link
	r.refuseHeld(link)
}

// restored notes that something valid came over the link.
func (r *runner) restored() {
	if r.answered {
		return
	}
	r.answered = true
	r.logRestored()
	r.loss = loss{}
}

func (r *runner) logRestored() {
	if r.loss.logged {
		r.cfg.Log.Info(word(r.loss.first, "link opened", "link restored"), "down", time.Since(r.loss.since).Round(time.Millisecond), "attempts", r.loss.attempts)
	}
	r.loss.logged, r.loss.err = false, nil
}

// word chooses between what is said of a link that there never was, and of one that there was.
func word(first bool, never, again string) string {
	if first {
		return never
	}
	return again
}

// bare takes the addresses off a network error: logs name a line, never an address.
func bare(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}
