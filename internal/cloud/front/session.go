package front

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"

	"upsedge/internal/cloud/ingest"
	"upsedge/internal/wire"
)

const (
	// longestIdle bounds what an agent may ask for as its keep-alive; ours say 20 s.
	longestIdle = 5 * time.Minute
	// farewell is how long what waits to be written may take when a connection ends; settleWithin how long, when we stop, messages
	// that were handed over may take to be kept.
	farewell     = 2 * time.Second
	settleWithin = 10 * time.Second
)

// A session is one connection, from its first byte on. It is the net.Conn that the library reads from and writes to.
type session struct {
	front  *Front
	conn   *tls.Conn
	raw    net.Conn
	host   string // the other end's address without its port
	since  time.Time
	number string       // that no other connection has had
	heard  atomic.Int64 // when something came last, Unix milliseconds

	ctx    context.Context // ends with the connection
	cancel context.CancelFunc
	out    outbox
	down   downlink
	ups    pending

	// Of the goroutine that reads.
	in        *guard
	client    *mqtt.Client
	connectBy time.Time     // zero once CONNECT was accepted
	idle      time.Duration // one and a half times the keep-alive
	heldLarge int64         // bytes of the front's room for large packets

	// Set before the session is entered.
	agent  string
	cert   *x509.Certificate
	fresh  bool   // it has not said who it is; of the front.mu
	prefix string // of its topics
	will   []byte // nil without one

	mu       sync.Mutex
	why      *endError // what ended it; nil: nothing has
	secondAt time.Time // when Second was told last about this agent
}

func (f *Front) newSession(ctx context.Context, raw net.Conn) *session {
	s := &session{front: f, raw: raw, conn: tls.Server(raw, f.tls), since: time.Now()}
	s.host, _, _ = net.SplitHostPort(raw.RemoteAddr().String())
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx)) // it is ended in order: see Run
	s.out = outbox{conn: s.conn, failed: func(err error) { s.end(ended(NotRead, "%v", err)) }}
	s.in = newGuard(f.limits.packet, s.makeRoom)
	s.ups.room = make(chan struct{}, 1)
	return s
}

// serve runs a connection to its end. The handshake needs a deep stack, which the goroutine that waits for messages, perhaps for
// days, is not to keep: it is another one, that goes starts.
func (s *session) serve(goes func(func())) {
	if err := s.shakeHands(); err != nil {
		s.end(err)
		s.finish()
		return
	}
	goes(s.converse)
}

func (s *session) converse() {
	defer s.finish()
	s.connectBy = time.Now().Add(s.front.limits.connect)
	err := s.front.broker.EstablishConnection("tls", s)
	s.end(causeOf(err)) // if nothing ended it before
}

func (s *session) shakeHands() *endError {
	_ = s.raw.SetDeadline(time.Now().Add(s.front.limits.handshake)) // an error of the connection shows in the handshake
	if err := s.conn.Handshake(); err != nil {
		return ended(Handshake, "%v", err)
	}
	_ = s.raw.SetDeadline(time.Time{})
	s.cert = s.conn.ConnectionState().PeerCertificates[0]
	return nil
}

// causeOf says why the library gave a connection back.
func causeOf(err error) *endError {
	var e *endError
	switch {
	case errors.As(err, &e):
		return e
	case err == nil || isClosed(err):
		return ended(Closed, "by the agent")
	}
	return ended(BadPacket, "%v", err)
}

// end ends the connection; the first reason counts. It returns at once: the goroutine of the connection does the rest.
func (s *session) end(why *endError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.why != nil {
		return
	}
	s.why = why
	s.cancel()
	_ = s.raw.SetReadDeadline(time.Unix(1, 0)) // whoever reads stops
}

func (s *session) ended() *endError {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.why
}

