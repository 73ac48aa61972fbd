// Package proxied takes from a balancer of TCP the address of whom it connects: the PROXY protocol, versions 1 and 2, as haproxy's
// document "The PROXY protocol" (2020/03/05) has it. TLS goes through such a balancer untouched, certificates of agents with it, so that one
// header serves HTTPS and MQTT alike; headers of HTTP would serve neither.
//
// Only from addresses that are configured a header is taken, and from these it must come: first, whole, and within a few seconds. From
// everybody else there is none: what looks like one is not TLS, and the connection ends. So nobody says where they come from but the balancer.
package proxied

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"
)

// within is how long the header may take.
const within = 5 * time.Second

// A Listener accepts connections for another one. Wrap makes one.
type Listener struct {
	net.Listener
	from []netip.Prefix
}

// Wrap returns l, whose connections from the given networks begin with a header; l itself where there is none.
func Wrap(l net.Listener, from []netip.Prefix) net.Listener {
	if len(from) == 0 {
		return l
	}
	return &Listener{l, from}
}

// Accept returns at once: the header is read when somebody asks for the address or reads.
func (l *Listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil || !l.trusted(c.RemoteAddr()) {
		return c, err
	}
	return &Conn{Conn: c}, nil
}

func (l *Listener) trusted(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return false
	}
	ip := tcp.AddrPort().Addr().Unmap().WithZone("")
	for _, p := range l.from {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// A Conn is a connection that begins with a header.
type Conn struct {
	net.Conn
	once sync.Once
	in   *bufio.Reader
	addr net.Addr
	err  error

	mu       sync.Mutex
	deadline time.Time // of reading, which somebody has set meanwhile
	done     bool
}

// RemoteAddr is the address that the header names; the balancer's where it names none, or where there is no good one.
func (c *Conn) RemoteAddr() net.Addr {
	c.Await()
	if c.addr == nil {
		return c.Conn.RemoteAddr()
	}
	return c.addr
}

// Read reads what is behind the header. Without a good one it fails.
func (c *Conn) Read(b []byte) (int, error) {
	if c.Await(); c.err != nil {
		return 0, c.err
	}
	return c.in.Read(b)
}

// Await reads the header, once. Who must not wait where connections are accepted calls it elsewhere, before RemoteAddr.
func (c *Conn) Await() {
	c.once.Do(func() {
		_ = c.Conn.SetReadDeadline(time.Now().Add(within))
		c.in = bufio.NewReaderSize(c.Conn, 4096)
		if c.addr, c.err = readHeader(c.in); c.err != nil {
			c.err = fmt.Errorf("header of the balancer: %w", c.err)
			_ = c.Conn.Close()
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.done = true
		_ = c.Conn.SetReadDeadline(c.deadline)
	})
}

// SetReadDeadline holds from behind the header on.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.deadline = t; !c.done && t.After(time.Now()) || !c.done && t.IsZero() {
		return nil
	}
	return c.Conn.SetReadDeadline(t) // now, or in the past: whoever waits is to be woken
}

// SetDeadline is SetReadDeadline and SetWriteDeadline.
func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

var signature = "\r\n\r\n\x00\r\nQUIT\n"

var errNone = errors.New("it is none")

// readHeader reads one header and nothing behind it. A nil address: the balancer speaks for itself, or does not know.
func readHeader(r *bufio.Reader) (net.Addr, error) {
	first, err := r.Peek(1)
	if err != nil {
		return nil, err
	}
	if first[0] == 'P' {
		return readText(r)
	}
	return readBinary(r)
}

// maxText is the longest header of version 1 (section 2.1).
const maxText = 107

func readText(r *bufio.Reader) (net.Addr, error) {
	var line []byte
	for len(line) < maxText && (len(line) < 2 || line[len(line)-2] != '\r' || line[len(line)-1] != '\n') {
		b, err := r.ReadByte()
		if err != nil {
			return nil, err
		}
		line = append(line, b)
	}
	text, whole := strings.CutSuffix(string(line), "\r\n")
	f := strings.Split(text, " ")
	if !whole || len(f) < 2 || f[0] != "PROXY" {
		return nil, errNone
	}
	if f[1] == "UNKNOWN" {
		return nil, nil
	}
	if len(f) != 6 || f[1] != "TCP4" && f[1] != "TCP6" {
		return nil, errNone
	}
	from, port, err := parse(f[2], f[4])
	to, _, toErr := parse(f[3], f[5])
	if err != nil || toErr != nil || from.Is4() != (f[1] == "TCP4") || to.Is4() != from.Is4() {
		return nil, errNone
	}
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, port)), nil
}

func parse(address, port string) (netip.Addr, uint16, error) {
	a, err := netip.ParseAddr(address)
	n, portErr := strconv.ParseUint(port, 10, 16)
	if portErr != nil || strconv.FormatUint(n, 10) != port || a.Zone() != "" {
		return a, 0, errNone
	}
	return a, uint16(n), err
}

// maxBinary is how much may follow the 16 bytes of a header of version 2: addresses and what else a balancer says, which is passed over.
const maxBinary = 2048

func readBinary(r *bufio.Reader) (net.Addr, error) {
	var head [16]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(head[14:]))
	if string(head[:12]) != signature || head[12]>>4 != 2 || n > maxBinary {
		return nil, errNone
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, err
	}
	switch head[12] & 0xf {
	case 0: // LOCAL: the balancer asks whether we live
		return nil, nil
	case 1: // PROXY
	default:
		return nil, errNone
	}
	switch {
	case head[13] == 0x11 && n >= 12:
		a := netip.AddrFrom4([4]byte(body[:4]))
		return net.TCPAddrFromAddrPort(netip.AddrPortFrom(a, binary.BigEndian.Uint16(body[8:]))), nil
	case head[13] == 0x21 && n >= 36:
		a := netip.AddrFrom16([16]byte(body[:16]))
		return net.TCPAddrFromAddrPort(netip.AddrPortFrom(a, binary.BigEndian.Uint16(body[32:]))), nil
	case head[13] == 0x00:
		return nil, nil // UNSPEC
	}
	return nil, errNone
}
