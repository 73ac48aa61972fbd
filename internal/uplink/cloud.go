package uplink

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"upsedge/internal/wire"
)

// A Cloud is what an enrolled agent's Session needs beyond the broker. With it records are freed by the topic acks alone, the
// topics acks and orders are subscribed to, and the full state waits for a statement (design, sections 5 to 7).
type Cloud struct {
	Stream wire.ID                     // of the spool; what is said of another stream frees nothing
	Last   func(lane wire.Lane) uint64 // the highest number the spool has given in lane, from memory; for several goroutines
	// Order judges a message of the topic orders, one at a time, on a goroutine of its own, and returns soon after ctx ends.
	// statement says that it was a statement, verified and bound to a nonce that this session announced: the full state
	// follows. An error is a refusal: it is logged, and the session goes on.
	Order func(ctx context.Context, o Order) (statement bool, err error)
	// Again is asked behind each statement: whether another one is wanted soon, because this one was too long on the way for the time in
	// it. nil: never.
	Again func() bool
}

// An Order is a message of the topic orders as it came. Nothing about it has been judged but its size and that it was not
// retained.
type Order struct {
	JWS     []byte
	Came    time.Time // with the monotonic clock
	Session uint64    // that it came on
	// Announced returns when a nonce was announced on this session, before it left, with the monotonic clock. ok is false for
	// every nonce but the last two: they are renewed, and an order may cross the renewal.
	Announced func(nonce wire.ID) (at time.Time, ok bool)
}

const (
	// MaxOrder is the size of the largest message on orders that is looked at: a statement with its key list and the entries
	// of a thousand units takes a third of it.
	MaxOrder = 1 << 20
	// waitingOrders and waitingBytes bound what waits for Order: a command each for the units of a site, or a few statements. What comes
	// beyond is dropped and counted: who asks waits for an answer, not for the broker's word.
	waitingOrders = 256
	waitingBytes  = 4 * MaxOrder
	subackTimeout = 15 * time.Second
)

var (
	errNoSuback = errors.New("the broker did not answer SUBSCRIBE")
	// errRefusedSubscription is of a broker that answered SUBSCRIBE with a failure, which the library takes for success.
	errRefusedSubscription = errors.New("the broker refuses our subscription to acks and orders")
)

// cloudTopics are what an enrolled agent subscribes to.
var cloudTopics = [...]wire.Leaf{wire.TopicAcks, wire.TopicOrders}

// A cloudSide is what one conversation keeps of the cloud.
type cloudSide struct {
	marks   *marks
	nonces  nonces
	orders  chan Order
	waiting atomic.Int64  // bytes in orders
	proved  chan struct{} // gets a value with each verified statement
	wanted  func() bool   // Cloud.Again
	drops   dropped

	missed  bool             // none came for a minute, and the log says so
	told    bool             // a statement was verified on this session
	settled bool             // samples may go: the cloud has said its mark, or was given the time to
	settle  <-chan time.Time // ends that time

	again <-chan time.Time // another statement is asked for then; nil: there is no need
	asked int              // how often one was, on this session
}

// A statement that is wanted again is asked for leastAgain after the last one, twice that after the next one, and so on, up to mostAgain,
// and at most mostAsked times. Where none comes it is asked for once more after mostAgain. An order that was signed for the nonce before
// is no victim of it: it was sent before the statement for this one, and comes before it.
const (
	leastAgain = 5 * time.Second
	mostAgain  = time.Minute
	mostAsked  = 8
)

// proven takes note of a statement.
func (c *conversation) proven() {
	c.cloud.told = true
	c.wantFull(true)
	if c.cloud.again = nil; c.cloud.wants() {
		c.cloud.again = time.After(min(leastAgain<<c.cloud.asked, mostAgain))
	}
}

// asking returns what ends the wait for askAgain, nil where there is none.
func (c *conversation) asking() <-chan time.Time {
	if c.cloud == nil {
		return nil
	}
	return c.cloud.again
}

// askAgain asks for another statement, if it is still wanted.
func (c *conversation) askAgain() {
	if c.cloud.again = nil; c.cloud.wants() {
		c.cloud.asked++
		c.renewNonce()
		c.cloud.again = time.After(mostAgain)
	}
}

func (c *cloudSide) wants() bool { return c.asked < mostAsked && c.wanted != nil && c.wanted() }

func newCloudSide(s *Session) *cloudSide {
	return &cloudSide{
		marks:  newMarks(s.cfg.Cloud, &s.given, s.log),
		orders: make(chan Order, waitingOrders), proved: make(chan struct{}, 1),
		drops: dropped{log: s.log}, wanted: s.cfg.Cloud.Again,
	}
}

