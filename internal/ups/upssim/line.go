package upssim

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"time"
)

// SerialOptions say how a serial line behaves.
type SerialOptions struct {
	Baud       int           // 0 means 9600, what every unit has. 8N1: ten bits a byte
	Turnaround time.Duration // from the end of a request to the start of the reply
	StrictGap  bool          // leave requests unanswered that come too early (section 2.1); they are counted in any case
	Stats      *Stats        // nil means count for nobody

	Now        func() time.Time                                 // nil means time.Now
	SleepUntil func(ctx context.Context, until time.Time) error // nil means a precise one on a thread of its own
}

// A wire is a serial line with units on it.
type wire struct {
	port  io.ReadWriter
	units map[uint8]*Unit
	o     SerialOptions

	framer framer
	busy   time.Time // end of the reply being sent
	quiet  time.Time // end of the last exchange
	said   conversation
	pulled bool // the cable
}

// ErrPulled is how ServeSerial ends when a fault pulls the cable.
var ErrPulled = errors.New("the cable is pulled")

// A pacedPort gives bytes away at their instants by itself: the i-th at start + (i+1)·each.
type pacedPort interface {
	WritePaced(b []byte, start time.Time, each time.Duration) error
}

// heard is what one Read brought, and when.
type heard struct {
	at    time.Time
	bytes []byte
}

// ServeSerial answers requests that arrive on port until ctx ends, then returns nil, or until the port fails. Replies leave
// byte by byte, the i-th at its own instant after the start of the reply, so that the pace does not drift. A port with
// SetReadDeadline (files and connections have it) is released at once when ctx ends, another one with its next byte. The
// fault Pull ends it with ErrPulled.
func ServeSerial(ctx context.Context, port io.ReadWriter, o SerialOptions, units map[uint8]*Unit) error {
	w := &wire{port: port, units: units, o: o, said: conversation{units: units}}
	if w.o.Baud == 0 {
		w.o.Baud = 9600
	}
	if w.o.Stats == nil {
		w.o.Stats = new(Stats)
	}
	if w.o.Now == nil {
		w.o.Now = time.Now
	}
	if w.o.SleepUntil == nil {
		p, release := newPacer()
		defer release()
		w.o.SleepUntil = p.sleepUntil
	}
	w.framer.byteTime = 10 * time.Second / time.Duration(w.o.Baud)

	in, failed := make(chan heard, 64), make(chan error, 1)
	ended := make(chan struct{})
	ctx, cancel := context.WithCancel(ctx)
	go func() { defer close(ended); failed <- w.listen(ctx, in) }()
	stop := context.AfterFunc(ctx, func() { interrupt(port) })
	err := w.serve(ctx, in, failed)
	cancel()
	interrupt(port)
	<-ended
	stop()
	return err
}

// interrupt makes a blocked Read return.
func interrupt(port io.ReadWriter) {
	if d, ok := port.(interface{ SetReadDeadline(time.Time) error }); ok {
		_ = d.SetReadDeadline(time.Unix(1, 0)) // a port without deadlines returns with its next byte
	}
}

// listen stamps what arrives. It runs beside serve, which is asleep most of the time.
func (w *wire) listen(ctx context.Context, in chan<- heard) error {
	buf := make([]byte, 512)
	for {
		n, err := w.port.Read(buf)
		if n > 0 {
			select {
			case in <- heard{w.o.Now(), append([]byte(nil), buf[:n]...)}:
			case <-ctx.Done():
				return nil
			}
		}
		if err != nil {
			return err
		}
	}
}

func (w *wire) serve(ctx context.Context, in <-chan heard, failed <-chan error) error {
	silence := time.NewTimer(time.Hour)
	defer silence.Stop()
	for !w.pulled {
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			if ctx.Err() != nil || errors.Is(err, io.EOF) || errors.Is(err, os.ErrClosed) {
				return nil
			}
			return err
		case h := <-in:
			w.hear(ctx, h)
		case <-silence.C:
			select {
			case h := <-in: // came first
				w.hear(ctx, h)
			default:
				if w.framer.open() && w.o.Now().Sub(w.framer.frame.end) >= gapInside {
					w.exchange(ctx, w.framer.take())
				}
			}
		}
		if w.framer.open() {
			silence.Reset(w.framer.frame.end.Add(gapInside).Sub(w.o.Now()))
		}
	}
	return ErrPulled
}

func (w *wire) hear(ctx context.Context, h heard) {
	w.o.Stats.received.Add(uint64(len(h.bytes)))
	for _, b := range h.bytes {
		before, complete := w.framer.add(h.at, b)
		for _, f := range [2]frame{before, complete} {
			if len(f.bytes) > 0 {
				w.exchange(ctx, f)
			}
		}
	}
}

