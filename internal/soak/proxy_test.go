package soak

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"upsedge/internal/wire"
)

// A place says where in a packet a cut falls.
type place int

const (
	before place = iota
	middle
	behind
)

// A manner says what a cut does to the connection.
type manner int

const (
	hangUp manner = iota // both ends are told, in order
	reset                // both ends are told with a reset
	swallow
	deafen
	dripping
	late
	twice // a PUBLISH comes a second time, as the protocol allows
	manners
)

var (
	placeNames  = [...]string{"before", "middle", "behind"}
	mannerNames = [manners]string{"hang-up", "reset", "blackhole", "half-open", "drip", "delay", "twice"}
)

// A cut is what happens at the n-th packet of a step from when it is armed.
type cut struct {
	at    step
	place place
	how   manner
	n     int
	long  time.Duration // of a blackhole, a half-open connection, a delay
}

func (c cut) String() string {
	return fmt.Sprintf("%s at the %d. %v, %s", mannerNames[c.how], c.n, c.at, placeNames[c.place])
}

// A proxy stands between a client and the broker and does to their connections what it is told.
type proxy struct {
	name, addr, broker string
	opaque             bool // the stream is encrypted: it is cut by bytes
	tally              *tally

	mu      sync.Mutex
	armed   *cut
	left    int    // packets of that step until it falls
	budget  [2]int // opaque: bytes until the next cut, by direction; 0: none
	live    map[*wired]bool
	closing bool
	away    bool              // nobody gets through
	acked   func(wire.Record) // told of each record whose PUBACK goes to the agent; nil: nobody asks
	wg      sync.WaitGroup
}

// A tally counts what proxies did, over many worlds.
type tally struct {
	mu     sync.Mutex
	done   map[string]map[string]int // cuts that fell, by proxy and step
	passed map[string]int            // packets
}

func newTally() *tally { return &tally{done: map[string]map[string]int{}, passed: map[string]int{}} }

// fell counts a cut.
func (y *tally) fell(proxy string, c cut) {
	y.mu.Lock()
	defer y.mu.Unlock()
	key := proxy + " " + c.at.String()
	if y.done[key] == nil {
		y.done[key] = map[string]int{}
	}
	y.done[key][placeNames[c.place]]++
	y.done[key][mannerNames[c.how]]++
}

func (y *tally) pass(proxy string, s step) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.passed[proxy+" "+s.String()]++
}

// count returns how many cuts fell in a place of a step.
func (y *tally) count(proxy string, s step, p place) int {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.done[proxy+" "+s.String()][placeNames[p]]
}

// String is a table of the cuts by step, with the packets.
func (y *tally) String() string {
	y.mu.Lock()
	defer y.mu.Unlock()
	var b strings.Builder
	words := slices.Concat(placeNames[:], mannerNames[:])
	fmt.Fprintf(&b, "%-34s %8s", "cuts by step", "packets")
	for _, w := range words {
		fmt.Fprintf(&b, " %9s", w)
	}
	b.WriteByte('\n')
	for _, s := range slices.Sorted(maps.Keys(y.passed)) {
		fmt.Fprintf(&b, "%-34s %8d", s, y.passed[s])
		for _, w := range words {
			fmt.Fprintf(&b, " %9d", y.done[s][w])
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// wired is one connection through the proxy.
type wired struct {
	client, broker net.Conn
	mu             sync.Mutex
	dark           bool // nothing goes through any more
	slow           [2]bool
	sent           map[uint16]wire.Record // by packet id, where somebody asks; guarded by mu
}

func newProxy(t testing.TB, name, broker string, count *tally) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{
		name: name, addr: l.Addr().String(), broker: broker, live: map[*wired]bool{}, tally: count,
	}
	p.wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.serve(conn) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		p.mu.Lock()
		p.closing = true
		p.mu.Unlock()
		p.hangUpAll()
		p.wg.Wait()
	})
	return p
}

// arm sets what happens next, in place of what was set and did not happen.
func (p *proxy) arm(c cut) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.armed, p.left = &c, c.n
}

func (p *proxy) isArmed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.armed != nil
}

// disarm lets everything pass from now on.
func (p *proxy) disarm() {
	p.mu.Lock()
	p.armed, p.budget = nil, [2]int{}
	p.mu.Unlock()
	p.lift()
}

// lift ends connections that are dark, and the dripping of others.
func (p *proxy) lift() {
	p.mu.Lock()
	var dark []*wired
	for w := range p.live {
		w.mu.Lock()
		if w.dark {
			dark = append(dark, w)
		}
		w.slow = [2]bool{}
		w.mu.Unlock()
	}
	p.mu.Unlock()
	for _, w := range dark {
		w.close(true)
	}
}

// leave ends every connection and lets nobody through, or lets them through again.
func (p *proxy) leave(away bool) {
	p.mu.Lock()
	p.away = away
	p.mu.Unlock()
	if away {
		p.hangUpAll()
	}
}

// hangUpAll ends every connection.
func (p *proxy) hangUpAll() {
	p.mu.Lock()
	all := slices.Collect(maps.Keys(p.live))
	p.mu.Unlock()
	for _, w := range all {
		w.close(false)
	}
}

