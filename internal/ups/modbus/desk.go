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
		if r.lost == nil && len(r.taken) == 0 {
			return r
		}
		l.idle <- r // its owner opens the next link, or has requests to send first
		return nil
	default:
		return nil
	}
}

// urgently tells whether an urgent request waits for the line, or is on it.
func (l *Line) urgently() bool { return l.pressing.Load() > 0 }

// serveSelf carries out the request of a caller who has borrowed the line, unless an urgent one comes before it is sent: then Run's
// goroutine sends it, behind that one. Its error means that the link is lost.
func (r *runner) serveSelf(caller context.Context, q *request) error {
	r.caller = caller
	if !r.sleepUntil(r.end.Add(r.rest)) {
		q.finish(ErrClosed)
		return nil
	}
	if q.priority == Background && r.urgently() {
		r.taken = append(r.taken, q)
		r.stir() // who is urgent may give up before it has come to the queue, and q is not to wait for the next
		return nil
	}
	return r.handle(q)
}

// lend returns the next request that was queued, an urgent one before any other; nil at the end of ctx, when a borrower has found
// the link lost, or when it has left its request behind for an urgent one. Meanwhile callers serve themselves.
func (r *runner) lend() *request {
	var q *request
	r.idle <- r
	select {
	case q = <-r.urgent:
	case q = <-r.background:
	case <-r.wake:
	case <-r.ctx.Done():
	}
	<-r.idle // whoever has it gives it back after one exchange
	if q == nil || q.priority == Urgent {
		return q
	}
	select { // of two that have come the select takes any
	case u := <-r.urgent:
		r.taken = append(r.taken, q)
		return u
	default:
		return q
	}
}

// stir makes lend look again.
func (r *runner) stir() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// giveBack ends a borrowing, with what handle returned.
func (r *runner) giveBack(lost error) {
	r.caller = nil
	if r.lost = lost; lost != nil {
		r.stir()
	}
	r.idle <- r
}
