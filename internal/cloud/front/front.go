package front

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"math"
	"sync"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"

	"upsedge/internal/cloud/ingest"
	"upsedge/internal/wire"
)

// An Ingest keeps messages: ingest.Group.
type Ingest interface {
	// Put hands a message over and waits for room only. done is called once, behind the commit that keeps it; an error means
	// that it is not kept. What comes behind it in one connection is done behind it.
	Put(ctx context.Context, m ingest.Message, done func(error))
}

// A Config says what a Front rests on. TLS, Ingest and Authorize are required.
type Config struct {
	// TLS has our certificate and the authorities of the agents (ClientCAs). Whatever else it says, TLS 1.2 is the least, a
	// certificate of the agent is required, and no session of TLS is resumed: who connects shows each time that it has the key.
	TLS    *tls.Config
	Ingest Ingest
	// Authorize returns the agent of a certificate whose chain holds. A *cloud.Error is a refusal; any other error says that
	// it cannot be found out now, and the agent is to come again. It is asked at each connection, and of each that lasts every
	// 30 s; concurrently.
	Authorize func(cert *x509.Certificate) (agent string, err error)
	// Second is told that an agent's connection, which was alive, was taken over by another one with its identity (T-01): at most
	// once a minute for each agent. It returns at once. Nil: nobody asks.
	Second func(agent string)
	// Listening is told when messages can come and when they cannot any more. Nil: nobody asks.
	Listening func(bool)
	// Acknowledged is told how long each message took until its acknowledgement was on its way. It returns at once. Nil: nobody asks.
	Acknowledged func(time.Duration)
	// MaxConnections bounds how many there are at a time; 0 is 20 000.
	MaxConnections int
	Log            *slog.Logger // nil: nothing is logged
}

const (
	maxConnections = 20_000
	// maxWaiting bounds the payloads of all agents that wait for their commit, maxLarge those packets of 64 KiB and more that
	// are on their way in, which the library holds twice. In bytes.
	maxWaiting = 64 << 20
	maxLarge   = 64 << 20
)

// limits are times that tests shorten.
type limits struct {
	handshake time.Duration // for TLS, whatever comes in that time
	connect   time.Duration // for CONNECT, likewise
	packet    time.Duration // for a packet from its first byte to its last, but for its length
	judge     time.Duration // how often the rights of those that are connected are asked for again (T-01: gone within 60 s)
}

var defaults = limits{handshake: 10 * time.Second, connect: 10 * time.Second, packet: 20 * time.Second, judge: 30 * time.Second}

// ErrOffline is returned for an agent that is not connected, or has not subscribed to what it is sent.
var ErrOffline = errors.New("the agent is not connected")

// ErrBusy is returned for an agent that has not acknowledged what it was sent before, or has not read it.
var ErrBusy = errors.New("the agent does not keep up")

// A Front serves agents. Use New.
type Front struct {
	cfg     Config
	tls     *tls.Config
	log     *slog.Logger
	broker  *mqtt.Server
	counts  counters
	waiting *semaphore.Weighted // payloads that wait for their commit
	large   *semaphore.Weighted // large packets that come in
	lines   lines
	limits  limits
	states  states

	mu       sync.Mutex
	stopping bool
	conns    map[*session]struct{}
	fresh    map[string]int      // of these, those that have not said who they are, by address
	nfresh   int                 // and their sum
	sessions map[string]*session // by agent: the one that is connected
	serial   uint64
}

// New returns a Front. It starts nothing.
func New(cfg Config) (*Front, error) {
	if cfg.TLS == nil || cfg.TLS.ClientCAs == nil || cfg.Ingest == nil || cfg.Authorize == nil {
		return nil, errors.New("a front needs TLS with the authorities of its agents, somebody who keeps messages, and one who knows agents")
	}
	if cfg.MaxConnections == 0 {
		cfg.MaxConnections = maxConnections
	}
	f := &Front{
		cfg: cfg, tls: harden(cfg.TLS), log: cfg.Log, waiting: semaphore.NewWeighted(maxWaiting), large: semaphore.NewWeighted(maxLarge),
		conns: map[*session]struct{}{}, fresh: map[string]int{}, sessions: map[string]*session{},
		lines: lines{limit: rate.NewLimiter(10, 100)}, limits: defaults, states: states{rate: statesRate, of: map[string]*rate.Limiter{}},
	}
	if f.log == nil {
		f.log = slog.New(slog.DiscardHandler)
	}
	f.broker = mqtt.New(&mqtt.Options{
		Capabilities: &mqtt.Capabilities{
			MaximumClients: math.MaxInt64, MaximumClientWritesPending: 1, MaximumPacketSize: uint32(maxPublish) + 1,
			ReceiveMaximum: math.MaxUint16, MaximumInflight: 1, MinimumProtocolVersion: 3, MaximumQos: wire.QoS, RetainAvailable: 1,
		},
		ClientNetReadBufferSize: readBuffer, Logger: slog.New(slog.DiscardHandler), SysTopicResendInterval: math.MaxInt32,
	})
	return f, f.broker.AddHook(&hook{front: f}, nil)
}

// readBuffer is that of one connection, in bytes. What is longer goes past it.
const readBuffer = 1 << 10

// Publish sends a message to an agent, to its live connection or to nobody: ErrOffline, ErrBusy. It never waits. Nil promises
// nothing but that it is on its way.
func (f *Front) Publish(agent string, leaf wire.Leaf, payload []byte) error {
	err := ErrOffline
	if s := f.live(agent); s != nil {
		err = s.publish(leaf, payload)
	}
	if err != nil {
		f.counts.unsent.Add(1)
		return err
	}
	f.counts.sent.Add(1)
	return nil
}

// Deliver publishes answers of ingest. One that does not arrive is asked for again: the agent sends its records once more.
func (f *Front) Deliver(answers []ingest.Answer) {
	for _, a := range answers {
		if agent, leaf, err := wire.SplitTopic(a.Topic); err == nil {
			_ = f.Publish(agent, leaf, a.Payload)
		}
	}
}

// Connected reports whether an agent is connected and listens to its orders.
func (f *Front) Connected(agent string) bool {
	s := f.live(agent)
	return s != nil && s.listens(wire.TopicOrders)
}

// Disconnect ends the connection of an agent, if there is one. Why is for the log.
func (f *Front) Disconnect(agent, why string) {
	if s := f.live(agent); s != nil {
		s.end(ended(Revoked, "%s", why))
	}
}

func (f *Front) live(agent string) *session {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sessions[agent]
}