func (w *wired) close(hard bool) {
	for _, c := range []net.Conn{w.client, w.broker} {
		if t, ok := c.(*net.TCPConn); ok && hard {
			_ = t.SetLinger(0)
		}
		_ = c.Close()
	}
}

func (p *proxy) serve(client net.Conn) {
	broker, err := net.Dial("tcp", p.broker)
	if err != nil {
		_ = client.Close()
		return
	}
	w := &wired{client: client, broker: broker, sent: map[uint16]wire.Record{}}
	defer w.close(false)
	p.mu.Lock()
	if p.closing || p.away {
		p.mu.Unlock()
		return
	}
	p.live[w] = true
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.live, w)
		p.mu.Unlock()
	}()
	var pumps sync.WaitGroup
	for _, d := range []direction{up, down} {
		pumps.Go(func() {
			p.pump(w, d)
			if !w.isDark() { // one direction ended: so does the other
				w.close(false)
			}
		})
	}
	pumps.Wait()
}

func (w *wired) isDark() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dark
}

func (w *wired) ends(d direction) (from, to net.Conn) {
	if d == up {
		return w.client, w.broker
	}
	return w.broker, w.client
}

// pump carries one direction until the connection ends.
func (p *proxy) pump(w *wired, d direction) {
	from, to := w.ends(d)
	r := bufio.NewReader(from)
	for {
		raw, kind, err := p.next(r)
		if err != nil {
			return
		}
		s := step{d, kind}
		c := p.consult(s, len(raw))
		switch {
		case w.isDark():
			continue
		case c == nil:
			p.follow(w, kind, raw)
			err = w.send(to, d, raw)
		default:
			err = p.fall(w, to, *c, raw)
		}
		if err != nil {
			return
		}
	}
}

// follow notes which records the broker acknowledges.
func (p *proxy) follow(w *wired, kind string, raw []byte) {
	p.mu.Lock()
	tell := p.acked
	p.mu.Unlock()
	if tell == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if kind == "PUBACK" {
		id := binary.BigEndian.Uint16(raw[2:])
		if r, ok := w.sent[id]; ok {
			tell(r)
			delete(w.sent, id)
		}
	} else if leaf, ok := strings.CutPrefix(kind, "PUBLISH "); ok {
		id, payload := body(raw)
		if r, ok, _ := decode(wire.Leaf(leaf), payload); ok {
			w.sent[id] = r
		}
	}
}

// next returns a packet, or of an encrypted stream whatever is there.
func (p *proxy) next(r *bufio.Reader) (raw []byte, kind string, err error) {
	if !p.opaque {
		return readPacket(r)
	}
	b := make([]byte, 4096)
	n, err := r.Read(b)
	return b[:n], "bytes", err
}

// consult counts a packet and returns the cut that falls on it, if one does.
func (p *proxy) consult(s step, size int) *cut {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tally.pass(p.name, s)
	if b := &p.budget[s.dir]; *b > 0 {
		if *b -= size; *b > 0 {
			return nil
		}
		*b = 0
		c := cut{at: s, place: middle, how: manner(rand.IntN(2))}
		p.tally.fell(p.name, c)
		return &c
	}
	if p.armed == nil || p.armed.at != s {
		return nil
	}
	if p.left--; p.left > 0 {
		return nil
	}
	c := p.armed
	p.armed = nil
	p.tally.fell(p.name, *c)
	return c
}

var errCut = errors.New("cut")

// fall lets a cut happen at the packet raw.
func (p *proxy) fall(w *wired, to net.Conn, c cut, raw []byte) error {
	switch c.how {
	case late:
		time.Sleep(c.long)
		return w.send(to, c.at.dir, raw)
	case dripping:
		w.mu.Lock()
		w.slow[c.at.dir] = true
		w.mu.Unlock()
		return w.send(to, c.at.dir, raw)
	case twice:
		if err := w.send(to, c.at.dir, raw); err != nil {
			return err
		}
		again := slices.Clone(raw)
		again[0] |= 0x08 // DUP
		return w.send(to, c.at.dir, again)
	}
	n := [...]int{0, len(raw) / 2, len(raw)}[c.place]
	if err := w.send(to, c.at.dir, raw[:n]); err != nil {
		return err
	}
	switch c.how {
	case hangUp:
		w.close(false)
		return errCut
	case reset:
		w.close(true)
		return errCut
	case deafen: // one end is told, the other is not
		if c.at.dir == up {
			_ = w.client.Close()
		} else {
			_ = w.broker.Close()
		}
	}
	w.mu.Lock()
	w.dark = true
	w.mu.Unlock()
	time.AfterFunc(c.long, func() { w.close(true) })
	return nil // what still comes is read and goes nowhere
}

// send writes raw, a few bytes at a time where the connection drips.
func (w *wired) send(to net.Conn, d direction, raw []byte) error {
	for len(raw) > 0 {
		w.mu.Lock()
		n := len(raw)
		if w.slow[d] {
			n = min(n, 1+rand.IntN(40))
		}
		w.mu.Unlock()
		if _, err := to.Write(raw[:n]); err != nil {
			return err
		}
		if raw = raw[n:]; len(raw) > 0 {
			time.Sleep(time.Millisecond)
		}
	}
	return nil
}