// exchange decides what becomes of a frame, and answers it.
func (w *wire) exchange(ctx context.Context, f frame) {
	early := !w.quiet.IsZero() && f.start.Sub(w.quiet) < gapBetween
	overlapping := f.start.Before(w.busy)
	if f.end.After(w.quiet) {
		w.quiet = f.end
	}
	s := w.o.Stats
	if !f.sound() {
		s.damaged.Add(1)
		if overlapping {
			s.overlapping.Add(1)
		}
		return
	}
	s.requests.Add(1)
	switch {
	case overlapping:
		s.overlapping.Add(1)
		return
	case early:
		s.early.Add(1)
		if w.o.StrictGap {
			return
		}
	}
	u := w.units[f.bytes[0]]
	if u == nil {
		s.foreign.Add(1)
		return
	}
	w.reply(ctx, u, f)
}

// reply asks the unit when the turnaround is over, and sends what it says.
func (w *wire) reply(ctx context.Context, u *Unit, f frame) {
	s := w.o.Stats
	v := u.faults.next(f.bytes[1])
	if v.hit[Pull] {
		w.pulled = true
		s.silent.Add(1)
		return
	}
	if v.hit[Echo] || v.hit[EchoOnly] { // while the request is on the line
		w.write(ctx, f.bytes, f.end, 0)
	}
	start := f.end.Add(w.o.Turnaround + v.late)
	if w.o.SleepUntil(ctx, start) != nil {
		return
	}
	a, ok := w.said.answer(u, &v, [2]byte{}, f.bytes[0], f.bytes[1:len(f.bytes)-2])
	if !ok || v.hit[EchoOnly] {
		s.silent.Add(1)
		return
	}
	s.replied(a.pdu)
	pieces := v.pieces(closed(a.unit, a.pdu), func(adu []byte) { adu[len(adu)-1] ^= 0xFF })
	if v.hit[Master] {
		pieces = append(w.stranger(u, v, f.bytes), pieces...)
	}
	w.send(ctx, pieces, start, max(w.framer.byteTime, v.drip))
}

// closed makes a frame of unit and PDU.
func closed(unit byte, pdu []byte) []byte {
	adu := append([]byte{unit}, pdu...)
	return binary.LittleEndian.AppendUint16(adu, crc(adu))
}

// stranger is what another master asks the same unit, and what it gets. Now and then that is the very same request.
func (w *wire) stranger(u *Unit, v verdict, request []byte) []piece {
	ask := closed(request[0], statusRead)
	if v.noise%4 == 0 {
		ask = request
	}
	get := closed(request[0], u.Handle(ask[1:len(ask)-2]))
	return []piece{{0, ask}, {strangerPause, get}, {strangerPause, nil}}
}

// send gives the pieces away, each byte when its last bit has arrived.
func (w *wire) send(ctx context.Context, pieces []piece, start time.Time, each time.Duration) {
	for _, p := range pieces {
		start = start.Add(p.after)
		w.busy = start.Add(time.Duration(len(p.bytes)) * each)
		if !w.write(ctx, p.bytes, start, each) {
			break
		}
		start = w.busy
	}
	w.quiet = w.busy
}

// write gives bytes away from start on and returns when the last is through. It reports whether somebody took them.
func (w *wire) write(ctx context.Context, b []byte, start time.Time, each time.Duration) bool {
	end := start.Add(time.Duration(len(b)) * each)
	if p, ok := w.port.(pacedPort); ok {
		if p.WritePaced(b, start, each) != nil {
			w.o.Stats.lost.Add(uint64(len(b)))
			return false
		}
		w.o.Stats.sent.Add(uint64(len(b)))
		return w.o.SleepUntil(ctx, end) == nil
	}
	if d, ok := w.port.(interface{ SetWriteDeadline(time.Time) error }); ok {
		_ = d.SetWriteDeadline(end.Add(100 * time.Millisecond)) // nobody reads: the bytes are lost, as on a wire
	}
	var last time.Time // the last byte cannot have been seen before this
	for i := range b {
		if w.o.SleepUntil(ctx, start.Add(time.Duration(i+1)*each)) != nil {
			return false
		}
		last = w.o.Now()
		if _, err := w.port.Write(b[i : i+1]); err != nil {
			w.o.Stats.lost.Add(uint64(len(b) - i))
			return false
		}
		w.o.Stats.sent.Add(1)
	}
	// A line that fell behind ends later. The time is taken before the write, not after: a client that keeps its gap from the
	// byte it saw must not be called early because this thread was put aside in between.
	if last.After(w.busy) {
		w.busy = last
	}
	return true
}
