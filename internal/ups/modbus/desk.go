package modbus

// Who owns a line may lend it. While nothing is asked, Run's goroutine waits and holds nothing: who then asks for a read sends
// the request itself and waits for the reply itself, which spares two changes of goroutine per exchange. On TCP, that is: there a
// request may follow the reply before at once, and a reply that its caller gave up is told by its transaction. A serial line
// keeps silence between two requests and finishes what it began, whoever has gone meanwhile.
//
// The runner itself is what is handed over, through a channel of one place: nobody touches it who has not taken it from there.

// lends tells whether callers may serve themselves.
func (l *Line) lends() bool { return l.cfg.Framing == TCP && l.cfg.Gap == 0 }

// borrow returns the runner if the line is at rest, and otherwise nil: then Run's goroutine is to be asked.
func (l *Line) borrow(p Priority) *runner {
	if p == Background && len(l.urgent) > 0 {
		return nil
	}
	select {
	case r := <-l.idle:
		if r.lost == nil {
			return r
		}
		l.idle <- r // its owner opens the next link
		return nil
	default:
		return nil
	}
}

// lend returns the next request that was queued, nil at the end of ctx or when a borrower has found the link lost. Meanwhile
// callers serve themselves.
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
