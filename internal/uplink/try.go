package uplink

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"
)

// refusedWithin is how long a broker has, behind the handshake, to refuse our certificate: with TLS 1.3 it says so only then.
const refusedWithin = time.Second

// Try connects to the broker of a Config as a session would, up to TLS and no further: who is connected there under our name is not disturbed,
// and no broker learns more than our certificate. It returns nil where nothing is wrong so far. The error has the Failure in words before it.
func Try(ctx context.Context, cfg Config) (Failure, error) {
	if cfg.Dial == nil {
		cfg.Dial = dialTCP
	}
	s := &Session{cfg: cfg}
	l, err := s.open(ctx)
	if err == nil {
		err = s.linger(ctx, l)
		l.hangUp()
	}
	if err == nil || ctx.Err() != nil {
		return Failure{}, err
	}
	return failureOf(err), err
}

// linger waits for a refusal that comes behind the handshake.
func (s *Session) linger(ctx context.Context, l *link) error {
	conn, secure := l.Conn.(*tls.Conn)
	if !secure {
		return nil
	}
	until := time.Now().Add(refusedWithin)
	if end, ok := ctx.Deadline(); ok && end.Before(until) {
		until = end
	}
	if err := conn.SetReadDeadline(until); err != nil {
		return err
	}
	_, err := conn.Read(make([]byte, 1))
	var timeout net.Error
	if err == nil || errors.As(err, &timeout) && timeout.Timeout() {
		return nil
	}
	return &handshakeError{s.cfg.address(), true, err}
}
