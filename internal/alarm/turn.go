package alarm

import "upsedge/internal/ups"

// noCause is the cause of a read that says nothing about one.
const noCause = -1

// A turn is what a read says about changes of state. The cause means something only beside a change of the status word, of
// which bit 0 is one like any other; a cause that changes alone is ignored (TIMING-3; protocol reference, section 3.5).
type turn struct {
	moved     int64 // the cause, if this read shows another mode than the one before; a transfer
	confirmed int64 // the cause of the transition that the read before showed, if this one says the same again (TIMING-1)
	again     int64 // the cause, if the read before had the same, whatever it means
}

// A turnState is what of the reads before is needed for that.
type turnState struct {
	known   bool
	flags   uint32
	cause   int64
	pending int64 // cause of the transition just seen, noCause if there was none or it has been confirmed
}

// noteTurn compares the read in hand with the one before.
func (e *Engine) noteTurn(x *look) {
	x.turn = turn{noCause, noCause, noCause}
	if !x.read.has(ups.StatusFlags) {
		return
	}
	was, flags := e.turn, x.st.Flags(ups.StatusFlags)
	cause, ok := x.st.Raw(ups.StatusCause)
	e.turn = turnState{known: true, flags: flags, cause: cause, pending: noCause}
	if !ok || !x.read.has(ups.StatusCause) || !was.known {
		return
	}
	if (was.flags^flags)&ups.UModes != 0 {
		x.moved = cause
	}
	if was.cause == cause {
		x.again = cause
	}
	if was.pending == cause {
		x.confirmed = cause
	} else if was.flags != flags {
		e.turn.pending = cause
	}
	if x.moved != noCause || x.confirmed != noCause {
		e.restless.join(&e.set.causes)
	}
}

// transferBy: this read shows a transfer of that cause. It counts at once (event catalogue, section 2, footnote 1).
func transferBy(cause int64) test {
	return test{on: onCause, is: func(x *look) bool { return x.moved == cause }, polls: 1}
}

// causedBy: a transition of that cause, and the read after it says so again.
func causedBy(cause int64) test {
	return test{on: onCause, is: func(x *look) bool { return x.confirmed == cause }, polls: 1}
}

// causeMoment is a moment that a transition of one cause makes.
func causeMoment(id ups.AlarmID, t test) rule {
	return rule{id: id, raise: []test{t}, raw: []ups.Point{ups.StatusFlags, ups.StatusCause}, detail: (*look).causeName}
}
