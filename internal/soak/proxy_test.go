package soak

import (
	"bufio"
	"encoding/binary"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"upsedge/internal/wire"
)

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
