package modbus

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	mbapBytes   = 7   // transaction 2, protocol 2, length 2, unit 1
	mostMBAPLen = 254 // unit and PDU: 1 + 253
	dialTimeout = 3 * time.Second
)

// matchTCP looks at the first frame in got, which answers request or an earlier one. It returns how many bytes of got
// the frame takes and whether it is the wanted one; 0 while more is needed. A frame with another transaction id is
// late: taken off and not used; the request itself, come back, is taken off as well. A *FrameError means that this connection
// does not carry Modbus, or, with a size, that the wanted transaction was answered with something else.
func matchTCP(request, got []byte, sharedLine bool) (size int, wanted bool, err error) {
	if len(got) >= 4 && binary.BigEndian.Uint16(got[2:]) != 0 {
		return 0, false, frameError(got, "protocol id %d instead of 0", binary.BigEndian.Uint16(got[2:]))
	}
	if len(got) < mbapBytes-1 {
		return 0, false, nil
	}
	length := int(binary.BigEndian.Uint16(got[4:]))
	if length < 3 || length > mostMBAPLen { // the shortest reply is unit, function and one byte
		return 0, false, frameError(got, "length field %d", length)
	}
	size = mbapBytes - 1 + length
	if len(got) < size {
		return 0, false, nil
	}
	got = got[:size]
	if got[0] != request[0] || got[1] != request[1] || bytes.Equal(got, request) {
		return size, false, nil
	}
	if sharedLine && got[6] != request[6] { // each unit counts its own transactions
		return size, false, nil
	}
	n, err := matchUnitAndPDU(request[6], request[mbapBytes:], got[mbapBytes-1:])
	if err == nil && n != length {
		err = frameError(got, "length field %d instead of %d", length, n)
	}
	if err != nil {
		return size, false, framed(err)
	}
	return size, true, nil
}

// OpenTCP returns a function that connects to address (host:port).
func OpenTCP(address string) func(context.Context) (Link, error) {
	return func(ctx context.Context) (Link, error) {
		dialer := net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}
		conn, err := dialer.DialContext(ctx, "tcp", address)
		if err != nil {
			return nil, err
		}
		raw, err := conn.(*net.TCPConn).SyscallConn()
		if err != nil {
			conn.Close()
			return nil, err
		}
		t := &tcpLink{Conn: conn, raw: raw}
		t.look, t.turn = t.lookOnce, t.turnOnce
		return t, nil
	}
}

// tcpLink is a TCP connection that can tell, without waiting, whether the other end has closed it.
type tcpLink struct {
	net.Conn
	raw  syscall.RawConn
	look func(fd uintptr) // made once, as turn: a method value would be allocated at every call
	poll unix.PollFd
	err  error

	turn    func(fd uintptr) bool
	out, in []byte
	wrote   int
	got     int
}

// Exchange sends a request and reads the first bytes that come then. The runtime's poller is asked to wait before the request
// is out, so the reply is waited for once and read once: a Write and a Read would look for it in vain before they wait.
func (t *tcpLink) Exchange(request, reply []byte) (n int, sent bool, err error) {
	t.out, t.in, t.wrote, t.got, t.err = request, reply, 0, 0, nil
	err = t.raw.Read(t.turn)
	if err == nil {
		err = t.err
	}
	sent = t.wrote > 0
	t.out, t.in = nil, nil
	return t.got, sent, err
}

// turnOnce is a step of Exchange. It reports whether there is nothing left to wait for.
func (t *tcpLink) turnOnce(fd uintptr) bool {
	if t.wrote == 0 {
		t.wrote, t.err = writeNow(int(fd), t.out)
		if t.err == nil && t.wrote < len(t.out) {
			t.err = errBlocked // twelve bytes, and nothing but their like was ever in the buffer
		}
		return t.err != nil
	}
	for t.err = unix.EINTR; t.err == unix.EINTR; {
		t.got, t.err = readNow(int(fd), t.in)
	}
	if t.err == unix.EAGAIN {
		t.err = nil
		return false
	}
	if t.err == nil && t.got == 0 {
		t.err = io.EOF
	}
	return true
}

// Check returns io.EOF when the other end has closed the connection, even where something it sent is still unread: a
// request would not be answered any more.
func (t *tcpLink) Check() (waiting bool, err error) {
	if err := t.raw.Control(t.look); err != nil {
		return false, err
	}
	switch seen := t.poll.Revents; {
	case t.err != nil:
		return false, t.err
	case seen&(unix.POLLERR|unix.POLLHUP) != 0:
		return false, syscall.ECONNRESET
	case seen&unix.POLLRDHUP != 0:
		return false, io.EOF
	default:
		return seen&unix.POLLIN != 0, nil
	}
}

func (t *tcpLink) lookOnce(fd uintptr) {
	t.poll = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN | unix.POLLRDHUP}
	if t.err = pollNow(&t.poll); t.err == unix.EINTR {
		t.err = nil
	}
}