// finish gives back what a connection held, and closes it.
func (s *session) finish() {
	f := s.front
	why := s.ended()
	f.leave(s)
	if s.client != nil {
		f.broker.Clients.Delete(s.client.ID) // the library forgets to when its CONNACK could not be written
	}
	s.giveBackRoom()
	if why.reason == Stopped {
		s.ups.settled(settleWithin)
	} else if s.will != nil && !s.in.left {
		s.leaveWill()
	}
	within := farewell
	if why.reason == NotRead {
		within = 0
	}
	s.out.close(within)
	_ = s.conn.Close() // says goodbye in TLS, where the other end still takes it
	f.counts.ended[why.reason].Add(1)
	s.report(why)
}

// leaveWill hands on what the agent wanted said if its connection breaks. Which session it speaks of is ingest's to judge. When we
// stop there is none: agents do not go because one front does.
func (s *session) leaveWill() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), settleWithin)
	defer cancel()
	s.front.cfg.Ingest.Put(ctx, ingest.Message{Topic: wire.Topic(s.agent, wire.TopicState), Payload: s.will}, func(error) {})
}

// Read is the library's: it reads, and judges what it has read.
func (s *session) Read(p []byte) (int, error) {
	s.mu.Lock()
	if s.why != nil {
		s.mu.Unlock()
		return 0, s.why
	}
	by, late := s.patience()
	err := s.raw.SetReadDeadline(by)
	s.mu.Unlock()
	if err != nil {
		return 0, err
	}
	n, err := s.conn.Read(p)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		s.end(late)
	case err != nil:
		s.end(ended(Closed, "%v", err))
	default:
		now := time.Now()
		s.heard.Store(now.UnixMilli())
		if err := s.in.feed(p[:n], now); err != nil {
			s.end(causeOf(err))
		}
	}
	if why := s.ended(); why != nil {
		return 0, why
	}
	return n, nil
}

// patience is until when something must come, and what it is called when it does not.
func (s *session) patience() (time.Time, *endError) {
	switch {
	case !s.connectBy.IsZero():
		return s.connectBy, ended(NoConnect, "none within %v", s.front.limits.connect)
	case !s.in.by.IsZero():
		return s.in.by, ended(TooSlow, "a packet of %d bytes", s.in.length)
	}
	return time.Now().Add(s.idle), ended(Silent, "for %v", s.idle)
}

// Write is the library's: it never blocks.
func (s *session) Write(p []byte) (int, error) {
	if err := s.out.put(p); err != nil {
		s.end(ended(NotRead, "%v", err))
		return 0, err
	}
	return len(p), nil
}

// Close is the library's, when it gives the connection back: it calls it from the goroutine that reads. Why it did is said behind
// that, and the connection is closed in finish, when what was written has left.
func (s *session) Close() error { return nil }

func (s *session) LocalAddr() net.Addr              { return s.conn.LocalAddr() }
func (s *session) RemoteAddr() net.Addr             { return s.conn.RemoteAddr() }
func (s *session) SetDeadline(time.Time) error      { return nil } // patience is ours
func (s *session) SetReadDeadline(time.Time) error  { return nil }
func (s *session) SetWriteDeadline(time.Time) error { return nil }

// makeRoom waits until a large packet may be read.
func (s *session) makeRoom(length int) error {
	ctx, cancel := context.WithTimeout(s.ctx, s.front.limits.packet)
	defer cancel()
	n := 2 * int64(length) // the library copies it
	if err := s.front.large.Acquire(ctx, n); err != nil {
		return ended(TooLarge, "no room for a packet of %d bytes within %v", length, s.front.limits.packet)
	}
	s.heldLarge = n
	return nil
}

func (s *session) giveBackRoom() {
	if s.heldLarge > 0 {
		s.front.large.Release(s.heldLarge)
		s.heldLarge = 0
	}
}

// report says in the log how a connection ended.
func (s *session) report(why *endError) {
	log := s.front.log.Debug
	switch why.reason {
	case Closed, Stopped, Silent:
	default:
		log = s.front.warn
	}
	log("agent's connection ended", "agent", s.agent, "address", s.host, "reason", why.reason.String(), "detail", why.detail,
		"after", time.Since(s.since).Round(time.Millisecond))
}
