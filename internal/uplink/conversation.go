package uplink

import (
	"context"
	"errors"
	"fmt"
	"sync"
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
	// lastDrain is what a clean stop leaves for what was put last, farewell for that and the last message together, and
	// hangUpWithin for the library's end. With lastAck they stay under 2 s.
	lastDrain    = 700 * time.Millisecond
	farewell     = time.Second
	hangUpWithin = 250 * time.Millisecond
	// renewEvery is how long a nonce is the newest. An order is bound to one of the last two.
	renewEvery = 15 * time.Minute
	// settleWithin is how long samples wait, at the beginning of a session, for the cloud to say what it has of them already.
	settleWithin = 500 * time.Millisecond
)

var (
	errStopped  = errors.New("stopped")
	errRenewed  = errors.New("connected anew")
	errAckStall = fmt.Errorf("the broker acknowledged nothing for %v", ackStall)
)

// A conversation is one MQTT session, from CONNACK to its end. One goroutine, in serve, does everything.
type conversation struct {
	s      *Session
	id     wire.State // session number, newest nonce and version
	cloud  *cloudSide // nil: there is none
	client mqtt.Client
	link   *link
	lost   chan error // gets the library's reason when it finds the connection lost

	writing bool // a message is on its way through the library; nothing is handed over until it is written
	window  window
	state   stateQueue
	lanes   [len(wire.Lanes)]*queue
	lastAck time.Time // or when something was sent with nothing in flight
	newest  time.Time // when the last record was sent that has been acknowledged
	leaving bool      // a clean stop: nothing is waited for once everything is delivered
}

// serve works until the connection or ctx ends. It returns errStopped or why the connection ended.
func (c *conversation) serve(ctx context.Context) error {
	if c.cloud != nil {
		judging, judged := context.WithCancel(ctx)
		var wg sync.WaitGroup
		defer wg.Wait()
		defer judged()
		wg.Go(func() { c.judge(judging) })
		defer c.cloud.drops.total()
		defer c.cloud.marks.drops.total()
	}
	c.begin()
	err := c.work(ctx)
	if errors.Is(err, errStopped) {
		err = c.finish(ctx)
	} else if errors.Is(err, errRenewed) {
		c.client.Disconnect(uint(hangUpWithin.Milliseconds())) // without "offline": it comes right back
	}
	err = c.reason(err)
	c.end()
	return err
}

// end ends the connection at once.
func (c *conversation) end() {
	c.link.hangUp()
	c.client.Disconnect(uint(hangUpWithin.Milliseconds())) // it does not notice by itself that we closed the connection
}

// finish gives what was put last its chance, says goodbye, and returns errStopped.
func (c *conversation) finish(ctx context.Context) error {
	over := time.Now().Add(farewell)
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastDrain)
	defer cancel()
	for _, q := range c.lanes {
		q.stir()
	}
	c.leaving = true
	if err := c.work(last); !errors.Is(err, errStopped) {
		return errStopped // the connection is lost: nobody hears a goodbye
	}
	if c.sayGoodbye(over) {
		c.client.Disconnect(uint(hangUpWithin.Milliseconds()))
	}
	return errStopped
}

// idle reports whether there is nothing left to do: everything the spool has is delivered.
func (c *conversation) idle() bool {
	for _, q := range c.lanes {
		if len(q.ready)+len(q.flying)+len(q.unacked) > 0 || !q.dry {
			return false
		}
	}
	return !c.writing && len(c.state.flying) == 0
}

// reason returns why the connection ended. A message that was in flight says only that it did; the library's own word comes
// right behind.
func (c *conversation) reason(err error) error {
	if errors.Is(err, errStopped) || errors.Is(err, errAckStall) || errors.Is(err, errRenewed) || errors.Is(err, errDates) {
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

// begin queues what every session begins with.
func (c *conversation) begin() {
	c.state.first = true
	c.wantFull(true)
	if c.cloud != nil {
		c.cloud.settle = time.After(settleWithin)
	}
}

// wantFull asks for the full state, which is nobody's business before the cloud has proved itself where there is one.
func (c *conversation) wantFull(retained bool) {
	if c.cloud == nil || c.cloud.told {
		c.state.want(retained)
	}
}

// renewNonce announces a new nonce, as at the beginning of the session, and so asks the cloud for its statement and its marks anew.
func (c *conversation) renewNonce() {
	c.id.Nonce = newNonce()
	c.state.first = true
	c.wantFull(true) // retained: what the broker keeps shall not end with the first form
}

// beat does what is due every minute: the heartbeat, or asking again for the statement that has not come.
func (c *conversation) beat() {
	if c.cloud != nil && !c.cloud.told {
		if !c.cloud.missed {
			c.s.log.Warn("the cloud sends no statement that can be verified; the full state waits for it, and it is asked again every minute")
		}
		c.cloud.missed = true
		c.renewNonce()
		return
	}
	c.state.want(false)
}

// work does what there is to do until ctx or the connection ends, or, when leaving, nothing is left.
func (c *conversation) work(ctx context.Context) error {
	beat, check, renewal := time.NewTicker(heartbeat), time.NewTicker(checkEvery), time.NewTicker(renewEvery)
	defer beat.Stop()
	defer check.Stop()
	defer renewal.Stop()
	var marked, proved <-chan struct{} // nil: never
	if c.cloud != nil {
		marked, proved = c.cloud.marks.wake, c.cloud.proved
	}
	for {
		if err := c.fill(ctx); err != nil {
			return err
		}
		if c.leaving && c.idle() {
			return errStopped
		}
		select {
		case <-marked:
			c.acknowledged(ctx)
		case <-proved:
			c.proven()
		case <-c.asking():
			c.askAgain()
		case <-c.settling():
			c.cloud.settled = true
		case <-renewal.C:
			if c.cloud != nil {
				c.renewNonce()
			}
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
		case <-c.s.renew:
			return errRenewed
		case <-c.s.cfg.Changed:
			c.wantFull(true)
		case <-beat.C:
			c.beat()
		case <-check.C: // also wakes a lane that rests after an error of the spool
			if err := c.s.distrusted(c.link); err != nil {
				return err
			}
			now := time.Now()
			if c.stuck(now) {
				return errAckStall
			}
			c.doubt(now)
		}
	}
}

// stuck reports whether what is in flight makes no progress.
func (c *conversation) stuck(now time.Time) bool {
	for _, q := range c.lanes {
		// Acknowledgements come in the order of what they are for (MQTT 3.1.1, 4.6): one that was passed over will not come.
		if len(q.flying) > 0 && q.flying[0].mark.sent.Before(c.newest) && now.Sub(q.flying[0].mark.sent) > ackStall {
			return true
		}
	}
	flying := c.window.records + len(c.state.flying)
	return flying > 0 && now.Sub(c.lastAck) > ackStall && now.Sub(c.link.lastProgress()) > ackStall
}

// sayGoodbye publishes the offline state, since a clean DISCONNECT makes the broker forget the will. It reports whether the
// broker has it; records that are acknowledged meanwhile count.
func (c *conversation) sayGoodbye(until time.Time) bool {
	offline, err := c.encodeState(false, nil)
	if err != nil {
		c.s.log.Error("offline state not published", "err", err)
		return false
	}
	deadline := time.NewTimer(time.Until(until))
	defer deadline.Stop()
	var done, marked <-chan struct{}
	if c.cloud != nil {
		marked = c.cloud.marks.wake
	}
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
		case <-marked:
			c.acknowledged(context.Background())
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