// received is called by the library for each message that comes in, in its order. It must not block: nothing of the session
// moves meanwhile.
func (c *conversation) received(_ mqtt.Client, m mqtt.Message) {
	agent, leaf, err := wire.SplitTopic(m.Topic())
	switch {
	case err != nil || agent != c.s.cfg.AgentID:
		c.cloud.drops.note("a message of a topic we did not subscribe to")
	case leaf == wire.TopicAcks:
		c.cloud.marks.take(m.Payload(), m.Retained())
	case leaf != wire.TopicOrders:
		c.cloud.drops.note("a message of a topic we did not subscribe to")
	case m.Retained():
		c.cloud.drops.note("a retained order")
	case len(m.Payload()) > MaxOrder:
		c.cloud.drops.note("an order too large")
	case c.cloud.waiting.Add(int64(len(m.Payload()))) > waitingBytes:
		c.cloud.waiting.Add(-int64(len(m.Payload())))
		c.cloud.drops.note("an order: they come faster than they can be judged")
	default:
		select {
		case c.cloud.orders <- Order{JWS: m.Payload(), Came: time.Now(), Session: c.id.Session, Announced: c.cloud.nonces.announced}:
		default:
			c.cloud.waiting.Add(-int64(len(m.Payload())))
			c.cloud.drops.note("an order: they come faster than they can be judged")
		}
	}
}

// judge hands the orders on until ctx ends.
func (c *conversation) judge(ctx context.Context) {
	refused := refusals{s: c.s}
	defer refused.total()
	for {
		var o Order
		select {
		case <-ctx.Done():
			return
		case o = <-c.cloud.orders:
			c.cloud.waiting.Add(-int64(len(o.JWS)))
		}
		statement, err := c.s.cfg.Cloud.Order(ctx, o)
		if err != nil && ctx.Err() == nil {
			refused.note(err)
		}
		if err == nil && statement {
			select {
			case c.cloud.proved <- struct{}{}:
			default:
			}
		}
	}
}

// A few refusals of orders are told, then one in refusalEvery: whoever may publish on orders also chooses what is wrong with them.
const (
	refusalBurst = 4
	refusalEvery = time.Minute
)

// refusals tells of the orders of one session that were refused, a flood of one kind in one line.
type refusals struct {
	s      *Session
	last   string // what was refused for last
	untold int
}

func (r *refusals) note(err error) {
	if err.Error() == r.last || !r.s.refusals.Allow() {
		r.untold++
		return
	}
	r.last = err.Error()
	if r.untold == 0 {
		r.s.log.Warn("order refused", "err", err)
	} else {
		r.s.log.Warn("order refused", "err", err, "untold", r.untold)
	}
	r.untold = 0
}

func (r *refusals) total() {
	if r.untold > 0 {
		r.s.log.Warn("more orders were refused", "times", r.untold)
	}
}

// subscribe asks for the topics of the cloud and checks what the broker answers for each.
func (c *conversation) subscribe(ctx context.Context) error {
	filters := map[string]byte{}
	for _, leaf := range cloudTopics {
		filters[wire.Topic(c.s.cfg.AgentID, leaf)] = wire.QoS
	}
	token := c.client.SubscribeMultiple(filters, nil)
	timeout := time.NewTimer(subackTimeout)
	defer timeout.Stop()
	select {
	case <-token.Done():
	case err := <-c.lost:
		return err
	case <-timeout.C:
		return errNoSuback
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := token.Error(); err != nil {
		return c.reason(err)
	}
	granted := token.(*mqtt.SubscribeToken).Result()
	for topic := range filters {
		if code, ok := granted[topic]; !ok || code > wire.QoS { // 0x80 is a failure (MQTT 3.1.1, 3.9.3)
			return fmt.Errorf("%w: code 0x%02x for %s", errRefusedSubscription, code, topic)
		}
	}
	return nil
}

// nonces are the last two that a session announced.
type nonces struct {
	mu   sync.Mutex
	ids  [2]wire.ID // the newest first; zero: none
	when [2]time.Time
}

func (n *nonces) announce(id wire.ID, at time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ids, n.when = [2]wire.ID{id, n.ids[0]}, [2]time.Time{at, n.when[0]}
}

func (n *nonces) announced(id wire.ID) (at time.Time, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i, known := range n.ids {
		if id == known && id != (wire.ID{}) {
			return n.when[i], true
		}
	}
	return time.Time{}, false
}
