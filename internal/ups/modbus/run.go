package modbus

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/goburrow/modbus"
)

const (
	firstPause = 250 * time.Millisecond // before a lost link is opened again, doubling
	lastPause  = 5 * time.Second
	// reopenTCP: units were seen that need about 2 s after the end of a connection before they accept the next one
	// (protocol reference, section 2.3).
	reopenTCP = 2 * time.Second

	// A link is given up after so many exchanges in a row that ended in silence (TCP) or in something that is no answer. What is
	// not even a frame ends a TCP connection at once: nobody can tell where the next one begins.
	mostSilences = 3
	mostGarbled  = 3

	closingTime = 300 * time.Millisecond // for a unit of one request per connection to close it
	wakeSlice   = 100 * time.Millisecond // how long Read waits at most before it looks at the context
	// armFor is the same where a deadline costs more than a look at the clock: one then serves many exchanges.
	armFor      = 250 * time.Millisecond
	finishWrite = 700 * time.Millisecond // how long a write may go on after the end of the context
)

// A runner is what the goroutine alone touches that owns the line: Run's, or one that borrows it.
type runner struct {
	*Line
	ctx   context.Context
	units []*unit // asked so far; one, as a rule
	timer *time.Timer
	buf   []byte // of replies; longer than any, to see what comes behind one
	fill  int    // TCP: bytes in buf not looked at yet

	link     timedLink   // nil while there is none
	precise  preciseLink // the same, if it can
	whole    wholeLink   // the same, if it can
	armed    time.Time   // deadline of whole's reads
	answered bool        // something valid came over this link
	answers  int         // how many
	echoes   bool        // RTU: what was sent came back once
	oneShot  bool        // TCP: a connection was closed by the other end after a single answer
	shots    int         // TCP: connections in a row that were
	held     *request    // to be sent first on the next link
	taken    []*request  // to be sent after it, in this order; hardly ever more than one
	lost     error       // why who borrowed the line found no link
	end      time.Time   // of the last exchange on the line
	gap      gap
	rest     time.Duration // of silence before the next request; the gap, or more after a failure
	silences int
	garbled  int

	caller  context.Context // of who borrows the line, nil for nobody
	current *request
	asked   *unit
	out, in time.Time // when the current request was out, its reply in
	stopBy  time.Time // when a write ends at the latest, once ctx has ended

	loss loss
}

func newRunner(l *Line) *runner {
	r := &runner{Line: l, timer: time.NewTimer(time.Hour), gap: newGap(l.cfg.Gap), rest: l.cfg.Gap}
	r.timer.Stop()
	if l.cfg.Framing == TCP {
		r.buf = make([]byte, 512) // a frame takes 260 at most; what is whole in it goes before more is read
	} else {
		r.buf = make([]byte, 1024)
	}
	return r
}

// run opens the link, serves, and opens it again, until ctx ends.
func (r *runner) run(ctx context.Context) {
	r.ctx = ctx
	for r.connect() {
		err := r.serve()
		r.link.Close()
		r.link, r.precise, r.whole = nil, nil, nil
		if err == nil {
			break
		}
		r.lose(err, true)
	}
	r.refuseHeld(ErrClosed)
	r.timer.Stop()
}

// serve answers requests over the open link until it is lost, or, with nil, until ctx ends.
func (r *runner) serve() error {
	r.silences, r.garbled, r.fill, r.answered, r.answers = 0, 0, 0, false, 0
	if r.cfg.Framing == RTU {
		if err := r.drain(); err != nil { // whatever an earlier master, or a device that starts, has left on the line
			return err
		}
	}
	for {
		q := r.next()
		if err := r.lost; err != nil {
			if r.lost = nil; q != nil {
				r.taken = slices.Insert(r.taken, 0, q)
			}
			return err
		}
		if q == nil {
			if r.ctx.Err() != nil {
				return nil
			}
			continue // a borrower's word of a link that is long replaced
		}
		if q = r.quiet(q); q == nil {
			return nil
		}
		if err := r.handle(q); err != nil {
			return err
		}
	}
}

// refuseHeld answers those who wait for the next link.
func (r *runner) refuseHeld(err error) {
	if r.held != nil {
		r.held.finish(err)
	}
	for _, q := range r.taken {
		q.finish(err)
	}
	r.held, r.taken = nil, nil
}

// next returns the request to send now, nil if there is none to be had.
func (r *runner) next() *request {
	if q := r.held; q != nil {
		r.held = nil
		return q
	}
	if len(r.taken) > 0 {
		q := r.taken[0]
		r.taken = slices.Delete(r.taken, 0, 1)
		return q
	}
	select {
	case q := <-r.urgent:
		return q
	default:
	}
	return r.lend()
}

