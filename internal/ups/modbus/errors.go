package modbus

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"upsedge/internal/ups"
)

// ErrTimeout is what errors.Is finds when the unit was silent for the whole of its time. The unit may still have acted.
var ErrTimeout error = silence(0)

// ErrClosed says that the line does not run any more. The request was not sent, unless a RequestError says it was.
var ErrClosed = errors.New("line closed")

// silence is ErrTimeout with the time that was waited.
type silence time.Duration

func (s silence) Error() string {
	if s == 0 {
		return "timed out"
	}
	return "timed out after " + time.Duration(s).Round(time.Millisecond).String()
}

// Is makes every silence ErrTimeout.
func (s silence) Is(target error) bool { return target == ErrTimeout }

// Failure tells that nothing came back.
func (s silence) Failure() ups.Failure { return ups.FailureNoAnswer }

// Timeout is true, as in net.Error.
func (s silence) Timeout() bool { return true }

// A RequestError says which request failed and whether any of it may have left. Every error of ReadHolding and
// WriteHolding is one.
type RequestError struct {
	Function uint8 // 3 or 16
	Unit     uint8
	Address  uint16
	Count    uint16
	Sent     bool // false: the unit has seen nothing of this request. true: it may have acted, whatever Err says
	Err      error
}

func (e *RequestError) Error() string {
	op := "read"
	if e.Function == writeFunction {
		op = "write"
	}
	if e.Count == 1 {
		return fmt.Sprintf("%s register %d of unit %d: %v", op, e.Address, e.Unit, e.Err)
	}
	return fmt.Sprintf("%s registers %d-%d of unit %d: %v", op, e.Address, int(e.Address)+int(e.Count)-1, e.Unit, e.Err)
}

// Unwrap returns the cause.
func (e *RequestError) Unwrap() error { return e.Err }

// An ExceptionError is the unit's own no. Asking again brings the same answer: do not repeat.
type ExceptionError struct {
	Function uint8 // of the request, without bit 7
	Code     uint8
}

// exceptionNames are those of the Modbus application protocol, section 7.
var exceptionNames = map[uint8]string{
	1: "illegal function", 2: "illegal data address", 3: "illegal data value", 4: "device failure", 5: "acknowledge",
	6: "device busy", 8: "memory parity error", 10: "gateway path unavailable", 11: "gateway target silent",
}

func (e *ExceptionError) Error() string {
	if name := exceptionNames[e.Code]; name != "" {
		return fmt.Sprintf("refused with exception %d (%s)", e.Code, name)
	}
	return fmt.Sprintf("refused with exception %d", e.Code)
}

// Failure tells that the unit answered with an exception.
func (e *ExceptionError) Failure() ups.Failure { return ups.FailureException }

// A FrameError says that something came back that is not the answer to the question.
type FrameError struct {
	Reason string
	Head   []byte // the first bytes of it, at most 16

	framed bool // it is a whole frame: what follows can be told from it
}

func (e *FrameError) Error() string {
	if len(e.Head) == 0 {
		return "not an answer: " + e.Reason
	}
	return fmt.Sprintf("not an answer: %s (begins % x)", e.Reason, e.Head)
}

// Failure tells that the reply was garbled.
func (e *FrameError) Failure() ups.Failure { return ups.FailureGarbled }

// framed marks a *FrameError whose frame was a whole one.
func framed(err error) error {
	if e, ok := err.(*FrameError); ok {
		e.framed = true
	}
	return err
}

// frameError keeps the head of what came: got is the line's own buffer.
func frameError(got []byte, format string, args ...any) *FrameError {
	return &FrameError{Reason: fmt.Sprintf(format, args...), Head: append([]byte(nil), got[:min(len(got), 16)]...)}
}

// A LinkError says that the link could not be opened, read or written.
type LinkError struct {
	Op  string // open, read, write
	Err error

	unanswered bool // the link was closed by the other end before it ever answered
}

func (e *LinkError) Error() string { return e.Op + " link: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *LinkError) Unwrap() error { return e.Err }

// Failure is FailureRefused when the other end refused the connection, or closed it before it ever answered on it, and
// FailureUnreachable otherwise.
func (e *LinkError) Failure() ups.Failure {
	if f := ups.FailureOf(e.Err); f != ups.FailureUnknown {
		return f // a link given up because of silence or garbage
	}
	if errors.Is(e.Err, syscall.ECONNREFUSED) || (e.unanswered || e.Op == "open") && closedByPeer(e.Err) {
		return ups.FailureRefused
	}
	return ups.FailureUnreachable
}

// closedByPeer tells whether err is how a connection ends that the other end closed.
func closedByPeer(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		errors.Is(err, io.ErrClosedPipe)
}

// isDeadline tells whether err is how a link reports that its deadline passed.
func isDeadline(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
