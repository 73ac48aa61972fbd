package uplink

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"upsedge/internal/wire"
)

// leastPause and mostPause bound what the spacing of attempts to connect is drawn from. After an outage of ten minutes all
// agents of a broker draw from mostPause, and so return over more than a minute (T-29).
const (
	leastPause = time.Second
	mostPause  = 2 * time.Minute
)

// A Session keeps one connection to the broker and drains the spool over it. Use New.
type Session struct {
	cfg   Config
	spool Spool
	log   *slog.Logger
	acks  *acker
	retry backoff
	renew chan struct{} // holds at most one: the session is to be replaced by another

	given [len(wire.Lanes)]atomic.Uint64 // the highest number published, of this run or possibly one before, by index in wire.Lanes

	out [len(wire.Lanes)][]wire.Record // published in this run and not acknowledged by the cloud, ascending, without payloads

	refusals *rate.Limiter // of orders, in the log

	sessions uint64    // numbers given in this run
	served   bool      // there was a session in this run
	attempts int       // to connect, since the last session
	lostAt   time.Time // when the last session ended, or Run began
	trouble  string    // what was logged last about failing attempts
}

// New returns a Session that delivers what spool holds. It starts nothing.
func New(cfg Config, spool Spool) *Session {
	log := cfg.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if cfg.Dial == nil {
		cfg.Dial = dialTCP
	}
	return &Session{
		cfg: cfg, spool: spool, log: log, acks: newAcker(spool, log),
		refusals: rate.NewLimiter(rate.Every(refusalEvery), refusalBurst),
		retry:    backoff{least: leastPause, most: mostPause}, renew: make(chan struct{}, 1), sessions: cfg.Numbered,
	}
}

// Numbered returns how many sessions have had a number since the start of the agent. Ask behind Run.
func (s *Session) Numbered() uint64 { return s.sessions }

// Renew replaces the session in use by another one soon, so that it rests on the certificates that are in place now. It never
// waits; without a session nothing happens, since the next one does anyway.
func (s *Session) Renew() {
	select {
	case s.renew <- struct{}{}:
	default:
	}
}

// Run connects, delivers and reconnects until ctx ends, and returns nil then, within 2 s even when the broker is deaf. It
// returns an error at once, and only then, when the configuration cannot work. A broker that is away is a state, not an error.
func (s *Session) Run(ctx context.Context) error {
	if err := s.cfg.check(); err != nil {
		return err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	ackCtx, stopAcks := context.WithCancel(context.WithoutCancel(ctx)) // ends after the last session, not with it
	defer stopAcks()
	wg.Go(func() { s.acks.run(ackCtx) })

	if s.cfg.Cloud != nil {
		for i, lane := range wire.Lanes { // an earlier run may have published all of them
			s.given[i].Store(s.cfg.Cloud.Last(lane))
		}
	}
	s.lostAt = time.Now()
	for ctx.Err() == nil {
		s.once(ctx)
		if ctx.Err() == nil {
			sleep(ctx, s.retry.pause())
		}
	}
	return nil
}

// once makes one attempt to connect and, if it succeeds, serves the session until it ends.
func (s *Session) once(ctx context.Context) {
	s.attempts++
	c, err := s.connect(ctx)
	if err != nil {
		s.logAttempt(ctx, err)
		if ctx.Err() == nil {
			s.cfg.Observe.failed(failureOf(err))
		}
		return
	}
	began := time.Now()
	s.log.Info("broker connected", "broker", s.cfg.Broker.Redacted(), "session", c.id.Session,
		"attempts", s.attempts, "down", began.Sub(s.lostAt).Round(time.Millisecond))
	s.attempts, s.trouble = 0, ""
	s.cfg.Observe.connected(true)
	if s.served {
		s.cfg.Observe.reconnected()
	}
	s.served = true
	select {
	case <-s.renew: // of before this session
	default:
	}
	err = c.serve(ctx)
	s.cfg.Observe.connected(false)
	s.lostAt = time.Now()
	lived := s.lostAt.Sub(began)
	if lived >= healthy {
		s.retry.reset()
	}
	if errors.Is(err, errRenewed) {
		s.retry.reset()
		s.log.Info("broker left, to connect anew with the renewed files", "after", lived.Round(time.Millisecond))
		return
	}
	if errors.Is(err, errStopped) {
		s.log.Info("broker left", "after", lived.Round(time.Millisecond))
		return
	}
	s.cfg.Observe.failed(failureOf(err))
	s.log.Warn("broker lost", "err", explain(err), "after", lived.Round(time.Millisecond))
}

// logAttempt logs the first failure of a row, and each that differs from the one before.
func (s *Session) logAttempt(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return // we ended it ourselves
	}
	why, level, kind := explain(err), slog.LevelDebug, failureOf(err).Words
	if kind == "" {
		kind = why
	}
	if kind != s.trouble { // by its kind: the text may hold the time
		level = slog.LevelWarn
	}
	s.trouble = kind
	s.log.Log(ctx, level, "broker not reached", "broker", s.cfg.Broker.Redacted(), "attempts", s.attempts, "err", why)
}

// newState names a session. The number of starts stands above 32 bits for the sessions of one, so that the number rises over
// all of them.
func (s *Session) newState() wire.State {
	s.sessions++
	st := wire.State{Session: uint64(s.cfg.Boot)<<32 + s.sessions, Version: s.cfg.Version}
	st.Nonce = newNonce()
	return st
}

func newNonce() (n wire.ID) {
	_, _ = rand.Read(n[:]) // never fails
	return n
}

// newQueue returns the lane at index i of wire.Lanes as a new session begins it: behind what is delivered, which is
// not sent again though the spool may still hold it.
func (s *Session) newQueue(i int) *queue {
	through := s.acks.deliveredThrough(i)
	return &queue{lane: wire.Lanes[i], after: through, mark: through, patience: leastPatience}
}
