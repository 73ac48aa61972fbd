package modbus

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// unhex reads the notation of the protocol reference: bytes in hex, spaces between.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// withCRC closes an RTU frame.
func withCRC(frame ...byte) []byte { return binary.LittleEndian.AppendUint16(frame, crc16(frame)) }

// A peer is the far end of a link. answer gets each request with the time it came and returns what to send back, nil for
// silence. It may sleep.
type peer struct {
	framing Framing
	answer  func(request []byte) []byte

	mu   sync.Mutex
	seen []arrival
}

type arrival struct {
	frame []byte
	at    time.Time
}

// serve answers on conn until it ends.
func (p *peer) serve(conn io.ReadWriteCloser) {
	defer conn.Close()
	for {
		request, err := readRequest(conn, p.framing)
		if err != nil {
			return
		}
		p.mu.Lock()
		p.seen = append(p.seen, arrival{request, time.Now()})
		p.mu.Unlock()
		reply := p.answer(request)
		if reply == nil {
			continue
		}
		if _, err := conn.Write(reply); err != nil {
			return
		}
	}
}

func (p *peer) requests() []arrival {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]arrival(nil), p.seen...)
}

// open is a Config.Open over net.Pipe; every call begins a new connection to the same peer.
func (p *peer) open(wg *sync.WaitGroup) func(context.Context) (Link, error) {
	return func(context.Context) (Link, error) {
		ours, theirs := net.Pipe()
		wg.Go(func() { p.serve(theirs) })
		return ours, nil
	}
}

func readRequest(conn io.Reader, framing Framing) ([]byte, error) {
	if framing == TCP {
		head := make([]byte, 6, 260)
		if _, err := io.ReadFull(conn, head); err != nil {
			return nil, err
		}
		rest := make([]byte, binary.BigEndian.Uint16(head[4:]))
		_, err := io.ReadFull(conn, rest)
		return append(head, rest...), err
	}
	frame := make([]byte, 8)
	if _, err := io.ReadFull(conn, frame); err != nil {
		return nil, err
	}
	if frame[1] == writeFunction {
		rest := make([]byte, 1+int(frame[6]))
		if _, err := io.ReadFull(conn, rest); err != nil {
			return nil, err
		}
		frame = append(frame, rest...)
	}
	if crc16(frame) != 0 {
		return nil, errors.New("peer: bad checksum")
	}
	return frame, nil
}

// registersAt answers a read with values that tell their address, and takes every write.
func registersAt(framing Framing) func([]byte) []byte {
	return func(request []byte) []byte {
		if framing == TCP {
			body := bodyFor(request[6:])
			head := append([]byte{}, request[:6]...)
			binary.BigEndian.PutUint16(head[4:], uint16(len(body)))
			return append(head, body...)
		}
		return withCRC(bodyFor(request[:len(request)-2])...)
	}
}

// bodyFor is unit and PDU of a plausible answer to unit and PDU of a request.
func bodyFor(request []byte) []byte {
	if request[1] == writeFunction {
		return append([]byte{}, request[:6]...)
	}
	addr, count := binary.BigEndian.Uint16(request[2:]), binary.BigEndian.Uint16(request[4:])
	body := []byte{request[0], readFunction, byte(2 * count)}
	for i := range count {
		body = binary.BigEndian.AppendUint16(body, addr+i)
	}
	return body
}

// start runs a line and stops it, and waits for it, when the test ends or stop is called.
func start(t testing.TB, cfg Config) (line *Line, stop func()) {
	t.Helper()
	return run(t, New(cfg))
}

func run(t testing.TB, line *Line) (*Line, func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- line.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
	})
	t.Cleanup(stop)
	return line, stop
}
