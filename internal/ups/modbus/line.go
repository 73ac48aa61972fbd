package modbus

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"
)

// Framing is how requests and replies are wrapped.
type Framing uint8

// The framings.
const (
	RTU Framing = iota // serial: unit, PDU, CRC
	TCP                // MBAP header, PDU
)

// Priority orders the requests that wait for the line.
type Priority uint8

// The priorities. An urgent request goes before every background one that has not begun.
const (
	Background Priority = iota // polling
	Urgent                     // commands
)

// Config describes a line.
type Config struct {
	Name    string                                  // in logs and metrics; never an address
	Framing Framing                                 //
	Open    func(ctx context.Context) (Link, error) // opens the link; called again after a loss, must end with ctx
	Baud    int                                     // RTU: for the time of a byte; 0 = 9600
	Bits    int                                     // RTU: bits of a byte on the wire; 0 = 10, with parity 11
	Gap     time.Duration                           // silence before a request, at least; 0 = 35 ms for RTU, 0 for TCP. After a miss at least 45 ms, and always where 35 is too little
	Timeout time.Duration                           // of the turnaround of each unit, to begin with; 0 = 500 ms for RTU, 2 s for TCP
	Observe func(Exchange)                          // nil, or called after every exchange, before the next one; must not wait
	Log     *slog.Logger                            // nil = discard
}

// An Exchange is one request and what became of it.
type Exchange struct {
	Unit, Function uint8
	Address, Count uint16
	Result         Result
	Took           time.Duration // from the request out to the reply in
	Busy           time.Duration // what the line was occupied: request, reply, waiting for silence after an error, and the gap
}

// Result is the outcome of an exchange, a label of metrics.
type Result string

// The results.
const (
	ResultOK        Result = "ok"
	ResultTimeout   Result = "timeout"
	ResultFrame     Result = "frame"
	ResultException Result = "exception"
	ResultLink      Result = "link"
)

// The most registers one request can carry (Modbus Application Protocol V1.1b3, 6.3 and 6.12).
const (
	MostRead  = 125
	MostWrite = 123
)

// A Line sends requests over one Link, one at a time. The unit is an argument of every call, never a setting: two units
// can share a line, and a forgotten setting would switch off the wrong one.
type Line struct {
	cfg      Config
	byteTime time.Duration
	links    atomic.Uint64

	gapNow      atomic.Int64 // ns, for Timing
	reopening   atomic.Int64 // ns, the same: what each request waits for a connection of its own
	turnarounds turnarounds

	// One place each: who asks waits once, for the answer, and is not woken only to hear that the request was taken. The
	// line takes a request when it is about to send it, so an urgent one overtakes a background one that lies there.
	urgent, background chan *request
	running            atomic.Bool
	closed             chan struct{} // closed when Run has ended

	spare atomic.Pointer[request] // that nobody uses

	idle chan *runner  // holds the runner while the line is at rest and lends itself; see lend
	wake chan struct{} // a borrower has found the link lost, or has left its request behind
	// pressing counts the callers of urgent requests, from before they queue until they have their answer.
	pressing atomic.Int32

	reopenTCP time.Duration // least time between the end of a TCP connection and the next
}

// New returns a line. It opens nothing before Run.
func New(cfg Config) *Line {
	l := &Line{cfg: cfg, reopenTCP: reopenTCP}
	if l.cfg.Log == nil {
		l.cfg.Log = slog.New(slog.DiscardHandler)
	}
	l.cfg.Log = l.cfg.Log.With("line", cfg.Name)
	timeout, gap := serialTimeout, serialGap
	if cfg.Framing == TCP {
		timeout, gap = tcpTimeout, 0
	} else {
		l.byteTime = byteTime(orElse(cfg.Baud, 9600), orElse(cfg.Bits, 10))
	}
	l.cfg.Timeout, l.cfg.Gap = orElse(cfg.Timeout, timeout), orElse(cfg.Gap, gap)
	l.gapNow.Store(int64(l.cfg.Gap))
	l.urgent, l.background = make(chan *request, 1), make(chan *request, 1)
	l.closed = make(chan struct{})
	l.idle, l.wake = make(chan *runner, 1), make(chan struct{}, 1)
	return l
}

