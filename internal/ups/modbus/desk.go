package modbus

import "context"

// Who owns a line lends it while nothing is queued: who then asks for a read waits for the gap, sends the request and waits for
// the reply itself. To hand a request to another goroutine and its answer back may wake a thread each time, to see whether there is
// more to do: measured, a tenth of what an exchange costs on a serial line, and more on TCP.
//
// The runner itself is what is handed over, through a channel of one place: nobody touches it who has not taken it from there.

// borrow returns the runner if the line is at rest, and otherwise nil: then Run's goroutine is to be asked.
func (l *Line) borrow(p Priority) *runner {
	if p == Background && l.urgently() {
		return nil
	}
	select {
	case r := <-l.idle:
		if r.lost == nil && r.taken == nil {
			return r
		}
		l.idle <- r // its owner opens the next link, or has requests to send first
		return nil
	default:
		return nil
	}
}

// urgently tells whether an urgent request waits for the line.
func (l *Line) urgently() bool { return len(l.urgent) > 0 || l.pressing.Load() }

// serveSelf carries out the request of a caller who has borrowed the line, unless an urgent one comes before it is sent: then Run's
// goroutine sends it, behind that one. Its error means that the link is lost.
func (r *runner) serveSelf(caller context.Context, q *request) error {
	r.caller = caller
	if !r.sleepUntil(r.end.Add(r.rest)) {
		q.finish(ErrClosed)
		return nil
	}
	if q.priority == Background && r.urgently() {
		r.taken = q
		return nil
	}
	return r.handle(q)
}

// lend returns the next request that was queued, nil at the end of ctx or when a borrower has found the link lost. Meanwhile
// callers serve themselves.
func (r *runner) lend() *request {
	var q *request
	r.idle <- r
	select {
	case q = <-r.urgent:
		r.pressing.Store(true)
	case q = <-r.background:
	case <-r.wake:
	case <-r.ctx.Done():
	}
	<-r.idle // whoever has it gives it back after one exchange
	r.pressing.Store(false)
	return q
}

// giveBack ends a borrowing, with what handle returned.
func (r *runner) giveBack(lost error) {
	r.caller = nil
	if r.lost = lost; lost != nil {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
	r.idle <- r
}
