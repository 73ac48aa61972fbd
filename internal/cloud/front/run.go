package front

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"upsedge/internal/cloud"
)

const (
	// maxFresh connections have not said who they are, and of them a quarter come from one address: agents may share one.
	maxFresh = 1024
	// aliveWithin is how fresh a sign of life must be for a connection that is taken over to have been alive. An agent that has
	// lost its connection notices after 10 s at the least, so that its own return is no second session.
	aliveWithin = 9 * time.Second
	secondEvery = time.Minute
)

// Run serves the connections of l, which it closes, until ctx ends and returns nil then. It stops in order: it accepts and reads
// nothing more, waits for what was handed over to be kept, acknowledges that and ends the connections. So whoever keeps messages
// must run longer. An error is that of a listener that accepts no more. It can be called once.
func (f *Front) Run(ctx context.Context, l net.Listener) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer f.stop()
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	wg.Go(func() { f.judge(ctx) })
	f.listening(true)
	defer f.listening(false)
	for {
		conn, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = conn.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil: // out of files, or a connection that went before it was accepted
			f.warn("connection not accepted", "err", err)
			time.Sleep(50 * time.Millisecond)
			continue
		}
		if behind, ok := conn.(interface{ Await() }); ok { // whom it is of, a balancer tells first: others do not wait for that
			wg.Go(func() {
				behind.Await()
				if s := f.accept(ctx, conn); s != nil {
					s.serve(wg.Go)
				}
			})
			continue
		}
		if s := f.accept(ctx, conn); s != nil {
			wg.Go(func() { s.serve(wg.Go) })
		}
	}
}

func (f *Front) listening(on bool) {
	if f.cfg.Listening != nil {
		f.cfg.Listening(on)
	}
}

// accept makes a session of a connection, if there is room.
func (f *Front) accept(ctx context.Context, conn net.Conn) *session {
	s := f.newSession(ctx, conn)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stopping || len(f.conns) >= f.cfg.MaxConnections || f.nfresh >= maxFresh || f.fresh[s.host] >= maxFresh/4 {
		f.counts.ended[Crowded].Add(1)
		_ = conn.Close()
		f.warn("connection refused: too many", "address", s.host, "connections", len(f.conns), "not authorised yet", f.nfresh)
		return nil
	}
	f.serial++
	s.number, s.fresh = strconv.FormatUint(f.serial, 36), true
	f.conns[s] = struct{}{}
	f.nfresh++
	f.fresh[s.host]++
	return s
}

// enter makes a session the one of its agent, and ends the one before.
func (f *Front) enter(s *session) *endError {
	old, err := f.replace(s)
	if old == nil || err != nil {
		return err
	}
	old.end(ended(TakenOver, "by a connection from %s", s.host))
	if old.isSecond(s, time.Now()) && f.cfg.Second != nil {
		f.cfg.Second(s.agent)
	}
	return nil
}

// isSecond reports whether taking over a session is to be told: it was alive, and nothing was told of its agent for a while.
func (s *session) isSecond(by *session, now time.Time) bool {
	s.mu.Lock()
	told := s.secondAt
	s.mu.Unlock()
	second := now.Sub(time.UnixMilli(s.heard.Load())) < aliveWithin && now.Sub(told) >= secondEvery
	if second {
		told = now
	}
	by.mu.Lock()
	by.secondAt = told
	by.mu.Unlock()
	return second
}

// replace makes a session the one of its agent and returns the one before.
func (f *Front) replace(s *session) (*session, *endError) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stopping {
		return nil, ended(Stopped, "before it had entered")
	}
	f.known(s)
	old := f.sessions[s.agent]
	f.sessions[s.agent] = s
	return old, nil
}

// known notes that a connection has said who it is, or is gone.
func (f *Front) known(s *session) {
	if !s.fresh {
		return
	}
	s.fresh = false
	f.nfresh--
	if f.fresh[s.host]--; f.fresh[s.host] == 0 {
		delete(f.fresh, s.host)
	}
}

// leave forgets a session.
func (f *Front) leave(s *session) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.known(s)
	delete(f.conns, s)
	if f.sessions[s.agent] == s {
		delete(f.sessions, s.agent)
	}
}

func (f *Front) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stopping = true
	for s := range f.conns {
		s.end(ended(Stopped, "we stop"))
	}
}

// judge asks again who may be connected.
func (f *Front) judge(ctx context.Context) {
	tick := time.NewTicker(f.limits.judge)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, s := range f.all() {
			agent, err := f.cfg.Authorize(s.cert)
			var refusal *cloud.Error
			switch {
			case ctx.Err() != nil:
				return
			case errors.As(err, &refusal):
				s.end(ended(Revoked, "%v", err))
			case err == nil && agent != s.agent:
				s.end(ended(Revoked, "its certificate is that of %.64q now", agent))
			case time.Now().After(s.cert.NotAfter):
				s.end(ended(Revoked, "its certificate ended at %v", s.cert.NotAfter))
			}
		}
	}
}

func (f *Front) all() []*session {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]*session, 0, len(f.sessions))
	for _, s := range f.sessions {
		out = append(out, s)
	}
	return out
}

// harden makes a configuration of TLS as strict as Config.TLS says.
func harden(cfg *tls.Config) *tls.Config {
	cfg = cfg.Clone()
	cfg.MinVersion = max(cfg.MinVersion, tls.VersionTLS12)
	cfg.ClientAuth = tls.RequireAndVerifyClientCert
	cfg.SessionTicketsDisabled = true
	// Of TLS 1.2 those with forward secrecy and authenticated encryption (T-17). TLS 1.3 has nothing else.
	cfg.CipherSuites = []uint16{
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
		tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	}
	cfg.NextProtos = nil
	if choose := cfg.GetConfigForClient; choose != nil {
		cfg.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			chosen, err := choose(hello)
			if chosen == nil || err != nil {
				return nil, err
			}
			return harden(chosen), nil
		}
	}
	return cfg
}

// lines bounds what strangers can make the log say.
type lines struct {
	mu         sync.Mutex
	limit      *rate.Limiter
	suppressed int
}

// warn logs what somebody outside has caused, ten lines a second at most.
func (f *Front) warn(msg string, args ...any) {
	f.lines.mu.Lock()
	defer f.lines.mu.Unlock()
	if !f.lines.limit.Allow() {
		f.lines.suppressed++
		return
	}
	if f.lines.suppressed > 0 {
		args = append(args, "lines left out before", f.lines.suppressed)
		f.lines.suppressed = 0
	}
	f.log.Warn(msg, args...)
}

func isClosed(err error) bool { return errors.Is(err, net.ErrClosed) }