// quiet keeps the silence before q and returns what is to be sent then: an urgent request that has come meanwhile goes first.
// It returns nil at the end of ctx.
func (r *runner) quiet(q *request) *request {
	if !r.sleepUntil(r.end.Add(r.rest)) {
		q.finish(ErrClosed)
		return nil
	}
	if q.priority == Urgent || q.reconnected {
		return q
	}
	select {
	case u := <-r.urgent:
		r.taken = slices.Insert(r.taken, 0, q)
		return u
	default:
		return q
	}
}

// handle carries out one request and answers its caller. Its error means that the link is lost.
func (r *runner) handle(q *request) error {
	u := r.unit(q.unit)
	if !r.sleepUntil(u.restUntil(q.function)) {
		q.finish(ErrClosed)
		return nil
	}
	if r.caller != nil && r.caller.Err() != nil {
		q.finish(r.caller.Err())
		return nil
	}
	if !q.state.CompareAndSwap(queued, sent) {
		return nil // its caller has gone
	}
	if err := r.check(q.function); err != nil {
		q.state.Store(queued)
		return r.unsent(q, err)
	}
	if r.ctx.Err() != nil {
		q.state.Store(queued)
		q.finish(ErrClosed)
		return nil
	}
	begin := time.Now()
	silence := begin.Sub(r.end)
	r.current, r.asked, r.out, r.in = q, u, begin, begin
	err := r.call(u, q)
	if q.function == writeFunction {
		u.lastWrite = time.Now()
	}
	if err != nil && q.function == readFunction && r.cfg.Framing == TCP && !q.reconnected {
		if lost := linkLost(err); lost != nil && closedByPeer(lost.Err) {
			q.state.Store(queued)
			return r.unsent(q, lost.Err)
		}
	}
	result, giveUp := r.classify(err)
	r.learnGap(u, result, silence)
	r.observe(q, result, begin)
	q.finish(err)
	return giveUp
}

// unsent deals with a link found lost before the request left, or, for a read on TCP, with a connection closed in place
// of an answer: some units close after every answer. Then the request is sent, once, on the next connection.
func (r *runner) unsent(q *request, cause error) error {
	err := &LinkError{Op: "write", Err: cause, unanswered: !r.answered}
	if r.cfg.Framing == TCP && closedByPeer(cause) && !q.reconnected {
		q.reconnected = true
		r.held = q
		if r.answers == 1 {
			r.oneShot = true
			if r.shots++; r.shots > 1 {
				r.reopening.Store(int64(r.reopenTCP))
			}
		}
		return err
	}
	q.finish(err)
	return err
}

// check looks at the link before a request goes out: bytes nobody asked for would be taken for its reply. A read over TCP needs
// no look: old bytes have another transaction, and where the connection was closed it goes out again on the next one.
func (r *runner) check(function uint8) error {
	c, ok := r.link.(checkedLink)
	if !ok || r.whole != nil && function == readFunction {
		return nil
	}
	waiting, err := c.Check()
	if err == nil && waiting && r.cfg.Framing == RTU {
		return r.drain()
	}
	if err == nil && function == writeFunction && r.oneShot && r.answers > 0 {
		return r.awaitClose()
	}
	return err
}

// awaitClose gives the other end time to close a connection that it has answered on, where it was seen to do so. A read
// sent into the closing is asked again; a write must not be, and its caller would never know.
func (r *runner) awaitClose() error {
	r.current = nil
	_, err := r.read(r.buf[r.fill:], time.Now().Add(closingTime))
	if lost := linkLost(err); lost != nil {
		return lost.Err
	}
	return nil // still open; what came was late, and nobody waits for it
}

// call has goburrow ask, and puts the answer into the request.
func (r *runner) call(u *unit, q *request) error {
	if q.function == writeFunction {
		_, err := u.client.WriteMultipleRegisters(q.addr, q.count, q.data)
		return translate(err)
	}
	raw, err := u.client.ReadHoldingRegisters(q.addr, q.count)
	if err != nil {
		return translate(err)
	}
	for i := range q.registers[:q.count] {
		q.registers[i] = uint16(raw[2*i])<<8 | uint16(raw[2*i+1])
	}
	return nil
}

// translate makes goburrow's errors ours. The transporter's come through as they are; what goburrow finds wrong with a
// reply the transporter has let pass is a bad frame.
func translate(err error) error {
	if err == nil {
		return nil // here, so that a good exchange allocates nothing
	}
	var exception *modbus.ModbusError
	if errors.As(err, &exception) {
		return &ExceptionError{Function: exception.FunctionCode &^ exceptionBit, Code: exception.ExceptionCode}
	}
	return err
}

