package uplink

import (
	"context"
	"fmt"
	"net"
	"time"
)

// dialTimeout bounds TCP and TLS together; connackTimeout the answer to CONNECT.
const (
	dialTimeout    = 20 * time.Second
	connackTimeout = 15 * time.Second
)

// dialTCP opens a connection with a small send buffer.
func dialTCP(ctx context.Context, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	if err := conn.(*net.TCPConn).SetWriteBuffer(sendBuffer); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("set the send buffer of %s: %w", address, err)
	}
	return conn, nil
}

// open connects to the broker, up to and including the handshake of TLS.
func (s *Session) open(ctx context.Context) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if s.cfg.Broker.Scheme == "tls" {
		conn, raw, proven, err := s.dialSecure(ctx)
		if err != nil {
			return nil, err
		}
		l := newLink(conn, raw, s.cfg.MaxRate)
		l.proven = proven
		return l, nil
	}
	raw, err := s.cfg.Dial(ctx, s.cfg.address())
	if err != nil {
		return nil, err
	}
	if a, ok := raw.RemoteAddr().(*net.TCPAddr); ok && !a.IP.IsLoopback() {
		_ = raw.Close()
		return nil, fmt.Errorf("%s leads to %v, which is not this machine: plain TCP refused", s.cfg.Broker.Hostname(), a.IP)
	}
	return newLink(raw, raw, s.cfg.MaxRate), nil
}
