package uplink

import (
	"context"
	"errors"
	"net"
	"net/url"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"upsedge/internal/wire"
)

const (
	// keepAlive and pingTimeout find a dead connection that carries nothing: after 20 to 25 s the library pings, 10 s later
	// it gives up. The broker does after 30 s (MQTT 3.1.1, 3.1.2.10).
	keepAlive   = 20 * time.Second
	pingTimeout = 10 * time.Second
	// handOver is how long Publish waits for the library's writer. One message at a time is handed over, so that the writer
	// is free, or gone with its connection.
	handOver = time.Second
)

var errNoConnack = errors.New("the broker did not answer CONNECT")

// connect opens a connection and begins an MQTT session on it.
func (s *Session) connect(ctx context.Context) (*conversation, error) {
	l, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	c := &conversation{s: s, id: s.newState(), link: l, lost: make(chan error, 1)}
	if s.cfg.Cloud != nil {
		l.in.listen = true
		c.cloud = newCloudSide(s)
	}
	for i := range wire.Lanes {
		c.lanes[i] = s.newQueue(i)
	}
	will, err := c.encodeState(false, nil)
	if err != nil {
		l.hangUp()
		return nil, err
	}
	c.client = mqtt.NewClient(s.options(c, will))
	if err := c.greet(ctx); err != nil {
		l.hangUp()
		return nil, err
	}
	if c.cloud != nil {
		if err := c.subscribe(ctx); err != nil {
			c.end()
			return nil, err
		}
	}
	return c, nil
}

func (s *Session) options(c *conversation, will []byte) *mqtt.ClientOptions {
	o := mqtt.NewClientOptions()
	o.Servers = []*url.URL{s.cfg.Broker}
	o.SetClientID(s.cfg.AgentID).SetProtocolVersion(4).SetCleanSession(true).SetStore(mqtt.NewMemoryStore())
	o.SetAutoReconnect(false).SetConnectRetry(false).SetConnectTimeout(connackTimeout)
	o.SetKeepAlive(keepAlive).SetPingTimeout(pingTimeout).SetWriteTimeout(handOver)
	o.SetBinaryWill(wire.Topic(s.cfg.AgentID, wire.TopicState), will, wire.QoS, true)
	o.SetCustomOpenConnectionFn(func(*url.URL, mqtt.ClientOptions) (net.Conn, error) { return c.link, nil })
	o.SetConnectionLostHandler(func(_ mqtt.Client, err error) { c.lost <- err }) // called at most once, and lost holds one
	if c.cloud != nil {
		o.SetDefaultPublishHandler(c.received)
	}
	return o
}

// greet sends CONNECT and waits for its answer.
func (c *conversation) greet(ctx context.Context) error {
	token := c.client.Connect()
	select {
	case <-token.Done():
	case <-ctx.Done():
		c.link.hangUp()
		<-token.Done() // the connection is gone
		return ctx.Err()
	}
	err := token.Error()
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return errNoConnack
	}
	return err
}
