package modbus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"sync"
	"time"

	"github.com/tarm/serial"
	"golang.org/x/sys/unix"
)

const (
	// portTimeout is tarm/serial's ReadTimeout (VTIME 1). With 0 its Close would block for ever; with this, a Read returns
	// (0, io.EOF) after it, and also after a hang-up, which is why neither is asked of it.
	portTimeout = 100 * time.Millisecond
	flushGrace  = 100 * time.Millisecond // for a blocked write to end after its output was thrown away
)

// errBlocked says that the port took no bytes: flow control, or an adapter that has stopped.
var errBlocked = errors.New("port takes no bytes")

var parities = map[string]serial.Parity{"": serial.ParityNone, "none": serial.ParityNone, "even": serial.ParityEven, "odd": serial.ParityOdd}

// OpenSerial returns a function that opens device for itself alone, 8 data bits and 1 stop bit. parity is none, even or odd.
func OpenSerial(device string, baud int, parity string) func(context.Context) (Link, error) {
	return func(context.Context) (Link, error) {
		p, ok := parities[parity]
		if !ok {
			return nil, fmt.Errorf("parity %q: none, even or odd", parity)
		}
		node, err := openNode(device)
		if err != nil {
			return nil, err
		}
		port, err := serial.OpenPort(&serial.Config{Name: device, Baud: baud, Parity: p, ReadTimeout: portTimeout})
		if err != nil {
			unix.Close(node)
			return nil, openError(device, err)
		}
		if err := leavePoller(port, device); err != nil {
			port.Close()
			unix.Close(node)
			return nil, openError(device, err)
		}
		clock, err := newAlarmClock()
		if err != nil {
			port.Close()
			unix.Close(node)
			return nil, err
		}
		s := &serialLink{port: port, clock: clock, node: node, writes: make(chan []byte), wrote: make(chan error, 1)}
		s.writing.Go(s.serveWrites)
		return s, nil
	}
}

// openNode opens device a second time. This descriptor holds the lock, waits with poll(2), tells a hang-up from silence,
// throws away what a blocked write has left, and moves bytes where that needs no waiting: tarm/serial does not give its own
// away, and that one blocks.
func openNode(device string) (int, error) {
	node, err := unix.Open(device, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, openError(device, err)
	}
	if err := unix.Flock(node, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		unix.Close(node)
		return -1, openError(device, err)
	}
	return node, nil
}

