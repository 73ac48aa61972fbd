package uplink

import (
	"fmt"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"upsedge/internal/wire"
)

// A stateQueue is what the topic state is to get.
type stateQueue struct {
	first    bool // the first form is wanted: a session or a nonce begins
	full     bool // the full state is wanted
	retained bool // and the broker shall keep it
	flying   []stateFlight
}

type stateFlight struct {
	token mqtt.Token
	sent  time.Time
	alone bool // nothing else was in flight: its round trip is the empty link's
}

// want asks for the full state. What a heartbeat says is not retained, unless a change waits to be told.
func (q *stateQueue) want(retained bool) {
	q.full, q.retained = true, q.retained || retained
}

func (q *stateQueue) head() <-chan struct{} {
	if len(q.flying) == 0 {
		return nil
	}
	return q.flying[0].token.Done()
}

// maxStates in flight: the first and the full state of a session's beginning. What changes meanwhile is told in one message.
const maxStates = 2

// sendFirst publishes the first message of the session, or of a renewed nonce, and reports whether it did.
func (c *conversation) sendFirst(now time.Time) (bool, error) {
	if !c.state.first {
		return false, nil
	}
	payload, err := c.encodeState(true, nil)
	if err != nil {
		return false, err
	}
	if c.cloud != nil {
		c.cloud.nonces.announce(c.id.Nonce, now)
	}
	c.sendState(payload, true, now)
	c.state.first = false
	return true, nil
}

// sendFull publishes the full state if it is wanted, and reports whether it did.
func (c *conversation) sendFull(now time.Time) (bool, error) {
	if !c.state.full || len(c.state.flying) >= maxStates {
		return false, nil
	}
	payload, err := c.encodeState(true, c.s.cfg.Full())
	if err != nil {
		return false, err
	}
	c.sendState(payload, c.state.retained, now)
	c.state.full, c.state.retained = false, false
	return true, nil
}

func (c *conversation) sendState(payload []byte, retained bool, now time.Time) {
	c.noteSend(now)
	alone := c.window.records == 0 && len(c.state.flying) == 0
	token := c.publish(wire.Topic(c.s.cfg.AgentID, wire.TopicState), retained, payload)
	c.state.flying = append(c.state.flying, stateFlight{token: token, sent: now, alone: alone})
}

func (c *conversation) stateDelivered() error {
	f := c.state.flying[0]
	if err := f.token.Error(); err != nil {
		return err
	}
	c.state.flying = c.state.flying[1:]
	c.lastAck = time.Now()
	if f.alone {
		c.window.measuredBase(c.lastAck.Sub(f.sent))
	}
	return nil
}

// encodeState returns one of the forms of this session's state: without full the first, and with online false the will.
func (c *conversation) encodeState(online bool, full *wire.FullState) ([]byte, error) {
	st := c.id
	st.Online, st.Full = online, full
	b, err := wire.EncodeState(&st)
	if err != nil {
		return nil, fmt.Errorf("encode the state: %w", err)
	}
	return b, nil
}
