package modbus

import (
	"bytes"
	"encoding/binary"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"upsedge/internal/ups"
)

// A port is a TCP listener on loopback that hands each connection to serve.
func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { defer conn.Close(); serve(conn) })
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return l.Addr().String()
}

// quickTCP is a line that opens a connection again after 20 ms instead of 2 s.
func quickTCP(t *testing.T, cfg Config) *Line {
	t.Helper()
	cfg.Framing = TCP
	line := New(cfg)
	line.reopenTCP = 20 * time.Millisecond
	line, _ = run(t, line)
	return line
}

func TestOneRequestPerConnection(t *testing.T) {
	var connections, requests atomic.Int32
	address := listen(t, func(conn net.Conn) {
		connections.Add(1)
		request, err := readRequest(conn, TCP)
		if err != nil {
			return
		}
		requests.Add(1)
		conn.Write(registersAt(TCP)(request))
		time.Sleep(20 * time.Millisecond) // the next request may be on its way by then
	})
	var log syncBuffer
	line := quickTCP(t, Config{Open: OpenTCP(address), Log: slog.New(slog.NewTextHandler(&log, nil))})
	for addr := range uint16(4) {
		if got, err := line.ReadHolding(t.Context(), Background, 1, addr, 2, make([]uint16, 2)); err != nil || got[0] != addr {
			t.Fatalf("read %d: %v, %v", addr, got, err)
		}
	}
	if err := line.WriteHolding(t.Context(), Urgent, 1, 1541, []uint16{1}); err != nil {
		t.Errorf("write on a fresh connection: %v", err)
	}
	if got := requests.Load(); got != 5 {
		t.Errorf("%d requests arrived, want 5", got)
	}
	if links := line.Links(); links != 5 {
		t.Errorf("the line counts %d links, want 5: one for each request", links)
	}
	if gap := line.Timing(1).Gap; gap != 20*time.Millisecond {
		t.Errorf("the line counts %v before a request, want the 20ms it waits for a connection", gap)
	}
	if log.String() != "" {
		t.Errorf("logged %s, want nothing: this is how such a unit works", log.String())
	}
}

// A server that restarts, or an idle connection that a firewall drops, can end one connection after its first answer.
func TestAConnectionClosedOnceIsNotTheWayOfTheUnit(t *testing.T) {
	var connections atomic.Int32
	address := listen(t, func(conn net.Conn) {
		only := connections.Add(1) < 4 // of three in a row one answer each, of the fourth all
		for {
			request, err := readRequest(conn, TCP)
			if err != nil {
				return
			}
			conn.Write(registersAt(TCP)(request))
			if only {
				return
			}
		}
	})
	line := quickTCP(t, Config{Open: OpenTCP(address)})
	for i, want := range []time.Duration{0, 0, 20 * time.Millisecond, 20 * time.Millisecond, 0} {
		if _, err := line.ReadHolding(t.Context(), Background, 1, 0, 2, make([]uint16, 2)); err != nil {
			t.Fatal(err)
		}
		if gap := line.Timing(1).Gap; gap != want {
			t.Errorf("after read %d the line counts %v before a request, want %v", i+1, gap, want)
		}
	}
}

// The request arrived, the answer did not: nobody knows whether the unit has acted, so the write must not go out again.
func TestAWriteIsNeverSentTwice(t *testing.T) {
	var writes atomic.Int32
	address := listen(t, func(conn net.Conn) {
		for {
			request, err := readRequest(conn, TCP)
			if err != nil {
				return
			}
			if request[7] == writeFunction {
				writes.Add(1)
				return
			}
			conn.Write(registersAt(TCP)(request))
		}
	})
	line := quickTCP(t, Config{Open: OpenTCP(address)})
	err := line.WriteHolding(t.Context(), Urgent, 1, 1540, []uint16{1})
	var request *RequestError
	if !errors.As(err, &request) || !request.Sent || linkLost(err) == nil {
		t.Errorf("write cut: %v, want a LinkError of a request that was sent", err)
	}
	within(t, 10*time.Second, "a read on the next connection", func() bool {
		_, err := line.ReadHolding(t.Context(), Background, 1, 0, 3, make([]uint16, 3))
		return err == nil
	})
	if got := writes.Load(); got != 1 {
		t.Errorf("the write arrived %d times, want once", got)
	}
}

func TestLateTransactionsAreDropped(t *testing.T) {
	address := listen(t, func(conn net.Conn) {
		for {
			request, err := readRequest(conn, TCP)
			if err != nil {
				return
			}
			right := registersAt(TCP)(request)
			late := bytes.Clone(right)
			binary.BigEndian.PutUint16(late, binary.BigEndian.Uint16(late)-1)
			late[9], late[10] = 0xDE, 0xAD
			conn.Write(append(append(late, late...), right...))
		}
	})
	line := quickTCP(t, Config{Open: OpenTCP(address)})
	for range 3 {
		if got, err := line.ReadHolding(t.Context(), Background, 1, 7, 2, make([]uint16, 2)); err != nil || got[0] != 7 {
			t.Errorf("read = %v, %v; want [7 8]", got, err)
		}
	}
}

func TestReopensOnAnythingThatIsNotModbus(t *testing.T) {
	var connections atomic.Int32
	address := listen(t, func(conn net.Conn) {
		if connections.Add(1) == 1 {
			readRequest(conn, TCP)
			conn.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
			conn.Read(make([]byte, 1)) // until the line closes it
			return
		}
		(&peer{framing: TCP, answer: registersAt(TCP)}).serve(conn)
	})
	line := quickTCP(t, Config{Open: OpenTCP(address)})
	_, err := line.ReadHolding(t.Context(), Background, 1, 0, 3, make([]uint16, 3))
	if ups.FailureOf(err) != ups.FailureGarbled {
		t.Errorf("%v (%v), want garbled", err, ups.FailureOf(err))
	}
	within(t, 10*time.Second, "a read on the next connection", func() bool {
		_, err := line.ReadHolding(t.Context(), Background, 1, 0, 3, make([]uint16, 3))
		return err == nil
	})
}

func TestRefusedAndSilentPorts(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refusing := l.Addr().String()
	l.Close()
	closing := listen(t, func(net.Conn) {})
	silent := listen(t, func(conn net.Conn) { conn.Read(make([]byte, 300)); conn.Read(make([]byte, 300)) })
	for address, want := range map[string]ups.Failure{refusing: ups.FailureRefused, closing: ups.FailureRefused, silent: ups.FailureNoAnswer} {
		line := quickTCP(t, Config{Open: OpenTCP(address), Timeout: 100 * time.Millisecond})
		var err error
		within(t, 10*time.Second, "an error", func() bool { // the first read may wait for the first attempt
			_, err = line.ReadHolding(t.Context(), Background, 1, 0, 3, make([]uint16, 3))
			return err != nil
		})
		if got := ups.FailureOf(err); got != want {
			t.Errorf("%v (%v), want %v", err, got, want)
		}
	}
	// One that serves another client may reset the connection before connect(2) has returned.
	if err := (&LinkError{Op: "open", Err: &net.OpError{Op: "dial", Err: syscall.ECONNRESET}}); err.Failure() != ups.FailureRefused {
		t.Errorf("%v (%v), want %v", err, err.Failure(), ups.FailureRefused)
	}
}

type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