// leavePoller takes the port out of the runtime's epoll set, into which os.OpenFile has put it. There, every byte that
// arrives wakes a thread, whether anything waits for it or not; measured at 9600 baud this costs several times as much
// as the exchange itself. Nothing takes a file out but closing it, so the descriptor gets another description of the
// same device. tarm/serial keeps its descriptor to itself; should its struct change, the port works, at that price.
func leavePoller(port *serial.Port, device string) error {
	field := reflect.ValueOf(port).Elem().FieldByName("f")
	if !field.IsValid() || field.Type() != reflect.TypeFor[*os.File]() {
		return nil
	}
	raw, err := (*os.File)(field.UnsafePointer()).SyscallConn()
	if err != nil {
		return err
	}
	other, err := unix.Open(device, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(other)
	if err := unix.SetNonblock(other, false); err != nil {
		return err
	}
	var duplicated error
	err = raw.Control(func(fd uintptr) { duplicated = unix.Dup3(other, int(fd), unix.O_CLOEXEC) })
	return errors.Join(err, duplicated)
}

// openError says what the person at the port can do about it.
func openError(device string, err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	switch {
	case errors.Is(err, unix.EWOULDBLOCK), errors.Is(err, unix.EBUSY):
		return &busyError{device, err}
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s: %w (is this user in the group dialout?)", device, err)
	case errors.Is(err, unix.ENOTTY):
		return fmt.Errorf("%s is not a serial port: %w", device, err)
	}
	return fmt.Errorf("%s: %w", device, err)
}

// A busyError is a port that somebody else has. What the system calls it, "resource temporarily unavailable", helps nobody.
type busyError struct {
	device string
	err    error
}

func (e *busyError) Error() string { return e.device + " is in use by another program" }

func (e *busyError) Unwrap() error { return e.err }

// serialLink is a port of tarm/serial with deadlines. Read is called by the line's goroutine alone, and calls the port's
// only when poll(2) has seen bytes, so no Read is left over when time is up. Write runs in a goroutine of its own,
// because nothing can interrupt it for certain.
type serialLink struct {
	port                        *serial.Port
	clock                       *alarmClock
	node                        int
	poll                        [1]unix.PollFd
	readDeadline, writeDeadline time.Time

	writes  chan []byte
	wrote   chan error
	writing sync.WaitGroup
	out     [256]byte // what the writing goroutine writes: the caller's slice may change while it is stuck
	stuck   bool
	heard   bool // bytes have come since the last Write
}

func (s *serialLink) serveWrites() {
	for p := range s.writes {
		_, err := s.port.Write(p)
		s.wrote <- err
	}
}

func (s *serialLink) SetReadDeadline(t time.Time) error  { s.readDeadline = t; return nil }
func (s *serialLink) SetWriteDeadline(t time.Time) error { s.writeDeadline = t; return nil }

// Read waits for bytes until the deadline, which should be near: it cannot be interrupted.
func (s *serialLink) Read(p []byte) (int, error) {
	if n, _ := readNow(s.node, p); n > 0 { // as nearly always: the line has slept until the end of the reply
		s.heard = true
		return n, nil
	}
	if n := s.doze(p); n > 0 {
		s.heard = true
		return n, nil
	}
	for range 8 {
		seen, err := s.wait(unix.POLLIN, s.readDeadline)
		if err != nil {
			return 0, err
		}
		if seen == 0 {
			return 0, os.ErrDeadlineExceeded
		}
		n, err := s.port.Read(p)
		if n > 0 || err != nil && err != io.EOF {
			s.heard = s.heard || n > 0
			return n, err
		}
		// Somebody else took the bytes, or the port hung up in between: poll tells.
	}
	return 0, io.ErrNoProgress
}

// firstDoze is half a byte at 9600 baud. Each is twice as long as the one before, 7.5 ms in all.
const (
	firstDoze = 500 * time.Microsecond
	dozes     = 4
)

// doze looks for bytes again after short sleeps: those of a reply that is nearly there. To wait in poll(2), which the runtime is
// told of, starts its monitor thread each time, which then wakes up several times for nothing.
func (s *serialLink) doze(p []byte) int {
	nap := firstDoze
	for range dozes {
		until := time.Now().Add(nap)
		if until.After(s.readDeadline) || s.clock.sleepUntil(until) != nil {
			return 0
		}
		if n, _ := readNow(s.node, p); n > 0 {
			return n
		}
		nap *= 2
	}
	return 0
}

// Write hands p to the port. A port that takes nothing until the deadline is flushed, which wakes most drivers; where it
// does not, the goroutine is given up with the link, and the link says so.
func (s *serialLink) Write(p []byte) (int, error) {
	if s.stuck {
		return 0, errBlocked
	}
	if s.heard {
		// The far end has answered, so at most one request can still be in the buffer, which holds more than two of them in
		// every driver: this cannot block, and spares two changes of goroutine.
		s.heard = false
		n, _ := writeNow(s.node, p)
		if n == len(p) {
			return n, nil
		}
		m, err := s.port.Write(p[n:])
		return n + m, err
	}
	seen, err := s.wait(unix.POLLOUT, s.writeDeadline)
	if err != nil {
		return 0, err
	}
	if seen == 0 {
		return 0, errBlocked
	}
	s.writes <- s.out[:copy(s.out[:], p)]
	select {
	case err := <-s.wrote: // as nearly always
		return s.written(p, err)
	case <-time.After(time.Until(s.writeDeadline)):
	}
	flushErr := unix.IoctlSetInt(s.node, unix.TCFLSH, unix.TCIOFLUSH)
	select {
	case <-s.wrote:
	case <-time.After(flushGrace):
		s.stuck = true
	}
	return 0, errors.Join(errBlocked, flushErr)
}

func (s *serialLink) written(p []byte, err error) (int, error) {
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// wait polls until one of events or deadline, and returns what it saw. A hang-up is an error whatever was asked for.
func (s *serialLink) wait(events int16, deadline time.Time) (int16, error) {
	for range 100 {
		s.poll[0] = unix.PollFd{Fd: int32(s.node), Events: events}
		err := s.pollUntil(deadline)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("poll port: %w", err)
		}
		seen := s.poll[0].Revents
		if seen&(unix.POLLHUP|unix.POLLERR|unix.POLLNVAL) != 0 {
			return 0, errHungUp
		}
		return seen & events, nil
	}
	return 0, unix.EINTR
}

func (s *serialLink) pollUntil(deadline time.Time) error {
	left := time.Until(deadline)
	if left <= 0 {
		return pollNow(&s.poll[0])
	}
	wait := unix.NsecToTimespec(left.Nanoseconds())
	_, err := unix.Ppoll(s.poll[:], &wait, nil)
	return err
}

var errHungUp = errors.New("port hung up (unplugged?)")

// Check tells whether bytes are waiting, and whether the port is still there.
func (s *serialLink) Check() (waiting bool, err error) {
	seen, err := s.wait(unix.POLLIN, time.Time{})
	return seen != 0, err
}

// SleepUntil sleeps until t, or, should the clock fail, not at all: then the line reads byte by byte, or waits for the gap
// with a timer.
func (s *serialLink) SleepUntil(t time.Time) error { return s.clock.sleepUntil(t) }

// Close closes the port and gives up the lock. Only a write that nothing could wake is left behind.
func (s *serialLink) Close() error {
	close(s.writes)
	s.clock.Close()
	if s.stuck {
		go s.port.Close() // may wait for the write
		unix.Close(s.node)
		return errBlocked
	}
	s.writing.Wait()
	return errors.Join(s.port.Close(), unix.Close(s.node))
}
