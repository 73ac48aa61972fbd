package uplink

import (
	"context"
	"errors"
	"fmt"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"upsedge/internal/wire"
)

const (
	heartbeat = time.Minute // of the full state (design, section 6)
	// ackStall is how long records may be in flight without any progress, of our bytes or of acknowledgements, before the
	// connection counts as lost. A broker can answer pings and have forgotten our records.
	ackStall   = 30 * time.Second
	checkEvery = 5 * time.Second
	// farewell bounds the last message of a clean stop, hangUpWithin the library's end. With lastAck they stay under 2 s.
	farewell     = time.Second
	hangUpWithin = 250 * time.Millisecond
)

var (
	errStopped  = errors.New("stopped")
	errAckStall = fmt.Errorf("the broker acknowledged nothing for %v", ackStall)
)

// A conversation is one MQTT session, from CONNACK to its end. One goroutine, in serve, does everything.
type conversation struct {
	s      *Session
	id     wire.State // session number, nonce and version
	client mqtt.Client
	link   *link
	lost   chan error // gets the library's reason when it finds the connection lost

	writing bool // a message is on its way through the library; nothing is handed over until it is written
	window  window
	state   stateQueue
	lanes   [len(wire.Lanes)]*queue
	lastAck time.Time // or when something was sent with nothing in flight
}

// serve works until the connection or ctx ends. It returns errStopped or why the connection ended.
func (c *conversation) serve(ctx context.Context) error {
	err := c.begin()
	if err == nil {
		err = c.reason(c.work(ctx))
	}
	if errors.Is(err, errStopped) && c.sayGoodbye() {
		c.client.Disconnect(uint(hangUpWithin.Milliseconds()))
	}
	c.link.hangUp()
	c.client.Disconnect(uint(hangUpWithin.Milliseconds())) // it does not notice by itself that we closed the connection
	return err
}

// reason returns why the connection ended. A message that was in flight says only that it did; the library's own word comes
// right behind.
func (c *conversation) reason(err error) error {
	if errors.Is(err, errStopped) || errors.Is(err, errAckStall) {
		return err
	}
	wait := time.NewTimer(hangUpWithin)
	defer wait.Stop()
	select {
	case lost := <-c.lost:
		return lost
	case <-wait.C:
		return err
	}
}

// begin queues what every session begins with. There are no cloud keys, so the full state does not wait for a statement.
func (c *conversation) begin() error {
	first, err := c.encodeState(true, nil)
	if err != nil {
		return err
	}
	c.state.first = first
	c.state.want(true)
	return nil
}

func (c *conversation) work(ctx context.Context) error {
	beat, check := time.NewTicker(heartbeat), time.NewTicker(checkEvery)
	defer beat.Stop()
	defer check.Stop()
	for {
		if err := c.fill(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return errStopped
		case err := <-c.lost:
			c.lost <- err // it holds one
			return err
		case <-c.link.wrote:
			c.writing = false
		case <-c.state.head():
			if err := c.stateDelivered(); err != nil {
				return err
			}
		case <-c.lanes[0].head():
			if err := c.recordDelivered(0); err != nil {
				return err
			}
		case <-c.lanes[1].head():
			if err := c.recordDelivered(1); err != nil {
				return err
			}
		case <-c.lanes[0].changed:
			c.lanes[0].stir()
		case <-c.lanes[1].changed:
			c.lanes[1].stir()
		case <-c.s.cfg.Changed:
			c.state.want(true)
		case <-beat.C:
			c.state.want(false)
		case <-check.C: // also wakes a lane that rests after an error of the spool
			if c.stuck(time.Now()) {
				return errAckStall
			}
		}
	}
}

// stuck reports whether what is in flight makes no progress.
func (c *conversation) stuck(now time.Time) bool {
	flying := c.window.records + len(c.state.flying)
	return flying > 0 && now.Sub(c.lastAck) > ackStall && now.Sub(c.link.lastProgress()) > ackStall
}

// sayGoodbye publishes the offline state, since a clean DISCONNECT makes the broker forget the will. It reports whether the
// broker has it; records that are acknowledged meanwhile count.
func (c *conversation) sayGoodbye() bool {
	offline, err := c.encodeState(false, nil)
	if err != nil {
		c.s.log.Error("offline state not published", "err", err)
		return false
	}
	deadline := time.NewTimer(farewell)
	defer deadline.Stop()
	var done <-chan struct{}
	var token mqtt.Token
	for {
		if !c.writing && token == nil {
			token = c.publish(wire.Topic(c.s.cfg.AgentID, wire.TopicState), true, offline)
			done = token.Done()
		}
		select {
		case <-deadline.C:
			return false
		case <-c.lost:
			return false
		case <-c.link.wrote:
			c.writing = false
		case <-done:
			return token.Error() == nil
		case <-c.lanes[0].head():
			if c.recordDelivered(0) != nil {
				return false
			}
		case <-c.lanes[1].head():
			if c.recordDelivered(1) != nil {
				return false
			}
		}
	}
}

// publish hands one message to the library. It returns soon: the writer is idle, or gone.
func (c *conversation) publish(topic string, retained bool, payload []byte) mqtt.Token {
	select {
	case <-c.link.wrote: // of a message nobody waited for
	default:
	}
	c.writing = true
	return c.client.Publish(topic, wire.QoS, retained, payload)
}
