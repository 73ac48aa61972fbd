package ingest

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"net"

	"upsedge/internal/wire"
)

// maxPacket is the longest packet a broker may send, in bytes behind its fixed header: the longest message, with its topic and
// packet id. MQTT would let it announce 256 MiB, for which the library makes room at once.
const maxPacket = wire.MaxMessage + 2 + len(wire.Prefix) + wire.MaxAgent + len("/samples") + 2

// dial opens a connection to the broker, TLS where its address says so.
func (c *Consumer) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", c.cfg.Broker.Host)
	if err != nil {
		return nil, err
	}
	if c.cfg.Broker.Scheme != "tls" {
		return plain(conn)
	}
	cfg := c.cfg.TLS.Clone() // of nil: nil
	if cfg == nil {
		cfg = &tls.Config{}
	}
	cfg.MinVersion = max(cfg.MinVersion, tls.VersionTLS12)
	if cfg.ServerName == "" {
		cfg.ServerName = c.cfg.Broker.Hostname()
	}
	secure := tls.Client(conn, cfg)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return secure, nil
}

// plain lets a connection without TLS pass that does not leave this machine.
func plain(conn net.Conn) (net.Conn, error) {
	if a, ok := conn.RemoteAddr().(*net.TCPAddr); ok && a.IP.IsLoopback() {
		return conn, nil
	}
	return nil, errors.Join(fmt.Errorf("%v is not this machine: plain TCP refused", conn.RemoteAddr()), conn.Close())
}

// A bounded connection hands on no packet of more than maxPacket: what is behind that is read and forgotten. What is left is refused
// like any other message that breaks the format, and so acknowledged to the broker, which would else deliver it again for ever.
// It follows the packets by their fixed headers (MQTT 3.1.1, 2.2): a byte of kind, then the length in one to four groups of 7 bits.
type bounded struct {
	net.Conn
	in      *bufio.Reader // of Conn
	pending []byte        // a fixed header on its way
	pass    int           // bytes of the packet still to be handed on
	drop    int           // and those behind them
}

func newBounded(conn net.Conn) *bounded { return &bounded{Conn: conn, in: bufio.NewReader(conn)} }

func (b *bounded) Read(p []byte) (int, error) {
	if len(b.pending) == 0 && b.pass == 0 {
		if err := b.next(); err != nil {
			return 0, err
		}
	}
	if len(b.pending) > 0 {
		n := copy(p, b.pending)
		b.pending = b.pending[n:]
		return n, nil
	}
	n, err := b.in.Read(p[:min(len(p), b.pass)])
	b.pass -= n
	return n, err
}

// next reads the fixed header of the next packet.
func (b *bounded) next() error {
	n, err := b.in.Discard(b.drop)
	if b.drop -= n; err != nil {
		return err
	}
	kind, err := b.in.ReadByte()
	if err != nil {
		return err
	}
	length := 0
	for shift := 0; ; shift += 7 {
		x, err := b.in.ReadByte()
		if err != nil {
			return err
		}
		length |= int(x&0x7f) << shift
		if x < 0x80 {
			break
		}
		if shift == 21 {
			return errors.New("the broker sends a packet whose length has no end")
		}
	}
	b.pass = min(length, maxPacket)
	b.drop = length - b.pass
	b.pending = binary.AppendUvarint([]byte{kind}, uint64(b.pass)) // the same coding
	return nil
}
