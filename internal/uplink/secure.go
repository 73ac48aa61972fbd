package uplink

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"
)

// Time says what time it is for the dates of certificates: now, where the clock is to be trusted (sure), else the earliest that it
// can be, since a clock without a battery may say anything (T-17, T-27).
type Time func() (t time.Time, sure bool)

// A handshakeError is a TLS handshake that failed.
type handshakeError struct {
	with     string
	verified bool // the broker's certificate was in order; what failed came after it
	err      error
}

func (e *handshakeError) Error() string { return fmt.Sprintf("TLS with %s: %v", e.with, e.err) }
func (e *handshakeError) Unwrap() error { return e.err }

// errDates is a certificate that was accepted while nobody knew the time, and was out of date when it was known.
var errDates = errors.New("the broker's certificate is out of date by the clock that has been set since")

// mostYoung bounds how often a handshake is tried again at a later instant: once for each certificate of a chain.
const mostYoung = 4

// dialSecure opens a connection with TLS. While nobody knows the time it is judged at the earliest it can be: what had ended by
// then is refused. What is valid only later may well be valid now: the handshake is made once more, at that later instant, and
// whole as ever. proven is false then, and distrusted judges again when the clock is set.
func (s *Session) dialSecure(ctx context.Context) (conn *tls.Conn, raw net.Conn, proven bool, err error) {
	at, sure := s.cfg.time()
	if own := s.cfg.TLS.Certificate(); !sure && own != nil && own.NotBefore.After(at) {
		at = own.NotBefore // it is at least as late as when ours was made
	}
	for range mostYoung {
		if raw, err = s.cfg.Dial(ctx, s.cfg.address()); err != nil {
			return nil, nil, false, err
		}
		if conn, err = s.handshake(ctx, raw, at); err == nil {
			return conn, raw, sure, nil
		}
		_ = raw.Close()
		var dates x509.CertificateInvalidError
		if sure || !errors.As(err, &dates) || dates.Reason != x509.Expired || !dates.Cert.NotBefore.After(at) {
			return nil, nil, false, err
		}
		at = dates.Cert.NotBefore
	}
	return nil, nil, false, err
}

func (s *Session) handshake(ctx context.Context, raw net.Conn, at time.Time) (*tls.Conn, error) {
	verified := false
	cfg := s.cfg.TLS.config(s.cfg.Broker.Hostname(), at)
	cfg.VerifyConnection = func(tls.ConnectionState) error { // comes behind the verification, not in its place
		verified = true
		s.cfg.Observe.secured()
		return nil
	}
	conn := tls.Client(raw, cfg)
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, &handshakeError{s.cfg.address(), verified, err}
	}
	return conn, nil
}

// distrusted judges the dates of the broker's certificates again if nobody knew the time when the connection was made and it is
// known now; nil if they are in order.
func (s *Session) distrusted(l *link) error {
	now, sure := s.cfg.time()
	conn, secure := l.Conn.(*tls.Conn)
	if !secure || l.proven || !sure {
		return nil
	}
	l.proven = true
	for _, chain := range conn.ConnectionState().VerifiedChains {
		if inDate(chain, now) {
			return nil
		}
	}
	return errDates
}

func inDate(chain []*x509.Certificate, now time.Time) bool {
	for _, c := range chain {
		if now.Before(c.NotBefore) || now.After(c.NotAfter) {
			return false
		}
	}
	return true
}
