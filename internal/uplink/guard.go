package uplink

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
	"golang.org/x/time/rate"
)

const (
	// maxInbound is the longest PUBLISH that is read: an order, its topic and what stands before them.
	maxInbound = MaxOrder + 256
	// packetWithin is how long one packet may take from its first byte to its last: the longest at 420 kbit/s. Later the
	// library would miss the answer to its ping, which cannot come in the middle of a packet.
	packetWithin = 20 * time.Second
	// A broker may send floodBurst messages at once and floodRate a second beyond two for each record it got; a cloud
	// acknowledges several records with one. 10,000 a second end the session within a second (T-15).
	floodBurst = 4096
	floodRate  = 50
)

// The types of packets (MQTT 3.1.1, 2.2.1).
const (
	typeConnack   = 2
	typePublish   = 3
	typePuback    = 4
	typeSubscribe = 8
	typeSuback    = 9
	typePing      = 12
	typePong      = 13
)

// A PeerError is a broker that sends what no broker may, or more of it than anybody needs. The session ends.
type PeerError struct{ What string }

func (e *PeerError) Error() string { return "the broker " + e.What }

var errSlowPacket = &PeerError{fmt.Sprintf("takes more than %v for one packet", packetWithin)}

// A guard judges each packet of the broker by its first bytes, before the library sees them: it would read a packet of
// 256 MB into memory, wait for ever for the rest of one, keep every message of quality of service 2, and panic over a SUBACK
// with more answers than questions (T-30). One goroutine reads.
type guard struct {
	conn   net.Conn
	buf    *bufio.Reader
	listen bool // messages may come: there are subscriptions

	err    error     // what ended it
	outer  time.Time // the library's own deadline; zero: none
	began  bool      // CONNACK has come
	state  headerState
	kind   byte // of the packet that is being read
	length int  // as far as it is known
	shift  int
	body   int // bytes of it that are still to come

	flood *rate.Limiter
	// What may come in answer to what went out. Counted up before it goes.
	pubacks, subacks, pongs, credit atomic.Int64
}

type headerState uint8

const (
	atType headerState = iota
	atLength
	inBody
)

func newGuard(conn net.Conn) *guard {
	return &guard{conn: conn, buf: bufio.NewReaderSize(conn, 4<<10), flood: rate.NewLimiter(floodRate, floodBurst)}
}

// wrote notes a packet that goes out, by its first byte.
func (g *guard) wrote(first byte) {
	switch first >> 4 {
	case typePublish:
		g.pubacks.Add(1)
		if g.credit.Load() < floodBurst {
			g.credit.Add(2)
		}
	case typeSubscribe:
		g.subacks.Add(1)
	case typePing:
		g.pongs.Add(1)
	}
}

// setDeadline takes the library's deadline for reads.
func (g *guard) setDeadline(t time.Time) error {
	g.outer = t
	return g.conn.SetReadDeadline(t)
}

// Read reads what is left of one packet at most. With an error come no bytes, since io.ReadFull drops an
// error that comes with the last of them, and the same error ever after.
func (g *guard) Read(p []byte) (int, error) {
	if g.err != nil || len(p) == 0 {
		return 0, g.err
	}
	n, err := g.read(p)
	if err == nil {
		return n, nil
	}
	if errors.Is(err, os.ErrDeadlineExceeded) && g.state != atType && g.began {
		err = errSlowPacket
	}
	g.err = err
	return 0, err
}

func (g *guard) read(p []byte) (n int, err error) {
	if g.state != inBody {
		if p[0], err = g.buf.ReadByte(); err != nil {
			return 0, err
		}
		return 1, g.header(p[0])
	}
	if n, err = g.buf.Read(p[:min(len(p), g.body)]); err != nil {
		return 0, err
	}
	if g.body -= n; g.body > 0 {
		return n, nil
	}
	if code := p[n-1]; g.kind>>4 == typeConnack && code > packets.ErrRefusedNotAuthorised { // the library takes it for success
		return 0, &PeerError{fmt.Sprintf("answers CONNECT with the code %d", code)}
	}
	return n, g.endPacket()
}

// header takes the next byte of a fixed header (MQTT 3.1.1, 2.2).
func (g *guard) header(b byte) error {
	if g.state == atType {
		g.kind, g.length, g.shift, g.state = b, 0, 0, atLength
		if within := time.Now().Add(packetWithin); g.outer.IsZero() || within.Before(g.outer) {
			return g.conn.SetReadDeadline(within)
		}
		return nil
	}
	g.length |= int(b&0x7f) << g.shift
	g.shift += 7
	switch {
	case b&0x80 == 0:
		return g.admit()
	case g.shift >= 4*7:
		return &PeerError{"sends a packet whose length has no end"}
	}
	return nil
}

// admit judges the packet whose header is complete.
func (g *guard) admit() error {
	if err := g.judge(g.kind>>4, g.length); err != nil {
		return err
	}
	if g.body = g.length; g.body == 0 {
		return g.endPacket()
	}
	g.state = inBody
	return nil
}

func (g *guard) judge(kind byte, length int) error {
	want, max := -1, 0 // bytes; -1: it must not come
	switch {
	case kind == typeConnack && !g.began:
		want, max, g.began = 2, 2, true
	case !g.began:
	case kind == typePuback && g.pubacks.Add(-1) >= 0:
		want, max = 2, 2
	case kind == typeSuback && g.subacks.Add(-1) >= 0:
		want, max = 2+len(cloudTopics), 2+len(cloudTopics)
	case kind == typePong && g.pongs.Add(-1) >= 0:
		want, max = 0, 0
	case kind == typePublish && g.listen && g.kind&0x06 <= 0x02: // quality of service 0 or 1
		want, max = 2, maxInbound
		if g.credit.Add(-1) < 0 {
			g.credit.Store(0)
			if !g.flood.Allow() {
				return &PeerError{"floods us with messages"}
			}
		}
	}
	switch {
	case want < 0:
		return &PeerError{fmt.Sprintf("sends a packet of type %d that nothing asked for", kind)}
	case length < want || length > max:
		return &PeerError{fmt.Sprintf("sends a packet of type %d with %d bytes, want %d to %d", kind, length, want, max)}
	}
	return nil
}

// endPacket lets the next one take its time to begin.
func (g *guard) endPacket() error {
	g.state = atType
	return g.conn.SetReadDeadline(g.outer)
}
