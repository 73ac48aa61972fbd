package front

import (
	"time"

	"golang.org/x/time/rate"

	"upsedge/internal/wire"
)

// The types of packets that an agent sends (MQTT 3.1.1, 2.2.1).
const (
	typeConnect     = 1
	typePublish     = 3
	typePuback      = 4
	typeSubscribe   = 8
	typeUnsubscribe = 10
	typePing        = 12
	typeDisconnect  = 14
)

const (
	// maxPublish is the longest PUBLISH behind its fixed header: the longest message, its topic and its packet id.
	maxPublish = 2 + len(wire.Prefix) + wire.MaxAgent + len("/samples") + 2 + wire.MaxMessage
	// maxConnect is the longest CONNECT: identifiers, and a will of some hundred bytes. maxAsk bounds what asks for topics.
	maxConnect = 4 << 10
	maxAsk     = 1 << 10
	// leastRate is how many bytes of a long packet are to come in a second.
	leastRate = 16 << 10
	// Of packets that carry nothing, askBurst may come at once and askRate a second. An agent sends one in 20 s.
	askRate  = 2
	askBurst = 64
)

// A guard judges each packet of an agent by its first bytes, before the library sees them: the library makes room for whatever
// length is announced, twice, and acknowledges kinds that this front has no use for (T-30). It is fed what was read.
type guard struct {
	state  headerState
	kind   byte // of the packet that is being read
	length int  // as far as it is known
	shift  int
	body   int       // bytes of it that are still to come
	by     time.Time // when it must be complete; zero: no packet has begun, or all of it was read at once
	began  bool      // CONNECT has come
	left   bool      // DISCONNECT has come
	asked  *rate.Limiter
	large  func(length int) error // makes room for a large packet
	within time.Duration          // for a packet, from its first byte to its last, but for its length
}

func newGuard(within time.Duration, large func(int) error) *guard {
	return &guard{within: within, large: large, asked: rate.NewLimiter(askRate, askBurst)}
}

type headerState uint8

const (
	atType headerState = iota
	atLength
	inBody
)

// largePacket is the length from which room is asked for before a packet is read.
const largePacket = 64 << 10

// feed takes what was read at the instant now.
func (g *guard) feed(p []byte, now time.Time) error {
	whole := 0 // packets that ended in p
	for len(p) > 0 {
		if g.state == inBody {
			n := min(len(p), g.body)
			p = p[n:]
			if g.body -= n; g.body == 0 {
				g.state = atType
				whole++
			}
			continue
		}
		ends, err := g.header(p[0], now)
		if err != nil {
			return err
		}
		p = p[1:]
		if ends {
			whole++
		}
	}
	switch {
	case g.state == atType:
		g.by = time.Time{}
	case whole > 0 || g.by.IsZero():
		g.by = now.Add(g.within + time.Duration(g.length/leastRate)*time.Second)
	}
	return nil
}

// header takes the next byte of a fixed header (MQTT 3.1.1, 2.2). It reports whether the packet ends with it.
func (g *guard) header(b byte, now time.Time) (ends bool, err error) {
	if g.state == atType {
		g.kind, g.length, g.shift, g.state = b, 0, 0, atLength
		return false, nil
	}
	g.length |= int(b&0x7f) << g.shift
	g.shift += 7
	switch {
	case b&0x80 != 0 && g.shift >= 4*7:
		return false, ended(BadPacket, "a packet whose length has no end")
	case b&0x80 != 0:
		return false, nil
	}
	if err := g.judge(now); err != nil {
		return false, err
	}
	g.body, g.state = g.length, inBody
	if g.body == 0 {
		g.state = atType
	}
	return g.body == 0, nil
}

// judge admits the packet whose header is complete. Its flags are the library's to check, but for those that say the quality of
// service.
func (g *guard) judge(now time.Time) error {
	kind := g.kind >> 4
	if !g.began && kind != typeConnect || g.began && kind == typeConnect || g.left {
		return ended(BadPacket, "a packet of type %d that must not come now", kind)
	}
	least, most := 2, maxAsk
	switch kind {
	case typeConnect:
		g.began = true
		most = maxConnect
	case typePublish:
		if qos := g.kind >> 1 & 3; qos != wire.QoS {
			return ended(BadPacket, "a message of quality of service %d, want %d", qos, wire.QoS)
		}
		least, most = 5, maxPublish
	case typePuback:
		most = 2
	case typeSubscribe, typeUnsubscribe:
	case typePing, typeDisconnect:
		least, most = 0, 0
		g.left = kind == typeDisconnect
	default:
		return ended(BadPacket, "a packet of type %d", kind)
	}
	switch {
	case g.length > most:
		return ended(TooLarge, "a packet of type %d with %d bytes, want at most %d", kind, g.length, most)
	case g.length < least:
		return ended(BadPacket, "a packet of type %d with %d bytes, want %d", kind, g.length, least)
	case kind != typePublish && kind != typePuback && !g.asked.AllowN(now, 1):
		return ended(BadPacket, "more than %d packets that carry nothing, and %d a second", askBurst, askRate)
	case g.length >= largePacket:
		return g.large(g.length)
	}
	return nil
}