// classify draws the conclusions from an exchange: its label, the gap that follows, and whether the link is given up.
func (r *runner) classify(err error) (Result, error) {
	r.rest = r.gap.now()
	if err == nil || refusal(err) {
		r.asked.pace.answer()
		r.silences, r.garbled = 0, 0
		if r.answers++; r.answers == 2 && r.shots > 0 {
			r.shots = 0
			r.reopening.Store(0)
		}
		r.end = r.in
		r.restored()
		if err != nil {
			return ResultException, nil
		}
		return ResultOK, nil
	}
	switch {
	case linkLost(err) != nil:
		r.end = time.Now()
		return ResultLink, err
	case r.caller != nil && err == r.caller.Err():
		r.caller = nil
		return ResultLink, r.recover(err, false) // an answer may still come
	case errors.Is(err, ErrClosed):
		r.end = time.Now()
		return ResultLink, nil // serve sees the end of ctx by itself
	case errors.Is(err, ErrTimeout):
		r.asked.pace.miss()
		r.silences++
		return ResultTimeout, r.recover(err, r.cfg.Framing == TCP && r.silences >= mostSilences)
	default:
		r.garbled++
		return ResultFrame, r.recover(err, r.garbled >= mostGarbled || r.cfg.Framing == TCP && !isFramed(err))
	}
}

// isFramed tells whether err is about a whole frame, so that the connection is still in step.
func isFramed(err error) bool {
	var frame *FrameError
	return errors.As(err, &frame) && frame.framed
}

func refusal(err error) bool {
	var exception *ExceptionError
	return errors.As(err, &exception)
}

// linkLost returns the LinkError in err, nil if there is none.
func linkLost(err error) *LinkError {
	var lost *LinkError
	if errors.As(err, &lost) {
		return lost
	}
	return nil
}

// recover brings the line to rest after an exchange that failed.
func (r *runner) recover(err error, giveUp bool) error {
	if r.cfg.Framing == RTU {
		r.rest = max(r.rest, missGap)
		if drained := r.drain(); drained != nil {
			return drained
		}
	}
	r.end = time.Now()
	if giveUp {
		return err
	}
	return nil
}

// drain reads until the line was silent for 100 ms. A line that is not silent for a whole second is given up.
func (r *runner) drain() error {
	begin := time.Now()
	r.current = nil
	for {
		_, err := r.read(r.buf[:], time.Now().Add(silenceAfterError))
		switch {
		case errors.Is(err, ErrTimeout), errors.Is(err, ErrClosed):
			return nil
		case err != nil:
			return err
		case time.Since(begin) > drainAtMost:
			return &LinkError{Op: "read", Err: errors.New("bytes without end that nobody asked for")}
		}
	}
}

func (r *runner) observe(q *request, result Result, begin time.Time) {
	if r.cfg.Observe == nil {
		return
	}
	r.cfg.Observe(Exchange{
		Unit: q.unit, Function: q.function, Address: q.addr, Count: q.count, Result: result,
		Took: r.in.Sub(r.out), Busy: r.end.Sub(begin) + r.rest,
	})
}

// read waits for bytes until deadline, in slices, so that the end of ctx is seen: a read ends with it, a write soon after.
func (r *runner) read(p []byte, deadline time.Time) (int, error) {
	for tries := 0; ; tries++ {
		if err := r.arm(time.Now(), deadline); err != nil {
			return 0, err
		}
		n, err := r.link.Read(p)
		if n > 0 {
			return n, nil
		}
		if err != nil && !isDeadline(err) {
			return 0, &LinkError{Op: "read", Err: err, unanswered: !r.answered}
		}
		if err == nil && tries > 1000 {
			return 0, &LinkError{Op: "read", Err: io.ErrNoProgress}
		}
		if !time.Now().Before(deadline) {
			return 0, ErrTimeout
		}
		if r.caller != nil && r.caller.Err() != nil {
			return 0, r.caller.Err()
		}
		if r.ctx.Err() != nil {
			if r.current == nil || r.current.function == readFunction {
				return 0, ErrClosed
			}
			if r.stopBy.IsZero() {
				r.stopBy = time.Now().Add(finishWrite)
			}
			if r.stopBy.Before(deadline) {
				deadline = r.stopBy
			}
		}
	}
}

// arm sets the deadline of reads: a slice from now, or deadline if that is sooner. To set that of a socket moves a timer and
// takes locks, so one that was set before does as long as it is not too late; what wakes up early looks at the clock.
func (r *runner) arm(now, deadline time.Time) error {
	slice := wakeSlice
	if r.whole != nil {
		if slice = armFor; r.armed.After(now) && !r.armed.After(deadline) {
			return nil
		}
	}
	until := now.Add(slice)
	if until.After(deadline) {
		until = deadline
	}
	if err := r.link.SetReadDeadline(until); err != nil {
		return &LinkError{Op: "read", Err: err, unanswered: !r.answered}
	}
	r.armed = until
	return nil
}
