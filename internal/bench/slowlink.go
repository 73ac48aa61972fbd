package main

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// A slowLink stands before a broker as a thin line does: so many bytes per second in each direction, a delay, and a queue of a
// few packets that makes the sender wait.
type slowLink struct {
	listener net.Listener
	target   string
	rate     float64 // bytes per second
	delay    time.Duration
	wg       sync.WaitGroup

	mu      sync.Mutex
	conns   []net.Conn
	carried [2]int64 // bytes up and down
}

const (
	linkPacket = 1400    // bytes, what is sent at once
	linkQueue  = 8 << 10 // bytes, asked of the kernel as the queue in front of the line
)

func newSlowLink(target string, bitsPerSecond float64, delay time.Duration) (*slowLink, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &slowLink{listener: l, target: target, rate: bitsPerSecond / 8, delay: delay}
	s.wg.Go(s.accept)
	return s, nil
}

func (s *slowLink) address() string { return s.listener.Addr().String() }

// bytes returns what was carried up and down.
func (s *slowLink) bytes() (up, down int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.carried[0], s.carried[1]
}

func (s *slowLink) close() {
	_ = s.listener.Close()
	s.mu.Lock()
	for _, c := range s.conns {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

func (s *slowLink) accept() {
	for {
		near, err := s.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", s.target)
		if err != nil {
			_ = near.Close()
			continue
		}
		err = errors.Join(near.(*net.TCPConn).SetReadBuffer(linkQueue), far.(*net.TCPConn).SetReadBuffer(linkQueue))
		s.mu.Lock()
		s.conns = append(s.conns, near, far)
		s.mu.Unlock()
		if err != nil {
			continue
		}
		s.wg.Go(func() { s.carry(far, near, 0) })
		s.wg.Go(func() { s.carry(near, far, 1) })
	}
}

// carry moves bytes at the line's rate, and hands them over after its delay.
func (s *slowLink) carry(to, from net.Conn, direction int) {
	type packet struct {
		b   []byte
		due time.Time
	}
	sent := make(chan packet, 1024) // on the wire: as much as the delay holds
	s.wg.Go(func() {
		for p := range sent {
			time.Sleep(time.Until(p.due))
			if _, err := to.Write(p.b); err != nil {
				break
			}
		}
		_ = to.Close()
		for range sent { // lets the other end go on to its error
		}
	})
	defer close(sent)
	free := time.Now() // when the line has sent what it was given
	for {
		b := make([]byte, linkPacket)
		n, err := from.Read(b)
		if n > 0 {
			if now := time.Now(); free.Before(now) {
				free = now
			}
			free = free.Add(time.Duration(float64(n) / s.rate * float64(time.Second)))
			time.Sleep(time.Until(free))
			s.mu.Lock()
			s.carried[direction] += int64(n)
			s.mu.Unlock()
			sent <- packet{b[:n], free.Add(s.delay)}
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				_ = from.Close()
			}
			return
		}
	}
}
