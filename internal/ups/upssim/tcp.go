package upssim

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// TCPOptions say how a Modbus TCP port behaves. Section 2.3.
type TCPOptions struct {
	Turnaround time.Duration // from request to reply; real ports take up to 700 ms
	AnyUnitID  bool          // answer whatever the unit identifier is, if there is one unit only. Whether units check it is not known
	MaxClients int           // further connections are closed at once; 0 means no limit
	OneRequest bool          // close after each reply and refuse for RefuseFor, as an SMT750IC with UPS 18.0 does
	RefuseFor  time.Duration // 0 means 2 s
	Stats      *Stats        // nil means count for nobody
}

// A port is a listening unit's own TCP port.
type port struct {
	o     TCPOptions
	units map[uint8]*Unit

	mu      sync.Mutex
	conns   map[net.Conn]bool
	refused time.Time // until here
}

// refuses reports whether a fault keeps everybody away.
func (p *port) refuses() bool {
	for _, u := range p.units {
		if u.faults.Lasts(Pull) {
			return true
		}
	}
	return false
}

// ServeTCP answers requests on ln until ctx ends, then closes ln and every connection and returns nil. Each listener may
// have units of its own, and many may be served at once.
func ServeTCP(ctx context.Context, ln net.Listener, units map[uint8]*Unit, o TCPOptions) error {
	if o.Stats == nil {
		o.Stats = new(Stats)
	}
	if o.RefuseFor == 0 {
		o.RefuseFor = 2 * time.Second
	}
	p := &port{o: o, units: units, conns: map[net.Conn]bool{}}
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(ctx, func() { ln.Close(); p.closeAll() })
	defer stop()
	var served sync.WaitGroup
	defer served.Wait()
	defer cancel()
	for {
		conn, err := ln.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			return fmt.Errorf("accept on %s: %w", ln.Addr(), err)
		}
		if !p.admit(conn) {
			reset(conn)
			continue
		}
		served.Go(func() {
			defer p.forget(conn)
			p.serve(ctx, conn)
		})
		if ctx.Err() != nil {
			p.closeAll()
		}
	}
}

func (p *port) admit(conn net.Conn) bool {
	away := p.refuses()
	p.mu.Lock()
	defer p.mu.Unlock()
	if away || time.Now().Before(p.refused) || p.o.MaxClients > 0 && len(p.conns) >= p.o.MaxClients {
		return false
	}
	p.conns[conn] = true
	return true
}

func (p *port) forget(conn net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, conn)
	conn.Close()
	if p.o.OneRequest {
		p.refused = time.Now().Add(p.o.RefuseFor)
	}
}

// refuse keeps everybody away for RefuseFor.
func (p *port) refuse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refused = time.Now().Add(p.o.RefuseFor)
}

func (p *port) closeAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
	}
}

// reset closes a connection as a port does that does not want it.
func reset(conn net.Conn) {
	if t, ok := conn.(*net.TCPConn); ok {
		_ = t.SetLinger(0) // a plain close is as good
	}
	conn.Close()
}

// A session is one connection.
type session struct {
	*port
	conn net.Conn
	said conversation
}

func (p *port) serve(ctx context.Context, conn net.Conn) {
	s := &session{port: p, conn: conn, said: conversation{units: p.units}}
	buf := make([]byte, 7+maxFrame)
	for {
		adu, err := readADU(conn, buf)
		if err != nil {
			return
		}
		p.o.Stats.requests.Add(1)
		p.o.Stats.received.Add(uint64(len(adu)))
		if !s.exchange(ctx, adu) || p.o.OneRequest {
			return
		}
	}
}

// readADU reads one MBAP header and what it announces: transaction, protocol 0, length, unit, function and data.
func readADU(r io.Reader, buf []byte) ([]byte, error) {
	if _, err := io.ReadFull(r, buf[:7]); err != nil {
		return nil, err
	}
	length := int(binary.BigEndian.Uint16(buf[4:]))
	if binary.BigEndian.Uint16(buf[2:]) != 0 || length < 2 || length > maxFrame-2 {
		return nil, fmt.Errorf("no Modbus TCP header: % x", buf[:7])
	}
	if _, err := io.ReadFull(r, buf[7:6+length]); err != nil {
		return nil, err
	}
	return buf[:6+length], nil
}

// exchange answers one request. It reports whether the connection goes on.
func (s *session) exchange(ctx context.Context, adu []byte) bool {
	u := s.unit(adu[6])
	if u == nil {
		s.o.Stats.foreign.Add(1)
		return true
	}
	v := u.faults.next(adu[7])
	if v.hit[Pull] || v.hit[Master] {
		s.o.Stats.silent.Add(1)
		reset(s.conn)
		return false
	}
	if wait(ctx, s.o.Turnaround+v.late) != nil {
		return false
	}
	if (v.hit[Echo] || v.hit[EchoOnly]) && !s.send(ctx, []piece{{0, adu}}, 0) {
		return false
	}
	a, ok := s.said.answer(u, &v, [2]byte(adu), adu[6], adu[7:])
	if !ok || v.hit[EchoOnly] {
		s.o.Stats.silent.Add(1)
		return true
	}
	s.o.Stats.replied(a.pdu)
	pieces := v.pieces(a.wrapped(), func(adu []byte) { adu[2] ^= 0xFF })
	goesOn := s.send(ctx, pieces, v.drip) && !v.hit[Cut] && !v.hit[OneRequest]
	if v.hit[OneRequest] {
		s.refuse()
	}
	return goesOn
}

// wrapped puts the MBAP header before unit and PDU.
func (r *reply) wrapped() []byte {
	out := append(make([]byte, 0, 7+len(r.pdu)), r.number[0], r.number[1], 0, 0)
	out = binary.BigEndian.AppendUint16(out, uint16(1+len(r.pdu)))
	return append(append(out, r.unit), r.pdu...)
}

// send writes the pieces, byte by byte where each is above 0. It reports whether the connection took them.
func (s *session) send(ctx context.Context, pieces []piece, each time.Duration) bool {
	for _, p := range pieces {
		if wait(ctx, p.after) != nil {
			return false
		}
		for b := p.bytes; len(b) > 0; {
			n := len(b)
			if each > 0 {
				n = 1
				if wait(ctx, each) != nil {
					return false
				}
			}
			n, err := s.conn.Write(b[:n])
			s.o.Stats.sent.Add(uint64(n))
			if err != nil {
				return false
			}
			b = b[n:]
		}
	}
	return true
}

func (p *port) unit(id uint8) *Unit {
	if p.o.AnyUnitID && len(p.units) == 1 {
		for _, u := range p.units {
			return u
		}
	}
	return p.units[id]
}

// wait sleeps for d or until ctx ends.
func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
