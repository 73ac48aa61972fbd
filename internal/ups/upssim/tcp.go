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
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Now().Before(p.refused) || p.o.MaxClients > 0 && len(p.conns) >= p.o.MaxClients {
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

// A session is one connection: what was sent last on it, for Stale.
type session struct {
	*port
	conn     net.Conn
	previous []byte
}

func (p *port) serve(ctx context.Context, conn net.Conn) {
	s := &session{port: p, conn: conn}
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
	v := u.faults.next()
	if wait(ctx, s.o.Turnaround+v.late) != nil {
		return false
	}
	pdu := u.Handle(adu[7:])
	if pdu == nil || v.hit[Deaf] {
		s.o.Stats.silent.Add(1)
		return true
	}
	s.o.Stats.replied(pdu)
	out := append(make([]byte, 0, 7+len(pdu)), adu[:7]...)
	binary.BigEndian.PutUint16(out[4:], uint16(1+len(pdu)))
	out = s.spoil(append(out, pdu...), v)
	n, err := s.conn.Write(out)
	s.o.Stats.sent.Add(uint64(n))
	return err == nil && !v.hit[Cut]
}

func (s *session) spoil(adu []byte, v verdict) []byte {
	good := adu
	if v.hit[Stale] && s.previous != nil {
		adu = s.previous
	}
	s.previous = good
	if v.hit[BadCRC] {
		adu = append([]byte(nil), adu...)
		adu[2] ^= 0xFF
	}
	if v.hit[Cut] {
		adu = adu[:(len(adu)+1)/2]
	}
	return adu
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