// orElse returns v, or what stands for it where it was left at its zero value.
func orElse[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// Timing returns what is known now of the line's speed and of the unit's on it: units of one line can differ.
func (l *Line) Timing(unit uint8) Timing {
	turnaround := l.turnarounds.of(unit)
	return Timing{ByteTime: l.byteTime, Gap: time.Duration(l.gapNow.Load() + l.reopening.Load()), Turnaround: turnaround}
}

// Links returns how many times the link was opened. A connection that the other end closed is replaced without an error to
// the caller, and another unit may be at the end of the new one: a reply came over the link that this counts after it, or
// over an earlier one.
func (l *Line) Links() uint64 { return l.links.Load() }

// Run owns the link until ctx ends, and then returns nil: a device or a link that fails is a state, not an error. A read
// under way is given up at the end, a write finished within 700 ms. A line runs once.
func (l *Line) Run(ctx context.Context) error {
	if !l.running.CompareAndSwap(false, true) {
		return fmt.Errorf("line %s runs already", l.cfg.Name)
	}
	defer close(l.closed)
	newRunner(l).run(ctx)
	return nil
}

// ReadHolding reads count registers (1 to 125) of unit, beginning with addr, into dst, which must have room for them, and
// returns dst[:count]. Its error is a *RequestError around an *ExceptionError when the unit refused, ErrTimeout or a
// *FrameError when the line failed, a *LinkError when there is no link, ErrClosed after Run, or the reason of ctx.
func (l *Line) ReadHolding(ctx context.Context, p Priority, unit uint8, addr, count uint16, dst []uint16) ([]uint16, error) {
	if count < 1 || count > MostRead || len(dst) < int(count) || int(addr)+int(count) > 1<<16 {
		return nil, fmt.Errorf("read %d registers at %d into %d: out of range", count, addr, len(dst))
	}
	r := l.take()
	r.set(unit, readFunction, addr, count)
	if finished, err := l.submit(ctx, p, r); err != nil {
		return nil, l.fail(r, finished, err)
	}
	n := copy(dst, r.registers[:count])
	l.spare.Store(r)
	return dst[:n], nil
}

// WriteHolding writes values (1 to 123) to the registers of unit beginning with addr, with function 16. A nil error means
// that the unit has taken them, not that it has done anything. The write is sent at most once; RequestError.Sent tells
// whether a failed one may have reached the unit, and then its state is to be read before anything is repeated.
func (l *Line) WriteHolding(ctx context.Context, p Priority, unit uint8, addr uint16, values []uint16) error {
	count := len(values)
	if count < 1 || count > MostWrite || int(addr)+count > 1<<16 {
		return fmt.Errorf("write %d registers at %d: out of range", count, addr)
	}
	r := l.take()
	r.set(unit, writeFunction, addr, uint16(count))
	r.data = r.data[:0]
	for _, v := range values {
		r.data = binary.BigEndian.AppendUint16(r.data, v)
	}
	if finished, err := l.submit(ctx, p, r); err != nil {
		return l.fail(r, finished, err)
	}
	l.spare.Store(r)
	return nil
}

// fail makes the error of a request, and keeps its memory for the next one if the line has finished with it.
func (l *Line) fail(r *request, finished bool, err error) error {
	failure := &RequestError{
		Function: r.function, Unit: r.unit, Address: r.addr, Count: r.count,
		Sent: r.state.Load() == sent, Err: err,
	}
	if finished {
		l.spare.Store(r)
	}
	return failure
}

// submit hands r to Run's goroutine, or serves it on this one, and waits for its answer. It tells whether r is the caller's own
// again.
func (l *Line) submit(ctx context.Context, p Priority, r *request) (finished bool, err error) {
	if err := ctx.Err(); err != nil {
		return true, err
	}
	r.priority = p
	if p == Urgent {
		l.pressing.Add(1)
		defer l.pressing.Add(-1)
	}
	if r.function == readFunction {
		if runner := l.borrow(p); runner != nil {
			runner.giveBack(runner.serveSelf(ctx, r))
			return l.await(ctx, r)
		}
	}
	queue := l.background
	if p == Urgent {
		queue = l.urgent
	}
	select {
	case queue <- r:
	case <-ctx.Done():
		return true, ctx.Err()
	case <-l.closed:
		return true, ErrClosed
	}
	return l.await(ctx, r)
}

// await waits for the answer to r.
func (l *Line) await(ctx context.Context, r *request) (finished bool, err error) {
	select {
	case <-r.done: // as always when the caller has served itself
		return true, r.err
	default:
	}
	select {
	case <-r.done:
		return true, r.err
	case <-l.closed:
		select {
		case <-r.done: // answered last of all
			return true, r.err
		default:
			return false, ErrClosed // it came when nobody took requests any more
		}
	case <-ctx.Done():
		r.state.CompareAndSwap(queued, dropped)
		return false, ctx.Err()
	}
}

// take returns a request to fill in: the one used last, as nearly always only one caller asks at a time.
func (l *Line) take() *request {
	if r := l.spare.Swap(nil); r != nil {
		return r
	}
	return &request{done: make(chan struct{}, 1)}
}

// A request on its way from a caller to Run's goroutine and back.
type request struct {
	unit, function uint8
	addr, count    uint16
	priority       Priority
	data           []byte // of a write
	registers      [MostRead]uint16
	state          atomic.Uint32
	reconnected    bool // the connection was found closed for it once
	err            error
	done           chan struct{} // one token when the line is through with it
}

// The states of a request: the line takes a queued one, or its caller drops it, whichever is first.
const (
	queued uint32 = iota
	sent
	dropped
)

func (r *request) set(unit, function uint8, addr, count uint16) {
	r.unit, r.function, r.addr, r.count = unit, function, addr, count
	r.state.Store(queued)
	r.reconnected, r.err = false, nil
}

// finish answers the caller. r must not be touched afterwards.
func (r *request) finish(err error) {
	r.err = err
	r.done <- struct{}{}
}
