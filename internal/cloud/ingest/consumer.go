package ingest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/url"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"upsedge/internal/wire"
)

const (
	leastPause     = 200 * time.Millisecond // between attempts to connect
	mostPause      = 15 * time.Second
	connectTimeout = 10 * time.Second
	keepAlive      = 20 * time.Second
	pingTimeout    = 10 * time.Second
	handOver       = 10 * time.Second // for one packet to leave
	hangUpWithin   = 250 * time.Millisecond
)

// leaves are what agents publish on.
var leaves = [...]wire.Leaf{wire.TopicState, wire.TopicEvents, wire.TopicSamples, wire.TopicResults, wire.TopicHost}

// A ConsumerConfig says which broker to ask.
type ConsumerConfig struct {
	Broker   *url.URL     // tls, or tcp to this machine
	TLS      *tls.Config  // of tls: authorities, client certificate. At least version 1.2, and the name is checked in any case
	ClientID string       // the broker keeps the session under this name: the same one at each start, another one per receiver
	Ready    func()       // called after each connection, when the broker has confirmed every subscription; nil: nobody asks
	Log      *slog.Logger // nil: nothing is logged
}

// A Consumer brings messages from an MQTT broker to a Receiver. The session is persistent and each message is acknowledged by hand,
// behind its commit: what the broker was not told about it delivers again. Use NewConsumer.
type Consumer struct {
	cfg ConsumerConfig
	r   *Receiver
	log *slog.Logger
	g   *Group

	mu     sync.Mutex
	client mqtt.Client // nil while there is no connection
}

// NewConsumer returns a Consumer. It starts nothing.
func NewConsumer(r *Receiver, cfg ConsumerConfig) *Consumer {
	c := &Consumer{cfg: cfg, r: r, log: cfg.Log}
	c.g = NewGroup(r, c.publish)
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Run consumes until ctx ends and returns nil then. A broker that is away is a state, not an error.
func (c *Consumer) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { _ = c.g.Run(ctx) }) // nil
	pause, trouble := leastPause, ""
	for ctx.Err() == nil {
		began := time.Now()
		err := c.once(ctx)
		if ctx.Err() != nil {
			break
		}
		if time.Since(began) > mostPause {
			pause, trouble = leastPause, ""
		}
		if err.Error() != trouble {
			c.log.Warn("broker lost or not reached", "broker", c.cfg.Broker.Redacted(), "err", err)
			trouble = err.Error()
		}
		sleep(ctx, pause/2+rand.N(pause/2))
		pause = min(2*pause, mostPause)
	}
	return nil
}

// once makes a connection and serves it to its end, which is its error.
func (c *Consumer) once(ctx context.Context) error {
	ctx, end := context.WithCancel(ctx)
	lost := make(chan error, 1)
	client := mqtt.NewClient(c.options(ctx, lost))
	defer client.Disconnect(uint(hangUpWithin.Milliseconds()))
	defer end() // first: the library waits for a message that waits for room
	if err := wait(ctx, client.Connect()); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	c.use(client)
	defer c.use(nil)
	if err := c.subscribe(ctx, client); err != nil {
		return err
	}
	c.r.Listening(true)
	defer c.r.Listening(false)
	c.log.Info("broker connected", "broker", c.cfg.Broker.Redacted())
	if c.cfg.Ready != nil {
		c.cfg.Ready()
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-lost:
		return err
	}
}

func (c *Consumer) options(ctx context.Context, lost chan<- error) *mqtt.ClientOptions {
	o := mqtt.NewClientOptions()
	o.Servers = []*url.URL{c.cfg.Broker}
	o.SetClientID(c.cfg.ClientID).SetProtocolVersion(4).SetCleanSession(false).SetStore(mqtt.NewMemoryStore())
	o.SetAutoReconnect(false).SetConnectRetry(false).SetConnectTimeout(connectTimeout)
	o.SetKeepAlive(keepAlive).SetPingTimeout(pingTimeout).SetWriteTimeout(handOver)
	o.SetAutoAckDisabled(true)
	// One after the other, as they came. A kept session sends before it is asked, so there is one handler for everything.
	o.SetOrderMatters(true)
	o.SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) {
		c.g.Put(ctx, Message{m.Topic(), m.Payload(), m.Retained()}, func(err error) {
			if err == nil {
				m.Ack()
			} // else it comes again
		})
	})
	o.SetCustomOpenConnectionFn(func(*url.URL, mqtt.ClientOptions) (net.Conn, error) {
		conn, err := c.dial(ctx)
		if err != nil {
			return nil, err
		}
		return newBounded(conn), nil
	})
	o.SetConnectionLostHandler(func(_ mqtt.Client, err error) { lost <- err })
	return o
}

// subscribe asks for everything that agents publish. A refusal looks like success unless its result is read (MQTT 3.1.1, 3.9.3).
func (c *Consumer) subscribe(ctx context.Context, client mqtt.Client) error {
	filters := map[string]byte{}
	for _, leaf := range leaves {
		filters[wire.Prefix+"+/"+string(leaf)] = wire.QoS
	}
	token := client.SubscribeMultiple(filters, nil)
	if err := wait(ctx, token); err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	for filter, granted := range token.(*mqtt.SubscribeToken).Result() {
		if granted != wire.QoS {
			return fmt.Errorf("subscribe to %s: the broker answers %#x, want quality of service %d", filter, granted, wire.QoS)
		}
	}
	return nil
}

func (c *Consumer) use(client mqtt.Client) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.client = client
}

// publish sends answers. One that does not arrive is asked for again: the agent sends its records once more.
func (c *Consumer) publish(answers []Answer) {
	c.mu.Lock()
	client := c.client
	c.mu.Unlock()
	if client == nil {
		return
	}
	for _, a := range answers {
		client.Publish(a.Topic, wire.QoS, false, a.Payload)
	}
}

var errNoAnswer = errors.New("the broker does not answer")

func wait(ctx context.Context, token mqtt.Token) error {
	t := time.NewTimer(connectTimeout)
	defer t.Stop()
	select {
	case <-token.Done():
		return token.Error()
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return errNoAnswer
	}
}
